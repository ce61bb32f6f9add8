//! Chunks of a miner's answer.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A chunk of a miner's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// Content of the chunk.
    pub body: ChunkBody,
    /// Number of characters of text in the chunk.
    pub characters: usize,
    /// Whether the chunk has content: a text, possibly empty, or part of a tool call.
    pub is_content: bool,
}

/// Content of a chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChunkBody {
    /// Text of a completion with one choice, and nothing else that the buyer sees. Most chunks are of this kind.
    Text(String),
    /// Any other JSON object.
    Object(Value),
}

/// Why a chunk is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ChunkFault {
    #[error("chunk has no array of choices")]
    Choices,
    #[error("the chunk's text is not a string")]
    Text,
    #[error("stream reports an error")]
    Error,
}

/// JSON object of a chunk that can be a [`ChunkBody::Text`]. Fields that are not listed are not relayed.
#[derive(Deserialize)]
struct TextChunk {
    choices: [TextChoice; 1],
    /// Null or absent.
    #[serde(default)]
    error: (),
}

#[derive(Deserialize)]
struct TextChoice {
    delta: Option<TextDelta>,
    text: Option<String>,
    logprobs: Option<IgnoredAny>,
    /// Null or absent.
    #[serde(default)]
    finish_reason: (),
}

/// Text of a chat. Inference servers send the optional fields as nulls, or leave them out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextDelta {
    content: String,
    role: Option<IgnoredAny>,
    #[serde(default, rename = "reasoning_content")]
    _reasoning: (),
    #[serde(default, rename = "tool_calls")]
    _tools: (),
}

impl Chunk {
    /// Parses only the relayed fields of a chunk, several times faster than [`Chunk::streamed`]. Returns `None` if the
    /// chunk has more than text: also if it has log-probabilities and `keeps_logprobs` is set.
    pub(crate) fn text_only(data: &[u8], keeps_logprobs: bool) -> Option<Self> {
        let TextChunk { choices: [TextChoice { delta, text, logprobs, finish_reason: () }], error: () } =
            serde_json::from_slice(data).ok()?;
        if keeps_logprobs && logprobs.is_some() {
            return None;
        }
        let (text, opens) = match (delta, text) {
            (Some(delta), None) => {
                let opens = delta.content.is_empty() && delta.role.is_some();
                (delta.content, opens)
            }
            (None, Some(text)) => (text, false),
            _ => return None,
        };
        let characters = text.chars().count();
        Some(Self { body: ChunkBody::Text(text), characters, is_content: !opens })
    }

    /// Parses a chunk of a stream. Chunks with only a role, a finish reason or usage have no content.
    pub(crate) fn streamed(value: Value) -> Result<Self, ChunkFault> {
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(ChunkFault::Error);
        }
        let choices = value.get("choices").and_then(Value::as_array).ok_or(ChunkFault::Choices)?;
        let (mut characters, mut is_content) = (0, false);
        for choice in choices {
            let delta = choice.get("delta");
            let text = match delta {
                Some(delta) => delta.get("content"),
                None => choice.get("text"),
            };
            match text {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => {
                    characters += text.chars().count();
                    let opens = text.is_empty() && delta.is_some_and(|delta| delta.get("role").is_some());
                    let ends = text.is_empty() && choice.get("finish_reason").is_some_and(Value::is_string);
                    is_content |= !(opens || ends);
                }
                Some(_) => return Err(ChunkFault::Text),
            }
            is_content |= delta.and_then(|delta| delta.get("tool_calls")).is_some_and(Value::is_array);
        }
        Ok(Self { body: ChunkBody::Object(value), characters, is_content })
    }

    /// Returns the finish reason, if the chunk has one.
    pub fn finish_reason(&self) -> Option<&str> {
        self.choice()?.get("finish_reason")?.as_str()
    }

    /// Returns the first choice of a [`ChunkBody::Object`].
    pub fn choice(&self) -> Option<&Value> {
        match &self.body {
            ChunkBody::Text(_) => None,
            ChunkBody::Object(value) => value.get("choices")?.get(0),
        }
    }

    /// Returns the text of the first choice.
    pub fn text(&self) -> Option<&str> {
        match &self.body {
            ChunkBody::Text(text) => Some(text),
            ChunkBody::Object(_) => {
                let choice = self.choice()?;
                choice.pointer("/delta/content").or_else(|| choice.get("text"))?.as_str()
            }
        }
    }

    /// Returns the fragments of tool calls of the first choice.
    pub fn tool_calls(&self) -> Option<&[Value]> {
        Some(self.choice()?.pointer("/delta/tool_calls")?.as_array()?.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_content() {
        for (value, characters, is_content) in [
            (json!({"choices": [{"delta": {"content": "h\u{e9}y"}}]}), 3, true),
            (json!({"choices": [{"text": "ab"}]}), 2, true),
            (json!({"choices": [{"delta": {"content": ""}, "logprobs": {}}]}), 0, true),
            (json!({"choices": [{"delta": {"role": "assistant", "content": ""}}]}), 0, false),
            (json!({"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}), 0, false),
            (json!({"choices": [{"delta": {"role": "assistant"}}]}), 0, false),
            (json!({"choices": [{"delta": {"content": null, "tool_calls": [{}]}}]}), 0, true),
            (json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}), 0, false),
            (json!({"choices": [], "usage": {}}), 0, false),
        ] {
            let chunk = Chunk::streamed(value.clone()).unwrap();
            assert_eq!((chunk.characters, chunk.is_content), (characters, is_content), "{value}");
            for keeps_logprobs in [false, true] {
                if let Some(text) = Chunk::text_only(value.to_string().as_bytes(), keeps_logprobs) {
                    assert_eq!((text.characters, text.is_content), (characters, is_content), "{value}");
                    assert_eq!((text.text(), text.finish_reason()), (chunk.text(), None), "{value}");
                }
            }
        }
    }

    /// The chunks of an honest miner have log-probabilities, because every request asks for them.
    #[test]
    fn log_probabilities_are_skipped_unless_they_are_kept() {
        let logprobs = json!({"content": [{"token": "h\u{e9}", "logprob": -0.25, "bytes": [104, 195, 169],
            "top_logprobs": []}]});
        let chat = json!({"choices": [{"index": 0, "delta": {"content": "h\u{e9}", "tool_calls": null},
            "logprobs": logprobs, "finish_reason": null}]});
        let completion = json!({"choices": [{"index": 0, "text": "h\u{e9}", "finish_reason": null,
            "logprobs": {"tokens": ["h\u{e9}"], "token_logprobs": [-0.25], "top_logprobs": [{}], "text_offset": [0]}}]});
        for value in [chat, completion] {
            let data = value.to_string();
            let chunk = Chunk::text_only(data.as_bytes(), false).unwrap();
            assert_eq!((chunk.body, chunk.characters), (ChunkBody::Text("h\u{e9}".to_owned()), 2));
            assert_eq!(Chunk::text_only(data.as_bytes(), true), None);
        }
    }

    #[test]
    fn only_texts_are_parsed_as_texts() {
        let text = |value: Value| Chunk::text_only(value.to_string().as_bytes(), false);
        let plain = json!({"id": "a", "choices": [{"index": 0, "delta": {"role": "x", "content": "h\u{e9}\""},
            "logprobs": null, "finish_reason": null, "stop_reason": null}]});
        assert_eq!(text(plain.clone()).unwrap().text(), Some("h\u{e9}\""));
        for (path, more) in [
            ("/choices/0/delta", ("tool_calls", json!([]))),
            ("/choices/0/delta", ("reasoning_content", json!("x"))),
            ("/choices/0/delta", ("refusal", json!("x"))),
            ("/choices/0", ("text", json!("x"))),
            ("/choices/0", ("finish_reason", json!("stop"))),
            ("", ("error", json!({"message": "x"}))),
            ("/choices/0/delta", ("content", json!(null))),
        ] {
            let mut value = plain.clone();
            value.pointer_mut(path).unwrap().as_object_mut().unwrap().insert(more.0.to_owned(), more.1);
            assert_eq!(text(value.clone()), None, "{value}");
        }
        assert_eq!(text(json!({"choices": [plain["choices"][0], plain["choices"][0]]})), None);
        assert_eq!(text(json!({"choices": [{}]})), None);
        assert_eq!(Chunk::text_only(br#"{"choices":[{"delta":{"content":"\ud800"}}]}"#, false), None);
    }

    #[test]
    fn other_objects_are_refused() {
        for value in [json!({}), json!({"choices": {}}), json!({"choices": [{"delta": {"content": 7}}]})] {
            assert!(Chunk::streamed(value).is_err());
        }
        assert_eq!(Chunk::streamed(json!({"error": {"message": "x"}, "choices": []})), Err(ChunkFault::Error));
    }
}
