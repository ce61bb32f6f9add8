//! The epoch loop: once per epoch, it fetches the scores of the current round and submits weights
//! based on them.
//!
//! ```text
//! service ── new block ── is an epoch due? ── subnet: scores of the current round ──┐
//!                                             service: neurons of the subnet ───────┤
//! service ◀── weights ◀── policy (fallback, reuse) ◀────────────────────────────────┘
//! ```
//!
//! The service is the validator's chain access: a [`WeightService`].
//!
//! While required scores are unavailable, the epoch stays due and is retried until its last third.
//! The same applies while there are no scores and the previous weights are refused.
//!
//! An epoch is due as soon as its first block or any later one is seen, so that none is missed. The
//! last processed epoch, the number of epochs without scores and the last submitted weights are
//! saved to disk before the next epoch. Processing an epoch twice, after a kill, submits nothing
//! twice: the weight ledger records signed weights.

mod epoch;
mod error;
mod state;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taonet_chain::Chain;
use taonet_http::Readiness;
use taonet_primitives::{BlockNumber, NetUid, Uid};
use taonet_service::{Clock, Shutdown, Sleeper, sleeper, system_clock};
use taonet_wallet::Keypair;

use crate::policy::due_epoch;
use crate::subnet::Subnet;
use crate::weight_service::{LocalWeights, OpenError, ReadError, WeightService};

pub use epoch::EpochReport;
pub use error::EpochError;
pub use state::{StateError, StateFile};

/// Timeout for waiting for a block.
const BLOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// Pause after an error of the chain or the gateway.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(3);
/// Pause before an epoch is retried because scores were unavailable, or because the weights could
/// not be set.
const PAUSE_BEFORE_EPOCH_RETRY: Duration = Duration::from_secs(30);
/// Pause after a failed epoch, and after [`BLOCK_TIMEOUT`] has passed without a new block.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Settings for weight decisions.
#[derive(Debug, Clone)]
pub struct ValidatorSettings {
    /// Netuid of the subnet.
    pub netuid: NetUid,
    /// Length of a weight epoch in blocks.
    pub tempo: u32,
    /// The uid that receives unearned weight, if it is registered on the subnet.
    pub burn_uid: Uid,
    /// Number of consecutive epochs without scores after which all weight goes to `burn_uid`, if
    /// there are no previous weights to resubmit.
    pub max_skipped_epochs: u32,
}

/// Epoch loop of a subnet's validator.
pub struct Validator<S> {
    subnet: S,
    service: WeightService,
    settings: ValidatorSettings,
    state: StateFile,
    clock: Clock,
    sleeper: Sleeper,
    /// Whether the chain was reachable at the last call.
    is_connected: bool,
    /// Whether an epoch was decided since the start.
    has_decided: bool,
    readiness: Readiness,
}

impl<S: Subnet> Validator<S> {
    /// Opens a validator that submits weights in this process. In `directory` are the files of
    /// [`LocalWeights::open`], and the state of the epoch loop, in `state_file`. A task of
    /// `shutdown` completes the ledger's unfinished submissions.
    ///
    /// # Errors
    /// [`OpenError`] when the directory is unusable or in use, or the chain is unreachable.
    pub async fn open(
        subnet: S,
        keypair: Keypair,
        chain: Arc<dyn Chain>,
        directory: &Path,
        state_file: &str,
        settings: ValidatorSettings,
        shutdown: &Shutdown,
    ) -> Result<Self, OpenError> {
        let local = LocalWeights::open(keypair, chain, directory).await?;
        let state = StateFile::open(&directory.join(state_file))?;
        let service = local.start(shutdown);
        Ok(Self::new(subnet, service, settings, state, system_clock(), sleeper()))
    }

    /// Creates a validator that resumes from `state`.
    pub fn new(
        subnet: S,
        service: WeightService,
        settings: ValidatorSettings,
        state: StateFile,
        clock: Clock,
        sleeper: Sleeper,
    ) -> Self {
        if let Some(set) = state.saved().last_set {
            metrics::gauge!("lastset").set(set as f64);
        }
        let readiness = Readiness::starting();
        Self {
            subnet,
            service,
            settings,
            state,
            clock,
            sleeper,
            is_connected: true,
            has_decided: false,
            readiness,
        }
    }

    /// Marks `readiness` as ready once the first block is seen: before that, no weights can be
    /// submitted.
    #[must_use]
    pub fn with_readiness(self, readiness: Readiness) -> Self {
        Self { readiness, ..self }
    }

    /// Returns the chain access of the validator.
    pub const fn service(&self) -> &WeightService {
        &self.service
    }

    /// Processes epochs until shutdown.
    pub async fn run(&mut self, shutdown: &Shutdown) {
        let mut block = None;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                next = self.step(block) => block = next,
            }
        }
    }

    /// Processes the epoch of the newest block, whether or not it is due.
    ///
    /// # Errors
    /// [`EpochError`] when the chain is unreachable, or required scores are unavailable and the
    /// epoch is not nearly over.
    pub async fn run_once(&mut self) -> Result<EpochReport, EpochError> {
        let block = self.service.current_block().await?;
        let epoch = due_epoch(block, self.settings.tempo, None).unwrap_or_default();
        self.epoch(epoch, block).await
    }

    /// Processes the epoch that is due at `block`, if any, then waits for the next block and
    /// returns it.
    async fn step(&mut self, block: Option<BlockNumber>) -> Option<BlockNumber> {
        let block = match block {
            Some(block) => block,
            None => match self.service.current_block().await {
                Ok(block) => block,
                Err(error) => return self.log_outage(&error, PAUSE_AFTER_ERROR).await,
            },
        };
        self.readiness.set_ready();
        if let Some(epoch) = due_epoch(block, self.settings.tempo, self.state.saved().last_epoch) {
            match self.epoch(epoch, block).await {
                Ok(_) if self.state.saved().last_epoch == Some(epoch) => {}
                Ok(_) => {
                    tracing::warn!(epoch, %block, "cannot set the weights, retrying with the newest scores");
                    return self.pause_before_retry().await;
                }
                Err(EpochError::Read(error)) => {
                    return self.log_outage(&error, PAUSE_AFTER_FAILURE).await;
                }
                Err(EpochError::Scores(missing)) => {
                    tracing::warn!(epoch, %block, %missing, "cannot decide the weights, retrying");
                    return self.pause_before_retry().await;
                }
            }
        }
        match self.service.wait_for_block(BLOCK_TIMEOUT).await {
            Ok(Some(block)) => {
                if !std::mem::replace(&mut self.is_connected, true) {
                    tracing::info!(%block, "connection to the chain restored");
                }
                Some(block)
            }
            Ok(None) => {
                tracing::warn!("no new block within {} s", BLOCK_TIMEOUT.as_secs());
                (self.sleeper)(PAUSE_AFTER_FAILURE).await;
                None
            }
            Err(error) => self.log_outage(&error, PAUSE_AFTER_ERROR).await,
        }
    }

    /// Pauses before the same epoch is retried with the newest scores.
    async fn pause_before_retry(&self) -> Option<BlockNumber> {
        (self.sleeper)(PAUSE_BEFORE_EPOCH_RETRY).await;
        None
    }

    /// Logs, once per outage, that the chain is unreachable, then sleeps for `pause`.
    async fn log_outage(&mut self, error: &ReadError, pause: Duration) -> Option<BlockNumber> {
        if std::mem::replace(&mut self.is_connected, false) {
            tracing::warn!(%error, "cannot reach the chain, retrying");
        } else {
            tracing::debug!(%error, "still cannot reach the chain");
        }
        (self.sleeper)(pause).await;
        None
    }
}

/// Registers the help texts of the validator's metrics. Call it after the recorder is installed.
pub fn describe_metrics() {
    metrics::describe_counter!("taonet_validator_epochs_total", "Epochs processed, by decision");
    metrics::describe_counter!(
        "taonet_validator_submissions_total",
        "Weight submissions by result"
    );
    metrics::describe_histogram!(
        "taonet_validator_decision_seconds",
        "Time to decide the weights of an epoch"
    );
    metrics::describe_gauge!(
        "taonet_validator_epochs_without_scores",
        "Consecutive epochs without scores"
    );
    metrics::describe_gauge!("lastset", "Unix time of the last submission of weights");
}

impl<S> std::fmt::Debug for Validator<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validator").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
