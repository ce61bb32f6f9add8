//! Requests to `/v1/messages`, Anthropic's protocol for text and tool calls: converted to chat
//! completions.

mod error;
mod request;

use axum::response::{IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_http::parse_object;
use taonet_nineteen_query::Chunk;

use crate::GatewayError;
use crate::answer::{ChoiceEnd, ResponseHead};
use crate::bill::Bill;
use crate::delivery::{self, EventEncoder};
use crate::items::{Addition, Item, Items};
use crate::replies::Replies;
use crate::sse::named_event;
pub(crate) use error::translate_error;
pub(crate) use request::{MessageOptions, parse, parse_count};

/// Name of the field that holds the arguments of a tool call if they are no JSON object, as in
/// Anthropic's guide to tools.
const INVALID_JSON: &str = "INVALID_JSON";

/// Prefix of the IDs of tool calls.
const ID_PREFIX: &str = "toolu_";

/// Returns an answer as one JSON document.
pub(crate) async fn respond(
    head: ResponseHead,
    options: MessageOptions,
    replies: Replies,
    bill: Bill,
) -> Result<Response, GatewayError> {
    let mut items = Items::new(options.wants_reasoning, ID_PREFIX);
    let (ends, tokens) = delivery::read_and_charge(replies, bill, |_, chunk| {
        items.add(chunk);
    })
    .await?;
    let stop = stop_fields(&options, &head, &ends);
    let content: Vec<Value> = items.iter().map(content_block).collect();
    Ok(Json(document(&head, &content, stop, tokens)).into_response())
}

/// Returns an answer as a stream of server-sent events, each with its name.
pub(crate) fn stream(
    head: ResponseHead,
    options: MessageOptions,
    replies: Replies,
    bill: Bill,
) -> Response {
    let items = Items::new(options.wants_reasoning, ID_PREFIX);
    let input_tokens = bill.input_tokens();
    delivery::stream(
        MessageEncoder { head, options, items, input_tokens, open_block: None },
        replies,
        bill,
    )
}

/// Encoder of the events of a message.
struct MessageEncoder {
    head: ResponseHead,
    options: MessageOptions,
    items: Items,
    input_tokens: u64,
    /// Index of the content block that has begun and not ended.
    open_block: Option<usize>,
}

impl MessageEncoder {
    /// Returns whether a tool call is the open content block. It stays open to the end of the
    /// answer, because servers may mix its fragments with those of other calls: the items after it
    /// are sent at the end.
    fn has_open_call(&self) -> bool {
        let open_block = self.open_block.and_then(|index| self.items.get(index));
        matches!(open_block, Some(Item::Call { .. }))
    }

    /// Ends the open content block, and sends the items after it; returns the events.
    fn end_blocks(&mut self) -> Vec<String> {
        let open_block = self.open_block.take();
        let mut events: Vec<String> = open_block.map(block_stop).into_iter().collect();
        for (index, item) in
            self.items.iter().enumerate().skip(open_block.map_or(0, |index| index + 1))
        {
            events.extend([
                block_start(index, item),
                block_delta(index, item, item.content()),
                block_stop(index),
            ]);
        }
        events
    }
}

fn block_start(index: usize, item: &Item) -> String {
    named_event(
        "content_block_start",
        json!({"index": index, "content_block": content_block(&item.without_content())}),
    )
}

/// Returns the event for content that is added to an item; empty without content.
fn block_delta(index: usize, item: &Item, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    let delta = match item {
        Item::Text(_) => json!({"type": "text_delta", "text": content}),
        Item::Reasoning(_) => json!({"type": "thinking_delta", "thinking": content}),
        Item::Call { .. } => json!({"type": "input_json_delta", "partial_json": content}),
    };
    named_event("content_block_delta", json!({"index": index, "delta": delta}))
}

fn block_stop(index: usize) -> String {
    named_event("content_block_stop", json!({ "index": index }))
}

impl EventEncoder for MessageEncoder {
    fn begin(&mut self) -> Vec<String> {
        let message = document(&self.head, &[], (None, None), (self.input_tokens, 0));
        vec![named_event("message_start", json!({ "message": message }))]
    }

    fn relay(&mut self, _: usize, chunk: &Chunk, events: &mut String) {
        for Addition { index, is_new, content } in self.items.add(chunk) {
            let Some(item) = self.items.get(index) else { continue };
            if is_new && !self.has_open_call() {
                // A text or reasoning ends when the next item begins.
                events.extend(self.open_block.map(block_stop));
                events.push_str(&block_start(index, item));
                self.open_block = Some(index);
            }
            if self.open_block == Some(index) {
                events.push_str(&block_delta(index, item, &content));
            }
        }
    }

    fn interrupt(&mut self) -> Vec<String> {
        vec![named_event("error", error::document(&GatewayError::Interrupted, None))]
    }

    fn finish(&mut self, ends: &[ChoiceEnd], tokens: (u64, u64)) -> Vec<String> {
        let (reason, sequence) = stop_fields(&self.options, &self.head, ends);
        let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
        let delta = json!({"delta": delta, "usage": usage_document(tokens)});
        let last = [named_event("message_delta", delta), named_event("message_stop", json!({}))];
        self.end_blocks().into_iter().chain(last).collect()
    }
}

/// Why a message ended: its stop reason and stop sequence.
type StopFields<'a> = (Option<&'static str>, Option<&'a str>);

/// Returns why an answer, which has one choice, ended.
fn stop_fields<'a>(
    options: &'a MessageOptions,
    head: &ResponseHead,
    ends: &[ChoiceEnd],
) -> StopFields<'a> {
    let Some(end) = ends.first() else { return (None, None) };
    match head.finish_reason(end).as_str() {
        "length" => (Some("max_tokens"), None),
        "tool_calls" | "function_call" => (Some("tool_use"), None),
        "content_filter" => (Some("refusal"), None),
        _ => {
            let sequence = options
                .stop_sequences
                .iter()
                .find(|sequence| end.stop_sequence.as_ref() == Some(*sequence));
            (
                Some(if sequence.is_some() { "stop_sequence" } else { "end_turn" }),
                sequence.map(String::as_str),
            )
        }
    }
}

fn document(
    head: &ResponseHead,
    content: &[Value],
    (reason, sequence): StopFields<'_>,
    tokens: (u64, u64),
) -> Value {
    json!({
        "id": head.id, "type": "message", "role": "assistant", "model": head.model, "content": content,
        "stop_reason": reason, "stop_sequence": sequence, "usage": usage_document(tokens),
    })
}

fn usage_document((input, output): (u64, u64)) -> Value {
    json!({
        "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output,
    })
}

/// Returns an item as a content block.
fn content_block(item: &Item) -> Value {
    match item {
        Item::Text(text) => json!({"type": "text", "text": text}),
        // Miners do not sign reasoning.
        Item::Reasoning(text) => json!({"type": "thinking", "thinking": text, "signature": ""}),
        Item::Call { id, name, arguments, .. } => {
            json!({"type": "tool_use", "id": id, "name": name, "input": tool_input(arguments)})
        }
    }
}

/// Returns the arguments of a tool call as a JSON object.
fn tool_input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match parse_object(arguments.as_bytes()) {
        Ok(input) => input.into(),
        Err(_) => json!({(INVALID_JSON): arguments}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::ChoiceFormat;

    #[test]
    fn tool_input_is_always_an_object() {
        for (arguments, expected) in [
            ("", json!({})),
            (" \n", json!({})),
            (r#"{"town":"Ulm"}"#, json!({"town": "Ulm"})),
            (r#"{"town":"#, json!({"INVALID_JSON": "{\"town\":"})),
            ("[1]", json!({"INVALID_JSON": "[1]"})),
            ("null", json!({"INVALID_JSON": "null"})),
        ] {
            assert_eq!(tool_input(arguments), expected);
        }
        // The parser's nesting limit does not apply to the text of such a key.
        let raw_value_json = r#"{"a":{"$serde_json::private::RawValue":"[1]"}}"#;
        assert_eq!(tool_input(raw_value_json), json!({"INVALID_JSON": raw_value_json}));
    }

    #[test]
    fn finish_reasons_become_stop_reasons() {
        let head = ResponseHead {
            id: "msg-1".to_owned(),
            model: "m".to_owned(),
            created: 0,
            choice_format: ChoiceFormat::Chat,
            wants_logprobs: false,
            wants_usage: false,
            max_tokens: 9,
            choice_count: 1,
            prompt_count: 1,
            echoed_prompts: Vec::new(),
        };
        let stop_sequences = vec!["END".to_owned(), "STOP".to_owned()];
        let options = MessageOptions { stop_sequences, wants_reasoning: false };
        for (choice, tokens, expected) in [
            (json!({"finish_reason": "stop"}), 1, ("end_turn", None)),
            (
                json!({"finish_reason": "stop", "stop_reason": "STOP"}),
                1,
                ("stop_sequence", Some("STOP")),
            ),
            (
                json!({"finish_reason": "stop", "matched_stop": "STOP"}),
                1,
                ("stop_sequence", Some("STOP")),
            ),
            // The model's own stop token or stop sequence.
            (
                json!({"finish_reason": "stop", "stop_reason": null, "matched_stop": 128_009}),
                1,
                ("end_turn", None),
            ),
            (json!({"finish_reason": "stop", "stop_reason": 128_009}), 1, ("end_turn", None)),
            (json!({"finish_reason": "stop", "stop_reason": "<|eot_id|>"}), 1, ("end_turn", None)),
            (json!({"finish_reason": "length"}), 1, ("max_tokens", None)),
            (json!({}), 9, ("max_tokens", None)),
            (json!({"finish_reason": "tool_calls"}), 1, ("tool_use", None)),
            (json!({"delta": {"tool_calls": [{}]}}), 1, ("tool_use", None)),
            (json!({"finish_reason": "content_filter"}), 1, ("refusal", None)),
        ] {
            let body = taonet_nineteen_query::ChunkBody::Object(json!({ "choices": [choice] }));
            let mut end = ChoiceEnd::default();
            end.record(&Chunk { body, characters: 0, entries: 0, is_content: true });
            end.tokens = tokens;
            assert_eq!(
                stop_fields(&options, &head, &[end]),
                (Some(expected.0), expected.1),
                "{choice}"
            );
        }
    }
}
