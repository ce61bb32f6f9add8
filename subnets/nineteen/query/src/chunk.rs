//! Chunks of a miner's answer.

mod frame;

use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub(crate) use self::frame::TextChunkParser;
use crate::tool_calls::stringify_arguments;

/// A chunk of a miner's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// Content of the chunk.
    pub body: ChunkBody,
    /// Number of characters of text in the chunk.
    pub characters: usize,
    /// Number of tokens for which the chunk has log-probabilities.
    #[serde(default)]
    pub entries: usize,
    /// Whether the chunk has content: a text, reasoning, or part of a tool call. An empty text is
    /// no content.
    pub is_content: bool,
}

/// Content of a chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ChunkBody {
    /// Text of a completion with one choice, and nothing else that the buyer sees. Most chunks are
    /// of this kind.
    Text(String),
    /// Any other JSON object.
    Object(Value),
}

/// Why a chunk is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ChunkFault {
    #[error("chunk has no array of choices")]
    MissingChoices,
    #[error("the chunk's text is not a string")]
    InvalidText,
    #[error("stream reports an error")]
    ReportedError,
}

/// JSON object of a chunk that can be a [`ChunkBody::Text`]. Fields that are not listed are not
/// relayed.
#[derive(Deserialize)]
struct TextChunk {
    choices: [TextChoice; 1],
    /// Null or absent.
    #[serde(default)]
    error: (),
}

#[derive(Deserialize)]
struct TextChoice {
    index: Option<u64>,
    delta: Option<TextDelta>,
    text: Option<String>,
    logprobs: Option<TextLogprobs>,
    /// Null or absent.
    #[serde(default)]
    finish_reason: (),
}

/// Text of a chat. Inference servers send the optional fields as nulls, or leave them out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextDelta {
    content: String,
    #[serde(rename = "role")]
    _role: Option<IgnoredAny>,
    #[serde(default, rename = "reasoning_content")]
    _reasoning: (),
    #[serde(default, rename = "tool_calls")]
    _tools: (),
}

/// Number of entries in the log-probabilities of a chat (`content`) or of a completion
/// (`token_logprobs`).
struct TextLogprobs(usize);

impl<'de> Deserialize<'de> for TextLogprobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LogprobsVisitor;

        impl<'de> Visitor<'de> for LogprobsVisitor {
            type Value = TextLogprobs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TextLogprobs, A::Error> {
                let (mut content, mut token_logprobs) = (None, None);
                while let Some(name) = map.next_key()? {
                    let length = match name {
                        LogprobsField::Content => &mut content,
                        LogprobsField::TokenLogprobs => &mut token_logprobs,
                        LogprobsField::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if length.replace(map.next_value::<Option<ArrayLength>>()?).is_some() {
                        return Err(A::Error::custom("duplicate field"));
                    }
                }
                let lengths = [content, token_logprobs].into_iter().flatten().flatten();
                Ok(TextLogprobs(lengths.map(|ArrayLength(length)| length).max().unwrap_or(0)))
            }
        }

        deserializer.deserialize_map(LogprobsVisitor)
    }
}

/// Name of a field of log-probabilities.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum LogprobsField {
    Content,
    TokenLogprobs,
    #[serde(other)]
    Other,
}

/// Number of elements of an array.
struct ArrayLength(usize);

impl<'de> Deserialize<'de> for ArrayLength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LengthVisitor;

        impl<'de> Visitor<'de> for LengthVisitor {
            type Value = ArrayLength;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<ArrayLength, A::Error> {
                let mut length = 0;
                while array.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
                Ok(ArrayLength(length))
            }
        }

        deserializer.deserialize_seq(LengthVisitor)
    }
}

impl Chunk {
    /// Parses only the relayed fields of a chunk, several times faster than [`Chunk::from_stream`].
    /// Returns `None` if the chunk has more than text: also if it has log-probabilities and
    /// `keeps_logprobs` is set.
    pub(crate) fn text_only(data: &[u8], keeps_logprobs: bool) -> Option<Self> {
        let TextChunk { choices: [choice], error: () } = serde_json::from_slice(data).ok()?;
        let TextChoice { index, delta, text, logprobs, finish_reason: () } = choice;
        if index.unwrap_or(0) != 0 || (keeps_logprobs && logprobs.is_some()) {
            return None;
        }
        let text = match (delta, text) {
            (Some(delta), None) => delta.content,
            (None, Some(text)) => text,
            _ => return None,
        };
        Some(Self::from_text(text, logprobs.map_or(0, |TextLogprobs(logprob_count)| logprob_count)))
    }

    /// Creates a chunk with only a text, and log-probabilities for `logprob_count` tokens.
    fn from_text(text: String, logprob_count: usize) -> Self {
        let (characters, is_content) = (text.chars().count(), !text.is_empty());
        Self { body: ChunkBody::Text(text), characters, entries: logprob_count, is_content }
    }

    /// Parses a chunk of a stream. Chunks with only a role, a finish reason or usage have no
    /// content.
    pub(crate) fn from_stream(mut value: Value) -> Result<Self, ChunkFault> {
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(ChunkFault::ReportedError);
        }
        let choices = value
            .get_mut("choices")
            .and_then(Value::as_array_mut)
            .ok_or(ChunkFault::MissingChoices)?;
        let Some(choice) = choices.iter_mut().find(|choice| is_first_choice(choice)) else {
            return Ok(Self {
                body: ChunkBody::Object(value),
                characters: 0,
                entries: 0,
                is_content: false,
            });
        };
        if matches!(choice.get("finish_reason").and_then(Value::as_str), Some("error" | "abort")) {
            return Err(ChunkFault::ReportedError);
        }
        if let Some(Value::Array(calls)) = choice.pointer_mut("/delta/tool_calls") {
            calls.iter_mut().for_each(stringify_arguments);
        }
        let text = match choice.get("delta") {
            Some(delta) => delta.get("content"),
            None => choice.get("text"),
        };
        let characters = match text {
            None | Some(Value::Null) => 0,
            Some(Value::String(text)) => text.chars().count(),
            Some(_) => return Err(ChunkFault::InvalidText),
        };
        let lists =
            ["/logprobs/content", "/logprobs/token_logprobs"].map(|path| choice.pointer(path));
        let logprob_count = lists
            .into_iter()
            .flatten()
            .filter_map(Value::as_array)
            .map(Vec::len)
            .max()
            .unwrap_or(0);
        let has_calls = choice
            .pointer("/delta/tool_calls")
            .and_then(Value::as_array)
            .is_some_and(|calls| !calls.is_empty());
        let is_content = has_calls || texts_of(choice).any(|text| !text.is_empty());
        Ok(Self { body: ChunkBody::Object(value), characters, entries: logprob_count, is_content })
    }

    /// Returns the finish reason, if the chunk has one.
    pub fn finish_reason(&self) -> Option<&str> {
        self.choice()?.get("finish_reason")?.as_str().filter(|reason| !reason.is_empty())
    }

    /// Returns the choice of a [`ChunkBody::Object`]. Only one was requested: further ones are no
    /// part of the answer.
    pub fn choice(&self) -> Option<&Value> {
        match &self.body {
            ChunkBody::Text(_) => None,
            ChunkBody::Object(value) => {
                value.get("choices")?.as_array()?.iter().find(|choice| is_first_choice(choice))
            }
        }
    }

    /// Returns the text.
    pub fn text(&self) -> Option<&str> {
        match &self.body {
            ChunkBody::Text(text) => Some(text),
            ChunkBody::Object(_) => {
                let choice = self.choice()?;
                choice.pointer("/delta/content").or_else(|| choice.get("text"))?.as_str()
            }
        }
    }

    /// Returns the fragments of tool calls.
    pub fn tool_calls(&self) -> Option<&[Value]> {
        Some(self.choice()?.pointer("/delta/tool_calls")?.as_array()?.as_slice())
    }

    /// Returns everything that the model wrote in this chunk: text, reasoning, and names and
    /// arguments of tool calls.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let text = match &self.body {
            ChunkBody::Text(text) => Some(text.as_str()),
            ChunkBody::Object(_) => None,
        };
        text.into_iter().chain(self.choice().into_iter().flat_map(texts_of))
    }
}

/// Returns whether a choice is the first one.
fn is_first_choice(choice: &Value) -> bool {
    choice.get("index").is_none_or(|index| index.is_null() || index.as_u64() == Some(0))
}

/// Returns the texts of a choice: those of a chat's delta without its role, or that of a
/// completion, and names and arguments of tool calls.
fn texts_of(choice: &Value) -> impl Iterator<Item = &str> {
    let delta = choice.get("delta").and_then(Value::as_object);
    let fields =
        delta.into_iter().flatten().filter(|(name, _)| *name != "role").map(|(_, value)| value);
    let text = choice.get("text").filter(|_| delta.is_none());
    let calls = choice.pointer("/delta/tool_calls").and_then(Value::as_array).into_iter().flatten();
    let calls = calls
        .flat_map(|call| ["/function/name", "/function/arguments"].map(|path| call.pointer(path)));
    fields.chain(text).chain(calls.flatten()).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn chunks_with_text_are_content() {
        for (value, characters, is_content) in [
            (json!({"choices": [{"delta": {"content": "h\u{e9}y"}}]}), 3, true),
            (json!({"choices": [{"text": "ab"}]}), 2, true),
            (json!({"choices": [{"delta": {"content": ""}, "logprobs": {}}]}), 0, false),
            (
                json!({"choices": [{"delta": {"content": ""}, "logprobs": {"content": [{}]}}]}),
                0,
                false,
            ),
            (json!({"choices": [{"delta": {"content": "", "reasoning_content": "hm"}}]}), 0, true),
            (json!({"choices": [{"delta": {"content": "", "tool_calls": []}}]}), 0, false),
            (json!({"choices": [{"index": 1, "delta": {"content": "ab"}}]}), 0, false),
            (
                json!({"choices": [{"index": 1, "delta": {"content": "ab"}}, {"delta": {"content": "c"}}]}),
                1,
                true,
            ),
            (json!({"choices": [{"delta": {"role": "assistant", "content": ""}}]}), 0, false),
            (json!({"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}), 0, false),
            (json!({"choices": [{"delta": {"role": "assistant"}}]}), 0, false),
            (json!({"choices": [{"delta": {"content": null, "tool_calls": [{}]}}]}), 0, true),
            (json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}), 0, false),
            (json!({"choices": [], "usage": {}}), 0, false),
        ] {
            let chunk = Chunk::from_stream(value.clone()).unwrap();
            assert_eq!((chunk.characters, chunk.is_content), (characters, is_content), "{value}");
            for keeps_logprobs in [false, true] {
                if let Some(text) = Chunk::text_only(value.to_string().as_bytes(), keeps_logprobs) {
                    assert_eq!(
                        (text.characters, text.is_content),
                        (characters, is_content),
                        "{value}"
                    );
                    assert_eq!(
                        (text.text(), text.finish_reason()),
                        (chunk.text(), None),
                        "{value}"
                    );
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
            assert_eq!(
                (chunk.body, chunk.characters, chunk.entries),
                (ChunkBody::Text("h\u{e9}".to_owned()), 2, 1)
            );
            assert_eq!(Chunk::from_stream(value).unwrap().entries, 1);
            assert_eq!(Chunk::text_only(data.as_bytes(), true), None);
        }
    }

    #[test]
    fn text_only_parser_accepts_only_text_chunks() {
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
            value
                .pointer_mut(path)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .insert(more.0.to_owned(), more.1);
            assert_eq!(text(value.clone()), None, "{value}");
        }
        assert_eq!(text(json!({"choices": [plain["choices"][0], plain["choices"][0]]})), None);
        assert_eq!(text(json!({"choices": [{}]})), None);
        assert_eq!(
            Chunk::text_only(br#"{"choices":[{"delta":{"content":"\ud800"}}]}"#, false),
            None
        );
    }

    #[test]
    fn malformed_chunk_is_refused() {
        for value in
            [json!({}), json!({"choices": {}}), json!({"choices": [{"delta": {"content": 7}}]})]
        {
            assert!(Chunk::from_stream(value).is_err());
        }
        assert_eq!(
            Chunk::from_stream(json!({"error": {"message": "x"}, "choices": []})),
            Err(ChunkFault::ReportedError)
        );
        let ended = |reason: &str| json!({"choices": [{"delta": {"content": "a"}, "finish_reason": reason}]});
        assert_eq!(Chunk::from_stream(ended("error")), Err(ChunkFault::ReportedError));
        assert_eq!(Chunk::from_stream(ended("")).unwrap().finish_reason(), None);
        assert_eq!(
            Chunk::from_stream(ended("content_filter")).unwrap().finish_reason(),
            Some("content_filter")
        );
    }
}
