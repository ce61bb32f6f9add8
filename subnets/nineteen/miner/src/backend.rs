use std::error::Error;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value};
use taonet_http::client::bearer;
use url::Url;
use zeroize::Zeroizing;

/// Timeout for connecting to the backend.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call to the backend failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The HTTP client cannot be built, or the token is not a valid header value.
    #[error("cannot set up the backend's HTTP client; hint: check the backend's token")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
    /// The backend is unreachable or did not respond.
    #[error("backend did not respond")]
    NoResponse(#[source] reqwest::Error),
}

/// HTTP client for the miner's inference server, which serves OpenAI's API or, for images, the
/// image workers' API.
#[derive(Debug, Clone)]
pub struct Backend {
    http: reqwest::Client,
    base: String,
    authorization: Option<HeaderValue>,
    uses_openai_images: bool,
}

impl Backend {
    /// Creates a client for a base URL, such as `http://127.0.0.1:8000/v1`, with an optional bearer
    /// token.
    ///
    /// # Errors
    /// [`BackendError::Setup`] when the token is not a valid header value or the HTTP client cannot
    /// be built.
    pub fn new(base: &Url, token: Option<&Zeroizing<String>>) -> Result<Self, BackendError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| BackendError::Setup(error.into()))?;
        let header = |token: &Zeroizing<String>| {
            bearer(token).ok_or_else(|| {
                BackendError::Setup("token has a character that no header may contain".into())
            })
        };
        let authorization = token.map(header).transpose()?;
        Ok(Self {
            http,
            base: base.as_str().trim_end_matches('/').to_owned(),
            authorization,
            uses_openai_images: false,
        })
    }

    /// Makes the client use OpenAI's API for images (`/images/generations`, `/images/edits`)
    /// instead of the image workers'.
    #[must_use]
    pub fn with_openai_images(self) -> Self {
        Self { uses_openai_images: true, ..self }
    }

    pub(crate) const fn uses_openai_images(&self) -> bool {
        self.uses_openai_images
    }

    /// Sends a request; returns the response once its headers have arrived. Dropping the response
    /// closes the connection.
    ///
    /// # Errors
    /// [`BackendError::NoResponse`] when the backend is unreachable or closes the connection.
    pub(crate) async fn send(&self, call: Call) -> Result<reqwest::Response, BackendError> {
        let Call { path, content_type, body } = call;
        let mut request =
            self.http.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, content_type);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        request.body(body).send().await.map_err(BackendError::NoResponse)
    }
}

/// A request to the backend.
#[derive(Debug)]
pub(crate) struct Call {
    /// Path below the base URL.
    pub(crate) path: &'static str,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// Creates a request with a JSON body.
    pub(crate) fn json(path: &'static str, payload: &Map<String, Value>) -> Self {
        // Serialising JSON values to memory does not fail.
        let body = serde_json::to_vec(payload).unwrap_or_default();
        Self { path, content_type: "application/json".to_owned(), body }
    }
}
