use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

/// Why a body has no compact form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The body is not a single JSON value.
    #[error("body is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line of the error, counted from 1.
        line: usize,
        /// The column of the error, counted from 1.
        column: usize,
    },
}

impl From<serde_json::Error> for CompactError {
    fn from(error: serde_json::Error) -> Self {
        Self::NotJson { line: error.line(), column: error.column() }
    }
}

/// Returns the SHA-256, in lower-case hex, of a JSON body's compact form: no space outside strings,
/// keys in the order received, characters unescaped where JSON allows it.
///
/// Numbers are hashed as written: `1e+22` and `1e22` give different hashes.
///
/// # Errors
/// [`CompactError::NotJson`] if the body is not a single JSON value.
pub fn compact_hash(body: &[u8]) -> Result<String, CompactError> {
    Ok(hex::encode(Sha256::digest(compact(body)?)))
}

fn compact(body: &[u8]) -> Result<Vec<u8>, CompactError> {
    // From here on the body is known to be JSON, so the scan below need not parse its structure.
    serde_json::from_slice::<IgnoredAny>(body)?;
    let mut out = Vec::with_capacity(body.len());
    let mut remaining = body;
    while let Some((first, after)) = remaining.split_first() {
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => remaining = after,
            b'"' => {
                let (string, after) = remaining.split_at(string_length(remaining));
                let text: String = serde_json::from_slice(string)?;
                serde_json::to_writer(&mut out, &text)?;
                remaining = after;
            }
            byte => {
                out.push(*byte);
                remaining = after;
            }
        }
    }
    Ok(out)
}

/// Returns the length in bytes of the JSON string at the start of `text`, with both quotes.
pub(crate) fn string_length(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = text.iter().skip(1).position(|byte| match byte {
        _ if is_escaped => {
            is_escaped = false;
            false
        }
        b'\\' => {
            is_escaped = true;
            false
        }
        byte => *byte == b'"',
    });
    end.map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn body_hashes_of_miner_messages_equal_the_recorded_ones() {
        let cases = [
            (
                r#"{"kind": "predict", "session_id": "s1", "audio_b64": "", "in_eos": true}"#,
                "8db618b579f6667e1cbdf641d0704a326abae8d0e9a0037cff59ddc5c98f04c2",
            ),
            (
                r#"{"kind":"init","challenge_uid":"c1","utterance_id":"c1:0","language":"fr","sample_rate_hz":24000,"frame_rate_hz":12.5,"frame_samples":1920,"dtype":"float32le","channels":1}"#,
                "8bf3b03b89a68cdcd7f64b01f0072a7a5db443a9e1febbbadf0e977e9313cf69",
            ),
        ];
        for (body, hash) in cases {
            assert_eq!(compact_hash(body.as_bytes()).as_deref(), Ok(hash));
        }
    }

    #[test]
    fn compact_form_changes_only_spaces_and_escapes() {
        for (body, expected) in [
            (r#" { "b" : 1 , "a" : [ 1 , 2 ] } "#, r#"{"b":1,"a":[1,2]}"#),
            (r#"{"a": "x, \"y\": z\\"}"#, r#"{"a":"x, \"y\": z\\"}"#),
            (r#""caf\u00e9 \ud83d\ude00 \/""#, r#""café 😀 /""#),
            (r#""\u001F\u000a\u007f""#, "\"\\u001f\\n\u{7f}\""),
            ("[1e+22, 1.50, -0.0]", "[1e+22,1.50,-0.0]"),
        ] {
            assert_eq!(String::from_utf8(compact(body.as_bytes()).unwrap()).unwrap(), expected);
        }
    }

    #[test]
    fn malformed_json_is_an_error() {
        let nested = "[".repeat(100_000);
        for body in ["", "{", "{}{}", r#"{"a":"#, r#""\ud800""#, "\"\u{1}\"", "nul", &nested] {
            assert!(compact_hash(body.as_bytes()).is_err(), "{body:.20}");
        }
        assert!(compact_hash(b"\"\xff\"").is_err());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compact_form_does_not_depend_on_spaces(value in json()) {
            let (plain, pretty) = (serde_json::to_vec(&value).unwrap(), serde_json::to_vec_pretty(&value).unwrap());
            prop_assert_eq!(&compact(&pretty).unwrap(), &plain);
            prop_assert_eq!(&compact(&plain).unwrap(), &plain);
        }

        #[test]
        fn random_bytes_never_panic(body: Vec<u8>) {
            let _ = compact(&body);
        }
    }
}
