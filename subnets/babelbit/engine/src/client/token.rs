use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};
use taonet_babelbit_core::engine_api::{AuthChallenge, AuthToken, AuthVerify};
use taonet_wallet::Keypair;
use tokio::sync::Mutex;

use super::http::Http;
use super::{AuthStep, EngineError};
use taonet_http::Fault;
use taonet_service::Clock;

/// Margin before expiry at which a token is renewed, so that no run outlives it.
const MARGIN: Duration = Duration::from_mins(5);

struct Cached {
    token: Arc<str>,
    valid_until: SystemTime,
}

/// The cached bearer token, and the key for renewing it.
pub(super) struct TokenStore {
    keypair: Arc<Keypair>,
    // Held while authenticating: concurrent callers share one authentication.
    cached: Mutex<Option<Cached>>,
}

impl TokenStore {
    pub(super) fn new(keypair: Arc<Keypair>) -> Self {
        Self { keypair, cached: Mutex::new(None) }
    }

    /// Returns the cached token while it is valid, else a new one.
    pub(super) async fn get(&self, http: &Http, clock: &Clock) -> Result<Arc<str>, EngineError> {
        let mut cached = self.cached.lock().await;
        if let Some(cached) = cached.as_ref().filter(|cached| clock() < cached.valid_until) {
            return Ok(Arc::clone(&cached.token));
        }
        *cached = None;
        let answer = self.authenticate(http).await?;
        let token: Arc<str> = answer.access_token.into();
        let lifetime = Duration::from_secs(answer.expires_in).saturating_sub(MARGIN);
        // The lifetime overflows the clock: the token is used for a while, then renewed.
        let valid_until = clock().checked_add(lifetime).unwrap_or_else(|| clock() + MARGIN);
        *cached = Some(Cached { token: Arc::clone(&token), valid_until });
        Ok(token)
    }

    /// Drops `token` from the cache, unless it was already renewed.
    pub(super) async fn invalidate_if(&self, token: &str) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|cached| cached.token.as_ref() == token) {
            *cached = None;
        }
    }

    async fn authenticate(&self, http: &Http) -> Result<AuthToken, EngineError> {
        let challenge: AuthChallenge = step(http, AuthStep::Challenge, "auth", None).await?;
        let body = AuthVerify {
            hotkey: self.keypair.hotkey().to_string(),
            signature: self.keypair.sign(challenge.challenge.as_bytes()).to_bare_hex(),
            timestamp: challenge.timestamp,
            message: challenge.challenge,
        };
        let answer: AuthToken = step(http, AuthStep::Verify, "auth/verify", Some(json!(body))).await?;
        tracing::info!(hotkey = body.hotkey, expires_in = answer.expires_in, "authenticated with the engine");
        Ok(answer)
    }
}

async fn step<T: serde::de::DeserializeOwned>(
    http: &Http,
    step: AuthStep,
    path: &str,
    body: Option<Value>,
) -> Result<T, EngineError> {
    let answer = http.object(Method::POST, path, body.as_ref(), None).await;
    answer
        .and_then(|object| serde_json::from_value(object).map_err(Fault::Payload))
        .map_err(|fault| EngineError::Auth { step, fault })
}
