/// Removes the complete characters from `bytes`, which are a part of a text, and returns them. An
/// incomplete character at the end remains, since its other bytes may follow. Invalid UTF-8 is
/// replaced with U+FFFD.
///
/// ```
/// use taonet_primitives::take_complete_text;
///
/// let mut bytes = b"caf\xc3".to_vec();
/// assert_eq!(take_complete_text(&mut bytes), "caf");
/// bytes.push(0xa9);
/// assert_eq!(take_complete_text(&mut bytes), "\u{e9}");
/// assert!(bytes.is_empty());
/// ```
pub fn take_complete_text(bytes: &mut Vec<u8>) -> String {
    let last = bytes.utf8_chunks().last().map(|chunk| chunk.invalid()).unwrap_or_default();
    let is_incomplete = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
    let incomplete_length = if is_incomplete { last.len() } else { 0 };
    let incomplete = bytes.split_off(bytes.len() - incomplete_length);
    let complete = std::mem::replace(bytes, incomplete);
    String::from_utf8_lossy(&complete).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: bytes · complete text · bytes that remain
    #[test]
    fn incomplete_utf8_character_remains_in_the_buffer() {
        for (bytes, text, remaining) in [
            (&b""[..], "", &b""[..]),
            (b"The ferry", "The ferry", b""),
            (b"caf\xc3", "caf", b"\xc3"),
            (b"\xf0\x9f\x99", "", b"\xf0\x9f\x99"),
            (b"caf\xc3\xa9", "caf\u{e9}", b""),
            // Bytes that begin no character do not remain.
            (b"a\xff", "a\u{fffd}", b""),
            (b"a\xffb\xc3", "a\u{fffd}b", b"\xc3"),
        ] {
            let mut bytes = bytes.to_vec();
            assert_eq!(take_complete_text(&mut bytes), text);
            assert_eq!(bytes, remaining, "{text}");
        }
    }
}
