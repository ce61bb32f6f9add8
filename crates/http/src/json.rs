//! JSON of untrusted origin.
//!
//! With its feature `raw_value`, which other crates need, serde_json replaces an object that has a
//! certain private field by the JSON text in this field, and restarts the count of nesting levels
//! for this text. By nesting such texts, a request of a few MiB can be thousands of levels deep and
//! overflow the stack. These objects are therefore rejected here.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Name of the private field.
const RAW_VALUE: &str = "$serde_json::private::RawValue";
/// Name of the field with the digits of a number, which serde_json presents as an object with its
/// feature `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

/// Parses a JSON value of any type with at most 127 levels.
///
/// # Errors
/// [`serde_json::Error`] when the bytes are not JSON, or have too many levels.
pub fn parse_value(bytes: &[u8]) -> serde_json::Result<Value> {
    parse(bytes, Any)
}

/// Parses a JSON object with at most 127 levels.
///
/// # Errors
/// [`serde_json::Error`] when the bytes are not a JSON object, or have too many levels.
pub fn parse_object(bytes: &[u8]) -> serde_json::Result<Map<String, Value>> {
    parse(bytes, Object)
}

fn parse<T>(
    bytes: &[u8],
    seed: impl for<'de> DeserializeSeed<'de, Value = T>,
) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Seed and visitor for a value of any type.
struct Any;

/// Seed and visitor for an object.
struct Object;

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for Object {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(Self)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let name = fields.next_key::<String>()?;
        if name.as_deref() != Some(NUMBER) {
            return read_object(name, fields).map(Value::Object);
        }
        let digits = fields.next_value::<String>()?;
        digits.parse().map(Value::Number).map_err(A::Error::custom)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let name = fields.next_key()?;
        read_object(name, fields)
    }
}

/// Reads the fields of an object; `next_name` is the name of the first field, if there is one.
fn read_object<'de, A: MapAccess<'de>>(
    mut next_name: Option<String>,
    mut fields: A,
) -> Result<Map<String, Value>, A::Error> {
    let mut values = Map::new();
    while let Some(name) = next_name {
        if name == RAW_VALUE {
            return Err(A::Error::custom(format_args!("unsupported name {RAW_VALUE}")));
        }
        values.insert(name, fields.next_value_seed(Any)?);
        next_name = fields.next_key()?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Returns a result that can be compared.
    fn with_error_text<T>(result: serde_json::Result<T>) -> Result<T, String> {
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn parsed_values_equal_those_of_serde_json() {
        for text in [
            r#"{"a": [1, -1, 18446744073709551615, 1.5, 1e308, -0.0, true, null, "h\u00e9\n"], "b": {}, "a": 2}"#,
            "[]",
            "\"text\"",
            "1e999",
            "{\"a\": 01}",
            "{} {}",
            "{\"a\"",
            "\"\\ud800\"",
            "",
        ] {
            let expected = serde_json::from_slice::<Value>(text.as_bytes());
            assert_eq!(
                with_error_text(parse_value(text.as_bytes())),
                with_error_text(expected),
                "{text}"
            );
            let expected = serde_json::from_slice::<Map<String, Value>>(text.as_bytes());
            assert_eq!(
                with_error_text(parse_object(text.as_bytes())),
                with_error_text(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_value(nested(127).as_bytes()).is_ok());
        assert!(parse_value(nested(128).as_bytes()).is_err());
        let raw = |value: &str| json!({ (RAW_VALUE): value }).to_string();
        // serde_json itself parses it.
        let inner = serde_json::from_str::<Value>(&raw("[1]")).unwrap();
        assert_eq!(inner, json!([1]));
        let mut text = nested(127);
        for _ in 0..8 {
            text = raw(&text);
            for hidden in
                [text.clone(), text.replace('$', "\\u0024"), format!("{{\"a\":[{text}]}}")]
            {
                let error = parse_value(hidden.as_bytes()).unwrap_err().to_string();
                assert!(
                    error.starts_with("unsupported name $serde_json::private::RawValue"),
                    "{error}"
                );
                assert!(parse_object(hidden.as_bytes()).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn parsing_arbitrary_bytes_matches_serde_json(bytes: Vec<u8>) {
            let expected = serde_json::from_slice::<Value>(&bytes);
            prop_assert_eq!(with_error_text(parse_value(&bytes)), with_error_text(expected));
        }
    }
}
