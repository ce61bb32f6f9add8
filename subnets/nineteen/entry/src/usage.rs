//! Estimates of token counts from texts.

use serde_json::{Map, Value};
use taonet_nineteen_core::payload::{TextInput, TextPayload};

use crate::request::TextRequest;
use crate::vision::is_image;

/// Twelfths of a token for each ASCII character: four characters are one token.
const ASCII_CHARACTER_UNITS: usize = 3;
/// Twelfths of a token for each byte of other characters. Tokenizers have tokens for several ASCII
/// letters, but for few sequences of other characters: three bytes, such as a Chinese character,
/// are at least one token in the worst case.
const OTHER_BYTE_UNITS: usize = 4;
const UNITS_PER_TOKEN: usize = 12;

/// Estimates the tokens of a text request, rounded up. All fields that the miner gets from the
/// buyer count: in messages and options, both names and values. Images do not count.
pub(crate) fn input_tokens(payload: &TextPayload) -> u64 {
    let mut size = TextSize::default();
    match &payload.input {
        TextInput::Prompt(prompt) => size.add(prompt),
        TextInput::Messages(messages) => {
            for message in messages {
                size.add_message(message);
            }
        }
    }
    size.add_fields(&payload.extra_fields);
    size.tokens()
}

/// Estimated tokens of a request with several prompts, each of which is a request to miners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PromptTokens {
    /// Tokens of the request with the longest prompt.
    pub(crate) longest: u64,
    /// Sum of the tokens of the requests, each with one prompt.
    pub(crate) total: u64,
}

impl PromptTokens {
    /// Estimates the tokens of a request, without its images.
    pub(crate) fn estimate(request: &TextRequest) -> Self {
        let first = input_tokens(&request.payload);
        let mut options = TextSize::default();
        options.add_fields(&request.payload.extra_fields);
        request.extra_prompts.iter().fold(
            Self { longest: first, total: first },
            |tokens, prompt| {
                let mut size = options;
                size.add(prompt);
                let tokens_of_prompt = size.tokens();
                Self {
                    longest: tokens.longest.max(tokens_of_prompt),
                    total: tokens.total.saturating_add(tokens_of_prompt),
                }
            },
        )
    }

    /// Adds the tokens of the images of a request, which has one prompt.
    pub(crate) const fn with_images(self, tokens: u64) -> Self {
        Self {
            longest: self.longest.saturating_add(tokens),
            total: self.total.saturating_add(tokens),
        }
    }
}

/// Estimates the tokens of texts, rounded up.
pub(crate) fn tokens_of_texts(texts: &[String]) -> u64 {
    let mut size = TextSize::default();
    for text in texts {
        size.add(text);
    }
    size.tokens()
}

/// Size of texts, in twelfths of a token.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TextSize(usize);

impl TextSize {
    pub(crate) fn add(&mut self, text: &str) {
        let ascii = text.bytes().filter(u8::is_ascii).count();
        self.0 += ascii * ASCII_CHARACTER_UNITS + (text.len() - ascii) * OTHER_BYTE_UNITS;
    }

    fn add_message(&mut self, message: &Value) {
        for (name, value) in message.as_object().into_iter().flatten() {
            self.add(name);
            match value {
                Value::Array(parts) if name == "content" => {
                    parts
                        .iter()
                        .filter(|part| !is_image(part))
                        .for_each(|part| self.add_value(part));
                }
                value => self.add_value(value),
            }
        }
    }

    fn add_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Array(values) => values.iter().for_each(|value| self.add_value(value)),
            Value::Object(fields) => self.add_fields(fields),
            scalar => self.add(&scalar.to_string()),
        }
    }

    fn add_fields(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            self.add(name);
            self.add_value(value);
        }
    }

    /// Returns the estimated number of tokens, rounded up.
    pub(crate) fn tokens(self) -> u64 {
        u64::try_from(self.0.div_ceil(UNITS_PER_TOKEN)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(input: TextInput, extra_fields: &Value) -> TextPayload {
        let extra_fields = extra_fields.as_object().unwrap().clone();
        TextPayload {
            input,
            model: "m".to_owned(),
            temperature: 1.0,
            seed: 1,
            top_p: 1.0,
            max_tokens: 9,
            extra_fields,
        }
    }

    #[test]
    fn texts_are_estimated_by_script() {
        for (text, expected) in [
            ("", 0),
            ("h\u{e9}llo", 2),
            ("12345678", 2),
            ("123456789", 3),
            // Three bytes each.
            ("\u{65e5}\u{672c}\u{8a9e}", 3),
            // Two bytes each.
            ("\u{43f}\u{440}\u{438}", 2),
            ("\u{1f98a}\u{1f98a}\u{1f98a}", 4),
            ("1234\u{65e5}", 2),
            // Rare Latin letters have no tokens of their own, either.
            ("\u{1eff}".repeat(1_000).as_str(), 1_000),
            ("\u{180}".repeat(1_200).as_str(), 800),
        ] {
            assert_eq!(tokens_of_texts(&[text.to_owned()]), expected, "{text}");
            assert_eq!(
                input_tokens(&payload(TextInput::Prompt(text.to_owned()), &json!({}))),
                expected,
                "{text}"
            );
        }
    }

    /// Options count with each prompt, because each is a request to miners.
    #[test]
    fn prompt_tokens_include_the_options_for_each_prompt() {
        let tokens = |prompt: Value| {
            let body = json!({"model": "m", "prompt": prompt, "stop": "x".repeat(32)});
            PromptTokens::estimate(
                &TextRequest::parse_completion(body.to_string().as_bytes()).unwrap(),
            )
        };
        let [short, long] = [tokens(json!("1234")), tokens(json!("12345678"))];
        assert_eq!((short.longest, short.total, long.total), (10, 10, 11));
        assert_eq!(
            tokens(json!(["1234", "12345678", "1234"])),
            PromptTokens { longest: 11, total: 31 }
        );
        assert_eq!(short.with_images(5), PromptTokens { longest: 15, total: 15 });
    }

    /// The kinds of text that a buyer can send in a request: none is free.
    #[test]
    fn text_of_every_request_field_counts_as_input_tokens() {
        let long = "x".repeat(4_000);
        let chat = |message: Value, extra_fields: Value| {
            input_tokens(&payload(
                TextInput::Messages(vec![json!({"role": "user", "content": "a"}), message]),
                &extra_fields,
            ))
        };
        let short = json!({"role": "assistant", "content": "b"});
        assert!(chat(short.clone(), json!({})) < 15);
        for message in [
            json!({"role": "assistant", "content": long}),
            json!({"role": "user", "content": [{"type": "text", "text": long}]}),
            json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": long}}]}),
            json!({"role": "assistant", "tool_calls": [{"type": long}]}),
            json!({"role": "assistant", "content": "b", "extra": {"role": long}}),
            json!({"role": "assistant", "content": "b", "extra": [{(long.as_str()): null}]}),
            json!({"role": "tool", "content": "b", "tool_call_id": long}),
        ] {
            assert!(chat(message.clone(), json!({})) >= 1_000, "{message}");
        }
        for extra_fields in [
            json!({"tools": [{"type": "function", "function": {"name": "f", "description": long}}]}),
            json!({"tools": [{"type": "function", "function": {"parameters": {"properties": {(long.as_str()): {}}}}}]}),
            json!({"tool_choice": {"type": long}}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": [long]}}}}),
            json!({"stop": [long]}),
            json!({"logit_bias": (0..400).map(|token| (format!("{token:08}"), 5)).collect::<std::collections::BTreeMap<_, _>>()}),
        ] {
            assert!(chat(short.clone(), extra_fields.clone()) >= 900, "{extra_fields}");
        }
        // An image is charged by the task's number of tokens.
        let image = json!({"type": "image_url", "image_url": {"url": long}});
        assert!(chat(json!({"role": "user", "content": [image]}), json!({})) < 15);
        // Empty messages are not free either.
        let messages = vec![json!({"role": "user", "content": ""}); 1_000];
        assert!(input_tokens(&payload(TextInput::Messages(messages), &json!({}))) >= 3_000);
    }
}
