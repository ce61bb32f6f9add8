//! Client of one chute.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::Value;
use taonet_babelbit_core::text_api::PredictedUtterance;
use taonet_http::Fault;
use taonet_http::client::{bearer, builder, fault, join_path, read_capped};
use taonet_primitives::{Backoff, printable_excerpt};
use taonet_service::{Sleeper, sleeper};
use taonet_settings::Secret;
use tokio::time::timeout;
use url::Url;

use super::{ApiError, ChutesSettings};

/// Maximum size of a response in bytes, apart from the request in it.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// Maximum size of the request in a response, relative to the request: chutes return the context
/// twice, and Python's escapes of characters beyond ASCII have up to three times their bytes.
const MAX_RESPONSE_FACTOR: usize = 6;
/// Maximum number of characters of a chute's error.
const MAX_ERROR_CHARS: usize = 300;
/// Pauses before retries. [`RETRY_BUDGET`] limits their sum.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(250), Duration::MAX);
/// Total time budget for the pauses between the attempts of a call.
const RETRY_BUDGET: Duration = Duration::from_secs(5);
/// Maximum length of a slug, which is a label of a domain name.
const MAX_SLUG: usize = 63;

/// Why a call to a chute failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChuteError {
    /// The slug is not part of a host name.
    #[error("the slug {0:?} is not 1 to 63 lowercase letters, digits and hyphens")]
    Slug(String),
    /// The template of the chute's address yields no URL.
    #[error(
        "CHUTES_MINER_BASE_URL_TEMPLATE yields no URL for {0}; expected a template such as https://{{slug}}.chutes.ai"
    )]
    Template(String),
    /// The client could not be set up, or the API key is malformed.
    #[error(transparent)]
    Client(#[from] ApiError),
    /// The chute refused the call or did not respond.
    #[error("{0}")]
    Fault(Fault),
    /// The attempts took too long.
    #[error("no prediction within {} s", .0.as_secs())]
    Late(Duration),
    /// The chute responded with an error.
    #[error("the chute reports: {0}")]
    Reported(String),
    /// The response has no prediction.
    #[error("the response has no field utterance.prediction")]
    NoPrediction,
}

impl ChuteError {
    /// Whether another attempt may succeed.
    fn is_retryable(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.is_retryable())
    }

    /// Whether the call timed out.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Fault(Fault::Timeout))
    }
}

/// State of a chute.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// `healthy`, or another state.
    pub status: String,
    /// Name of the model, or `not_loaded`.
    #[serde(default)]
    pub model: Option<String>,
    /// Whether the model is loaded.
    #[serde(default)]
    pub model_loaded: bool,
}

/// Client of a chute.
#[derive(Clone)]
pub struct ChuteClient {
    http: reqwest::Client,
    base: Url,
    predict: Url,
    key: Option<Secret>,
    retries: u32,
    timeout: Duration,
    sleeper: Sleeper,
}

impl std::fmt::Debug for ChuteClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChuteClient").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl ChuteClient {
    /// Creates a client of the chute with this slug.
    ///
    /// # Errors
    /// [`ChuteError`] when the slug or the template of the address is malformed, or TLS
    /// initialisation fails.
    pub fn from_slug(settings: &ChutesSettings, slug: &str) -> Result<Self, ChuteError> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if slug.is_empty() || slug.len() > MAX_SLUG || !slug.chars().all(is_plain) {
            return Err(ChuteError::Slug(slug.chars().take(100).collect()));
        }
        let url = settings.base_url_template.replace("{slug}", slug).parse::<Url>();
        Self::with_base_url(settings, url.map_err(|_| ChuteError::Template(slug.to_owned()))?)
    }

    /// Creates a client of the chute at an address.
    ///
    /// # Errors
    /// [`ChuteError::Client`] when TLS initialisation fails.
    pub fn with_base_url(settings: &ChutesSettings, base: Url) -> Result<Self, ChuteError> {
        let http = builder().connect_timeout(settings.timeout).build().map_err(ApiError::Client)?;
        Ok(Self {
            http,
            predict: join_path(&base, &settings.predict_endpoint),
            base,
            key: settings.api_key.clone(),
            retries: settings.retries,
            timeout: settings.timeout,
            sleeper: sleeper(),
        })
    }

    /// Replaces the function that waits between attempts.
    #[must_use]
    pub fn with_sleeper(self, sleeper: Sleeper) -> Self {
        Self { sleeper, ..self }
    }

    /// Requests the health status of the chute.
    ///
    /// # Errors
    /// [`ChuteError`] when the chute refuses or does not respond.
    pub async fn health(&self) -> Result<Health, ChuteError> {
        let answer =
            self.post(join_path(&self.base, "health"), "{}".to_owned(), self.timeout).await?;
        Health::deserialize(answer).map_err(|error| ChuteError::Fault(Fault::Payload(error)))
    }

    /// Requests a prediction. The timeout of each attempt is the shorter of `step` and the
    /// configured timeout.
    ///
    /// # Errors
    /// [`ChuteError`] of the last attempt.
    pub async fn predict(
        &self,
        request: &PredictedUtterance,
        step: Duration,
    ) -> Result<String, ChuteError> {
        let body = serde_json::to_string(request)
            .map_err(|error| ChuteError::Fault(Fault::Payload(error)))?;
        let attempt_timeout = self.timeout.min(step);
        let limit = attempt_timeout
            .saturating_mul(self.retries.saturating_add(1))
            .saturating_add(RETRY_BUDGET);
        timeout(limit, self.post_with_retries(&body, attempt_timeout))
            .await
            .unwrap_or(Err(ChuteError::Late(limit)))
    }

    async fn post_with_retries(
        &self,
        body: &str,
        attempt_timeout: Duration,
    ) -> Result<String, ChuteError> {
        let mut attempt = 0;
        loop {
            match self
                .post(self.predict.clone(), body.to_owned(), attempt_timeout)
                .await
                .and_then(|answer| prediction(&answer))
            {
                Err(error) if attempt < self.retries && error.is_retryable() => {
                    (self.sleeper)(BACKOFF.jittered(attempt, rand::random())).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn post(
        &self,
        url: Url,
        body: String,
        time_limit: Duration,
    ) -> Result<Value, ChuteError> {
        let limit =
            MAX_RESPONSE_BYTES.saturating_add(body.len().saturating_mul(MAX_RESPONSE_FACTOR));
        let mut request = self
            .http
            .post(url)
            .timeout(time_limit)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(key) = &self.key {
            let key = bearer(key.expose())
                .ok_or(ApiError::MalformedKey { variable: "CHUTES_API_KEY" })?;
            request = request.header(AUTHORIZATION, key);
        }
        let response = request.send().await.map_err(|error| ChuteError::Fault(fault(error)))?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = taonet_http::client::retry_after(&response);
            return Err(ChuteError::Fault(Fault::Status { status, retry_after }));
        }
        let answer = read_capped(response, limit).await.map_err(ChuteError::Fault)?;
        serde_json::from_slice(&answer).map_err(|error| ChuteError::Fault(Fault::Payload(error)))
    }
}

/// Reads the prediction from a chute's response, which has it in `utterance`; the response of an
/// axon has it at the top level.
fn prediction(answer: &Value) -> Result<String, ChuteError> {
    if answer.get("success").and_then(Value::as_bool) == Some(false) {
        let error = answer.get("error").and_then(Value::as_str).unwrap_or("no reason");
        return Err(ChuteError::Reported(printable_excerpt(error, MAX_ERROR_CHARS)));
    }
    let text = answer
        .pointer("/utterance/prediction")
        .or_else(|| answer.get("prediction"))
        .and_then(Value::as_str);
    text.map(str::to_owned).ok_or(ChuteError::NoPrediction)
}
