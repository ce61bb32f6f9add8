/// Returns the text of a web page, such as the error page of a proxy: without tags, styles and
/// scripts, with single spaces, and without repeated texts, such as a title that is the heading
/// too. `None` if the text is not a web page. The page may be truncated.
///
/// ```
/// let page = "<title>Bad Gateway</title>\n<h1>Bad  Gateway</h1> <hr>nginx</bod";
/// assert_eq!(taonet_primitives::page_text(page).as_deref(), Some("Bad Gateway nginx"));
/// assert_eq!(taonet_primitives::page_text("{\"detail\": \"a < b\"}"), None);
/// ```
pub fn page_text(page: &str) -> Option<String> {
    let mut texts: Vec<String> = Vec::new();
    for part in page.trim_start().strip_prefix('<')?.split('<') {
        let (tag, text) = part.split_once('>').unwrap_or_default();
        let tag = tag.to_ascii_lowercase();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_code = tag.starts_with("style") || tag.starts_with("script");
        if !is_code && !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    Some(texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_page_has_no_markup() {
        for (page, text) in [
            ("<p>404</p> <b>No\n route</b>here<p>here", Some("404 No route here")),
            (
                "\n<!DOCTYPE HTML>\n<HTML><style type=\"text/css\">p {}</style><p>Error: 501</p>",
                Some("Error: 501"),
            ),
            ("<SCRIPT>f()</SCRIPT>", Some("")),
            ("<html", Some("")),
            ("no room", None),
            ("", None),
        ] {
            assert_eq!(page_text(page).as_deref(), text, "{page}");
        }
    }
}
