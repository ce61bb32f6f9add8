//! Public information of validators: name, website and description, signed with the hotkey. The
//! signed message is the JSON text `{"5F…": {"name": "…", "url": "…", "description": "…"}}` exactly
//! as Python's `json.dumps` writes it. Public lists contain the same object with a `signature` in
//! each entry.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use taonet_primitives::Hotkey;
use taonet_wallet::Signature;

/// Entry of one validator in a list of public information.
pub(crate) struct ValidatorInfo {
    /// Hotkey of the validator, which signs the entry.
    pub(crate) hotkey: Hotkey,
    /// Fields in signing order.
    fields: Vec<(String, String)>,
    /// Signature of the entry, if present.
    pub(crate) signature: Option<Signature>,
}

impl ValidatorInfo {
    pub(crate) fn new(hotkey: Hotkey, name: &str, url: &str, description: &str) -> Self {
        let fields = [("name", name), ("url", url), ("description", description)];
        let fields = fields.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        Self { hotkey, fields, signature: None }
    }

    /// Reads a list: a JSON object with one entry per hotkey.
    pub(crate) fn read_list(document: &str) -> anyhow::Result<Vec<Self>> {
        let entries: Map<String, Value> = serde_json::from_str(document)
            .context("expected a JSON object {\"hotkey\": {…}, …}")?;
        entries.iter().map(|(hotkey, entry)| Self::read(hotkey, entry)).collect()
    }

    fn read(address: &str, entry: &Value) -> anyhow::Result<Self> {
        let hotkey = address.parse().with_context(|| format!("{address:?} is not a hotkey"))?;
        let Value::Object(entry) = entry else {
            bail!("{address}: expected an object with name, url and description")
        };
        let mut info = Self { hotkey, fields: Vec::new(), signature: None };
        for (key, value) in entry {
            let Value::String(text) = value else { bail!("{address}.{key}: expected a string") };
            if key == "signature" {
                info.signature = Some(
                    text.parse().with_context(|| format!("{address}.signature is malformed"))?,
                );
            } else {
                info.fields.push((key.clone(), text.clone()));
            }
        }
        Ok(info)
    }

    /// Returns the name of the validator, if present.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == "name").map(|(_, text)| text.as_str())
    }

    /// Returns the message that the validator's hotkey signs.
    pub(crate) fn message(&self) -> String {
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|(key, text)| format!("{}: {}", quote(key), quote(text)))
            .collect();
        format!("{{\"{}\": {{{}}}}}", self.hotkey, fields.join(", "))
    }

    /// Returns the entry of a public list, with its signature.
    pub(crate) fn entry(&self, signature: &Signature) -> Value {
        let mut entry: Map<_, _> =
            self.fields.iter().map(|(key, text)| (key.clone(), text.as_str().into())).collect();
        entry.insert("signature".to_owned(), signature.to_bare_hex().into());
        Value::Object(Map::from_iter([(self.hotkey.to_string(), Value::Object(entry))]))
    }
}

/// Encodes a JSON string in ASCII as Python does: other characters are escaped as UTF-16 units.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            ' '..='~' => quoted.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    #[test]
    fn strings_are_escaped_as_in_python_json() {
        // Expected texts are from Python's json.dumps.
        for (text, expected) in [
            ("plain", r#""plain""#),
            ("τ 𝄞 é", r#""\u03c4 \ud834\udd1e \u00e9""#),
            ("\"\\/\n\r\t\u{8}\u{c}", r#""\"\\/\n\r\t\b\f""#),
            ("\0\u{1f}\u{7f}", r#""\u0000\u001f\u007f""#),
        ] {
            assert_eq!(quote(text), expected);
        }
    }

    #[test]
    fn message_fields_keep_their_order() {
        let info = ValidatorInfo::new(ALICE.parse().unwrap(), "A", "a.example", "Ä");
        let expected = format!(
            r#"{{"{ALICE}": {{"name": "A", "url": "a.example", "description": "\u00c4"}}}}"#
        );
        assert_eq!(info.message(), expected);
        let list = ValidatorInfo::read_list(&expected).unwrap();
        assert_eq!(list.first().unwrap().message(), expected);
    }

    #[test]
    fn invalid_validator_info_is_reported() {
        for (list, expected_text) in [
            ("[]".to_owned(), "JSON object"),
            ("{".to_owned(), "JSON object"),
            (r#"{"5Grw": {}}"#.to_owned(), "\"5Grw\" is not a hotkey"),
            (format!(r#"{{"{ALICE}": "A"}}"#), "expected an object with name"),
            (format!(r#"{{"{ALICE}": {{"name": 1}}}}"#), "name: expected a string"),
            (format!(r#"{{"{ALICE}": {{"signature": "12"}}}}"#), ".signature"),
        ] {
            let Err(error) = ValidatorInfo::read_list(&list) else { panic!("{list} was accepted") };
            assert!(error.to_string().contains(expected_text), "{list}: {error}");
        }
    }
}
