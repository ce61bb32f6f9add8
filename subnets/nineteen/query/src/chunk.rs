//! Chunks of an answer.

use serde_json::Value;

/// A chunk of an answer, as received.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The chunk's JSON object.
    pub value: Value,
    /// Number of characters of text.
    pub characters: usize,
    /// Whether the chunk has content: a text, possibly empty, or part of a tool call.
    pub is_content: bool,
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

impl Chunk {
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
        Ok(Self { value, characters, is_content })
    }

    /// Returns the finish reason, if the chunk has one.
    pub fn finish_reason(&self) -> Option<&str> {
        self.value.pointer("/choices/0/finish_reason").and_then(Value::as_str)
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
        }
    }

    #[test]
    fn other_objects_are_refused() {
        for value in [json!({}), json!({"choices": {}}), json!({"choices": [{"delta": {"content": 7}}]})] {
            assert!(Chunk::streamed(value).is_err());
        }
        assert_eq!(Chunk::streamed(json!({"error": {"message": "x"}, "choices": []})), Err(ChunkFault::Error));
    }
}
