use std::error::Error;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

/// How long connecting to the backend may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Why the backend gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The HTTP client could not be set up, or the token cannot be a header.
    #[error("cannot set up the client of the backend")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
    /// No answer arrived.
    #[error("backend did not respond")]
    NoAnswer(#[source] reqwest::Error),
}

/// The server that does the work: any that speaks OpenAI's protocol, or, for images, the image workers' one.
#[derive(Debug, Clone)]
pub struct Backend {
    http: reqwest::Client,
    base: String,
    authorization: Option<HeaderValue>,
}

impl Backend {
    /// A backend at a base URL, such as `http://127.0.0.1:8000/v1`, with a bearer token where it asks for one.
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
        Ok(Self { http, base: base.as_str().trim_end_matches('/').to_owned(), authorization })
    }

    /// Posts a payload, and gives the answer as soon as its head is there. Dropping the answer closes the connection.
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
