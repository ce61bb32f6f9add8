//! Client of an inference server with OpenAI's API.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use taonet_primitives::printable_excerpt;
use url::Url;

use crate::Fault;
use crate::client::{bearer, builder, fault, join_path, read_capped};
use crate::sse::{EventStream, EventTooLong, ServerEvent};

/// Maximum number of bytes read from an error response.
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
/// Maximum number of characters of the server's error message in errors.
const MAX_QUOTED_CHARS: usize = 200;
/// Maximum size of a JSON response in bytes.
const MAX_JSON_BYTES: usize = 4 << 20;
/// Maximum size of all events of a stream in bytes.
const MAX_STREAM_BYTES: usize = 4 << 20;

/// Why a call to an inference server failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelServerError {
    /// The API key contains characters that a header cannot have.
    #[error(
        "the API key is not a valid header value; hint: remove line breaks and control characters"
    )]
    Key,
    /// TLS initialisation failed.
    #[error("cannot create the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// The response has an error status.
    #[error("HTTP {}{}", status.as_u16(), explanation(message))]
    Status {
        /// HTTP status of the response.
        status: StatusCode,
        /// The server's message without the API key, shortened; empty if the response has none.
        message: String,
    },
    /// The server is unreachable, did not complete its response before the timeout, or sent a
    /// response that is too large.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// An event of a stream is too long.
    #[error(transparent)]
    Event(#[from] EventTooLong),
    /// The response is not JSON, or a field is missing or has the wrong type.
    #[error("malformed response: {0}")]
    Malformed(#[source] serde_json::Error),
}

fn explanation(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl ModelServerError {
    /// Whether the timeout elapsed.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Fault(Fault::Timeout))
    }
}

/// Client of an inference server with OpenAI's API. The timeout of a call covers the complete
/// response.
#[derive(Clone)]
pub struct ModelServer {
    http: reqwest::Client,
    base_url: Url,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelServer").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl ModelServer {
    /// Creates a client of the server at `base_url`, such as `http://127.0.0.1:8000/v1`, with an
    /// optional API key and the timeout of each call.
    ///
    /// # Errors
    /// [`ModelServerError::Key`] and [`ModelServerError::Setup`].
    pub fn new(
        base_url: &Url,
        key: Option<&str>,
        timeout: Duration,
    ) -> Result<Self, ModelServerError> {
        Ok(Self {
            http: builder().build().map_err(ModelServerError::Setup)?,
            base_url: base_url.clone(),
            authorization: key.map(|key| bearer(key).ok_or(ModelServerError::Key)).transpose()?,
            timeout,
        })
    }

    /// Returns the timeout of each call.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns a client of the same server whose calls end after `limit` at the latest.
    #[must_use]
    pub fn with_timeout_at_most(&self, limit: Duration) -> Self {
        Self { timeout: self.timeout.min(limit), ..self.clone() }
    }

    /// Returns the ID of the first model in the server's list (`GET models`); `None` if the list is
    /// empty.
    ///
    /// # Errors
    /// [`ModelServerError`].
    pub async fn first_model(&self) -> Result<Option<String>, ModelServerError> {
        let response = self.send(self.http.get(join_path(&self.base_url, "models"))).await?;
        let list: Value = parse(&read_capped(response, MAX_JSON_BYTES).await?)?;
        Ok(list.pointer("/data/0/id").and_then(Value::as_str).map(str::to_owned))
    }

    /// Posts JSON to a path below the base URL and deserialises the JSON response.
    ///
    /// # Errors
    /// [`ModelServerError`].
    pub async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ModelServerError> {
        let response =
            self.send(self.http.post(join_path(&self.base_url, path)).json(body)).await?;
        parse(&read_capped(response, MAX_JSON_BYTES).await?)
    }

    /// Posts a body of any content type to a path below the base URL and deserialises the JSON
    /// response.
    ///
    /// # Errors
    /// [`ModelServerError`].
    pub async fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<T, ModelServerError> {
        let request = self
            .http
            .post(join_path(&self.base_url, path))
            .header(CONTENT_TYPE, content_type)
            .body(body);
        parse(&read_capped(self.send(request).await?, MAX_JSON_BYTES).await?)
    }

    /// Posts JSON to a path below the base URL and appends the body of the response, at most
    /// `limit` bytes, to `received` as it arrives.
    ///
    /// # Errors
    /// [`ModelServerError`]; `received` has the bytes before the error.
    pub async fn receive(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: usize,
        received: &mut Vec<u8>,
    ) -> Result<(), ModelServerError> {
        let mut response =
            self.send(self.http.post(join_path(&self.base_url, path)).json(body)).await?;
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            if received.len() + chunk.len() > limit {
                return Err(Fault::TooLarge(limit).into());
            }
            received.extend_from_slice(&chunk);
        }
        Ok(())
    }

    /// Posts JSON to a path below the base URL and calls `on_event` with the JSON of each
    /// server-sent event, until `[DONE]`, the end of the stream, or a break. If the response is a
    /// single JSON document, it counts as one event. After a break, the connection is closed, which
    /// cancels the server's work.
    ///
    /// # Errors
    /// [`ModelServerError`]; `on_event` has received the events before the error.
    pub async fn events(
        &self,
        path: &str,
        body: &impl Serialize,
        mut on_event: impl FnMut(Value) -> ControlFlow<()>,
    ) -> Result<(), ModelServerError> {
        let mut response =
            self.send(self.http.post(join_path(&self.base_url, path)).json(body)).await?;
        let content_type =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if content_type.is_some_and(|value| value.starts_with("application/json")) {
            let _ = on_event(parse(&read_capped(response, MAX_JSON_BYTES).await?)?);
            return Ok(());
        }
        let (mut stream, mut read_bytes, mut flow) =
            (EventStream::default(), 0, ControlFlow::Continue(()));
        let mut handle_event = |event: ServerEvent<'_>| {
            if flow.is_continue() {
                flow = if event.is_done() {
                    ControlFlow::Break(())
                } else {
                    on_event(parse(event.data)?)
                };
            }
            Ok::<_, ModelServerError>(flow)
        };
        let mut has_ended = false;
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            read_bytes += chunk.len();
            if read_bytes > MAX_STREAM_BYTES {
                return Err(Fault::TooLarge(MAX_STREAM_BYTES).into());
            }
            stream.push(&chunk, |data| {
                has_ended = handle_event(data)?.is_break();
                Ok::<_, ModelServerError>(())
            })?;
            if has_ended {
                return Ok(());
            }
        }
        stream.finish(|data| handle_event(data).map(drop))
    }

    /// Sends a request with key and timeout; returns a successful response once its headers have
    /// arrived.
    async fn send(&self, mut request: RequestBuilder) -> Result<Response, ModelServerError> {
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request.timeout(self.timeout).send().await.map_err(fault)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read_capped(response, MAX_ERROR_BODY_BYTES).await.unwrap_or_default();
        Err(ModelServerError::Status { status, message: self.message(&body) })
    }

    /// Returns the message of an error response, without the API key.
    fn message(&self, body: &[u8]) -> String {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = document.pointer("/error/message").or_else(|| document.get("error"));
        let mut message = message.and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = self
            .authorization
            .as_ref()
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            message = message.replace(key, "***");
        }
        printable_excerpt(&message, MAX_QUOTED_CHARS)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ModelServerError> {
    serde_json::from_slice(bytes).map_err(ModelServerError::Malformed)
}

#[cfg(test)]
mod tests;
