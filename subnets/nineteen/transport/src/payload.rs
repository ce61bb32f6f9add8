//! JSON payload of a token, formatted like Python's `json.dumps`, so that miners cannot distinguish
//! requests from requests of fiber's clients.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::{FernetKey, Nonce};

/// Field that fiber's clients add to every payload, and that miners ignore.
const NONCE_FIELD: &str = "nonce";

/// Adds a random nonce to a payload, a JSON object without one, as fiber's clients do, and encrypts
/// it.
/// `now_ns` is the Unix time in nanoseconds.
pub(crate) fn seal_payload(key: &FernetKey, payload: &impl Serialize, now_ns: u64) -> String {
    key.seal(&with_nonce(payload, &Nonce::generate(now_ns)), now_ns / 1_000_000_000)
}

/// Returns the size in bytes of the encrypted request with a payload: an object, whose nonce is
/// included.
pub fn sealed_size(payload: &impl Serialize) -> usize {
    let mut size = ByteCounter(0);
    // Writing JSON to a counter fails only for a payload that is no JSON, which cannot be sent
    // either.
    let _ = payload.serialize(&mut Serializer::with_formatter(&mut size, PythonFormatter));
    let nonce = format!(r#", "{NONCE_FIELD}": "{}""#, Nonce::generate(u64::MAX));
    FernetKey::sealed_size(size.0 + nonce.len())
}

/// A writer that counts bytes.
struct ByteCounter(usize);

impl Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Serialises a payload, an object without a nonce, and appends the nonce to the text, so that the
/// fields, which may contain images, are not copied for it.
pub(crate) fn with_nonce(payload: &impl Serialize, nonce: &Nonce) -> Vec<u8> {
    let mut text = to_python_json(payload);
    // Remove the closing brace, to append the nonce.
    text.pop();
    if text.len() > 1 {
        text.extend_from_slice(b", ");
    }
    text.extend(to_python_json(&NONCE_FIELD));
    text.extend_from_slice(b": ");
    text.extend(to_python_json(&nonce.as_str()));
    text.push(b'}');
    text
}

/// Serialises a value like Python's `json.dumps(value)`: spaces after `,` and `:`, non-ASCII
/// characters escaped.
fn to_python_json(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    // Writing JSON to a `Vec` fails only for a value that is no JSON, which cannot be sent either.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, PythonFormatter));
    text
}

struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Most fragments are ASCII, which is recognised many bytes at a time.
        if fragment.is_ascii() {
            return writer.write_all(fragment.as_bytes());
        }
        let mut remaining = fragment;
        while let Some(start) = remaining.bytes().position(|byte| !byte.is_ascii()) {
            let (ascii, non_ascii) = remaining.split_at(start);
            writer.write_all(ascii.as_bytes())?;
            let mut characters = non_ascii.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    writer.write_all(&escape(*unit))?;
                }
            }
            remaining = characters.as_str();
        }
        writer.write_all(remaining.as_bytes())
    }
}

/// Returns the escape of a UTF-16 code unit, such as `\u00e9`.
fn escape(unit: u16) -> [u8; 6] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit =
        |shift: u32| DIGITS.get(usize::from((unit >> shift) & 0xf)).copied().unwrap_or_default();
    [b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_text_matches_python() {
        let value = json!({"a": "h\u{e9}llo \u{2603} \"x\"", "n": 1.5, "l": [1, null, true], "o": {}, "e": "\u{1f600}\n\u{1}"});
        let text = r#"{"a": "h\u00e9llo \u2603 \"x\"", "n": 1.5, "l": [1, null, true], "o": {}, "e": "\ud83d\ude00\n\u0001"}"#;
        assert_eq!(String::from_utf8(to_python_json(&value)).unwrap(), text);
    }

    #[test]
    fn size_equals_the_sealed_payload_length() {
        let key = FernetKey::random();
        for letters in 0..70 {
            for character in ["a", "\u{e9}", "\u{1f600}", "\n", "\u{1}"] {
                let payload =
                    json!({"messages": [{"content": character.repeat(letters)}], "seed": 7});
                assert_eq!(seal_payload(&key, &payload, u64::MAX).len(), sealed_size(&payload));
            }
        }
    }

    #[test]
    fn sealed_payload_has_a_nonce() {
        let key = FernetKey::random();
        for (payload, start) in [
            (json!({"task_configs": []}), r#"{"task_configs": [], "nonce": "5000000000_"#),
            (json!({}), r#"{"nonce": "5000000000_"#),
        ] {
            let plain = key.open(seal_payload(&key, &payload, 5_000_000_000).as_bytes()).unwrap();
            let text = String::from_utf8(plain).unwrap();
            assert!(text.starts_with(start), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    }
}
