use proptest::prelude::*;
use serde_json::json;

use super::*;

fn document(utterances: &Value) -> ReferenceDocument {
    ReferenceDocument::parse(json!({"challenge_uid": "c", "utterances": utterances})).unwrap()
}

fn word(text: &str, start: f64, end: f64) -> Word {
    Word { text: text.into(), start, end }
}

/// Columns: schema · text · number of words · words per second
#[test]
fn first_matching_schema_is_used() {
    let words =
        json!([{"word": " so ", "start": 0, "end": 0.4}, {"word": "it", "start": 0.4, "end": 0.8}]);
    for (name, utterance, text, count, wps) in [
        (
            "target",
            json!({"target": {"text": " Hello ", "words": words, "wps": 3.5}, "reference_text": "no"}),
            "Hello",
            2,
            3.5,
        ),
        (
            "flat",
            json!({"reference_text": "Flat", "reference_words": words, "reference_wps": 2, "utterance_translations": []}),
            "Flat",
            2,
            2.0,
        ),
        (
            "flat, no rate",
            json!({"reference_text": "Flat", "reference_words": words}),
            "Flat",
            2,
            2.5,
        ),
        ("target is null", json!({"target": null, "reference_text": "Flat"}), "Flat", 0, 4.0),
        (
            "translations",
            json!({"utterance_translations": [{"language": "de", "text": "Ja"}, {"language": "EN", "text": "Yes", "words": words, "reference_wps": 3.0}]}),
            "Yes",
            2,
            3.0,
        ),
        (
            "translations, language absent",
            json!({"utterance_translations": [7, {"language": "de", "text": "Ja"}]}),
            "Ja",
            0,
            4.0,
        ),
        (
            "malformed words",
            json!({"reference_text": "x", "reference_words": [1, {"word": 1, "start": 0, "end": 1}, {"word": "a"}, {"word": "b", "start": "x", "end": 1}, {"word": "ok", "start": 0, "end": 1}]}),
            "x",
            1,
            4.0,
        ),
    ] {
        let actual = document(&json!([utterance])).find("c:0", "en").unwrap();
        assert_eq!(
            (actual.text.as_str(), actual.words.len(), actual.wps),
            (text, count, wps),
            "{name}"
        );
    }
}

#[test]
fn words_are_trimmed() {
    let actual = document(
        &json!([{"reference_text": "x", "reference_words": [{"word": " so ", "start": 0, "end": 1}]}]),
    );
    assert_eq!(actual.find("0", "en").unwrap().words, [word("so", 0.0, 1.0)]);
}

/// Columns: given rate · words · resulting rate
#[test]
fn speech_rate_is_given_or_computed_from_words() {
    let two_words = vec![word("a", 0.0, 0.4), word("b", 0.4, 0.8)];
    for (name, provided, words, wps) in [
        ("provided", Some(3.0), two_words.clone(), 3.0),
        ("two words over 0.8 s", None, two_words.clone(), 2.5),
        ("provided 0", Some(0.0), two_words.clone(), 2.5),
        ("provided below 0", Some(-1.0), two_words.clone(), 2.5),
        ("provided NaN", Some(f64::NAN), two_words, 2.5),
        ("no words", None, vec![], 4.0),
        ("one word", None, vec![word("a", 0.0, 2.0)], 4.0),
        ("span 0", None, vec![word("a", 1.0, 1.0), word("b", 1.0, 1.0)], 4.0),
        ("span below 0", None, vec![word("a", 2.0, 3.0), word("b", 0.0, 1.0)], 4.0),
        ("blank words only", None, vec![word("", 0.0, 1.0), word(" ", 1.0, 2.0)], 4.0),
        (
            "one of three blank",
            None,
            vec![word("a", 0.0, 0.5), word("", 0.5, 0.5), word("b", 0.5, 1.0)],
            2.0,
        ),
    ] {
        assert_eq!(Reference::new("x", words, provided).unwrap().wps, wps, "{name}");
    }
}

/// Columns: requested ID · IDs in the document · text found
#[test]
fn utterances_are_found_by_any_form_of_their_id() {
    for (utterance_id, ids, text) in [
        ("challenge-x:007", json!([{"utterance_id": "6"}, {"utterance_id": "7"}]), "1"),
        ("uid:0", json!([{"utterance_id": 0}]), "0"),
        ("uid:3", json!([{"utterance_index": 2}, {"utterance_index": 3}]), "1"),
        ("uid:1", json!([{}, {}]), "1"),
        ("uid:1", json!([{"utterance_id": null, "utterance_index": null}, {}]), "1"),
        ("uid:2", json!([7, {}, {}]), "2"),
        ("uid:1", json!([{"utterance_id": "1"}, {"utterance_id": "01"}]), "0"),
    ] {
        let Value::Array(mut entries) = ids.clone() else { unreachable!() };
        for (position, entry) in entries.iter_mut().enumerate() {
            if let Value::Object(entry) = entry {
                entry.insert("reference_text".into(), position.to_string().into());
            }
        }
        assert_eq!(
            document(&entries.into()).find(utterance_id, "en").unwrap().text,
            text,
            "{utterance_id} in {ids}"
        );
    }
}

/// An error has the name and the message of the reference system's Python exception.
#[test]
fn invalid_reference_document_is_reported() {
    let error = |utterance: Value| document(&json!([utterance])).find("c:0", "en").unwrap_err();
    let missing = ("ValueError", "Missing reference text in scoring metadata".to_owned());
    for utterance in [
        json!({"target": {}}),
        json!({"target": {"text": "  "}}),
        json!({"reference_text": ""}),
        json!({"reference_text": 7}),
        json!({"utterance_translations": []}),
        json!({"utterance_translations": [{"language": "en"}]}),
    ] {
        let error = error(utterance.clone());
        assert_eq!((error.python_name(), error.to_string()), missing, "{utterance}");
    }
    assert_eq!(error(json!({})), ReferenceError::UnknownSchema);
    assert_eq!(error(json!({"target": "text"})).python_name(), "ValueError");
    let absent = error(json!({"utterance_id": 5}));
    assert_eq!(
        (absent.python_name(), absent),
        ("KeyError", ReferenceError::NotFound("c:0".into()))
    );
    assert_eq!(ReferenceError::NoFile("a/b.json".into()).python_name(), "FileNotFoundError");
    for value in
        [json!(null), json!([]), json!({}), json!({"utterances": 1}), json!({"utterances": {}})]
    {
        assert_eq!(ReferenceDocument::parse(value), Err(ReferenceError::NotADocument));
    }
}

#[test]
fn single_utterance_is_a_document() {
    let document =
        ReferenceDocument::parse(json!({"reference_text": "Hi", "language": "fr"})).unwrap();
    assert_eq!(document.sole("en").unwrap().text, "Hi");
    assert_eq!(document.sole("en").unwrap().language, None);
}

#[test]
fn document_language_is_read() {
    for (utterance, language) in [
        (json!({"target": {"text": "x", "language": "EN"}, "language": "fr"}), Some("en")),
        (json!({"utterance_translations": [{"text": "x", "language": "de"}]}), Some("de")),
        (json!({"reference_text": "x", "target_language": "it", "language": "fr"}), Some("it")),
        (json!({"reference_text": "x"}), Some("es")),
    ] {
        let document = json!({"target_language": "es", "utterances": [utterance]});
        let actual = ReferenceDocument::parse(document).unwrap().sole("en").unwrap();
        assert_eq!(actual.language.as_deref(), language);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("utterances".to_owned()),
        Just("utterance_id".to_owned()),
        Just("target".to_owned()),
        Just("reference_text".to_owned()),
        Just("utterance_translations".to_owned()),
        Just("words".to_owned()),
        Just("text".to_owned()),
        ".{0,4}",
    ];
    leaf.prop_recursive(5, 48, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_document_never_panics(utterances in any_json(), id in ".{0,6}") {
        if let Ok(document) = ReferenceDocument::parse(json!({"utterances": [utterances.clone()]})) {
            let _ = document.find(&id, "en");
            let _ = document.sole("en");
        }
        let _ = ReferenceDocument::parse(utterances);
    }
}
