//! The scoring API: the subnet owner's side. Takes validators' results, and gives each the scores of all.
//!
//! | Route | Answer |
//! |---|---|
//! | `POST /v1/submit` | `{"success": true, "stored": …}` once a signed result is in the database |
//! | `POST /v1/submit-artifact` | the same for a file: a form with `metadata`, then `file` |
//! | `GET /v1/get_scores` | `{"scores": [row, …]}` of a challenge, the best first |
//! | `GET /healthz` | `{"ok": true}` while the database answers |
//!
//! Limits, then the signature, then its age, then whether the signer is a validator, then its rate: only then is anything
//! of a request believed. The same result sent twice is one row; of two for the same file the one that was signed later
//! counts. A miner's score is the [median by stake](taonet_babelbit_core::aggregation) over validators.

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

use crate::clock::{Clock, system_clock};
use crate::engine::{RateLimit, SlidingWindow};

pub use artifacts::{ArtifactError, ArtifactStore};
pub use record::{GivenScore, Kept, NewSubmission, SubmissionKey};
pub use store::{Store, StoreError};
pub use validators::Admission;

use validators::Validators;

/// How long files that are being kept hold up the end: as long as requests do.
const LAST_FILES: Duration = Duration::from_secs(10);

/// What a scoring API takes from its callers.
#[derive(Debug, Clone)]
pub struct ScoringLimits {
    /// How far a request's time may be from this machine's.
    pub window: Duration,
    /// Largest body of a submission, in bytes.
    pub max_body_bytes: usize,
    /// Largest file, in bytes.
    pub max_artifact_bytes: u64,
    /// Requests of one address.
    pub per_address: RateLimit,
    /// Requests of one validator.
    pub per_validator: RateLimit,
    /// Who may ask for scores besides the validators: the arena gateway, say.
    pub readers: BTreeSet<Hotkey>,
    /// A request that takes longer is answered 503; one with a file has ten times as long.
    pub request_timeout: Duration,
    /// Requests at a time; more wait. Each may hold a body in memory.
    pub concurrency: usize,
    /// What came longer ago is forgotten.
    pub keep: Duration,
}

impl Default for ScoringLimits {
    /// Five minutes from our clock, 4 MiB, files of 512 MiB, 12 000 requests a minute of a validator, 24 000 of an address,
    /// 60 s, 32 at a time, 30 days: bodies take less than half a gigabyte.
    fn default() -> Self {
        let a_minute = |requests| RateLimit { requests, window: Duration::from_mins(1) };
        Self {
            window: Duration::from_mins(5),
            max_body_bytes: 4 << 20,
            max_artifact_bytes: 512 << 20,
            per_address: a_minute(24_000),
            per_validator: a_minute(12_000),
            readers: BTreeSet::new(),
            request_timeout: Duration::from_mins(1),
            concurrency: 32,
            keep: Duration::from_hours(30 * 24),
        }
    }
}

/// A scoring API. Cheap to clone; clones are one.
#[derive(Clone)]
pub struct ScoringApi {
    state: Arc<State>,
}

/// What the routes share.
struct State {
    store: Store,
    artifacts: ArtifactStore,
    validators: Validators,
    limits: ScoringLimits,
    per_address: SlidingWindow<IpAddr>,
    per_validator: SlidingWindow<Hotkey>,
    /// Turns of files that arrive.
    files: Semaphore,
    /// Files that are being kept, whether or not somebody still waits for the answer.
    uploads: TaskTracker,
    clock: Clock,
}

impl State {
    fn now(&self) -> SystemTime {
        (self.clock)()
    }
}

impl ScoringApi {
    /// A scoring API for these validators.
    pub fn new(store: Store, artifacts: ArtifactStore, admission: Admission, limits: ScoringLimits) -> Self {
        Self::with_clock(store, artifacts, admission, limits, system_clock())
    }

    /// As [`Self::new`], by this clock.
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

    /// The routes, with all limits. Serve them with connect info: without it all callers share one address's rate.
    pub fn router(&self) -> Router {
        routes::router(&self.state)
    }

    /// Keeps the list of validators up to date and forgets what is old, until the end is asked for and the files that are
    /// being kept are.
    pub async fn follow(&self, shutdown: &Shutdown) {
        tokio::join!(self.state.validators.follow(shutdown), retention::follow(&self.state, shutdown));
        self.state.uploads.close();
        if tokio::time::timeout(LAST_FILES, self.state.uploads.wait()).await.is_err() {
            tracing::warn!(files = self.state.uploads.len(), "files that were being kept are cut off");
        }
    }

    /// Gives the metrics their help texts. Call after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_scoring_api_requests_total", "Requests by route and status");
        metrics::describe_counter!("taonet_scoring_api_submissions_total", "Results taken, by kind");
        metrics::describe_counter!("taonet_scoring_api_artifact_bytes_total", "Bytes of the files taken");
        metrics::describe_counter!("taonet_scoring_api_forgotten_total", "Results forgotten for their age");
        metrics::describe_gauge!("taonet_scoring_api_validators", "Validators with a permit on the subnet");
    }
}

impl std::fmt::Debug for ScoringApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScoringApi").field("limits", &self.state.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
