//! The three reference schemas of one utterance.

use serde_json::{Map, Value};
use taonet_primitives::Word;

use super::{Reference, ReferenceError};

type Object = Map<String, Value>;

/// Whether one of the three schemas applies to the entry.
pub(super) fn matches_schema(entry: &Object) -> bool {
    ["target", "reference_text", "utterance_translations"]
        .iter()
        .any(|key| non_null(entry.get(*key)).is_some())
}

/// Returns the ID of an utterance: `utterance_id`, else `utterance_index`, else its position in the
/// list.
pub(super) fn id_of(entry: &Object, position: usize) -> String {
    match non_null(entry.get("utterance_id")).or_else(|| non_null(entry.get("utterance_index"))) {
        Some(Value::String(id)) => id.clone(),
        Some(id) => id.to_string(),
        None => position.to_string(),
    }
}

pub(super) fn reference_of(
    entry: &Object,
    target_language: &str,
) -> Result<Reference, ReferenceError> {
    let fields = if let Some(Value::Object(target)) = entry.get("target") {
        ReferenceFields::of(target, "text", "words", "wps")
    } else if non_null(entry.get("reference_text")).is_some() {
        ReferenceFields::of(entry, "reference_text", "reference_words", "reference_wps")
    } else if let Some(Value::Array(translations)) = entry.get("utterance_translations") {
        let language_entry =
            translation(translations, target_language).ok_or(ReferenceError::MissingText)?;
        ReferenceFields::of(language_entry, "text", "words", "reference_wps")
    } else {
        return Err(ReferenceError::UnknownSchema);
    };
    let mut reference = Reference::new(
        fields.text.unwrap_or_default(),
        words_of(fields.words),
        number(fields.wps),
    )?;
    reference.language = language_of(fields.language);
    Ok(reference)
}

/// Fields of an entry, located by its schema.
struct ReferenceFields<'a> {
    text: Option<&'a str>,
    words: Option<&'a Value>,
    wps: Option<&'a Value>,
    language: Option<&'a Value>,
}

impl<'a> ReferenceFields<'a> {
    fn of(object: &'a Object, text: &str, words: &str, wps: &str) -> Self {
        // In the flat schema, `language` is the source language, not that of the reference.
        let language = if text == "reference_text" { None } else { object.get("language") };
        Self {
            text: object.get(text).and_then(Value::as_str),
            words: object.get(words),
            wps: object.get(wps),
            language,
        }
    }
}

/// Returns the entry in the target language, else the first object.
fn translation<'a>(entries: &'a [Value], target_language: &str) -> Option<&'a Object> {
    let mut objects = entries.iter().filter_map(Value::as_object);
    let first = objects.clone().next();
    let target = target_language.trim().to_lowercase();
    objects
        .find(|entry| language_of(entry.get("language")).is_some_and(|language| language == target))
        .or(first)
}

/// Parses the words that have usable times, and skips the other words.
fn words_of(words: Option<&Value>) -> Vec<Word> {
    let items = words.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| {
            let text = item.get("word")?.as_str()?.trim().to_owned();
            Some(Word { text, start: number(item.get("start"))?, end: number(item.get("end"))? })
        })
        .collect()
}

/// Parses a finite number from a JSON number or a numeric string.
fn number(value: Option<&Value>) -> Option<f64> {
    let number = match value? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

pub(super) fn language_of(value: Option<&Value>) -> Option<String> {
    text_of(value).map(|language| language.to_lowercase())
}

pub(super) fn text_of(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn non_null(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}
