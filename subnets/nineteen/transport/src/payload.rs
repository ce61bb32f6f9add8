//! JSON payload of a token, formatted like Python's `json.dumps`, so that miners cannot distinguish
//! requests from requests of fiber's clients.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Serializer, Value};

use crate::{FernetKey, Nonce};

/// Field that fiber's clients add to every payload, and that miners ignore.
const NONCE: &str = "nonce";

/// Adds a random nonce to a payload, as fiber's clients do, and encrypts it. `now_ns` is the Unix
/// time in nanoseconds.
pub(crate) fn seal_payload(key: &FernetKey, payload: Map<String, Value>, now_ns: u64) -> String {
    let text = with_nonce(payload, &Nonce::at(now_ns));
    key.seal(text.as_bytes(), now_ns / 1_000_000_000)
}

/// Returns the size in bytes of the encrypted request with a payload: an object, whose nonce is
/// included.
pub fn sealed_size(payload: &impl Serialize) -> usize {
    let mut size = Size(0);
    // Writing JSON to a counter fails only for a payload that is no JSON, which cannot be sent
    // either.
    let _ = payload.serialize(&mut Serializer::with_formatter(&mut size, Python));
    let nonce = format!(r#", "{NONCE}": "{}""#, Nonce::at(u64::MAX));
    FernetKey::sealed_size(size.0 + nonce.len())
}

/// A writer that counts bytes.
struct Size(usize);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn with_nonce(mut payload: Map<String, Value>, nonce: &Nonce) -> String {
    payload.insert(NONCE.to_owned(), nonce.as_str().into());
    python_json(&Value::Object(payload))
}

/// Serialises a value like Python's `json.dumps(value)`: spaces after `,` and `:`, non-ASCII
/// characters escaped.
pub(crate) fn python_json(value: &Value) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Python);
    // Writing a `Value` to a `Vec` cannot fail.
    let _ = value.serialize(&mut serializer);
    String::from_utf8(text).unwrap_or_default()
}

struct Python;

impl Formatter for Python {
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
        let mut remaining = fragment;
        while let Some(start) = remaining.find(|letter: char| !letter.is_ascii()) {
            let (plain, special) = remaining.split_at(start);
            writer.write_all(plain.as_bytes())?;
            let mut letters = special.chars();
            if let Some(letter) = letters.next() {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            remaining = letters.as_str();
        }
        writer.write_all(remaining.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_text_equals_that_of_python() {
        let value = json!({"a": "h\u{e9}llo \u{2603} \"x\"", "n": 1.5, "l": [1, null, true], "o": {}, "e": "\u{1f600}\n\u{1}"});
        let text = r#"{"a": "h\u00e9llo \u2603 \"x\"", "n": 1.5, "l": [1, null, true], "o": {}, "e": "\ud83d\ude00\n\u0001"}"#;
        assert_eq!(python_json(&value), text);
    }

    #[test]
    fn size_is_that_of_the_sealed_payload() {
        let key = FernetKey::random();
        for letters in 0..70 {
            for letter in ["a", "\u{e9}", "\u{1f600}", "\n", "\u{1}"] {
                let payload = json!({"messages": [{"content": letter.repeat(letters)}], "seed": 7});
                let payload = payload.as_object().unwrap().clone();
                let size = sealed_size(&payload);
                assert_eq!(seal_payload(&key, payload, u64::MAX).len(), size);
            }
        }
    }

    #[test]
    fn sealed_payload_has_a_nonce() {
        let key = FernetKey::random();
        let payload = json!({"task_configs": []}).as_object().unwrap().clone();
        let plain = key.open(seal_payload(&key, payload, 5_000_000_000).as_bytes()).unwrap();
        let text = String::from_utf8(plain).unwrap();
        assert!(text.starts_with(r#"{"task_configs": [], "nonce": "5000000000_"#), "{text}");
    }
}
