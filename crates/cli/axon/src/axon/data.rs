//! Request bodies, passed through byte for byte, except for the byte order mark of a JSON file.

use std::path::Path;

use axum::body::Bytes;
use serde_json::{Map, Value};
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::input;
use taonet_primitives::bytes_without_bom;

/// Reads the value of `--data`: text, `@FILE`, or `-` for standard input.
pub(super) fn read(text: &str) -> anyhow::Result<Bytes> {
    match text.strip_prefix('@') {
        Some(file) => Ok(json_without_bom(input::read(Path::new(file))?.into())),
        None if text == "-" => Ok(json_without_bom(input::read(Path::new(text))?.into())),
        None => Ok(Bytes::copy_from_slice(text.as_bytes())),
    }
}

/// Returns JSON without its byte order mark, which RFC 8259 forbids in requests, and other data
/// unchanged.
fn json_without_bom(data: Bytes) -> Bytes {
    let without_bom = data.slice(data.len() - bytes_without_bom(&data).len()..);
    if is_json(&without_bom) { without_bom } else { data }
}

/// Returns whether the bytes are valid JSON.
pub(super) fn is_json(data: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
}

/// Raw JSON fields of a synapse.
pub(super) struct Fields<'a> {
    values: Map<String, Value>,
    /// JSON text between the braces.
    text: &'a str,
}

fn invalid_data_error(problem: &str) -> anyhow::Error {
    ClassifiedError::usage(format!("--data {problem}; a synapse must be a JSON object"))
}

impl<'a> Fields<'a> {
    pub(super) fn parse(data: &'a [u8]) -> anyhow::Result<Self> {
        let parsed = serde_json::from_slice(data);
        let Value::Object(values) =
            parsed.map_err(|error| invalid_data_error(&format!("is not JSON ({error})")))?
        else {
            return Err(invalid_data_error("is not a JSON object"));
        };
        Ok(Self { values, text: std::str::from_utf8(data).map(inner_text).unwrap_or_default() })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Adds the missing protocol fields and keeps the user's fields verbatim: the hash can depend
    /// on how a number is written.
    pub(super) fn body_with_protocol_fields(&self, mut protocol: Map<String, Value>) -> String {
        protocol.retain(|name, _| !self.values.contains_key(name));
        let protocol = Value::Object(protocol).to_string();
        let parts: Vec<_> = [inner_text(&protocol), self.text]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        format!("{{{}}}", parts.join(","))
    }
}

/// Strips the braces of a JSON object.
fn inner_text(object: &str) -> &str {
    object
        .trim()
        .strip_prefix('{')
        .and_then(|object| object.strip_suffix('}'))
        .unwrap_or_default()
        .trim()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn request_fields_are_sent_verbatim() {
        for (data, sent) in [
            (
                r#"{"prompt": "x", "deep": [1, 1e22, 1.50]}"#,
                r#"{"name":"X","timeout":12.0,"prompt": "x", "deep": [1, 1e22, 1.50]}"#,
            ),
            (
                " {\n\"n\": 36893488147419103232 }\n",
                r#"{"name":"X","timeout":12.0,"n": 36893488147419103232}"#,
            ),
            (r#"{"timeout": 3}"#, r#"{"name":"X","timeout": 3}"#),
            (r#"{"timeout": 3, "name": "{Y}"}"#, r#"{"timeout": 3, "name": "{Y}"}"#),
            ("{ }", r#"{"name":"X","timeout":12.0}"#),
        ] {
            let Value::Object(protocol) = json!({ "name": "X", "timeout": 12.0 }) else {
                unreachable!()
            };
            let body = Fields::parse(data.as_bytes()).unwrap().body_with_protocol_fields(protocol);
            assert_eq!(body, sent);
            assert!(is_json(body.as_bytes()));
        }
    }

    #[test]
    fn byte_order_mark_is_stripped_from_json_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        for (content, sent) in [
            (&b"\xef\xbb\xbf{\"n\": 1}\n"[..], &b"{\"n\": 1}\n"[..]),
            (b"{\"n\": 1}", b"{\"n\": 1}"),
            (b"\xef\xbb\xbftext", b"\xef\xbb\xbftext"),
            (b"\xff\x00", b"\xff\x00"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(&format!("@{}", path.display())).unwrap(), sent);
        }
    }

    #[test]
    fn non_object_synapse_is_rejected() {
        for (data, problem) in [
            ("[1]", "is not a JSON object"),
            ("{", "is not JSON"),
            ("", "is not JSON"),
            ("{}x", "is not JSON"),
        ] {
            let error = Fields::parse(data.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
