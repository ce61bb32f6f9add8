//! Bearer tokens of the gateway.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use taonet_babelbit_core::arena_api::{TokenRequest, TokenResponse};
use taonet_wallet::Keypair;
use taonet_wire::{CallError, SignedClient, sorted_json};
use tokio::sync::Mutex;

use super::ArenaTime;
use taonet_service::unix_time;

/// Minimum time for which a token is reused.
const MIN_LIFETIME: Duration = Duration::from_secs(30);
/// Maximum lifetime of a token; longer lifetimes are capped.
const MAX_LIFETIME: Duration = Duration::from_hours(24 * 365);
/// Maximum size of a token response in bytes.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// Maximum number of cached tokens.
const MAX_CACHED: usize = 4_096;

/// Why getting a token failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The gateway refused a token for one miner, and a token for all miners.
    #[error(
        "cannot get a token from the gateway: {second}; the request for a single miner failed too: {first}"
    )]
    Refused {
        /// Error of the request for one miner.
        first: Box<CallError>,
        /// Error of the request for all miners.
        second: Box<CallError>,
    },
    /// The request to the gateway failed.
    #[error("cannot get a token from the gateway: {0}")]
    Call(#[source] CallError),
    /// The response has no token.
    #[error("the gateway's response contains no token")]
    NoToken,
}

impl TokenError {
    /// Returns the error of the last failed call, if any.
    pub(super) fn call(&self) -> Option<&CallError> {
        match self {
            Self::Refused { second, .. } => Some(second),
            Self::Call(error) => Some(error),
            Self::NoToken => None,
        }
    }

    /// Whether a retry may succeed: the gateway was unreachable, overloaded or responded with a
    /// server error.
    pub(super) fn is_retryable(&self) -> bool {
        match self.call() {
            Some(CallError::Status { status, .. }) => {
                status.is_server_error() || status.as_u16() == 429
            }
            Some(error) => is_transport(error),
            None => false,
        }
    }
}

/// Whether the call failed without a response: the connection was refused or lost, or timed out.
pub(super) const fn is_transport(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Connect { .. } | CallError::ConnectionLost(_) | CallError::Timeout { .. }
    )
}

/// Scope of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenScope {
    /// URL of the token route.
    pub(super) auth_url: String,
    /// Hotkey of the miner; `discovery` for the registry.
    pub(super) miner_hotkey: String,
    /// Uid of the miner; 0 for the registry.
    pub(super) uid: u16,
}

struct CachedToken {
    token: Arc<str>,
    expires_at: Instant,
}

/// A cached token, locked while it is being requested: concurrent callers share one response.
type Slot = Arc<Mutex<Option<CachedToken>>>;

/// Cache of tokens, with the keypair that signs requests for new tokens.
pub(super) struct Tokens {
    keypair: Arc<Keypair>,
    timeout: Duration,
    time: ArenaTime,
    slots: std::sync::Mutex<HashMap<TokenScope, Slot>>,
}

impl Tokens {
    pub(super) fn new(keypair: Arc<Keypair>, timeout: Duration, time: ArenaTime) -> Self {
        Self { keypair, timeout, time, slots: std::sync::Mutex::default() }
    }

    /// Returns the token for `scope`, requested with `client` if none is cached.
    pub(super) async fn get(
        &self,
        client: &SignedClient,
        scope: &TokenScope,
    ) -> Result<Arc<str>, TokenError> {
        let slot = self.slot(scope);
        let mut cached = slot.lock().await;
        let now = self.time.now();
        if let Some(cached) = cached.as_ref().filter(|cached| now < cached.expires_at) {
            return Ok(Arc::clone(&cached.token));
        }
        *cached = None;
        let answer = self.authenticate(client, scope).await?;
        let lifetime = Duration::from_secs(answer.expires_in).clamp(MIN_LIFETIME, MAX_LIFETIME);
        let token: Arc<str> = answer.auth_token.into();
        *cached = Some(CachedToken { token: Arc::clone(&token), expires_at: now + lifetime });
        Ok(token)
    }

    /// Removes `token` from the cache, unless a newer token has already replaced it.
    pub(super) async fn forget(&self, scope: &TokenScope, token: &str) {
        let slot = self.slot(scope);
        let mut cached = slot.lock().await;
        if cached.as_ref().is_some_and(|cached| cached.token.as_ref() == token) {
            *cached = None;
        }
    }

    fn slot(&self, scope: &TokenScope) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_CACHED && !slots.contains_key(scope) {
            // Evict all slots except those that callers are using.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(scope.clone()).or_default())
    }

    async fn authenticate(
        &self,
        client: &SignedClient,
        scope: &TokenScope,
    ) -> Result<TokenResponse, TokenError> {
        let miner = Some((scope.miner_hotkey.as_str(), scope.uid));
        let first = match self.request_token(client, &scope.auth_url, miner).await {
            Err(TokenError::Call(first @ CallError::Status { .. })) => first,
            other => return other,
        };
        match self.request_token(client, &scope.auth_url, None).await {
            Err(TokenError::Call(second @ CallError::Status { .. })) => {
                Err(TokenError::Refused { first: Box::new(first), second: Box::new(second) })
            }
            other => other,
        }
    }

    async fn request_token(
        &self,
        client: &SignedClient,
        url: &str,
        miner: Option<(&str, u16)>,
    ) -> Result<TokenResponse, TokenError> {
        let request = signed_request(&self.keypair, miner, SystemTime::now());
        let body = serde_json::to_vec(&request).unwrap_or_default();
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let answer = client
            .post(url, headers, body.into(), self.timeout, MAX_RESPONSE_BYTES)
            .await
            .map_err(TokenError::Call)?;
        let answer = serde_json::from_slice(&answer).ok();
        answer.as_ref().and_then(TokenResponse::read).ok_or(TokenError::NoToken)
    }
}

/// Creates a token request for one miner or for all miners, signed at `now`.
pub(crate) fn signed_request(
    keypair: &Keypair,
    miner: Option<(&str, u16)>,
    now: SystemTime,
) -> TokenRequest {
    let since = unix_time(now);
    let mut request = TokenRequest {
        hotkey: keypair.hotkey().to_string(),
        miner_hotkey: miner.map(|(hotkey, _)| hotkey.to_owned()),
        uid: miner.map(|(_, uid)| uid),
        timestamp_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        nonce: since.as_nanos().to_string(),
        signature: String::new(),
    };
    let text = request.signed_text(&sorted_json(&request.signed_object()));
    request.signature = keypair.sign(text.as_bytes()).to_bare_hex();
    request
}

#[cfg(test)]
mod tests;
