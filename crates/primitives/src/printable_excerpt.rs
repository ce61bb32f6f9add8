/// Returns the first `max_chars` characters of a text, without its control characters, with which
/// a remote host could forge lines of a log.
///
/// ```
/// assert_eq!(taonet_primitives::printable_excerpt("no\nERROR permit", 8), "noERROR ");
/// ```
pub fn printable_excerpt(text: &str, max_chars: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_removed_before_counting() {
        for (text, max_chars, expected) in
            [("", 3, ""), ("a\r\nb\u{1b}c", 3, "abc"), ("\u{85}äö", 1, "ä"), ("日本語", 2, "日本")]
        {
            assert_eq!(printable_excerpt(text, max_chars), expected);
        }
    }
}
