//! The epoch loop: once an epoch it fetches the scores of the current round and has weights set by them.
//!
//! ```text
//! gateway ── new block ── is an epoch due? ── subnet: scores of the current round ──┐
//!                                             gateway: who is on the subnet ────────┤
//! signer, else gateway ◀── weights ◀── policy (fallback, reuse) ◀───────────────────┘
//! ```
//!
//! Where scores that count cannot be had, the epoch stays due, and they are asked for again until its last third.
//!
//! An epoch is due as soon as its first block or any later one is seen, so that none is missed; which one was worked on
//! last, how many had no scores, and what was set last are on disk before the next one. An epoch that is worked on twice,
//! after a kill, submits nothing twice: the gateway's weight ledger knows what was signed.

mod epoch;
mod error;
mod state;
mod submit;

use std::time::Duration;

use taonet_http::Readiness;
use taonet_primitives::{BlockNumber, NetUid, Uid};
use taonet_service::{Clock, Shutdown, Sleeper};

use crate::policy::due_epoch;
use crate::signer::SignerClient;
use crate::subnet::Subnet;
use crate::subtensor_gateway::{GatewayClient, GatewayError};

pub use epoch::EpochReport;
pub use error::EpochError;
pub use state::{StateError, StateFile};

/// Time to read the newest block.
const READING: Duration = Duration::from_secs(15);
/// Time to wait for a block.
const WAITING: Duration = Duration::from_mins(1);
/// Pause after a gateway that failed.
const AFTER_ERROR: Duration = Duration::from_secs(3);
/// Pause before scores are asked for again that could not be had.
const AFTER_MISSING_SCORES: Duration = Duration::from_secs(30);
/// Pause after an epoch that failed, and after a chain that stood still.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// How weights are decided and submitted.
#[derive(Debug, Clone)]
pub struct ValidatorSettings {
    /// The subnet.
    pub netuid: NetUid,
    /// Blocks of an epoch of weights.
    pub tempo: u32,
    /// Receives what nobody has earned, where it is on the subnet.
    pub burn_uid: Uid,
    /// After this many epochs without scores in a row, and without earlier weights, everything goes to `burn_uid`.
    pub max_skipped_epochs: u32,
    /// How often the gateway tries to have weights confirmed, where the signer could not.
    pub retries: u32,
    /// The time between two of its attempts.
    pub retry_delay: Duration,
}

/// The services through which a [`Validator`] reaches the chain.
#[derive(Debug, Clone)]
pub struct Services {
    /// Reads the chain, and submits weights where the signer does not answer.
    pub gateway: GatewayClient,
    /// Submits weights.
    pub signer: SignerClient,
}

/// The validator of a subnet.
pub struct Validator<S> {
    subnet: S,
    services: Services,
    settings: ValidatorSettings,
    state: StateFile,
    clock: Clock,
    sleeper: Sleeper,
    /// Whether the gateway answered last time.
    is_well: bool,
    /// Whether an epoch was decided since the start.
    has_decided: bool,
    readiness: Readiness,
}

impl<S: Subnet> Validator<S> {
    /// A validator that resumes where `state` says.
    pub fn new(
        subnet: S,
        services: Services,
        settings: ValidatorSettings,
        state: StateFile,
        clock: Clock,
        sleeper: Sleeper,
    ) -> Self {
        if let Some(set) = state.saved().last_set {
            metrics::gauge!("lastset").set(set as f64);
        }
        let readiness = Readiness::starting();
        Self { subnet, services, settings, state, clock, sleeper, is_well: true, has_decided: false, readiness }
    }

    /// Says by `readiness` that a first block was seen: before that, no weights can be set.
    #[must_use]
    pub fn with_readiness(self, readiness: Readiness) -> Self {
        Self { readiness, ..self }
    }

    /// Works on epoch after epoch until the end is asked for.
    pub async fn run(&mut self, shutdown: &Shutdown) {
        let mut block = None;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                next = self.step(block) => block = next,
            }
        }
    }

    /// Works on the epoch of the newest block, whether it is due or not.
    ///
    /// # Errors
    /// [`EpochError`] when the chain cannot be asked, or scores that count cannot be had and the epoch is not nearly over.
    pub async fn run_once(&mut self) -> Result<EpochReport, EpochError> {
        let block = self.services.gateway.current_block(READING).await?;
        let epoch = due_epoch(block, self.settings.tempo, None).unwrap_or_default();
        self.epoch(epoch, block).await
    }

    /// Works on the epoch that is due at `block`, if any, and waits for the next block, which it gives.
    async fn step(&mut self, block: Option<BlockNumber>) -> Option<BlockNumber> {
        let block = match block {
            Some(block) => block,
            None => match self.services.gateway.current_block(READING).await {
                Ok(block) => block,
                Err(error) => return self.unwell(&error, AFTER_ERROR).await,
            },
        };
        self.readiness.set_ready();
        if let Some(epoch) = due_epoch(block, self.settings.tempo, self.state.saved().last_epoch)
            && let Err(error) = self.epoch(epoch, block).await
        {
            return match error {
                EpochError::Gateway(error) => self.unwell(&error, AFTER_FAILURE).await,
                EpochError::Scores(missing) => {
                    tracing::warn!(epoch, %block, %missing, "nothing is decided yet, asking again");
                    (self.sleeper)(AFTER_MISSING_SCORES).await;
                    None
                }
            };
        }
        match self.services.gateway.wait_for_block(WAITING).await {
            Ok(Some(block)) => {
                if !std::mem::replace(&mut self.is_well, true) {
                    tracing::info!(%block, "the gateway answers again");
                }
                Some(block)
            }
            Ok(None) => {
                tracing::warn!("no new block within {} s", WAITING.as_secs());
                (self.sleeper)(AFTER_FAILURE).await;
                None
            }
            Err(error) => self.unwell(&error, AFTER_ERROR).await,
        }
    }

    /// Says once, however long it lasts, that the gateway does not answer.
    async fn unwell(&mut self, error: &GatewayError, pause: Duration) -> Option<BlockNumber> {
        if std::mem::replace(&mut self.is_well, false) {
            tracing::warn!(%error, "the chain cannot be asked, trying again");
        } else {
            tracing::debug!(%error, "the chain still cannot be asked");
        }
        (self.sleeper)(pause).await;
        None
    }
}

/// Gives the validator's metrics their help texts. Call after the recorder is installed.
pub fn describe_metrics() {
    metrics::describe_counter!("taonet_validator_epochs_total", "Epochs worked on, by what was set");
    metrics::describe_counter!("taonet_validator_submissions_total", "Weights handed over, by result");
    metrics::describe_histogram!("taonet_validator_decision_seconds", "Time from the epoch to the decision");
    metrics::describe_gauge!("taonet_validator_epochs_without_scores", "Epochs in a row without scores");
    metrics::describe_gauge!("lastset", "When weights were last set, in seconds since 1970");
}

impl<S> std::fmt::Debug for Validator<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validator").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
