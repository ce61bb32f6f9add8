//! Miners' answers in OpenAI's form.

use axum::response::{IntoResponse, Json, Response};
use serde_json::{Map, Value, json};
use taonet_nineteen_query::{Answer, Chunk};

use crate::GatewayError;
use crate::bill::Bill;
use crate::delivery::{self, Events};

/// The event after the last one of a stream.
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
    /// Requested maximum of tokens; an answer that reaches it has the finish reason `length`.
    pub(crate) max_tokens: u64,
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
    pub(crate) fn finish_reason(&self, end: &End, output_tokens: u64) -> String {
        let word = if end.calls_tools {
            "tool_calls"
        } else if output_tokens >= self.max_tokens {
            "length"
        } else {
            "stop"
        };
        end.finish.clone().unwrap_or_else(|| word.to_owned())
    }
}

fn usage((input, output): (u64, u64)) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output)})
}

fn event(document: Map<String, Value>) -> String {
    format!("data: {}\n\n", Value::Object(document))
}

/// Finish reason of an answer, as far as its chunks state it.
#[derive(Default)]
pub(crate) struct End {
    finish: Option<String>,
    calls_tools: bool,
}

impl End {
    pub(crate) fn note(&mut self, chunk: &Chunk) {
        if let Some(finish) = chunk.finish_reason() {
            self.finish = Some(finish.to_owned());
        }
        self.calls_tools |= chunk.value.pointer("/choices/0/delta/tool_calls").is_some_and(Value::is_array);
    }
}

/// Streams an answer.
pub(crate) fn stream(head: Head, answer: Answer, bill: Bill) -> Response {
    delivery::stream(head, answer, bill)
}

impl Events for Head {
    fn begin(&mut self) -> Vec<String> {
        let delta = json!({"role": "assistant", "content": ""});
        let choice = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]);
        self.is_chat.then(|| event(self.chunk(choice))).into_iter().collect()
    }

    fn relay(&mut self, chunk: &Chunk) -> Vec<String> {
        self.convert(chunk).into_iter().collect()
    }

    fn interrupted(&mut self) -> Vec<String> {
        vec![format!("data: {}\n\n", GatewayError::Interrupted.document()), DONE.to_owned()]
    }

    fn finish(&mut self, end: &End, tokens: (u64, u64)) -> Vec<String> {
        let finish = self.finish_reason(end, tokens.1);
        let choice = if self.is_chat {
            json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": finish}])
        } else {
            json!([{"index": 0, "text": "", "logprobs": null, "finish_reason": finish}])
        };
        let mut events = vec![event(self.chunk(choice))];
        if self.wants_usage {
            let mut last = self.chunk(json!([]));
            last.insert("usage".to_owned(), usage(tokens));
            events.push(event(last));
        }
        events.push(DONE.to_owned());
        events
    }
}

impl Head {
    /// Converts a miner's chunk for the buyer; returns `None` if it has no content.
    fn convert(&self, chunk: &Chunk) -> Option<String> {
        if !chunk.is_content {
            return None;
        }
        let choice = chunk.value.pointer("/choices/0")?;
        let logprobs = Some(choice.get("logprobs").cloned().unwrap_or_default()).filter(|_| self.wants_logprobs);
        let choice = if self.is_chat {
            let mut delta = choice.get("delta").cloned().unwrap_or_else(|| json!({}));
            if let Some(delta) = delta.as_object_mut() {
                delta.shift_remove("role");
            }
            json!([{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": null}])
        } else {
            json!([{"index": 0, "text": choice.get("text"), "logprobs": logprobs, "finish_reason": null}])
        };
        Some(event(self.chunk(choice)))
    }
}

/// Returns an answer as one JSON document.
pub(crate) async fn whole(head: &Head, answer: Answer, bill: Bill) -> Result<Response, GatewayError> {
    let (mut text, mut calls, mut logprobs) = (String::new(), Vec::new(), Vec::new());
    let (end, tokens) = delivery::whole(answer, bill, |chunk| {
        let Some(choice) = chunk.value.pointer("/choices/0").filter(|_| chunk.is_content) else { return };
        let piece = choice.pointer("/delta/content").or(choice.get("text")).and_then(Value::as_str);
        text.push_str(piece.unwrap_or_default());
        if let Some(found) = choice.pointer("/delta/tool_calls").and_then(Value::as_array) {
            for call in found {
                merge_call(&mut calls, call);
            }
        }
        if head.wants_logprobs {
            logprobs.push(choice.get("logprobs").cloned().unwrap_or_default());
        }
    })
    .await?;
    let finish = head.finish_reason(&end, tokens.1);
    let choice = if head.is_chat {
        let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { text.into() };
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        if let Some(message) = message.as_object_mut().filter(|_| !calls.is_empty()) {
            message.insert("tool_calls".to_owned(), calls.into());
        }
        let logprobs = head.wants_logprobs.then(|| json!({"content": joined(&logprobs, "content"), "refusal": null}));
        json!({"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish})
    } else {
        let names = ["tokens", "token_logprobs", "top_logprobs", "text_offset"];
        let lists = names.iter().map(|name| ((*name).to_owned(), joined(&logprobs, name)));
        let logprobs = head.wants_logprobs.then(|| Value::Object(lists.collect()));
        json!({"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish})
    };
    let mut document = head.fields(if head.is_chat { "chat.completion" } else { "text_completion" });
    document.insert("choices".to_owned(), json!([choice]));
    document.insert("usage".to_owned(), usage(tokens));
    Ok(Json(document).into_response())
}

/// Concatenates the lists of this name in the chunks' log-probabilities.
fn joined(logprobs: &[Value], name: &str) -> Value {
    let lists = logprobs.iter().filter_map(|logprobs| logprobs.get(name)?.as_array());
    lists.flatten().cloned().collect()
}

/// Merges a fragment into the tool call of its index: names arrive whole, arguments in fragments.
fn merge_call(calls: &mut Vec<Value>, piece: &Value) {
    let index = piece.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
    let index = index.unwrap_or(calls.len());
    // Limit the number of calls in an answer.
    if index > calls.len() || index >= 128 {
        return;
    }
    let Some(call) = calls.get_mut(index) else {
        let mut call = piece.clone();
        if let Some(call) = call.as_object_mut() {
            call.shift_remove("index");
        }
        calls.push(call);
        return;
    };
    let more = piece.pointer("/function/arguments").and_then(Value::as_str).unwrap_or_default();
    if let Some(Value::String(arguments)) = call.pointer_mut("/function/arguments") {
        arguments.push_str(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_calls_are_put_together() {
        let mut calls = Vec::new();
        for piece in [
            json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x"}}),
            json!({"index": 0, "function": {"arguments": "\":1}"}}),
            json!({"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}),
            json!({"index": 7, "id": "far"}),
        ] {
            merge_call(&mut calls, &piece);
        }
        assert_eq!(
            calls,
            [
                json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}}),
                json!({"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}),
            ]
        );
    }
}
