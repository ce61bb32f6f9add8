/// Truncates a text to `max_chars` characters, followed by an ellipsis if characters are missing.
///
/// ```
/// assert_eq!(taonet_primitives::truncated("subnet", 3), "sub…");
/// assert_eq!(taonet_primitives::truncated("subnet", 6), "subnet");
/// ```
pub fn truncated(text: impl Into<String>, max_chars: usize) -> String {
    let mut text = text.into();
    if let Some((end, _)) = text.char_indices().nth(max_chars) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_counts_characters_not_bytes() {
        for (text, max_chars, expected) in
            [("", 0, ""), ("a", 0, "…"), ("äöü", 3, "äöü"), ("äöü", 2, "äö…"), ("日本語", 1, "日…")]
        {
            assert_eq!(truncated(text, max_chars), expected);
        }
    }
}
