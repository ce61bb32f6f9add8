//! Client of the utterance engine: authentication, challenges, references.
//!
//! [`EngineClient`] shares one bearer token between all calls and renews it before it expires or
//! when the engine rejects it. [`EngineClient::prefetch`] fetches a complete challenge before the
//! first miner call.

mod error;
mod http;
mod prefetch;
mod text;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use taonet_babelbit_core::engine_api::{TranscriptionPayload, UtterancePayload};
use taonet_primitives::Backoff;
use taonet_wallet::Keypair;
use url::Url;

pub use error::{AuthStep, Call, EngineError};
pub use prefetch::{PrefetchedChallenge, Reference};

use taonet_http::Fault;
use taonet_service::{Clock, Sleeper, sleeper, system_clock};

use http::{BaseUrl, Http};
use token::TokenStore;

/// A challenge stream of an engine: main or solo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChallengeKind {
    /// The challenge of the main and arena contests.
    Main,
    /// The challenge of the solo contest.
    Solo,
}

/// Pauses between attempts to start a session.
const START_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::MAX);

/// Limits, timeouts and sources of time of an [`EngineClient`].
#[derive(Clone)]
pub struct EngineOptions {
    /// Timeout of one call, including the response body.
    pub timeout: Duration,
    /// Maximum number of attempts of [`EngineClient::authenticate_with_retry`].
    pub auth_attempts: u32,
    /// Initial backoff between authentication attempts; it doubles with each attempt.
    pub auth_backoff: Duration,
    /// Maximum backoff, regardless of the engine's `Retry-After`.
    pub max_backoff: Duration,
    /// Maximum number of attempts of [`EngineClient::start_with_retry`], 1 s, 2 s, 4 s … apart.
    pub start_attempts: u32,
    /// Maximum size of a response in bytes.
    pub max_body_bytes: usize,
    /// Maximum number of utterances in a challenge.
    pub max_utterances: usize,
    /// Maximum base64 size of a challenge's audio in bytes; 200 utterances of 14.25 s at 48 kHz
    /// take 365 MB. The client buffers the audio of the complete challenge before it calls the
    /// first miner.
    pub max_challenge_bytes: usize,
    /// Function that sleeps for a backoff delay.
    pub sleeper: Sleeper,
    /// Clock for token expiry.
    pub clock: Clock,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            auth_attempts: 5,
            auth_backoff: Duration::from_secs(2),
            max_backoff: Duration::from_hours(1),
            start_attempts: 3,
            max_body_bytes: 64 << 20,
            max_utterances: 1_000,
            max_challenge_bytes: 512 << 20,
            sleeper: sleeper(),
            clock: system_clock(),
        }
    }
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Client of an utterance engine, for one hotkey. Cheap to clone; clones share the token.
#[derive(Clone)]
pub struct EngineClient {
    http: Http,
    tokens: Arc<TokenStore>,
    options: EngineOptions,
}

impl EngineClient {
    /// Creates a client of the engine at `base_url`, which may have a path and any number of
    /// trailing slashes.
    ///
    /// The client uses no proxy and follows no redirect, so the token reaches only this engine.
    ///
    /// # Errors
    /// [`EngineError::BaseUrl`] when the address is not an `http` or `https` URL,
    /// [`EngineError::Client`] when TLS cannot be set up.
    pub fn new(
        base_url: &str,
        keypair: Arc<Keypair>,
        options: EngineOptions,
    ) -> Result<Self, EngineError> {
        let http = Http::new(BaseUrl::parse(base_url)?, &options)?;
        Ok(Self { http, tokens: Arc::new(TokenStore::new(keypair)), options })
    }

    /// Returns the engine's URL without trailing slashes.
    pub fn base_url(&self) -> &Url {
        self.http.base().url()
    }

    /// Obtains a bearer token by signing the engine's challenge, unless the cached token is valid
    /// for at least another five minutes. Makes one attempt.
    ///
    /// # Errors
    /// [`EngineError::Auth`] when a request fails, [`EngineError::UnsafeChallenge`] when the client
    /// refuses to sign the engine's challenge.
    pub async fn authenticate(&self) -> Result<(), EngineError> {
        self.token().await.map(drop)
    }

    /// Authenticates, by default with up to five attempts, 2, 4, 8 and 16 s apart; the engine may
    /// request longer delays. Stops after a permanent refusal.
    ///
    /// # Errors
    /// [`EngineError::PermanentAuth`] after a permanent refusal, else the last attempt's error.
    pub async fn authenticate_with_retry(&self) -> Result<(), EngineError> {
        let backoff = Backoff::new(self.options.auth_backoff, self.options.max_backoff);
        let mut attempt = 1;
        loop {
            let error = match self.authenticate().await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_permanent_auth() => {
                    return Err(EngineError::PermanentAuth(Box::new(error)));
                }
                Err(error) => error,
            };
            if attempt >= self.options.auth_attempts {
                return Err(error);
            }
            let delay = backoff
                .delay(attempt - 1)
                .max(error.retry_after().unwrap_or_default())
                .min(self.options.max_backoff);
            tracing::warn!(attempt, delay_s = delay.as_secs_f64(), %error, "engine authentication failed, retrying");
            (self.options.sleeper)(delay).await;
            attempt += 1;
        }
    }

    /// Starts a session of the given kind and returns its first utterance. Makes one attempt.
    ///
    /// # Errors
    /// [`EngineError`] when authentication fails or the response is not an utterance.
    pub async fn start(&self, kind: ChallengeKind) -> Result<UtterancePayload, EngineError> {
        let call = match kind {
            ChallengeKind::Main => Call::StartMain,
            ChallengeKind::Solo => Call::StartSolo,
        };
        self.call(call, None).await
    }

    /// Starts a session, by default with up to three attempts, 1 and 2 s apart, and returns its
    /// first utterance. Pass that utterance to [`Self::prefetch_from`] instead of opening a second
    /// session.
    ///
    /// # Errors
    /// [`EngineError`] of the last attempt.
    pub async fn start_with_retry(
        &self,
        kind: ChallengeKind,
    ) -> Result<UtterancePayload, EngineError> {
        let mut attempt = 1;
        loop {
            match self.start(kind).await {
                Err(error)
                    if attempt < self.options.start_attempts && !error.is_permanent_auth() =>
                {
                    tracing::warn!(attempt, %error, "cannot start an engine session, retrying");
                    (self.options.sleeper)(START_BACKOFF.delay(attempt - 1)).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Fetches the next utterance of a session of the given kind. Makes one attempt.
    ///
    /// # Errors
    /// [`EngineError`] when authentication fails or the response is not an utterance.
    pub async fn next(
        &self,
        kind: ChallengeKind,
        session_id: &str,
    ) -> Result<UtterancePayload, EngineError> {
        let call = match kind {
            ChallengeKind::Main => Call::NextMain,
            ChallengeKind::Solo => Call::NextSolo,
        };
        self.call(call, Some(json!({ "session_id": session_id }))).await
    }

    /// Fetches the reference of the current main challenge.
    ///
    /// # Errors
    /// [`EngineError`] when authentication fails or the response is not a reference.
    pub async fn transcription(&self) -> Result<TranscriptionPayload, EngineError> {
        self.call(Call::Transcription, None).await
    }

    /// Returns the uid of the current main challenge, from the engine's reference if there is one.
    /// Opens a session only if the engine has no reference.
    ///
    /// Use a hotkey without sessions: for other hotkeys, the engine may return the reference of an
    /// open session's challenge, which may no longer be current.
    ///
    /// # Errors
    /// [`EngineError`] of the last attempt.
    pub async fn current_main(&self) -> Result<String, EngineError> {
        match self.transcription().await {
            Ok(reference) if !reference.challenge_uid.is_empty() => {
                return Ok(reference.challenge_uid);
            }
            Ok(_) => tracing::debug!(
                "the engine's reference names no challenge, opening a session instead"
            ),
            Err(error) if error.is_auth() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "cannot fetch the engine's reference, opening a session instead");
            }
        }
        Ok(self.start_with_retry(ChallengeKind::Main).await?.challenge_uid)
    }

    /// Makes one data request. If the engine rejects the token, renews the token and retries once.
    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        call: Call,
        body: Option<Value>,
    ) -> Result<T, EngineError> {
        let token = self.token().await?;
        let mut outcome = self.send(call, body.as_ref(), &token).await;
        if matches!(outcome, Err(Fault::Status { status: StatusCode::UNAUTHORIZED, .. })) {
            tracing::info!(
                call = call.label(),
                "the engine rejected the token, authenticating again"
            );
            self.tokens.invalidate_if(&token).await;
            let token = self.token().await?;
            outcome = self.send(call, body.as_ref(), &token).await;
        }
        let object = outcome.map_err(|fault| EngineError::Call { call, fault })?;
        serde_json::from_value(object)
            .map_err(|source| EngineError::Call { call, fault: Fault::Payload(source) })
    }

    async fn send(&self, call: Call, body: Option<&Value>, token: &str) -> Result<Value, Fault> {
        let (method, path) = call.route();
        self.http.request_object(method, path, body, Some(token)).await
    }

    async fn token(&self) -> Result<Arc<str>, EngineError> {
        self.tokens.get(&self.http, &self.options.clock).await
    }
}

impl fmt::Debug for EngineClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineClient")
            .field("base_url", &self.base_url().as_str())
            .finish_non_exhaustive()
    }
}

impl Call {
    fn route(self) -> (Method, &'static str) {
        match self {
            Self::StartMain => (Method::POST, "source-audio/start"),
            Self::NextMain => (Method::POST, "source-audio/next"),
            Self::StartSolo | Self::StartTextSolo => (Method::GET, "solo/start"),
            Self::NextSolo | Self::NextTextSolo => (Method::POST, "solo/next"),
            Self::Transcription => (Method::GET, "transcription"),
            Self::StartText => (Method::GET, "start"),
            Self::NextText => (Method::POST, "next"),
        }
    }
}

#[cfg(test)]
mod tests;
