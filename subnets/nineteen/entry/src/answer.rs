//! Conversion of miners' answers to OpenAI's format.

mod choice;

use std::fmt::Write as _;
use std::time::Instant;

use axum::response::{IntoResponse, Json, Response};
use serde_json::{Map, Value, json};
use taonet_nineteen_query::{Chunk, ChunkBody};

use crate::GatewayError;
use crate::bill::Bill;
use crate::delivery::{self, Events};
use crate::logprobs::{MissingLogprobs, no_selection};
use crate::replies::Replies;
use crate::sse::escape_separators;
use choice::Choice;

/// Names of the field with the stop sequence that has ended an answer, of vLLM and of SGLang.
const STOPS: [&str; 2] = ["stop_reason", "matched_stop"];
/// Event that ends a stream.
const DONE: &str = "data: [DONE]\n\n";

/// Metadata that every chunk of an answer repeats.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created: i64,
    pub(crate) is_chat: bool,
    pub(crate) wants_logprobs: bool,
    pub(crate) wants_usage: bool,
    /// Requested maximum number of tokens; an answer that reaches it has the finish reason
    /// `length`.
    pub(crate) max_tokens: u64,
    /// Number of choices, each with its own answer.
    pub(crate) choices: usize,
}

impl Head {
    fn fields(&self, object: &str) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("id".to_owned(), self.id.as_str().into());
        fields.insert("object".to_owned(), object.into());
        fields.insert("created".to_owned(), self.created.into());
        fields.insert("model".to_owned(), self.model.as_str().into());
        fields
    }

    fn chunk(&self, choices: Value) -> Map<String, Value> {
        let object = if self.is_chat { "chat.completion.chunk" } else { "text_completion" };
        let mut fields = self.fields(object);
        fields.insert("choices".to_owned(), choices);
        fields
    }

    /// Returns the finish reason of an answer.
    pub(crate) fn finish_reason(&self, end: &End) -> String {
        let word = if end.calls_tools {
            "tool_calls"
        } else if end.tokens >= self.max_tokens {
            "length"
        } else {
            "stop"
        };
        end.finish.clone().unwrap_or_else(|| word.to_owned())
    }
}

/// Appends a text as a JSON string.
fn quote(text: &str, json: &mut String) {
    if text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        // Cannot fail: writes a string to memory.
        json.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

fn usage((input, output): (u64, u64)) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output)})
}

fn event(document: Map<String, Value>) -> String {
    format!("data: {}\n\n", Value::Object(document))
}

/// How an answer ended: finish reason, stop sequence and use of tools, as reported by its chunks,
/// and its length.
#[derive(Default)]
pub(crate) struct End {
    finish: Option<String>,
    /// Stop sequence that ended the answer, if the server reports it.
    pub(crate) stop: Option<String>,
    calls_tools: bool,
    /// Number of tokens.
    pub(crate) tokens: u64,
}

impl End {
    pub(crate) fn note(&mut self, chunk: &Chunk) {
        if let Some(finish) = chunk.finish_reason() {
            self.finish = Some(finish.to_owned());
            let choice = chunk.choice();
            let stop = STOPS.iter().find_map(|name| choice?.get(name)?.as_str());
            self.stop = stop.map(str::to_owned);
        }
        self.calls_tools |= chunk.tool_calls().is_some();
    }
}

/// Returns an answer as a stream of server-sent events.
pub(crate) fn stream(head: Head, replies: Replies, bill: Bill) -> Response {
    delivery::stream(Chunks { start: start(&head), head }, replies, bill)
}

/// Returns the common start of all chunk events, up to the choice.
fn start(head: &Head) -> String {
    let start = Value::Object(head.chunk(json!([]))).to_string();
    // Strip the end of the empty list of choices, so that each event can append its own choice.
    format!("data: {}", start.trim_end_matches("]}"))
}

/// Encoder of the events of chat completions and completions.
struct Chunks {
    head: Head,
    /// Common start of all chunk events, up to the choice.
    start: String,
}

impl Events for Chunks {
    fn begin(&mut self) -> Vec<String> {
        let delta = json!({"role": "assistant", "content": ""});
        let choices = if self.head.is_chat { self.head.choices } else { 0 };
        (0..choices)
            .map(|index| json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": null}]))
            .map(|choice| event(self.head.chunk(choice)))
            .collect()
    }

    /// Writes the event of a content chunk directly, without building a JSON document, because each
    /// token is one event.
    fn relay(&mut self, choice: usize, chunk: &Chunk, events: &mut String) {
        // The parts of a character are tokens without text.
        if !(chunk.is_content || self.head.wants_logprobs && chunk.entries > 0) {
            return;
        }
        let start = events.len();
        events.push_str(&self.start);
        let _ = write!(events, "{{\"index\":{choice},");
        let sent = chunk.choice();
        let field = |name: &str| sent.and_then(|sent| sent.get(name));
        match (&chunk.body, self.head.is_chat) {
            (ChunkBody::Text(text), true) => {
                events.push_str("\"delta\":{\"content\":");
                quote(text, events);
                events.push('}');
            }
            (ChunkBody::Object(_), true) => {
                events.push_str("\"delta\":{");
                let fields = field("delta").and_then(Value::as_object).into_iter().flatten();
                for (place, (name, value)) in fields.filter(|(name, _)| *name != "role").enumerate()
                {
                    events.push_str(if place == 0 { "" } else { "," });
                    quote(name, events);
                    let _ = write!(events, ":{value}");
                }
                events.push('}');
            }
            (_, false) => {
                events.push_str("\"text\":");
                quote(chunk.text().unwrap_or_default(), events);
            }
        }
        match field("logprobs").filter(|_| self.head.wants_logprobs) {
            Some(logprobs) => {
                let _ = write!(events, ",\"logprobs\":{logprobs}");
            }
            None => events.push_str(",\"logprobs\":null"),
        }
        events.push_str(",\"finish_reason\":null}]}\n\n");
        escape_separators(events, start);
    }

    fn interrupted(&mut self) -> Vec<String> {
        vec![format!("data: {}\n\n", GatewayError::Interrupted.document()), DONE.to_owned()]
    }

    fn finish(&mut self, ends: &[End], tokens: (u64, u64)) -> Vec<String> {
        let mut events = Vec::new();
        for (index, end) in ends.iter().enumerate() {
            let finish = self.head.finish_reason(end);
            let choice = if self.head.is_chat {
                json!([{"index": index, "delta": {}, "logprobs": null, "finish_reason": finish}])
            } else {
                json!([{"index": index, "text": "", "logprobs": null, "finish_reason": finish}])
            };
            events.push(event(self.head.chunk(choice)));
        }
        if self.head.wants_usage {
            let mut last = self.head.chunk(json!([]));
            last.insert("usage".to_owned(), usage(tokens));
            events.push(event(last));
        }
        events.push(DONE.to_owned());
        events
    }
}

/// Returns an answer as one JSON document. If there are more answers than choices, the best ones
/// are the choices: those without log-probabilities come last. If none has any, the request is
/// refused, and so are further ones of its kind for some minutes.
pub(crate) async fn whole(
    head: &Head,
    replies: Replies,
    bill: Bill,
    missing_logprobs: &MissingLogprobs,
) -> Result<Response, GatewayError> {
    let mut answers = Vec::new();
    answers.resize_with(replies.len(), Choice::default);
    let (mut ends, bill) = delivery::read(replies, bill, |index, chunk| {
        if let Some(answer) = answers.get_mut(index) {
            answer.add(chunk, head.wants_logprobs);
        }
    })
    .await?;
    let is_selection = answers.len() > head.choices;
    if answers.iter().any(Choice::has_logprobs) {
        missing_logprobs.forget(&head.model);
    } else if is_selection && answers.iter().any(Choice::has_text) {
        missing_logprobs.remember(&head.model, Instant::now());
        delivery::refuse(bill).await;
        return Err(no_selection());
    }
    let tokens = delivery::charge(&mut ends, bill).await;
    let mut answers: Vec<_> = answers.into_iter().zip(ends).collect();
    if is_selection {
        answers.sort_by(|(one, _), (other, _)| other.likelihood().total_cmp(&one.likelihood()));
        answers.truncate(head.choices);
    }
    let choices = answers.into_iter().enumerate();
    let choices: Vec<Value> =
        choices.map(|(index, (choice, end))| choice.document(head, index, &end)).collect();
    let mut document =
        head.fields(if head.is_chat { "chat.completion" } else { "text_completion" });
    document.insert("choices".to_owned(), choices.into());
    document.insert("usage".to_owned(), usage(tokens));
    Ok(Json(document).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_json() {
        for text in ["", "a word", "h\u{e9} \u{1f600}", "\"", "a\\b", "\n", "\u{1f}", "\u{7f}"] {
            let mut json = String::new();
            quote(text, &mut json);
            assert_eq!(json, serde_json::to_string(text).unwrap());
        }
    }

    /// Each event has the gateway's id, model and time, not those that the miner sent.
    #[test]
    fn gateway_id_replaces_that_of_the_miner() {
        let head = Head {
            id: "chatcmpl-ours".to_owned(),
            model: "chat-a".to_owned(),
            created: 7,
            is_chat: true,
            wants_logprobs: true,
            wants_usage: false,
            max_tokens: 9,
            choices: 2,
        };
        let choice = json!({"index": 0, "delta": {"role": "assistant", "content": "h\u{e9}"}, "logprobs": {"content": []},
            "finish_reason": "stop", "stop_reason": 7});
        let miners = json!({"id": "theirs", "object": "x", "created": 1, "model": "smaller", "system_fingerprint": "fp",
            "choices": [choice], "usage": {"total_tokens": 1_000_000}});
        let object =
            Chunk { body: ChunkBody::Object(miners), characters: 2, entries: 0, is_content: true };
        let text = Chunk {
            body: ChunkBody::Text("h\u{e9}".to_owned()),
            characters: 2,
            entries: 1,
            is_content: true,
        };
        for (chunk, logprobs) in [(object, json!({"content": []})), (text, Value::Null)] {
            let (mut events, mut relayed) =
                (Chunks { start: start(&head), head: head.clone() }, String::new());
            events.relay(1, &chunk, &mut relayed);
            let event = relayed
                .strip_prefix("data: ")
                .and_then(|event| event.strip_suffix("\n\n"))
                .unwrap();
            let choice = json!({"index": 1, "delta": {"content": "h\u{e9}"}, "logprobs": logprobs, "finish_reason": null});
            assert_eq!(
                serde_json::from_str::<Value>(event).unwrap(),
                json!({"id": "chatcmpl-ours", "object": "chat.completion.chunk", "created": 7, "model": "chat-a",
                    "choices": [choice]})
            );
        }
    }
}
