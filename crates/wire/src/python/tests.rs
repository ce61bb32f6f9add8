use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn json_and_str_match_python() {
    // Recorded from CPython 3.11: json.dumps and str of the same value.
    for (json, text) in [
        ("0", "0"),
        ("-1", "-1"),
        ("1000000000000000000000000000000", "1000000000000000000000000000000"),
        ("-0.0", "-0.0"),
        ("0.1", "0.1"),
        ("1.5", "1.5"),
        ("1000000000000000.0", "1000000000000000.0"),
        ("1e+16", "1e+16"),
        ("1.2345678901234568e+17", "1.2345678901234568e+17"),
        ("0.0001", "0.0001"),
        ("0.00012345", "0.00012345"),
        ("1e-05", "1e-05"),
        ("1e+22", "1e+22"),
        ("1.7976931348623157e+308", "1.7976931348623157e+308"),
        ("5e-324", "5e-324"),
        ("2.5e-07", "2.5e-07"),
        ("100.0", "100.0"),
        ("true", "True"),
        ("false", "False"),
        ("null", "None"),
        (r#""""#, ""),
        ("[]", "[]"),
        ("{}", "{}"),
        (r#""it's""#, "it's"),
        (r#"["it's"]"#, "[\"it's\"]"),
        (r#"["\""]"#, "['\"']"),
        (r#"["'\""]"#, "['\\'\"']"),
        (r#"["\\"]"#, "['\\\\']"),
        (r#"["\n\r\t\u0000\u001f\u007f"]"#, "['\\n\\r\\t\\x00\\x1f\\x7f']"),
        (r#"["\u0080\u00a0\u00ad\u00ff"]"#, "['\\x80\\xa0\\xadÿ']"),
        (r#"["\u00e9 \u03c4 \u6f22 \ud83d\ude00"]"#, "['é τ 漢 😀']"),
        (r#"["\u200b\u2028\u3000\ue000\ufeff"]"#, "['\\u200b\\u2028\\u3000\\ue000\\ufeff']"),
        (r#"["\udb40\udc01\udbff\udfff"]"#, "['\\U000e0001\\U0010ffff']"),
        (r#"{"a": {"b": [1, 2.0, null, true]}}"#, "{'a': {'b': [1, 2.0, None, True]}}"),
        (r#"{"": ""}"#, "{'': ''}"),
        ("[[], [[]], {}]", "[[], [[]], {}]"),
        (r#"[1, "two", 3.5]"#, "[1, 'two', 3.5]"),
        // Texts that Python reads but writes differently.
        (" -0 ", "0"),
        ("[1E2,1e400,-1e400]", "[100.0, inf, -inf]"),
        ("{\"a\":1,\"a\":2}", "{'a': 1, 'a': 2}"),
    ] {
        assert_eq!(python_text(json).as_deref(), Ok(text), "{json}");
    }
}

#[test]
fn malformed_json_has_no_python_text() {
    for json in [
        "",
        "nan",
        "NaN",
        "Infinity",
        "{",
        "[1,]",
        "01",
        "\"\\ud800\"",
        "[\"\\ud800\"]",
        "1 2",
        "'a'",
    ] {
        assert!(python_text(json).is_err(), "{json}");
    }
}

#[test]
fn missing_fields_and_malformed_bodies_have_no_hash() {
    assert_eq!(synapse_hash(&["a"], b"{}"), Ok(None));
    for body in [b"".as_slice(), b"[]", b"{\"a\":", b"\xff", b"{\"a\":\"\xff\"}"] {
        assert!(synapse_hash(&["a"], body).is_err());
    }
    // Without fields the body is never parsed.
    let hash_of_nothing = "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a";
    assert_eq!(synapse_hash::<&str>(&[], b"\xff"), Ok(Some(hash_of_nothing.to_owned())));
}

fn read_code(characters: &mut std::str::Chars<'_>, digits: usize) -> char {
    let text: String = characters.take(digits).collect();
    char::from_u32(u32::from_str_radix(&text, 16).unwrap()).unwrap()
}

/// Parses the `repr` of a string, with the escapes that it uses.
fn read_repr(text: &str) -> String {
    let mut characters = text[1..text.len() - 1].chars();
    let mut out = String::new();
    while let Some(character) = characters.next() {
        out.push(match character {
            '\\' => match characters.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'x' => read_code(&mut characters, 2),
                'u' => read_code(&mut characters, 4),
                'U' => read_code(&mut characters, 8),
                other => other,
            },
            other => other,
        });
    }
    out
}

proptest! {
    #[test]
    fn python_strings_round_trip(text: String) {
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(python_text(&json).unwrap(), text.clone());
        let list = python_text(&json!([text]).to_string()).unwrap();
        prop_assert_eq!(read_repr(&list[1..list.len() - 1]), text);
    }

    #[test]
    fn floats_round_trip_and_look_like_floats(float in any::<f64>().prop_filter("JSON has no others", |f| f.is_finite())) {
        let text = python_text(&json!(float).to_string()).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), float.to_bits());
        prop_assert!(text.contains(['.', 'e']), "{}", text);
        if let Some((digits, exponent)) = text.split_once('e') {
            prop_assert!(!digits.ends_with(".0") && exponent.len() >= 3 && exponent.starts_with(['+', '-']), "{}", text);
        }
    }

    #[test]
    fn integer_text_is_unchanged(text in "-?[1-9][0-9]{0,60}") {
        prop_assert_eq!(python_text(&text).unwrap(), text);
    }

    #[test]
    fn whitespace_in_json_does_not_change_python_text(values: Vec<(String, Option<i32>)>) {
        let value: Value = values.into_iter().map(|(key, value)| (key, json!([value, {"a": value}]))).collect();
        prop_assert_eq!(python_text(&value.to_string()), python_text(&format!("{value:#}")));
    }

    #[test]
    fn random_bytes_never_panic(body: Vec<u8>, text: String) {
        let _ = synapse_hash(&["a"], &body);
        let _ = python_text(&text);
    }
}
