//! Miners' answers in OpenAI's form.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Map, Value, json};
use taonet_nineteen_query::{Answer, Chunk};

use crate::GatewayError;
use crate::bill::Bill;

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
    pub(crate) fn finish(&self, end: &End, output_tokens: u64) -> String {
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

struct Stream {
    head: Head,
    answer: Option<Answer>,
    bill: Option<Bill>,
    end: End,
    ready: VecDeque<String>,
}

/// Streams an answer as server-sent events. The miner is read only as fast as the buyer reads; a buyer that disconnects
/// cancels its work and pays for what was delivered.
pub(crate) fn stream(head: Head, answer: Answer, bill: Bill) -> Response {
    let mut ready = VecDeque::new();
    if head.is_chat {
        let delta = json!({"role": "assistant", "content": ""});
        let choice = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]);
        ready.push_back(event(head.chunk(choice)));
    }
    let stream = Stream { head, answer: Some(answer), bill: Some(bill), end: End::default(), ready };
    let events = futures::stream::unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}

impl Stream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(text) = self.ready.pop_front() {
                return Some(text);
            }
            let answer = self.answer.as_mut()?;
            match answer.next().await {
                Some(Ok(chunk)) => {
                    self.end.note(&chunk);
                    if let Some(bill) = &mut self.bill {
                        bill.deliver(answer.pieces());
                    }
                    self.ready.extend(self.head.relay(&chunk));
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "answer interrupted");
                    let mut text = format!("data: {}\n\n", GatewayError::Interrupted.document());
                    text.push_str("data: [DONE]\n\n");
                    self.finish().await;
                    return Some(text);
                }
                None => {
                    let tokens = self.bill.as_ref().map_or((0, 0), Bill::tokens);
                    let finish = self.head.finish(&self.end, tokens.1);
                    let text = self.head.ending(&finish, tokens);
                    // Charge before sending the final event.
                    self.finish().await;
                    return Some(text);
                }
            }
        }
    }

    async fn finish(&mut self) {
        self.answer = None;
        if let Some(bill) = self.bill.take() {
            bill.settle().await;
        }
    }
}

impl Head {
    /// Converts a miner's chunk for the buyer; returns `None` if it has no content.
    fn relay(&self, chunk: &Chunk) -> Option<String> {
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

    fn ending(&self, finish: &str, tokens: (u64, u64)) -> String {
        let choice = if self.is_chat {
            json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": finish}])
        } else {
            json!([{"index": 0, "text": "", "logprobs": null, "finish_reason": finish}])
        };
        let mut text = event(self.chunk(choice));
        if self.wants_usage {
            let mut last = self.chunk(json!([]));
            last.insert("usage".to_owned(), usage(tokens));
            text.push_str(&event(last));
        }
        text.push_str("data: [DONE]\n\n");
        text
    }
}

/// Returns an answer as one JSON document.
pub(crate) async fn whole(head: &Head, mut answer: Answer, mut bill: Bill) -> Result<Response, GatewayError> {
    let (mut text, mut end) = (String::new(), End::default());
    let (mut calls, mut logprobs) = (Vec::new(), Vec::new());
    while let Some(chunk) = answer.next().await {
        let Ok(chunk) = chunk else {
            // Nothing was delivered: the buyer gets an error instead.
            bill.deliver(0);
            bill.settle().await;
            return Err(GatewayError::Interrupted);
        };
        end.note(&chunk);
        bill.deliver(answer.pieces());
        let Some(choice) = chunk.value.pointer("/choices/0").filter(|_| chunk.is_content) else { continue };
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
    }
    drop(answer);
    let tokens = bill.tokens();
    bill.settle().await;
    let finish = head.finish(&end, tokens.1);
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
