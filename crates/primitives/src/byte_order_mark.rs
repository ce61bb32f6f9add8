/// The UTF-8 byte order mark: U+FEFF, which Windows editors and PowerShell write at the beginning
/// of text files.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Returns a text without the byte order mark at its beginning.
///
/// Call it (or [`bytes_without_bom`]) wherever a text file that users write is read, before the
/// text is parsed: parsers of JSON and TOML refuse the mark, and others take it for a part of the
/// first word.
///
/// ```
/// use taonet_primitives::without_bom;
///
/// assert_eq!(without_bom("\u{feff}bottom drive obey"), "bottom drive obey");
/// assert_eq!(without_bom("bottom drive obey"), "bottom drive obey");
/// ```
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Returns the bytes of a text without the UTF-8 byte order mark at their beginning. See
/// [`without_bom`].
pub fn bytes_without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_byte_order_mark_is_removed() {
        for (text, expected) in [
            ("", ""),
            ("\u{feff}", ""),
            ("\u{feff}{}", "{}"),
            ("{}\u{feff}", "{}\u{feff}"),
            ("\u{feff}\u{feff}{}", "\u{feff}{}"),
        ] {
            assert_eq!(without_bom(text), expected);
            assert_eq!(bytes_without_bom(text.as_bytes()), expected.as_bytes());
        }
        // A part of the mark, or the mark of UTF-16.
        for bytes in [&[0xef, 0xbb][..], &[0xfe, 0xff], &[0xff, 0xfe]] {
            assert_eq!(bytes_without_bom(bytes), bytes);
        }
    }
}
