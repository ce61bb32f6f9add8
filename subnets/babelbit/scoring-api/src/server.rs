//! The scoring API server, run by the subnet owner: collects the results of validators, and serves
//! the scores of all validators.
//!
//! | Route | Response |
//! |---|---|
//! | `POST /v1/submit` | `{"success": true, "stored": …}` once a signed result is in the database |
//! | `POST /v1/submit-artifact` | the same for a file: a form with `metadata`, then `file` |
//! | `GET /v1/get_scores` | `{"scores": [row, …]}` of a challenge, best first |
//! | `GET /healthz` | `{"ok": true}` while the database responds |
//!
//! Before the server processes a request, it checks in this order: limits, signature, age,
//! validator permit, rate limit. A repeated submission is stored as one row; of two submissions of
//! the same file, the one signed later wins. A miner's score is the [stake-weighted
//! median](taonet_babelbit_core::aggregation) over validators.

mod answer;
mod artifacts;
mod error;
mod multipart;
mod record;
mod retention;
mod routes;
mod store;
mod validators;
mod verify;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use taonet_http::{RateLimit, SlidingWindow};
use taonet_service::{Clock, system_clock};

pub use artifacts::{ArtifactError, ArtifactStore};
pub use record::{NewSubmission, PutOutcome, SubmissionKey, ValidatorScore};
pub use store::{Store, StoreError};
pub use validators::Admission;

use validators::Validators;

/// Grace period for in-flight uploads at shutdown, the same as for requests.
const UPLOAD_GRACE: Duration = Duration::from_secs(10);

/// Limits of a scoring API.
#[derive(Debug, Clone)]
pub struct ScoringLimits {
    /// Maximum difference between a request's timestamp and the local clock.
    pub window: Duration,
    /// Maximum size of a submission's body in bytes.
    pub max_body_bytes: usize,
    /// Maximum size of a file in bytes.
    pub max_artifact_bytes: u64,
    /// Rate limit per IP address.
    pub per_address: RateLimit,
    /// Rate limit per validator.
    pub per_validator: RateLimit,
    /// Hotkeys that may read scores in addition to the validators, such as that of the arena
    /// gateway.
    pub readers: BTreeSet<Hotkey>,
    /// Timeout for a request, ten times as long for a request with a file. After the timeout, the
    /// API responds with status 503.
    pub request_timeout: Duration,
    /// Maximum number of concurrent requests; further requests are queued. Each request may hold a
    /// body in memory.
    pub concurrency: usize,
    /// Retention period of submissions.
    pub retention: Duration,
}

impl Default for ScoringLimits {
    /// Returns the defaults: a window of five minutes, bodies of 4 MiB, files of 512 MiB, 12 000
    /// requests a minute per validator, 24 000 per address, a timeout of 60 s, 32 concurrent
    /// requests, 30 days. Buffered bodies take less than half a gigabyte of memory.
    fn default() -> Self {
        let per_minute = |requests| RateLimit { requests, window: Duration::from_mins(1) };
        Self {
            window: Duration::from_mins(5),
            max_body_bytes: 4 << 20,
            max_artifact_bytes: 512 << 20,
            per_address: per_minute(24_000),
            per_validator: per_minute(12_000),
            readers: BTreeSet::new(),
            request_timeout: Duration::from_mins(1),
            concurrency: 32,
            retention: Duration::from_hours(30 * 24),
        }
    }
}

/// The scoring API. Cheap to clone; clones share state.
#[derive(Clone)]
pub struct ScoringApi {
    state: Arc<State>,
}

/// State shared by the routes.
struct State {
    store: Store,
    artifacts: ArtifactStore,
    validators: Validators,
    limits: ScoringLimits,
    per_address: SlidingWindow<IpAddr>,
    per_validator: SlidingWindow<Hotkey>,
    /// Concurrency limit of file uploads.
    files: Semaphore,
    /// In-flight uploads, including those whose client has disconnected.
    uploads: TaskTracker,
    clock: Clock,
}

impl State {
    fn now(&self) -> SystemTime {
        (self.clock)()
    }
}

impl ScoringApi {
    /// Creates a scoring API that admits callers by the policy `admission`.
    pub fn new(
        store: Store,
        artifacts: ArtifactStore,
        admission: Admission,
        limits: ScoringLimits,
    ) -> Self {
        Self::with_clock(store, artifacts, admission, limits, system_clock())
    }

    /// Creates a scoring API with a custom clock.
    pub fn with_clock(
        store: Store,
        artifacts: ArtifactStore,
        admission: Admission,
        limits: ScoringLimits,
        clock: Clock,
    ) -> Self {
        let state = State {
            store,
            artifacts,
            validators: Validators::new(admission),
            per_address: SlidingWindow::new(limits.per_address),
            per_validator: SlidingWindow::new(limits.per_validator),
            files: Semaphore::new(limits.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            uploads: TaskTracker::new(),
            limits,
            clock,
        };
        Self { state: Arc::new(state) }
    }

    /// Returns the API's HTTP router, with all limits applied. Serve the router with connect info:
    /// without connect info, all callers share the rate limit of one address.
    pub fn router(&self) -> Router {
        routes::router(&self.state)
    }

    /// Refreshes the list of validators and purges expired submissions, until shutdown is requested
    /// and in-flight uploads have completed.
    pub async fn follow(&self, shutdown: &Shutdown) {
        tokio::join!(
            self.state.validators.refresh_until_shutdown(shutdown),
            retention::follow(&self.state, shutdown)
        );
        self.state.uploads.close();
        if tokio::time::timeout(UPLOAD_GRACE, self.state.uploads.wait()).await.is_err() {
            tracing::warn!(files = self.state.uploads.len(), "shutdown timeout: uploads aborted");
        }
    }

    /// Registers the help texts of the API's metrics. Call it after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!(
            "taonet_scoring_api_requests_total",
            "Requests by route and status"
        );
        metrics::describe_counter!(
            "taonet_scoring_api_submissions_total",
            "Results accepted, by kind"
        );
        metrics::describe_counter!(
            "taonet_scoring_api_artifact_bytes_total",
            "Bytes of accepted files"
        );
        metrics::describe_counter!(
            "taonet_scoring_api_forgotten_total",
            "Results purged after the retention period"
        );
        metrics::describe_gauge!(
            "taonet_scoring_api_validators",
            "Validators with a permit on the subnet"
        );
    }
}

impl std::fmt::Debug for ScoringApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScoringApi").field("limits", &self.state.limits).finish_non_exhaustive()
    }
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
