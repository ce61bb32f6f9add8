//! Log of the backend's request limit.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time without a rejection after which a response shows that the backend is no longer at its
/// limit.
const QUIET_PERIOD: Duration = Duration::from_mins(1);

/// Logs when the backend reaches its request limit, and when it accepts all requests again: a busy
/// backend rejects too many requests for a warning each. Holds the time of the latest rejection
/// while the backend is at its limit.
#[derive(Default)]
pub(crate) struct BackendLimitLog(Mutex<Option<Instant>>);

impl BackendLimitLog {
    /// Records that the backend rejects a request with status 429, as status or in the response.
    pub(crate) fn record_rejection(&self, cause: &dyn Display) {
        if self.last_rejection().replace(Instant::now()).is_none() {
            tracing::warn!(
                %cause,
                "the backend is at its limit of requests, so that validators get status 429; hint: lower \
                 --concurrency, or raise the backend's limit; this warning is not repeated until the backend has \
                 accepted all requests for a minute"
            );
        } else {
            tracing::debug!(%cause, "backend is at its limit");
        }
    }

    /// Records that the backend answers a request.
    pub(crate) fn record_acceptance(&self) {
        if self
            .last_rejection()
            .take_if(|rejected_at| rejected_at.elapsed() >= QUIET_PERIOD)
            .is_some()
        {
            tracing::info!("the backend accepts all requests again");
        }
    }

    fn last_rejection(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use taonet_testing::CapturedLog;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn start_and_end_of_backend_limit_are_logged_once() {
        let (log, _guard) = CapturedLog::start();
        let limit_log = BackendLimitLog::default();
        limit_log.record_acceptance();
        assert_eq!(log.take(), "");
        limit_log.record_rejection(&"full");
        assert!(log.take().contains("WARN"));
        advance(QUIET_PERIOD / 2).await;
        limit_log.record_acceptance();
        limit_log.record_rejection(&"full");
        advance(QUIET_PERIOD / 2).await;
        limit_log.record_acceptance();
        assert_eq!(log.take(), "");
        advance(QUIET_PERIOD / 2).await;
        limit_log.record_acceptance();
        limit_log.record_acceptance();
        let lines = log.take();
        assert_eq!(lines.matches("the backend accepts all requests again").count(), 1, "{lines}");
        limit_log.record_rejection(&"full");
        assert!(log.take().contains("WARN"));
    }
}
