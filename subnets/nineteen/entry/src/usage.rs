//! Estimates of the token counts of requests.

use serde_json::Value;
use taonet_nineteen_core::payload::TextInput;

/// Assumed characters per token of a request: the gateway does not have the models' tokenizers.
const CHARACTERS_PER_TOKEN: usize = 4;

/// Estimates the tokens of a request: a quarter of the characters of its texts, rounded up.
pub(crate) fn input_tokens(input: &TextInput) -> u64 {
    let characters = match input {
        TextInput::Prompt(prompt) => prompt.chars().count(),
        TextInput::Messages(messages) => messages.iter().map(characters).sum(),
    };
    u64::try_from(characters.div_ceil(CHARACTERS_PER_TOKEN)).unwrap_or(u64::MAX)
}

/// Estimates the tokens of an embedding request: a quarter of the characters of its texts, rounded up.
pub(crate) fn texts_tokens(texts: &[String]) -> u64 {
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    u64::try_from(characters.div_ceil(CHARACTERS_PER_TOKEN)).unwrap_or(u64::MAX)
}

/// Counts the characters of all strings in a value, such as message parts and tool calls.
fn characters(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(values) => values.iter().map(characters).sum(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "role" | "type"))
            .map(|(_, value)| characters(value))
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_count_wherever_they_stand() {
        assert_eq!(input_tokens(&TextInput::Prompt("h\u{e9}llo".to_owned())), 2);
        let messages = json!([
            {"role": "user", "content": "four"},
            {"role": "user", "content": [{"type": "text", "text": "four"}]},
        ]);
        assert_eq!(input_tokens(&TextInput::Messages(messages.as_array().unwrap().clone())), 2);
    }
}
