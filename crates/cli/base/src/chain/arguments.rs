//! Arguments of calls, as text on the command line.

use std::str::FromStr;

use serde_json::{Map, Value, json};
use taonet_primitives::Rao;

use super::Account;

/// Converts a value to the JSON form that the chain's types expect: integers, booleans and JSON as
/// they are, amounts such as `0.5tao` in rao, development accounts such as `//Alice` as addresses,
/// and anything else as text.
pub fn parse_argument(text: &str) -> Result<Value, String> {
    if let Some(amount) = text.to_lowercase().strip_suffix("tao") {
        // Other words can end like amounts.
        if amount.starts_with(|first: char| first.is_ascii_digit()) {
            let amount: Rao =
                amount.trim_end().parse().map_err(|error| format!("{text}: {error}"))?;
            return Ok(json!(amount));
        }
    }
    if text.starts_with("//") {
        return text
            .parse::<Account>()
            .map(|account| json!(account.id()))
            .map_err(|error| format!("{text}: {error}"));
    }
    Ok(match serde_json::from_str(text) {
        // The chain's integers have up to 256 bits.
        Ok(Value::Number(number)) if number.as_u64().is_none() && number.as_i64().is_none() => {
            Value::String(text.to_owned())
        }
        Ok(value) => value,
        Err(_) => Value::String(text.to_owned()),
    })
}

/// Argument of a call: `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedArgument {
    /// Name of the argument in the chain's metadata.
    pub name: String,
    /// Value in the JSON form of its type.
    pub value: Value,
}

impl FromStr for NamedArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or("expected NAME=VALUE")?;
        Ok(Self { name: name.to_owned(), value: parse_argument(value)? })
    }
}

/// Arguments of a call as one JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonArguments(pub Map<String, Value>);

impl FromStr for JsonArguments {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_str(text)
            .map(Self)
            .map_err(|error| format!("expected a JSON object: {error}"))
    }
}

/// Bytes in hexadecimal digits, with or without `0x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl FromStr for HexBytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let bytes =
            hex::decode(digits).map_err(|error| format!("expected hexadecimal digits: {error}"))?;
        if bytes.is_empty() {
            Err("expected hexadecimal digits".to_owned())
        } else {
            Ok(Self(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_texts_become_json_values() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        for (text, value) in [
            ("20", json!(20)),
            ("-5", json!(-5)),
            ("true", json!(true)),
            ("null", json!(null)),
            ("0.0005TAO", json!(500_000)),
            ("1 tao", json!(1_000_000_000)),
            (
                "340282366920938463463374607431768211455",
                json!("340282366920938463463374607431768211455"),
            ),
            ("[1, 2]", json!([1, 2])),
            (r#"{"Id": "x"}"#, json!({ "Id": "x" })),
            (r#""20""#, json!("20")),
            ("0xdeadbeef", json!("0xdeadbeef")),
            (alice, json!(alice)),
            ("//Alice", json!(alice)),
            ("I like tao", json!("I like tao")),
            ("", json!("")),
        ] {
            assert_eq!(parse_argument(text), Ok(value), "{text}");
        }
        for text in ["1.0000000001tao", "//"] {
            assert!(parse_argument(text).is_err(), "{text}");
        }
    }

    #[test]
    fn named_argument_requires_a_name() {
        let named: NamedArgument = "remark=a=b".parse().unwrap();
        assert_eq!(named, NamedArgument { name: "remark".to_owned(), value: json!("a=b") });
        for text in ["remark", "=1", ""] {
            assert!(text.parse::<NamedArgument>().is_err(), "{text}");
        }
        assert!("[1]".parse::<JsonArguments>().is_err());
        assert!(r#"{"a": 1}"#.parse::<JsonArguments>().is_ok());
    }

    #[test]
    fn empty_odd_and_malformed_hex_is_refused() {
        assert_eq!("0x0aFF".parse(), Ok(HexBytes(vec![10, 255])));
        assert_eq!("0aff".parse(), Ok(HexBytes(vec![10, 255])));
        for text in ["", "0x", "0x0", "0xzz"] {
            assert!(text.parse::<HexBytes>().is_err(), "{text}");
        }
    }
}
