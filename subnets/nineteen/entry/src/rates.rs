//! Rate limits of API keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use taonet_http::{RateLimit, SlidingWindow};
use taonet_nineteen_store::{ApiKey, Store};
use taonet_service::unix_time;

use crate::GatewayError;

/// Length of the rate limits' window.
const MINUTE: Duration = Duration::from_mins(1);

/// Rate limiter of API keys. A shared database counts the requests of all gateways; with SQLite, this process counts
/// them in memory.
#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Arc<SlidingWindow<()>>>>);

/// Usage of an API key's rate limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    limit: u32,
    left: u32,
    reset: Duration,
}

impl Rates {
    /// Admits or rejects a request; in both cases, returns the key's usage after the request.
    pub(crate) async fn admit(
        &self,
        store: &Store,
        key: &ApiKey,
        now: SystemTime,
    ) -> Result<(Standing, Result<(), GatewayError>), GatewayError> {
        let limit = key.terms.rate_per_minute;
        if !store.is_shared() {
            return Ok(self.admit_here(key, now));
        }
        let now_ms = i64::try_from(unix_time(now).as_millis()).unwrap_or(i64::MAX);
        let usage = store.admit(&key.id, limit, now_ms).await?;
        let standing = Standing { limit, left: usage.left, reset: usage.reset };
        let refused = GatewayError::Rate { limit, retry: usage.retry };
        Ok((standing, if usage.is_admitted { Ok(()) } else { Err(refused) }))
    }

    fn admit_here(&self, key: &ApiKey, now: SystemTime) -> (Standing, Result<(), GatewayError>) {
        let limit = RateLimit { requests: key.terms.rate_per_minute, window: MINUTE };
        let window = {
            let mut rates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let window = rates.entry(key.id.clone()).or_insert_with(|| Arc::new(SlidingWindow::new(limit)));
            if window.limit() != limit {
                *window = Arc::new(SlidingWindow::new(limit));
            }
            Arc::clone(window)
        };
        let admitted = window.admit((), now);
        let admitted = admitted.map_err(|retry| GatewayError::Rate { limit: limit.requests, retry });
        let (left, reset) = window.left((), now);
        (Standing { limit: limit.requests, left, reset }, admitted)
    }
}

impl Standing {
    /// Writes the usage to the rate limit headers of OpenAI's API.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let reset = format!("{}s", self.reset.as_millis().div_ceil(1_000));
        let reset = HeaderValue::try_from(reset).unwrap_or(HeaderValue::from_static("60s"));
        for (name, value) in [
            ("x-ratelimit-limit-requests", HeaderValue::from(self.limit)),
            ("x-ratelimit-remaining-requests", HeaderValue::from(self.left)),
            ("x-ratelimit-reset-requests", reset),
        ] {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
