//! Requests that each key may make in a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use taonet_http::{RateLimit, SlidingWindow};
use taonet_nineteen_store::ApiKey;

use crate::GatewayError;

/// What limits are counted over.
const MINUTE: Duration = Duration::from_mins(1);

/// Admission of requests by key.
#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Arc<SlidingWindow<()>>>>);

/// How much of its rate a key has used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    limit: u32,
    left: u32,
    reset: Duration,
}

impl Rates {
    /// Admits a request, or not; both with the key's standing afterwards.
    pub(crate) fn admit(&self, key: &ApiKey, now: SystemTime) -> (Standing, Result<(), GatewayError>) {
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
    /// Writes it in the headers that OpenAI's API has.
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
