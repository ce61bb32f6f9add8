//! Rate limits of API keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use taonet_http::{RateLimit, SlidingWindow};
use taonet_nineteen_store::{ApiKey, Store, TokenUsage};
use taonet_service::unix_millis;

use crate::GatewayError;

/// Length of the rate limits' window.
const MINUTE: Duration = Duration::from_mins(1);

/// Maximum requests per minute and key for documents of the key, such as its usage. They do not
/// count towards the key's own limit.
const MAX_READS_PER_MINUTE: u32 = 120;

/// Requests of API keys in the last minute.
type Windows = Mutex<HashMap<String, Arc<SlidingWindow<()>>>>;

/// Rate limiter of API keys. A shared database counts the requests of all gateways; with SQLite,
/// this process counts them in memory.
#[derive(Default)]
pub(crate) struct RateLimiter {
    requests: Windows,
    /// Requests for documents at this process.
    account_reads: Windows,
    /// Usage of the limits of tokens after the last request of each key at this process.
    token_usage: Mutex<HashMap<String, TokenUsage>>,
}

/// Tokens that a request has reserved in the window of its API key. Dropping it returns them.
#[derive(Debug)]
pub(crate) struct TokenReservation {
    store: Store,
    key: String,
    tokens: u64,
    /// Second of the Unix time in which the tokens count.
    second: i64,
}

/// Usage of an API key's rate limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateLimitStatus {
    limit: u32,
    remaining: u32,
    reset: Duration,
}

impl RateLimiter {
    /// Admits or rejects a request; in both cases, returns the key's usage after the request.
    pub(crate) async fn admit(
        &self,
        store: &Store,
        key: &ApiKey,
        now: SystemTime,
    ) -> Result<(RateLimitStatus, Result<(), GatewayError>), GatewayError> {
        let limit = key.terms.rate_per_minute;
        if !store.is_shared() {
            return Ok(self.admit_locally(key, now));
        }
        let now_ms = unix_millis(now);
        let usage = store.admit(&key.id, limit, now_ms).await?;
        let status = RateLimitStatus { limit, remaining: usage.remaining, reset: usage.reset };
        let refusal = GatewayError::RateLimit { limit, retry_after: usage.retry_after };
        Ok((status, if usage.is_admitted { Ok(()) } else { Err(refusal) }))
    }

    fn admit_locally(
        &self,
        key: &ApiKey,
        now: SystemTime,
    ) -> (RateLimitStatus, Result<(), GatewayError>) {
        let limit = RateLimit { requests: key.terms.rate_per_minute, window: MINUTE };
        let window = window_for(&self.requests, key, limit);
        let admitted = window.admit((), now);
        let admitted = admitted
            .map_err(|retry_after| GatewayError::RateLimit { limit: limit.requests, retry_after });
        let (remaining, reset) = window.remaining((), now);
        (RateLimitStatus { limit: limit.requests, remaining, reset }, admitted)
    }

    /// Admits or rejects a request for a document of its API key.
    pub(crate) fn admit_read(&self, key: &ApiKey, now: SystemTime) -> Result<(), GatewayError> {
        let window = window_for(
            &self.account_reads,
            key,
            RateLimit { requests: MAX_READS_PER_MINUTE, window: MINUTE },
        );
        window.admit((), now).map_err(|retry_after| GatewayError::RateLimit {
            limit: MAX_READS_PER_MINUTE,
            retry_after,
        })
    }

    /// Reserves tokens in the window of a key; returns `None` if the key has no limit of tokens.
    pub(crate) async fn reserve_tokens(
        &self,
        store: &Store,
        key: &ApiKey,
        tokens: u64,
        now: SystemTime,
    ) -> Result<Option<TokenReservation>, GatewayError> {
        let Some(limit) = key.terms.tokens_per_minute else { return Ok(None) };
        let now_ms = unix_millis(now);
        let is_too_large = tokens > u64::from(limit);
        // A request that is too large reserves nothing, but its response, too, has the usage.
        let usage = store
            .reserve_tokens(&key.id, limit, if is_too_large { 0 } else { tokens }, now_ms)
            .await?;
        self.token_usage().insert(key.id.clone(), usage);
        if is_too_large {
            return Err(GatewayError::TokenLimit { required: tokens, limit });
        }
        let TokenUsage { is_admitted, remaining, retry_after, second, .. } = usage;
        if !is_admitted {
            return Err(GatewayError::TokenRate {
                required: tokens,
                remaining,
                limit,
                retry_after,
            });
        }
        Ok(Some(TokenReservation { store: store.clone(), key: key.id.clone(), tokens, second }))
    }

    /// Writes the usage of the key's limit of tokens, if it has one, to the headers of OpenAI's
    /// API.
    pub(crate) fn write_token_headers(&self, key: &ApiKey, headers: &mut HeaderMap) {
        let Some(limit) = key.terms.tokens_per_minute else { return };
        let Some(TokenUsage { remaining, reset, .. }) = self.token_usage().get(&key.id).copied()
        else {
            return;
        };
        for (name, value) in [
            ("x-ratelimit-limit-tokens", HeaderValue::from(limit)),
            ("x-ratelimit-remaining-tokens", HeaderValue::from(remaining)),
            ("x-ratelimit-reset-tokens", format_seconds(reset)),
        ] {
            headers.insert(HeaderName::from_static(name), value);
        }
    }

    fn token_usage(&self) -> MutexGuard<'_, HashMap<String, TokenUsage>> {
        self.token_usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenReservation {
    /// Returns the tokens that the request has not used.
    pub(crate) async fn settle(mut self, used: u64) {
        let unused = std::mem::take(&mut self.tokens).saturating_sub(used);
        return_tokens(&self.store, &self.key, self.second, unused).await;
    }
}

impl Drop for TokenReservation {
    fn drop(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        // Without a runtime, the tokens leave the window later.
        if let Some(runtime) = tokio::runtime::Handle::try_current().ok().filter(|_| tokens > 0) {
            let (store, key, second) =
                (self.store.clone(), std::mem::take(&mut self.key), self.second);
            runtime.spawn(async move { return_tokens(&store, &key, second, tokens).await });
        }
    }
}

/// Returns unused tokens to the window of a key. If the database is unavailable, they leave the
/// window later.
async fn return_tokens(store: &Store, key: &str, second: i64, tokens: u64) {
    if let Err(error) = store.return_tokens(key, second, tokens).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            key,
            "unused tokens are not returned"
        );
    }
}

/// Returns the window of a key, which is empty after a change of the limit.
fn window_for(windows: &Windows, key: &ApiKey, limit: RateLimit) -> Arc<SlidingWindow<()>> {
    let mut windows = windows.lock().unwrap_or_else(PoisonError::into_inner);
    let window =
        windows.entry(key.id.clone()).or_insert_with(|| Arc::new(SlidingWindow::new(limit)));
    if window.limit() != limit {
        *window = Arc::new(SlidingWindow::new(limit));
    }
    Arc::clone(window)
}

/// Formats a duration for the rate limit headers, rounded up.
fn format_seconds(duration: Duration) -> HeaderValue {
    let text = format!("{}s", duration.as_millis().div_ceil(1_000));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("60s"))
}

impl RateLimitStatus {
    /// Writes the usage to the rate limit headers of OpenAI's API.
    pub(crate) fn write_headers(self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("x-ratelimit-limit-requests", HeaderValue::from(self.limit)),
            ("x-ratelimit-remaining-requests", HeaderValue::from(self.remaining)),
            ("x-ratelimit-reset-requests", format_seconds(self.reset)),
        ] {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
