//! HTTP client of the servers that a validator runs to check answers.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Map, Value};
use taonet_http::client::{bearer, builder, fault, read_capped};
use url::Url;
use zeroize::Zeroizing;

use crate::CheckError;

/// Maximum size of a response, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 << 20;
/// Maximum length of the response excerpt in an error, in characters.
const MAX_EXCERPT_CHARS: usize = 300;

/// A server that the validator runs to check answers. Clones share connections.
#[derive(Debug, Clone)]
pub struct CheckingServer {
    http: reqwest::Client,
    base: String,
    authorization: Option<HeaderValue>,
}

impl CheckingServer {
    /// Creates a client for the server at a base URL, such as `http://127.0.0.1:8000/v1`. `token`
    /// is an optional bearer token, and `timeout` applies to each request.
    ///
    /// # Errors
    /// [`CheckError::Setup`] when the token is not a valid header value or the HTTP client cannot
    /// be built.
    pub fn new(
        base: &Url,
        token: Option<&Zeroizing<String>>,
        timeout: Duration,
    ) -> Result<Self, CheckError> {
        let http =
            builder().timeout(timeout).build().map_err(|error| CheckError::Setup(error.into()))?;
        let header = |token: &Zeroizing<String>| {
            bearer(token).ok_or_else(|| {
                CheckError::Setup("token has a character that no header may contain".into())
            })
        };
        let authorization = token.map(header).transpose()?;
        Ok(Self { http, base: base.as_str().trim_end_matches('/').to_owned(), authorization })
    }

    /// Posts a JSON object to a path below the base URL; returns the JSON response.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &Map<String, Value>,
    ) -> Result<Value, CheckError> {
        let mut request = self.http.post(format!("{}{path}", self.base)).json(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response =
            request.send().await.map_err(|error| CheckError::NoResponse(fault(error)))?;
        let status = response.status();
        let body =
            read_capped(response, MAX_RESPONSE_BYTES).await.map_err(CheckError::NoResponse)?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body).chars().take(MAX_EXCERPT_CHARS).collect();
            return Err(CheckError::Refused { status: status.as_u16(), text });
        }
        serde_json::from_slice(&body).map_err(|_| CheckError::Malformed("is not JSON"))
    }
}
