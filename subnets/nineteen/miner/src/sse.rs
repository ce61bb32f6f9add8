//! Filter of a backend's stream: the events that validators accept, and the faults of the stream.

use std::borrow::Cow;
use std::collections::VecDeque;

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use taonet_http::sse::{EventStream, EventTooLong, ServerEvent};

/// Maximum length of a backend's message in an error, in characters.
const MAX_EXCERPT_CHARS: usize = 120;
/// Chunk of a chat's answer without text, for validators that accept no chunk without a text. Their
/// checker skips a first chunk with the role.
const EMPTY_CHAT: &str =
    r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null}]}"#;
/// Chunk of a completion without text.
const EMPTY_COMPLETION: &str = r#"{"choices":[{"index":0,"text":"","logprobs":null}]}"#;

/// Why a backend's stream is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StreamFault {
    #[error("backend reports an error: {message}")]
    Reported {
        /// HTTP status that the error names.
        status: Option<StatusCode>,
        message: String,
    },
    #[error("an event is not JSON: {0}")]
    Malformed(String),
    #[error("the text of a chunk is not a string")]
    Text,
    #[error(transparent)]
    TooLong(#[from] EventTooLong),
    #[error("stream ended without a finish reason or [DONE]")]
    Truncated,
    #[error(
        "stream has no chunk; hint: the backend must stream chat completions as OpenAI's API does"
    )]
    Empty,
}

impl StreamFault {
    /// Returns the HTTP status of an error that the backend reports, if it names one.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Reported { status, .. } => {
                status.filter(|status| status.is_client_error() || status.is_server_error())
            }
            _ => None,
        }
    }
}

/// Filter of a backend's stream that passes the events that validators accept.
///
/// The reference's validators treat a chunk without text as an error, and its checker an empty
/// chunk without log-probabilities. Therefore these get only chunks with text or with tool calls,
/// as from the reference's miner; chunks with tool calls pass because only validators that request
/// tools receive them. Validators that accept the end of a stream (`relays_end`) also get its
/// finish reason, and reasoning. Text without log-probabilities passes to all: without it, the
/// answer would be another one.
#[derive(Debug)]
pub(crate) struct EventFilter {
    stream: EventStream,
    answer: AnswerState,
}

/// State of the answer in a stream.
#[derive(Debug)]
struct AnswerState {
    accepted: AcceptedParts,
    /// Kind of the chunks; `None` before the first one.
    kind: Option<ChunkKind>,
    stream_state: StreamState,
    /// Whether any event was passed on.
    has_event: bool,
    /// Whether a text lacked log-probabilities that the validator requested.
    lacks_logprobs: bool,
}

/// Parts of a stream that a validator accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AcceptedParts {
    pub(crate) wants_logprobs: bool,
    /// Whether the validator accepts chunks without text, such as that with the finish reason.
    pub(crate) relays_end: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkKind {
    Chat,
    Completion,
}

/// Progress of a stream's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamState {
    Open,
    /// A chunk had a finish reason; usage may follow.
    Finished,
    /// The stream has sent `[DONE]`.
    Done,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
}

impl EventFilter {
    /// Creates a filter for responses with or without log-probabilities, for a validator that
    /// accepts the end of a stream or not.
    pub(crate) fn new(accepted: AcceptedParts) -> Self {
        let answer = AnswerState {
            accepted,
            kind: None,
            stream_state: StreamState::Open,
            has_event: false,
            lacks_logprobs: false,
        };
        Self { stream: EventStream::default(), answer }
    }

    /// Adds the next bytes, and appends the completed events to `ready_events`, each as `data:
    /// <JSON>\n\n`.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        ready_events: &mut VecDeque<Bytes>,
    ) -> Result<(), StreamFault> {
        let Self { stream, answer } = self;
        stream.push(bytes, |event| answer.handle_event(event, ready_events))
    }

    /// Ends the stream, and appends its last events to `ready_events`.
    pub(crate) fn finish(&mut self, ready_events: &mut VecDeque<Bytes>) -> Result<(), StreamFault> {
        let Self { stream, answer } = self;
        if answer.stream_state != StreamState::Done {
            stream.finish(|event| answer.handle_event(event, ready_events))?;
        }
        answer.finish(ready_events)
    }

    /// Returns whether the stream has sent `[DONE]`; what follows is not part of the answer.
    pub(crate) fn is_done(&self) -> bool {
        self.answer.stream_state == StreamState::Done
    }

    /// Returns whether a text came without the log-probabilities that the validator requested.
    pub(crate) const fn lacks_logprobs(&self) -> bool {
        self.answer.lacks_logprobs
    }
}

impl AnswerState {
    fn handle_event(
        &mut self,
        event: ServerEvent<'_>,
        ready_events: &mut VecDeque<Bytes>,
    ) -> Result<(), StreamFault> {
        // As the standard prescribes, malformed UTF-8 becomes U+FFFD.
        let text = String::from_utf8_lossy(event.data);
        if event.is_error() {
            return Err(parse_reported_error(&text));
        }
        self.handle_data(&text, ready_events).or_else(|fault| {
            if !text.contains('\n') || !matches!(fault, StreamFault::Malformed(_)) {
                return Err(fault);
            }
            // Some servers leave out the empty line between two events.
            text.lines().try_for_each(|line| self.handle_data(line, ready_events))
        })
    }

    fn handle_data(
        &mut self,
        json: &str,
        ready_events: &mut VecDeque<Bytes>,
    ) -> Result<(), StreamFault> {
        let json = json.trim_ascii();
        if json == "[DONE]" {
            self.stream_state = StreamState::Done;
        }
        // Servers and proxies keep a connection alive with empty events.
        if self.stream_state == StreamState::Done || json.is_empty() {
            return Ok(());
        }
        let chunk: Chunk<'_> = serde_json::from_str(json)
            .map_err(|error| StreamFault::Malformed(format!("{error}, in {}", excerpt(json))))?;
        if chunk.error.is_some() || chunk.object.is_some_and(|object| object.get() == "\"error\"") {
            return Err(parse_reported_error(json));
        }
        let choices = chunk.choices.unwrap_or_default();
        // Only one choice was requested.
        let Some(choice) = choices.iter().find(|choice| choice.index.unwrap_or(0) == 0) else {
            return Ok(());
        };
        self.kind =
            Some(if choice.delta.is_some() { ChunkKind::Chat } else { ChunkKind::Completion });
        let finish_reason = choice.finish_reason.as_deref().unwrap_or_default();
        if matches!(finish_reason, "error" | "abort") {
            let message = format!("finish_reason {finish_reason:?}");
            return Err(StreamFault::Reported { status: None, message });
        }
        if !finish_reason.is_empty() {
            self.stream_state = StreamState::Finished;
        }
        if self.should_forward(choice, !finish_reason.is_empty())? {
            self.has_event = true;
            ready_events.push_back(format_event(json));
        }
        Ok(())
    }

    fn should_forward(&mut self, choice: &Choice<'_>, finishes: bool) -> Result<bool, StreamFault> {
        let delta = choice.delta.as_ref();
        let text = match delta.and_then(|delta| delta.content).or(choice.text) {
            None => None,
            Some(text) if !text.get().starts_with('"') => return Err(StreamFault::Text),
            Some(text) => {
                let text = serde_json::from_str::<Cow<'_, str>>(text.get());
                Some(text.map_err(|error| StreamFault::Malformed(error.to_string()))?)
            }
        };
        let has_text = text.as_ref().is_some_and(|text| !text.is_empty());
        let tool_calls = delta.and_then(|delta| delta.tool_calls).map_or("", RawValue::get);
        if tool_calls.starts_with('[') && tool_calls.contains('{') {
            return Ok(true);
        }
        if has_text {
            // The beginning of a character that the answer's length cut off: servers send it as
            // U+FFFD, without log-probabilities, and the reference's checker refuses such a chunk.
            let is_cut_character = finishes
                && choice.logprobs.is_none()
                && text.is_some_and(|text| {
                    text.chars().all(|character| character == char::REPLACEMENT_CHARACTER)
                });
            self.lacks_logprobs |=
                self.accepted.wants_logprobs && choice.logprobs.is_none() && !is_cut_character;
            return Ok(self.accepted.relays_end || !is_cut_character);
        }
        // A token that is the beginning of a character has a log-probability, but no text.
        if text.is_some()
            && self.accepted.wants_logprobs
            && choice.logprobs.is_some_and(has_logprob_entry)
        {
            return Ok(true);
        }
        let has_other_content = delta.is_some_and(|delta| {
            let other_fields = [delta.reasoning_content, delta.reasoning, delta.refusal];
            other_fields
                .into_iter()
                .flatten()
                .any(|text| text.get().starts_with('"') && text.get() != "\"\"")
        });
        Ok(self.accepted.relays_end && (has_other_content || finishes))
    }

    /// Checks that the stream is complete. An answer without text becomes a chunk without text.
    fn finish(&mut self, ready_events: &mut VecDeque<Bytes>) -> Result<(), StreamFault> {
        let kind = self.kind.ok_or(StreamFault::Empty)?;
        if self.stream_state == StreamState::Open {
            return Err(StreamFault::Truncated);
        }
        if !self.has_event {
            self.has_event = true;
            ready_events.push_back(format_event(match kind {
                ChunkKind::Chat => EMPTY_CHAT,
                ChunkKind::Completion => EMPTY_COMPLETION,
            }));
        }
        Ok(())
    }
}

/// Returns whether log-probabilities have an entry, in the format of chats or of completions.
fn has_logprob_entry(logprobs: &RawValue) -> bool {
    let logprobs: Value = serde_json::from_str(logprobs.get()).unwrap_or_default();
    ["/content/0", "/token_logprobs/0"].iter().any(|path| logprobs.pointer(path).is_some())
}

/// Formats JSON as a server-sent event. Line feeds between its tokens become spaces. Line
/// separators in its texts are escaped: clients such as Python's httpx, which the reference uses,
/// end a line at each of them.
fn format_event(json: &str) -> Bytes {
    let mut event = String::with_capacity(json.len() + 8);
    event.push_str("data: ");
    if json.contains(['\n', '\u{85}', '\u{2028}', '\u{2029}']) {
        for character in json.chars() {
            match character {
                '\n' => event.push(' '),
                '\u{85}' => event.push_str("\\u0085"),
                '\u{2028}' => event.push_str("\\u2028"),
                '\u{2029}' => event.push_str("\\u2029"),
                character => event.push(character),
            }
        }
    } else {
        event.push_str(json);
    }
    event.push_str("\n\n");
    event.into()
}

/// Returns the error that a backend reports as JSON or as text.
pub(crate) fn parse_reported_error(text: &str) -> StreamFault {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let error = document.get("error").filter(|error| !error.is_null()).unwrap_or(&document);
    let message = error.get("message").or_else(|| error.get("detail")).unwrap_or(error);
    let message = message.as_str().map_or_else(|| text.to_owned(), str::to_owned);
    let code = ["code", "status"].iter().find_map(|name| {
        let code = error.get(*name)?;
        code.as_u64().or_else(|| code.as_str()?.parse().ok())
    });
    let status = code.and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
    StreamFault::Reported { status, message: excerpt(&message) }
}

/// Returns the beginning of a text, for an error.
fn excerpt(text: &str) -> String {
    let printable =
        text.chars().map(|character| if character.is_control() { ' ' } else { character });
    printable.take(MAX_EXCERPT_CHARS).collect()
}

#[cfg(test)]
mod tests;
