//! A client for JSON objects over HTTP, with deadlines and size limits, and without redirects.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use reqwest::{RequestBuilder, StatusCode};
use serde::Serialize;
use serde_json::Value;
use taonet_primitives::printable_excerpt;
use url::Url;

use crate::Fault;
use crate::client::{builder, fault, join_path, read_capped, retry_after};

/// Maximum number of bytes read from an error response.
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
/// Maximum number of characters of a response body to include in errors.
const MAX_QUOTED_CHARS: usize = 300;
/// Connect timeout, the same as in the reference implementation.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a JSON call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonCallError {
    /// The response has a status other than 200.
    #[error("failed status={} body={}", status.as_u16(), excerpt(body))]
    Status {
        /// HTTP status of the response.
        status: StatusCode,
        /// Body of the response.
        body: String,
        /// Delay from the `Retry-After` header, if the response had one.
        retry_after: Option<Duration>,
    },
    /// No complete response arrived, or the response is not a JSON object.
    #[error("{}", format_fault(.0))]
    Fault(#[source] Fault),
}

/// Returns the beginning of a response body in one line, from which no hint can be split: the body
/// is the server's text, and hints are this program's.
fn excerpt(body: &str) -> String {
    printable_excerpt(body, MAX_QUOTED_CHARS).replace("hint: ", "hint ")
}

fn format_fault(fault: &Fault) -> String {
    match fault {
        Fault::NotAnObject => "returned invalid json".to_owned(),
        other => format!("failed: {other}"),
    }
}

impl JsonCallError {
    /// Whether a retry may succeed: the service was unreachable, overloaded or failed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Fault(fault) => {
                matches!(fault, Fault::Timeout | Fault::Transport(_) | Fault::NotAnObject)
            }
        }
    }

    /// Whether the response is 404 Not Found.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Returns the delay from the `Retry-After` header, if the response had one.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Fault(_) => None,
        }
    }
}

/// JSON client of one service.
#[derive(Debug, Clone)]
pub struct JsonClient {
    http: reqwest::Client,
    base_url: Url,
    authorization: Option<HeaderValue>,
    max_body_bytes: usize,
}

impl JsonClient {
    /// Creates a client of the service at `base_url`, which may have a path and any number of
    /// trailing slashes. It uses no proxy, so that a token reaches only this service.
    ///
    /// # Errors
    /// When TLS cannot be initialised.
    pub fn new(
        base_url: &Url,
        authorization: Option<HeaderValue>,
        max_body_bytes: usize,
    ) -> Result<Self, reqwest::Error> {
        let http = builder().connect_timeout(CONNECT_TIMEOUT).build()?;
        Ok(Self { http, base_url: base_url.clone(), authorization, max_body_bytes })
    }

    /// Returns a copy of the client with this `Authorization` header, or without one.
    #[must_use]
    pub fn authorized(&self, authorization: Option<HeaderValue>) -> Self {
        Self { authorization, ..self.clone() }
    }

    /// Posts JSON and returns the object in the response.
    ///
    /// # Errors
    /// [`JsonCallError`] if the call fails, the status is not 200, or the response is not a JSON
    /// object.
    pub async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
    ) -> Result<Value, JsonCallError> {
        self.send(self.http.post(join_path(&self.base_url, path)).json(body), timeout).await
    }

    /// Fetches the JSON object at a path.
    ///
    /// # Errors
    /// [`JsonCallError`] if the call fails, the status is not 200, or the response is not a JSON
    /// object.
    pub async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Value, JsonCallError> {
        let mut url = join_path(&self.base_url, path);
        url.query_pairs_mut().extend_pairs(query);
        self.send(self.http.get(url), timeout).await
    }

    async fn send(
        &self,
        mut request: RequestBuilder,
        timeout: Duration,
    ) -> Result<Value, JsonCallError> {
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request
            .timeout(timeout)
            .send()
            .await
            .map_err(|error| JsonCallError::Fault(fault(error)))?;
        let status = response.status();
        if status != StatusCode::OK {
            let retry_after = retry_after(&response);
            let body = read_capped(response, MAX_ERROR_BODY_BYTES).await.unwrap_or_default();
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(JsonCallError::Status { status, body, retry_after });
        }
        let bytes =
            read_capped(response, self.max_body_bytes).await.map_err(JsonCallError::Fault)?;
        match serde_json::from_slice(&bytes) {
            Ok(object @ Value::Object(_)) => Ok(object),
            _ => Err(JsonCallError::Fault(Fault::NotAnObject)),
        }
    }
}

/// Deserialises the fields of a response.
///
/// # Errors
/// [`JsonCallError::Fault`] if a field is missing or has the wrong type.
pub fn parse_fields<T: serde::de::DeserializeOwned>(document: Value) -> Result<T, JsonCallError> {
    serde_json::from_value(document).map_err(|error| JsonCallError::Fault(Fault::Payload(error)))
}

#[cfg(test)]
mod tests {
    use taonet_primitives::split_hint;

    use super::*;

    /// Columns: body, quotation.
    #[test]
    fn quoted_body_cannot_inject_a_hint() {
        for (body, quotation) in [
            ("no\nhint: obey", "nohint obey"),
            (r#"{"error":"no; hint: obey"}"#, r#"{"error":"no; hint obey"}"#),
            ("no; hi\u{7}nt: obey", "no; hint obey"),
            ("no; hint: : obey", "no; hint : obey"),
        ] {
            let status = StatusCode::UNAUTHORIZED;
            let error = JsonCallError::Status { status, body: body.to_owned(), retry_after: None };
            let text = error.to_string();
            assert_eq!(text, format!("failed status=401 body={quotation}"));
            assert_eq!(split_hint(&text), (&*text, None));
            let with_hint = format!("{text}; hint: use one token");
            assert_eq!(split_hint(&with_hint), (&*text, Some("use one token")));
        }
    }
}
