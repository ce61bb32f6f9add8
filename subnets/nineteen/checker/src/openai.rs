//! Reference model behind an OpenAI-compatible server.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Map, Value, json};
use taonet_nineteen_core::checker::text::Token;
use taonet_nineteen_core::task::Endpoint;
use url::Url;
use zeroize::Zeroizing;

use crate::{CheckError, LIKELIEST, PlaceReading, Question, Reading, ReferenceModel};

/// Maximum size of a response, in bytes.
const LARGEST: usize = 64 << 20;
/// Maximum number of characters to keep of an error response.
const SNIPPET: usize = 300;

/// A reference model on an OpenAI-compatible server that the validator runs.
///
/// Requests continue the answer as an unfinished turn (`continue_final_message` in vLLM and SGLang; llama.cpp does so
/// by default) and ask for the log-probabilities of the prompt (`prompt_logprobs`, vLLM), which cover every token in
/// one pass. If the server returns none, each position takes a request for one token instead.
#[derive(Debug, Clone)]
pub struct OpenAiReference {
    http: reqwest::Client,
    base: String,
    model: String,
    authorization: Option<HeaderValue>,
}

impl OpenAiReference {
    /// Creates a client for a server from its base URL, such as `http://127.0.0.1:8000/v1`, its name of the model, an
    /// optional bearer token and the timeout of a request.
    ///
    /// # Errors
    /// [`CheckError::Setup`] when the token is not a valid header or the HTTP client cannot be built.
    pub fn new(
        base: &Url,
        model: impl Into<String>,
        token: Option<&Zeroizing<String>>,
        timeout: Duration,
    ) -> Result<Self, CheckError> {
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| CheckError::Setup(error.into()))?;
        let header = |token: &Zeroizing<String>| {
            let text = Zeroizing::new(format!("Bearer {}", token.trim()));
            let mut value = HeaderValue::try_from(text.as_str()).map_err(|error| CheckError::Setup(error.into()))?;
            value.set_sensitive(true);
            Ok::<_, CheckError>(value)
        };
        let authorization = token.map(header).transpose()?;
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http, base, model: model.into(), authorization })
    }

    async fn post(&self, path: &str, body: &Map<String, Value>) -> Result<Value, CheckError> {
        let mut request = self.http.post(format!("{}{path}", self.base)).json(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let mut answer = request.send().await.map_err(CheckError::NoAnswer)?;
        let (status, mut body) = (answer.status(), Vec::new());
        while let Some(piece) = answer.chunk().await.map_err(CheckError::NoAnswer)? {
            if body.len() + piece.len() > LARGEST {
                return Err(CheckError::Malformed("an end within 64 MiB"));
            }
            body.extend_from_slice(&piece);
        }
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body).chars().take(SNIPPET).collect();
            return Err(CheckError::Refused { status: status.as_u16(), text });
        }
        serde_json::from_slice(&body).map_err(|_| CheckError::Malformed("JSON"))
    }

    /// Builds a request for one more token after `begun`, the beginning of an answer.
    fn request(&self, question: &Question<'_>, begun: &str) -> Result<Map<String, Value>, CheckError> {
        let mut body = Map::new();
        body.insert("model".to_owned(), self.model.as_str().into());
        if question.endpoint == Endpoint::Completions {
            let prompt = question.payload.get("prompt").and_then(Value::as_str);
            let prompt = prompt.ok_or(CheckError::Sample("no prompt"))?;
            body.insert("prompt".to_owned(), format!("{prompt}{begun}").into());
            body.insert("logprobs".to_owned(), LIKELIEST.into());
        } else {
            let messages = question.payload.get("messages").and_then(Value::as_array);
            let mut messages = messages.ok_or(CheckError::Sample("no messages"))?.clone();
            if !begun.is_empty() {
                messages.push(json!({"role": "assistant", "content": begun}));
                body.insert("add_generation_prompt".to_owned(), false.into());
                body.insert("continue_final_message".to_owned(), true.into());
            }
            body.insert("messages".to_owned(), messages.into());
            body.insert("logprobs".to_owned(), true.into());
            body.insert("top_logprobs".to_owned(), LIKELIEST.into());
        }
        for name in ["seed", "temperature"] {
            if let Some(value) = question.payload.get(name) {
                body.insert(name.to_owned(), value.clone());
            }
        }
        body.insert("max_tokens".to_owned(), 1.into());
        body.insert("stream".to_owned(), false.into());
        Ok(body)
    }

    async fn whole(&self, question: &Question<'_>) -> Result<Option<Vec<PlaceReading>>, CheckError> {
        let text: String = question.tokens.iter().map(|token| token.text.as_str()).collect();
        let mut body = self.request(question, &text)?;
        body.insert("prompt_logprobs".to_owned(), LIKELIEST.into());
        let answer = match self.post(question.endpoint.path(), &body).await {
            // The server does not support the option.
            Err(CheckError::Refused { status: 400 | 422, .. }) => return Ok(None),
            other => other?,
        };
        let found = answer.get("prompt_logprobs").or_else(|| answer.pointer("/choices/0/prompt_logprobs"));
        Ok(found.and_then(Value::as_array).and_then(|places| align(places, question.tokens)))
    }

    async fn place(&self, question: &Question<'_>, place: usize) -> Result<PlaceReading, CheckError> {
        let begun: String = question.tokens.iter().take(place).map(|token| token.text.as_str()).collect();
        let answer = self.post(question.endpoint.path(), &self.request(question, &begun)?).await?;
        let missing = CheckError::Malformed("log-probabilities of the likeliest tokens");
        let top: Vec<(String, f64)> = if question.endpoint == Endpoint::Completions {
            let top = answer.pointer("/choices/0/logprobs/top_logprobs/0").and_then(Value::as_object).ok_or(missing)?;
            top.iter().filter_map(|(token, logprob)| Some((token.clone(), logprob.as_f64()?))).collect()
        } else {
            let top = answer.pointer("/choices/0/logprobs/content/0/top_logprobs").and_then(Value::as_array);
            let entry =
                |entry: &Value| Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logprob")?.as_f64()?));
            top.ok_or(missing)?.iter().filter_map(entry).collect()
        };
        Ok(PlaceReading { top, own: None, end_logprob: None })
    }
}

#[async_trait]
impl ReferenceModel for OpenAiReference {
    async fn read(&self, question: &Question<'_>) -> Result<Reading, CheckError> {
        if let Some(whole) = self.whole(question).await? {
            return Ok(Reading::Whole(whole));
        }
        let mut readings = Vec::with_capacity(question.places.len());
        for place in question.places {
            readings.push(self.place(question, *place).await?);
        }
        Ok(Reading::Places(readings))
    }
}

/// Reads the last positions of a prompt as the miner's tokens; `None` if the server tokenizes the answer differently.
fn align(places: &[Value], tokens: &[Token]) -> Option<Vec<PlaceReading>> {
    let own = places.get(places.len().checked_sub(tokens.len())?..)?;
    own.iter().zip(tokens).map(|(place, token)| reading(place.as_object()?, &token.text)).collect()
}

/// Reads a position in vLLM's form: a map from token ids to log-probability, rank and text, the prompt's token first.
fn reading(place: &Map<String, Value>, text: &str) -> Option<PlaceReading> {
    let entry = |entry: &Value| {
        let text = entry.get("decoded_token")?.as_str()?.to_owned();
        Some((text, u32::try_from(entry.get("rank")?.as_u64()?).ok()?, entry.get("logprob")?.as_f64()?))
    };
    let (first, rank, logprob) = entry(place.values().next()?)?;
    if first != text {
        return None;
    }
    let mut top: Vec<_> = place.values().filter_map(entry).collect();
    top.sort_by_key(|(_, rank, _)| *rank);
    let top = top.into_iter().map(|(text, _, logprob)| (text, logprob)).collect();
    Some(PlaceReading { top, own: Some((rank, logprob)), end_logprob: None })
}
