//! Conversion of miners' answers to OpenAI's format.

mod choice;
mod functions;

use std::fmt::Write as _;

use axum::response::{IntoResponse, Json, Response};
use serde_json::{Map, Value, json};
use taonet_nineteen_query::{Chunk, ChunkBody};
use tokio::time::Instant;

use crate::GatewayError;
use crate::bill::Bill;
use crate::delivery::{self, EventEncoder};
use crate::logprobs::{MissingLogprobs, missing_logprobs_error};
use crate::replies::Replies;
use crate::sse::escape_separators;
use choice::Choice;
use functions::FunctionStream;

/// Names of the field with the stop sequence that has ended an answer, of vLLM and of SGLang.
const STOP_FIELDS: [&str; 2] = ["stop_reason", "matched_stop"];
/// Event that ends a stream.
const DONE_EVENT: &str = "data: [DONE]\n\n";

/// Form of the choices of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChoiceFormat {
    /// Messages of a chat.
    Chat,
    /// Messages of a chat with a function call in place of tool calls, for requests with the
    /// deprecated field `functions`.
    FunctionChat,
    /// Texts of a completion. With `echoes`, each begins with its prompt.
    Completion { echoes: bool },
}

impl ChoiceFormat {
    /// Returns whether the choices are messages of a chat.
    pub(crate) const fn is_chat(self) -> bool {
        matches!(self, Self::Chat | Self::FunctionChat)
    }
}

/// Metadata that every chunk of an answer repeats.
#[derive(Debug, Clone)]
pub(crate) struct ResponseHead {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created: i64,
    pub(crate) choice_format: ChoiceFormat,
    pub(crate) wants_logprobs: bool,
    pub(crate) wants_usage: bool,
    /// Requested maximum number of tokens; an answer that reaches it has the finish reason
    /// `length`.
    pub(crate) max_tokens: u64,
    /// Number of choices for all prompts, each with its own answer. Those for the first prompt come
    /// first.
    pub(crate) choice_count: usize,
    /// Number of prompts; 1 for a chat.
    pub(crate) prompt_count: usize,
    /// Prompts, if the choices begin with them; otherwise empty.
    pub(crate) echoed_prompts: Vec<String>,
}

impl ResponseHead {
    fn base_fields(&self, object: &str) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("id".to_owned(), self.id.as_str().into());
        fields.insert("object".to_owned(), object.into());
        fields.insert("created".to_owned(), self.created.into());
        fields.insert("model".to_owned(), self.model.as_str().into());
        fields
    }

    fn chunk_fields(&self, choices: Value) -> Map<String, Value> {
        let object =
            if self.choice_format.is_chat() { "chat.completion.chunk" } else { "text_completion" };
        let mut fields = self.base_fields(object);
        if self.wants_usage {
            // As with OpenAI, only the last chunk has it, in place of null.
            fields.insert("usage".to_owned(), Value::Null);
        }
        fields.insert("choices".to_owned(), choices);
        fields
    }

    /// Returns the finish reason of an answer.
    pub(crate) fn finish_reason(&self, end: &ChoiceEnd) -> String {
        let default_reason = if end.calls_tools {
            "tool_calls"
        } else if end.tokens >= self.max_tokens {
            "length"
        } else {
            "stop"
        };
        let reason = end.finish_reason.as_deref().unwrap_or(default_reason);
        let is_function_call =
            self.choice_format == ChoiceFormat::FunctionChat && reason == "tool_calls";
        if is_function_call { "function_call".to_owned() } else { reason.to_owned() }
    }

    /// Returns the prompt with which a choice begins; empty if the buyer does not want it.
    fn echoed_prompt(&self, choice: usize) -> &str {
        let choices_per_prompt = self.choice_count.checked_div(self.prompt_count).unwrap_or(1);
        let prompt = choice
            .checked_div(choices_per_prompt)
            .and_then(|prompt| self.echoed_prompts.get(prompt));
        prompt.map_or("", String::as_str)
    }
}

/// Appends a text to `json` as a JSON string.
fn push_json_string(text: &str, json: &mut String) {
    if text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        // Cannot fail: writes a string to memory.
        json.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

fn usage_document((input, output): (u64, u64)) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output)})
}

fn data_event(document: Map<String, Value>) -> String {
    format!("data: {}\n\n", Value::Object(document))
}

/// How an answer ended: finish reason, stop sequence and use of tools, as reported by its chunks,
/// and its length.
#[derive(Default)]
pub(crate) struct ChoiceEnd {
    finish_reason: Option<String>,
    /// Stop sequence that ended the answer, if the server reports it.
    pub(crate) stop_sequence: Option<String>,
    calls_tools: bool,
    /// Number of tokens.
    pub(crate) tokens: u64,
}

impl ChoiceEnd {
    pub(crate) fn record(&mut self, chunk: &Chunk) {
        if let Some(finish) = chunk.finish_reason() {
            self.finish_reason = Some(finish.to_owned());
            let choice = chunk.choice();
            let stop = STOP_FIELDS.iter().find_map(|name| choice?.get(name)?.as_str());
            self.stop_sequence = stop.map(str::to_owned);
        }
        self.calls_tools |= chunk.tool_calls().is_some();
    }
}

/// Returns an answer as a stream of server-sent events.
pub(crate) fn stream(head: ResponseHead, replies: Replies, bill: Bill) -> Response {
    delivery::stream(ChunkEncoder::new(head), replies, bill)
}

/// Returns the common start of all chunk events, up to the choice.
fn chunk_start(head: &ResponseHead) -> String {
    let start = Value::Object(head.chunk_fields(json!([]))).to_string();
    // Strip the end of the empty list of choices, so that each event can append its own choice.
    format!("data: {}", start.trim_end_matches("]}"))
}

/// Encoder of the events of chat completions and completions.
struct ChunkEncoder {
    head: ResponseHead,
    /// Common start of all chunk events, up to the choice.
    start: String,
    /// Start of the chunk events of the first choice, up to its fields.
    first_start: String,
    /// Choices with function calls in place of tool calls; empty for other requests.
    functions: Vec<FunctionStream>,
}

impl ChunkEncoder {
    fn new(head: ResponseHead) -> Self {
        let mut functions = Vec::new();
        if head.choice_format == ChoiceFormat::FunctionChat {
            functions.resize_with(head.choice_count, FunctionStream::default);
        }
        let start = chunk_start(&head);
        let first_start = format!("{start}{{\"index\":0,");
        Self { head, start, first_start, functions }
    }

    /// Appends the beginning of a choice's event; returns its position.
    fn begin_event(&self, choice: usize, events: &mut String) -> usize {
        let start = events.len();
        if choice == 0 {
            events.push_str(&self.first_start);
        } else {
            events.push_str(&self.start);
            let _ = write!(events, "{{\"index\":{choice},");
        }
        start
    }

    /// Appends the end of the event that begins at `start`.
    fn end_event(start: usize, logprobs: Option<&Value>, events: &mut String) {
        match logprobs {
            Some(logprobs) => {
                let _ = write!(events, ",\"logprobs\":{logprobs}");
            }
            None => events.push_str(",\"logprobs\":null"),
        }
        events.push_str(",\"finish_reason\":null}]}\n\n");
        escape_separators(events, start);
    }

    /// Appends an event with the text of a completion.
    fn push_text_event(
        &self,
        choice: usize,
        text: &str,
        logprobs: Option<&Value>,
        events: &mut String,
    ) {
        let start = self.begin_event(choice, events);
        events.push_str("\"text\":");
        push_json_string(text, events);
        Self::end_event(start, logprobs, events);
    }
}

impl EventEncoder for ChunkEncoder {
    fn begin(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        for index in 0..self.head.choice_count {
            let mut event = String::new();
            if self.head.choice_format.is_chat() {
                let start = self.begin_event(index, &mut event);
                event.push_str("\"delta\":{\"role\":\"assistant\",\"content\":\"\"}");
                Self::end_event(start, None, &mut event);
                events.push(event);
            } else if !self.head.echoed_prompt(index).is_empty() {
                self.push_text_event(index, self.head.echoed_prompt(index), None, &mut event);
                events.push(event);
            }
        }
        events
    }

    /// Writes the event of a content chunk directly, without building a JSON document, because each
    /// token is one event.
    fn relay(&mut self, choice: usize, chunk: &Chunk, events: &mut String) {
        // Tokens that are only part of a character have no text.
        if !(chunk.is_content || self.head.wants_logprobs && chunk.entries > 0) {
            return;
        }
        let miner_choice = chunk.choice();
        let field = |name: &str| miner_choice.and_then(|miner_choice| miner_choice.get(name));
        let logprobs = field("logprobs").filter(|_| self.head.wants_logprobs);
        if !self.head.choice_format.is_chat() {
            return self.push_text_event(
                choice,
                chunk.text().unwrap_or_default(),
                logprobs,
                events,
            );
        }
        if let Some(functions) = self.functions.get_mut(choice) {
            let mut deltas = functions.add(chunk);
            if deltas.is_empty() && logprobs.is_some() {
                deltas.push(json!({}));
            }
            for (index, delta) in deltas.iter().enumerate() {
                let start = self.begin_event(choice, events);
                let _ = write!(events, "\"delta\":{delta}");
                Self::end_event(start, logprobs.filter(|_| index == 0), events);
            }
            return;
        }
        let start = self.begin_event(choice, events);
        match &chunk.body {
            ChunkBody::Text(text) => {
                events.push_str("\"delta\":{\"content\":");
                push_json_string(text, events);
                events.push('}');
            }
            ChunkBody::Object(_) => {
                events.push_str("\"delta\":{");
                let fields = field("delta").and_then(Value::as_object).into_iter().flatten();
                for (index, (name, value)) in fields.filter(|(name, _)| *name != "role").enumerate()
                {
                    events.push_str(if index == 0 { "" } else { "," });
                    push_json_string(name, events);
                    let _ = write!(events, ":{value}");
                }
                events.push('}');
            }
        }
        Self::end_event(start, logprobs, events);
    }

    fn interrupt(&mut self) -> Vec<String> {
        vec![format!("data: {}\n\n", GatewayError::Interrupted.document()), DONE_EVENT.to_owned()]
    }

    fn finish(&mut self, ends: &[ChoiceEnd], tokens: (u64, u64)) -> Vec<String> {
        let mut events = Vec::new();
        for (index, end) in ends.iter().enumerate() {
            let mut event = String::new();
            self.begin_event(index, &mut event);
            let is_chat = self.head.choice_format.is_chat();
            event.push_str(if is_chat { "\"delta\":{}" } else { "\"text\":\"\"" });
            event.push_str(",\"logprobs\":null,\"finish_reason\":");
            push_json_string(&self.head.finish_reason(end), &mut event);
            event.push_str("}]}\n\n");
            events.push(event);
        }
        if self.head.wants_usage {
            let mut last = self.head.chunk_fields(json!([]));
            last.insert("usage".to_owned(), usage_document(tokens));
            events.push(data_event(last));
        }
        events.push(DONE_EVENT.to_owned());
        events
    }
}

/// Returns an answer as one JSON document. If there are more answers than choices, the best ones to
/// each prompt are its choices: those without log-probabilities come last. If no answer has any,
/// the request is refused, and so are further requests with `best_of` for some minutes.
pub(crate) async fn complete_response(
    head: &ResponseHead,
    replies: Replies,
    bill: Bill,
    missing_logprobs: &MissingLogprobs,
) -> Result<Response, GatewayError> {
    let mut answers = Vec::new();
    answers.resize_with(replies.len(), Choice::default);
    let (mut ends, bill) = delivery::read_answer(replies, bill, |index, chunk| {
        if let Some(answer) = answers.get_mut(index) {
            answer.add(chunk, head.wants_logprobs);
        }
    })
    .await?;
    let selects_best = answers.len() > head.choice_count;
    if answers.iter().any(Choice::has_logprobs) {
        missing_logprobs.forget(&head.model);
    } else if selects_best && answers.iter().any(Choice::has_text) {
        missing_logprobs.remember(&head.model, Instant::now());
        delivery::cancel_bill(bill).await;
        return Err(missing_logprobs_error());
    }
    let tokens = delivery::charge_complete(&mut ends, bill).await;
    let mut answers: Vec<_> = answers.into_iter().zip(ends).collect();
    if selects_best {
        answers = select_best(answers, head);
    }
    let choices = answers.into_iter().enumerate();
    let choices: Vec<Value> =
        choices.map(|(index, (choice, end))| choice.document(head, index, &end)).collect();
    let mut document = head.base_fields(if head.choice_format.is_chat() {
        "chat.completion"
    } else {
        "text_completion"
    });
    document.insert("choices".to_owned(), choices.into());
    document.insert("usage".to_owned(), usage_document(tokens));
    Ok(Json(document).into_response())
}

/// Returns as many answers to each prompt as it has choices: the best ones, the best one first.
fn select_best(answers: Vec<(Choice, ChoiceEnd)>, head: &ResponseHead) -> Vec<(Choice, ChoiceEnd)> {
    let per_prompt = |number: usize| number.checked_div(head.prompt_count).unwrap_or(number);
    let (answers_per_prompt, choices_per_prompt) =
        (per_prompt(answers.len()), per_prompt(head.choice_count));
    let (mut answers, mut choices) = (answers.into_iter(), Vec::with_capacity(head.choice_count));
    for _ in 0..head.prompt_count {
        let mut candidates: Vec<_> = answers.by_ref().take(answers_per_prompt).collect();
        candidates
            .sort_by(|(one, _), (other, _)| other.mean_logprob().total_cmp(&one.mean_logprob()));
        choices.extend(candidates.into_iter().take(choices_per_prompt));
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_json() {
        for text in ["", "a word", "h\u{e9} \u{1f600}", "\"", "a\\b", "\n", "\u{1f}", "\u{7f}"] {
            let mut json = String::new();
            push_json_string(text, &mut json);
            assert_eq!(json, serde_json::to_string(text).unwrap());
        }
    }

    #[test]
    fn events_without_content_are_json_chunks() {
        for is_chat in [true, false] {
            let head = ResponseHead {
                id: "chatcmpl-\"ours\"".to_owned(),
                model: "chat-a".to_owned(),
                created: 7,
                choice_format: if is_chat {
                    ChoiceFormat::Chat
                } else {
                    ChoiceFormat::Completion { echoes: false }
                },
                wants_logprobs: false,
                wants_usage: true,
                max_tokens: 9,
                choice_count: 2,
                prompt_count: 1,
                echoed_prompts: Vec::new(),
            };
            let chunk = |index: usize, (name, text): (&str, Value), finish: Value| {
                let choice = json!([{"index": index, name: text, "logprobs": null, "finish_reason": finish}]);
                data_event(head.chunk_fields(choice))
            };
            let mut events = ChunkEncoder::new(head.clone());
            let first = |index| {
                chunk(index, ("delta", json!({"role": "assistant", "content": ""})), Value::Null)
            };
            assert!(first(0).contains("\"usage\":null"), "{}", first(0));
            assert_eq!(events.begin(), if is_chat { vec![first(0), first(1)] } else { Vec::new() });
            let ends = [("stop \"\n\"", 3), ("", 9)].map(|(finish, tokens)| {
                let finish = Some(finish).filter(|finish| !finish.is_empty()).map(str::to_owned);
                ChoiceEnd { finish_reason: finish, tokens, ..ChoiceEnd::default() }
            });
            let empty = || if is_chat { ("delta", json!({})) } else { ("text", json!("")) };
            let mut usage_event = head.chunk_fields(json!([]));
            usage_event.insert("usage".to_owned(), usage_document((5, 12)));
            let [stop, length] = [(0, "stop \"\n\""), (1, "length")]
                .map(|(index, finish)| chunk(index, empty(), finish.into()));
            let expected = [stop, length, data_event(usage_event), DONE_EVENT.to_owned()];
            assert_eq!(events.finish(&ends, (5, 12)), expected);
        }
    }

    /// Each event has the gateway's id, model and time, not those that the miner sent.
    #[test]
    fn metadata_of_the_gateway_replaces_that_of_the_miner() {
        let head = ResponseHead {
            id: "chatcmpl-ours".to_owned(),
            model: "chat-a".to_owned(),
            created: 7,
            choice_format: ChoiceFormat::Chat,
            wants_logprobs: true,
            wants_usage: false,
            max_tokens: 9,
            choice_count: 2,
            prompt_count: 1,
            echoed_prompts: Vec::new(),
        };
        let choice = json!({"index": 0, "delta": {"role": "assistant", "content": "h\u{e9}"}, "logprobs": {"content": []},
            "finish_reason": "stop", "stop_reason": 7});
        let miner_fields = json!({"id": "theirs", "object": "x", "created": 1, "model": "smaller", "system_fingerprint": "fp",
            "choices": [choice], "usage": {"total_tokens": 1_000_000}});
        let object = Chunk {
            body: ChunkBody::Object(miner_fields),
            characters: 2,
            entries: 0,
            is_content: true,
        };
        let text = Chunk {
            body: ChunkBody::Text("h\u{e9}".to_owned()),
            characters: 2,
            entries: 1,
            is_content: true,
        };
        for (chunk, logprobs) in [(object, json!({"content": []})), (text, Value::Null)] {
            let (mut events, mut relayed) = (ChunkEncoder::new(head.clone()), String::new());
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
