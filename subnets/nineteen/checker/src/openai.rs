//! Reference model behind an OpenAI-compatible server.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use taonet_nineteen_core::checker::text::{Token, comparable_positions};
use taonet_nineteen_core::task::Endpoint;

use crate::{
    AnswerLogprobs, CheckError, CheckingServer, LogprobsRequest, PositionLogprobs, ReferenceModel,
    TOP_TOKENS,
};

/// A reference model on an OpenAI-compatible server that the validator runs.
///
/// Requests continue the answer as an unfinished turn (`continue_final_message` in vLLM and SGLang;
/// llama.cpp does so by default) with the log-probabilities of the prompt (`prompt_logprobs`,
/// vLLM), which cover every token in one pass. If the server returns none, each position takes a
/// request for one token instead.
#[derive(Debug, Clone)]
pub struct OpenAiReference {
    server: CheckingServer,
    model: String,
}

impl OpenAiReference {
    /// Creates a reference from the model with this name on a server.
    pub fn new(server: CheckingServer, model: impl Into<String>) -> Self {
        Self { server, model: model.into() }
    }

    /// Builds a request for the next token after `answer_start`, the beginning of an answer.
    fn request_body(
        &self,
        request: &LogprobsRequest<'_>,
        answer_start: &str,
    ) -> Result<Map<String, Value>, CheckError> {
        let mut body = Map::new();
        body.insert("model".to_owned(), self.model.as_str().into());
        if request.endpoint == Endpoint::Completions {
            let prompt = request.payload.get("prompt").and_then(Value::as_str);
            let prompt = prompt.ok_or(CheckError::MalformedSample("no prompt"))?;
            body.insert("prompt".to_owned(), format!("{prompt}{answer_start}").into());
            body.insert("logprobs".to_owned(), TOP_TOKENS.into());
        } else {
            let messages = request.payload.get("messages").and_then(Value::as_array);
            let mut messages = messages.ok_or(CheckError::MalformedSample("no messages"))?.clone();
            if !answer_start.is_empty() {
                messages.push(json!({"role": "assistant", "content": answer_start}));
                body.insert("add_generation_prompt".to_owned(), false.into());
                body.insert("continue_final_message".to_owned(), true.into());
            }
            body.insert("messages".to_owned(), messages.into());
            body.insert("logprobs".to_owned(), true.into());
            body.insert("top_logprobs".to_owned(), TOP_TOKENS.into());
        }
        for name in ["seed", "temperature"] {
            if let Some(value) = request.payload.get(name) {
                body.insert(name.to_owned(), value.clone());
            }
        }
        body.insert("max_tokens".to_owned(), 1.into());
        body.insert("stream".to_owned(), false.into());
        Ok(body)
    }

    async fn full_text_logprobs(
        &self,
        request: &LogprobsRequest<'_>,
    ) -> Result<Option<Vec<PositionLogprobs>>, CheckError> {
        let text: String = request.tokens.iter().map(|token| token.text.as_str()).collect();
        let mut body = self.request_body(request, &text)?;
        body.insert("prompt_logprobs".to_owned(), TOP_TOKENS.into());
        let response = match self.server.post(request.endpoint.path(), &body).await {
            // The server does not support the option.
            Err(CheckError::Refused { status: 400 | 422, .. }) => return Ok(None),
            other => other?,
        };
        let logprobs = response
            .get("prompt_logprobs")
            .or_else(|| response.pointer("/choices/0/prompt_logprobs"));
        Ok(logprobs
            .and_then(Value::as_array)
            .and_then(|positions| align(positions, request.tokens)))
    }

    async fn position_logprobs(
        &self,
        request: &LogprobsRequest<'_>,
        position: usize,
    ) -> Result<PositionLogprobs, CheckError> {
        let answer_start: String =
            request.tokens.iter().take(position).map(|token| token.text.as_str()).collect();
        let response = self
            .server
            .post(request.endpoint.path(), &self.request_body(request, &answer_start)?)
            .await?;
        let missing = CheckError::Malformed("has no log-probabilities of the likeliest tokens");
        let top: Vec<(String, f64)> = if request.endpoint == Endpoint::Completions {
            let top = response
                .pointer("/choices/0/logprobs/top_logprobs/0")
                .and_then(Value::as_object)
                .ok_or(missing)?;
            top.iter()
                .filter_map(|(token, logprob)| Some((token.clone(), logprob.as_f64()?)))
                .collect()
        } else {
            let top = response
                .pointer("/choices/0/logprobs/content/0/top_logprobs")
                .and_then(Value::as_array);
            let parse_entry = |entry: &Value| {
                Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logprob")?.as_f64()?))
            };
            top.ok_or(missing)?.iter().filter_map(parse_entry).collect()
        };
        Ok(PositionLogprobs { top, miner_token: None, end_logprob: None })
    }
}

#[async_trait]
impl ReferenceModel for OpenAiReference {
    async fn logprobs(&self, request: &LogprobsRequest<'_>) -> Result<AnswerLogprobs, CheckError> {
        if let Some(logprobs) = self.full_text_logprobs(request).await? {
            return Ok(AnswerLogprobs::FullText(logprobs));
        }
        let mut logprobs = Vec::with_capacity(request.positions.len());
        for position in request.positions {
            logprobs.push(self.position_logprobs(request, *position).await?);
        }
        Ok(AnswerLogprobs::Positions(logprobs))
    }

    async fn generate(
        &self,
        messages: &[Value],
        max_tokens: u64,
        seed: u64,
    ) -> Result<Option<String>, CheckError> {
        let body = json!({
            "model": self.model, "messages": messages, "max_tokens": max_tokens, "temperature": 1.0, "seed": seed,
            "stream": false,
        });
        let body = body.as_object().ok_or(CheckError::MalformedSample("no messages"))?;
        let response = self.server.post(Endpoint::Chat.path(), body).await?;
        let content = response.pointer("/choices/0/message/content").and_then(Value::as_str);
        content
            .map(|content| Some(content.to_owned()))
            .ok_or(CheckError::Malformed("has no message"))
    }
}

/// Matches the last positions of a prompt with the miner's tokens; `None` if the server splits the
/// answer into different tokens.
fn align(positions: &[Value], tokens: &[Token]) -> Option<Vec<PositionLogprobs>> {
    let answer_positions = positions.get(positions.len().checked_sub(tokens.len())?..)?;
    let comparable = comparable_positions(tokens);
    // Servers differ in how they show a part of a character.
    let comparable_token = |position: usize| {
        tokens.get(position).filter(|_| comparable.binary_search(&position).is_ok())
    };
    let parse = |(position, entries): (usize, &Value)| {
        parse_position(entries.as_object()?, comparable_token(position).map(|token| &*token.text))
    };
    answer_positions.iter().enumerate().map(parse).collect()
}

/// Parses a position in vLLM's format: a map from token IDs to log-probability, rank and text. The
/// token of the prompt comes first; its text must equal `text`, if given.
fn parse_position(entries: &Map<String, Value>, text: Option<&str>) -> Option<PositionLogprobs> {
    let parse_entry = |entry: &Value| {
        let text = entry.get("decoded_token")?.as_str()?.to_owned();
        Some((
            text,
            u32::try_from(entry.get("rank")?.as_u64()?).ok()?,
            entry.get("logprob")?.as_f64()?,
        ))
    };
    let (first, rank, logprob) = parse_entry(entries.values().next()?)?;
    if text.is_some_and(|text| first != text) {
        return None;
    }
    let mut top: Vec<_> = entries.values().filter_map(parse_entry).collect();
    top.sort_by_key(|(_, rank, _)| *rank);
    let top = top.into_iter().map(|(text, _, logprob)| (text, logprob)).collect();
    Some(PositionLogprobs { top, miner_token: Some((rank, logprob)), end_logprob: None })
}
