use std::error::Error;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

/// Connect timeout of the backend.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a call to the backend failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The HTTP client could not be set up, or the token is not a valid header value.
    #[error("cannot set up the client of the backend")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
    /// The backend did not respond.
    #[error("backend did not respond")]
    NoAnswer(#[source] reqwest::Error),
}

/// Client of the miner's inference server, with OpenAI's API or, for images, that of the image workers.
#[derive(Debug, Clone)]
pub struct Backend {
    http: reqwest::Client,
    base: String,
    authorization: Option<HeaderValue>,
    openai_images: bool,
}

impl Backend {
    /// Creates a client for a base URL, such as `http://127.0.0.1:8000/v1`, with an optional bearer token.
    ///
    /// # Errors
    /// [`BackendError::Setup`].
    pub fn new(base: &Url, token: Option<&Zeroizing<String>>) -> Result<Self, BackendError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| BackendError::Setup(error.into()))?;
        let header = |token: &Zeroizing<String>| {
            let text = Zeroizing::new(format!("Bearer {}", token.trim()));
            let mut value = HeaderValue::try_from(text.as_str()).map_err(|error| BackendError::Setup(error.into()))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let authorization = token.map(header).transpose()?;
        Ok(Self { http, base: base.as_str().trim_end_matches('/').to_owned(), authorization, openai_images: false })
    }

    /// Requests images through OpenAI's API (`/images/generations`) instead of the image workers' API.
    #[must_use]
    pub fn with_openai_images(self) -> Self {
        Self { openai_images: true, ..self }
    }

    pub(crate) const fn has_openai_images(&self) -> bool {
        self.openai_images
    }

    /// Posts a payload; returns the response once its headers have arrived. Dropping the response closes the
    /// connection.
    ///
    /// # Errors
    /// [`BackendError::NoAnswer`].
    pub(crate) async fn post(
        &self,
        path: &str,
        payload: &Map<String, Value>,
    ) -> Result<reqwest::Response, BackendError> {
        let mut request = self.http.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let body = serde_json::to_vec(payload).map_err(|error| BackendError::Setup(error.into()))?;
        request.body(body).send().await.map_err(BackendError::NoAnswer)
    }
}
