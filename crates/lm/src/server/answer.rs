//! Responses with answers of the model, streamed or as one JSON document.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::Receiver;

use super::error_response;
use super::request::Request;
use crate::vocabulary::TextStream;
use crate::{EngineEvent, LanguageModel, PositionProbabilities, Step};

/// A streamed answer in progress.
struct AnswerStream {
    model: Arc<LanguageModel>,
    request: Request,
    prompt_tokens: usize,
    events: Receiver<EngineEvent>,
    text: TextStream,
    tokens: usize,
    has_ended: bool,
}

/// Returns an answer as a stream of server-sent events.
pub(super) fn stream(
    model: Arc<LanguageModel>,
    request: Request,
    prompt_tokens: usize,
    events: Receiver<EngineEvent>,
) -> Response {
    let text = TextStream::default();
    let stream =
        AnswerStream { model, request, prompt_tokens, events, text, tokens: 0, has_ended: false };
    let chunks = futures::stream::unfold(stream, |mut stream| async move {
        if stream.has_ended {
            return None;
        }
        let text = stream.next().await;
        Some((Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(chunks)).into_response()
}

impl AnswerStream {
    async fn next(&mut self) -> String {
        let Self { model, request, .. } = self;
        match self.events.recv().await {
            Some(EngineEvent::Step(step)) => {
                self.tokens += 1;
                let text = self.text.push(model.vocabulary(), step.token);
                event(&step_chunk(model, request, &step, &text))
            }
            Some(EngineEvent::End(finish)) => {
                self.has_ended = true;
                let last_text = self.text.finish(model.vocabulary());
                let mut text = event(&end_chunk(model, request, &last_text, finish.as_str()));
                if request.wants_usage {
                    let mut chunk = common_fields(model, request);
                    chunk.insert("choices".to_owned(), json!([]));
                    chunk.insert("usage".to_owned(), usage(self.prompt_tokens, self.tokens));
                    text.push_str(&event(&Value::Object(chunk)));
                }
                text.push_str("data: [DONE]\n\n");
                text
            }
            Some(EngineEvent::Failed) | None => {
                self.has_ended = true;
                event(&json!({"error": {"message": "the model failed"}}))
            }
        }
    }
}

/// Returns an answer as one JSON document.
pub(super) async fn complete_response(
    model: &LanguageModel,
    request: &Request,
    prompt_tokens: usize,
    scored_prompt: Option<(Vec<u32>, Vec<PositionProbabilities>)>,
    mut events: Receiver<EngineEvent>,
) -> Response {
    let mut steps = Vec::new();
    let finish = loop {
        match events.recv().await {
            Some(EngineEvent::Step(step)) => steps.push(step),
            Some(EngineEvent::End(finish)) => break finish.as_str(),
            Some(EngineEvent::Failed) | None => {
                return error_response(StatusCode::INTERNAL_SERVER_ERROR, "the model failed", None);
            }
        }
    };
    let tokens: Vec<u32> = steps.iter().map(|step| step.token).collect();
    let text = model.vocabulary().decode(&tokens);
    let logprobs = request.wants_logprobs.then(|| logprobs(model, request, &steps));
    let choice = if request.is_chat() {
        let message = json!({"role": "assistant", "content": text});
        json!({"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish})
    } else {
        json!({"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish})
    };
    let mut response = common_fields(model, request);
    response.insert(
        "object".to_owned(),
        if request.is_chat() { "chat.completion" } else { "text_completion" }.into(),
    );
    response.insert("choices".to_owned(), json!([choice]));
    response.insert("usage".to_owned(), usage(prompt_tokens, steps.len()));
    if let Some((tokens, probabilities)) = scored_prompt {
        response
            .insert("prompt_logprobs".to_owned(), prompt_logprobs(model, &tokens, &probabilities));
    }
    Json(response).into_response()
}

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn usage(prompt: usize, completion: usize) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    })
}

fn common_fields(model: &LanguageModel, request: &Request) -> Map<String, Value> {
    let (id, object) = if request.is_chat() {
        ("chatcmpl-0", "chat.completion.chunk")
    } else {
        ("cmpl-0", "text_completion")
    };
    let mut fields = Map::new();
    fields.insert("id".to_owned(), id.into());
    fields.insert("object".to_owned(), object.into());
    fields.insert("created".to_owned(), 0.into());
    fields.insert("model".to_owned(), model.name().into());
    fields
}

fn step_chunk(model: &LanguageModel, request: &Request, step: &Step, text: &str) -> Value {
    let steps = std::slice::from_ref(step);
    let logprobs = request.wants_logprobs.then(|| logprobs(model, request, steps));
    let choice = if request.is_chat() {
        json!({"index": 0, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": null})
    } else {
        json!({"index": 0, "text": text, "logprobs": logprobs, "finish_reason": null})
    };
    let mut chunk = common_fields(model, request);
    chunk.insert("choices".to_owned(), json!([choice]));
    Value::Object(chunk)
}

fn end_chunk(model: &LanguageModel, request: &Request, text: &str, finish: &str) -> Value {
    let choice = if request.is_chat() {
        let delta = if text.is_empty() { json!({}) } else { json!({"content": text}) };
        json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish})
    } else {
        json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish})
    };
    let mut chunk = common_fields(model, request);
    chunk.insert("choices".to_owned(), json!([choice]));
    Value::Object(chunk)
}

/// Returns log-probabilities in the response format of chat completions or of completions.
fn logprobs(model: &LanguageModel, request: &Request, steps: &[Step]) -> Value {
    if request.is_chat() {
        let content: Vec<Value> = steps
            .iter()
            .map(|step| {
                let mut content = token_logprob(model, step.token, step.logprob);
                let top: Vec<_> = step
                    .top
                    .iter()
                    .map(|(token, logprob)| token_logprob(model, *token, *logprob))
                    .collect();
                if let Some(fields) = content.as_object_mut() {
                    fields.insert("top_logprobs".to_owned(), top.into());
                }
                content
            })
            .collect();
        return json!({"content": content});
    }
    json!({
        "tokens": steps.iter().map(|step| token_text(model, step.token)).collect::<Vec<_>>(),
        "token_logprobs": steps.iter().map(|step| step.logprob).collect::<Vec<_>>(),
        "top_logprobs": steps.iter().map(|step| top_logprobs(model, step)).collect::<Vec<_>>(),
        "text_offset": steps.iter().scan(0, |offset, step| {
            let start = *offset;
            *offset += token_text(model, step.token).len();
            Some(start)
        }).collect::<Vec<_>>(),
    })
}

/// Returns the log-probability of a token in the format of chat completions.
fn token_logprob(model: &LanguageModel, token: u32, logprob: f64) -> Value {
    let text = token_text(model, token);
    json!({"token": text, "logprob": logprob, "bytes": text.as_bytes()})
}

/// Returns the likeliest tokens of a step in the format of completions.
fn top_logprobs(model: &LanguageModel, step: &Step) -> Map<String, Value> {
    step.top
        .iter()
        .map(|(token, logprob)| (token_text(model, *token).to_owned(), (*logprob).into()))
        .collect()
}

/// Returns the log-probabilities of a prompt in vLLM's format: null for the first token; for each
/// later token, a map from token IDs to log-probability, rank and text, the prompt's own token
/// first.
fn prompt_logprobs(
    model: &LanguageModel,
    tokens: &[u32],
    probabilities: &[PositionProbabilities],
) -> Value {
    let first = std::iter::once(Value::Null);
    let later = probabilities.iter().zip(tokens.iter().skip(1)).map(|(position, token)| {
        let mut entries = Map::new();
        let prompt_token_logprob = prompt_logprob(model, position.rank, position.logprob, *token);
        entries.insert(token.to_string(), prompt_token_logprob);
        for ((other, logprob), rank) in position.top.iter().zip(1..) {
            entries
                .entry(other.to_string())
                .or_insert_with(|| prompt_logprob(model, rank, *logprob, *other));
        }
        Value::Object(entries)
    });
    first.chain(later).collect()
}

fn prompt_logprob(model: &LanguageModel, rank: u32, logprob: f64, token: u32) -> Value {
    // JSON has no infinity; vLLM writes -∞ as -9999.
    let logprob = logprob.max(-9_999.0);
    json!({"logprob": logprob, "rank": rank, "decoded_token": token_text(model, token)})
}

/// Returns the text of a token; end tokens are returned by name, as in other servers.
fn token_text(model: &LanguageModel, token: u32) -> &str {
    if model.vocabulary().end_tokens().contains(&token) {
        "<|end|>"
    } else {
        model.vocabulary().text(token)
    }
}
