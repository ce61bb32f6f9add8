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

/// Margin before expiry at which a token is renewed, so that a token does not expire during a run.
const RENEWAL_MARGIN: Duration = Duration::from_mins(5);

/// Maximum length of a challenge in bytes.
const MAX_CHALLENGE_BYTES: usize = 1_024;
/// Length in bytes of the hash that is signed in place of a long transaction payload.
const HASH_LENGTH: usize = 32;

struct CachedToken {
    token: Arc<str>,
    valid_until: SystemTime,
}

/// The cached bearer token, and the key for renewing it.
pub(super) struct TokenStore {
    keypair: Arc<Keypair>,
    // Locked during authentication, so that concurrent callers share one authentication.
    cached: Mutex<Option<CachedToken>>,
}

impl TokenStore {
    pub(super) fn new(keypair: Arc<Keypair>) -> Self {
        Self { keypair, cached: Mutex::new(None) }
    }

    /// Returns the cached token while it is valid, else authenticates and returns a new token.
    pub(super) async fn get(&self, http: &Http, clock: &Clock) -> Result<Arc<str>, EngineError> {
        let mut cached = self.cached.lock().await;
        if let Some(cached) = cached.as_ref().filter(|cached| clock() < cached.valid_until) {
            return Ok(Arc::clone(&cached.token));
        }
        *cached = None;
        let auth_token = self.authenticate(http).await?;
        let token: Arc<str> = auth_token.access_token.into();
        let lifetime = Duration::from_secs(auth_token.expires_in).saturating_sub(RENEWAL_MARGIN);
        // If the lifetime overflows the clock, the token is renewed after `RENEWAL_MARGIN`.
        let valid_until = clock().checked_add(lifetime).unwrap_or_else(|| clock() + RENEWAL_MARGIN);
        *cached = Some(CachedToken { token: Arc::clone(&token), valid_until });
        Ok(token)
    }

    /// Removes `token` from the cache, unless a newer token has replaced it.
    pub(super) async fn invalidate_if(&self, token: &str) {
        let mut cached = self.cached.lock().await;
        if cached.as_ref().is_some_and(|cached| cached.token.as_ref() == token) {
            *cached = None;
        }
    }

    async fn authenticate(&self, http: &Http) -> Result<AuthToken, EngineError> {
        let challenge: AuthChallenge =
            request_step(http, AuthStep::Challenge, "auth", None).await?;
        if !is_safe_to_sign(&challenge.challenge) {
            return Err(EngineError::UnsafeChallenge { max: MAX_CHALLENGE_BYTES });
        }
        let body = AuthVerify {
            hotkey: self.keypair.hotkey().to_string(),
            signature: self.keypair.sign(challenge.challenge.as_bytes()).to_bare_hex(),
            timestamp: challenge.timestamp,
            message: challenge.challenge,
        };
        let auth_token: AuthToken =
            request_step(http, AuthStep::Verify, "auth/verify", Some(json!(body))).await?;
        tracing::info!(
            hotkey = body.hotkey,
            expires_in = auth_token.expires_in,
            "authenticated with the engine"
        );
        Ok(auth_token)
    }
}

/// Whether a challenge is safe to sign: its signature must not be valid for a transaction, which is
/// signed as its payload or as the payload's hash. Texts with control characters are unsafe,
/// because payloads have NUL bytes in their version numbers. Texts of the length of a hash are safe
/// only if they consist of letters, digits, `-` and `_`; a hash consists only of these characters
/// with a probability of 2⁻⁶⁴.
fn is_safe_to_sign(challenge: &str) -> bool {
    let is_control = |character: char| character.is_control() && !character.is_whitespace();
    let is_token_char =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    match challenge.len() {
        HASH_LENGTH => challenge.chars().all(is_token_char),
        length => (1..=MAX_CHALLENGE_BYTES).contains(&length) && !challenge.chars().any(is_control),
    }
}

async fn request_step<T: serde::de::DeserializeOwned>(
    http: &Http,
    step: AuthStep,
    path: &str,
    body: Option<Value>,
) -> Result<T, EngineError> {
    let response = http.request_object(Method::POST, path, body.as_ref(), None).await;
    response
        .and_then(|object| serde_json::from_value(object).map_err(Fault::Payload))
        .map_err(|fault| EngineError::Auth { step, fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_that_could_be_transactions_are_not_signed() {
        let uuid = "0123456789abcdef0123456789abcdef";
        for safe in ["sign me", uuid, "größer\n— 漢字\n", &"x".repeat(MAX_CHALLENGE_BYTES)] {
            assert!(is_safe_to_sign(safe), "{safe}");
        }
        let hash = "0123456789abcdef0123456789abcde/";
        for unsafe_ in ["", hash, "Q\0\0\u{1}", "a\u{7f}b", &"x".repeat(MAX_CHALLENGE_BYTES + 1)] {
            assert!(!is_safe_to_sign(unsafe_), "{unsafe_:?}");
        }
    }
}
