use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use serde_json::Value;
use taonet_chain::{At, Chain, ChainError, Detail, Metagraph};
use taonet_ledger::{Ledger, LedgerError, Submitter};
use taonet_neuron::Neurons;
use taonet_primitives::{Backoff, BlockNumber, MechId, NetUid};
use taonet_service::{Shutdown, Sleeper};
use taonet_wallet::Keypair;
use tokio::sync::watch::error::RecvError;

use super::confirm::{Retry, set_and_confirm};
use super::{WeightService, WeightsOutcome};
use crate::StateError;
use crate::api::WeightsRequest;
use crate::signer::AuditLog;

/// Pauses between two attempts to set weights. The chain may accept weights a block later, such as
/// after a rate limit.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));

/// Why a validator that submits weights in its own process cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The weight ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The audit log cannot be opened.
    #[error("cannot open the audit log")]
    Audit(#[source] io::Error),
    /// The state of the epoch loop cannot be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The chain is unreachable.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Reads the chain and submits weights in this process: each epoch's weights are signed once, by
/// the weight ledger.
pub struct LocalWeights {
    chain: Arc<dyn Chain>,
    submitter: Submitter,
    audit: Option<AuditLog>,
}

impl LocalWeights {
    /// Opens the service of a hotkey. The weight ledger (`weights`) and the log of signed weights
    /// (`audit.jsonl`) are in `directory`, which is created if missing.
    ///
    /// # Errors
    /// [`OpenError`] when the directory is unusable or in use, or the chain is unreachable.
    pub async fn open(
        keypair: Keypair,
        chain: Arc<dyn Chain>,
        directory: &Path,
    ) -> Result<Self, OpenError> {
        let ledger = Ledger::open(&directory.join("weights")).await?;
        let audit = AuditLog::open(&directory.join("audit.jsonl")).map_err(OpenError::Audit)?;
        let submitter = Submitter::new(ledger, Arc::clone(&chain), keypair).await?;
        Ok(Self::new(chain, submitter).with_audit(audit))
    }

    /// Creates a service for the hotkey of `submitter`.
    pub fn new(chain: Arc<dyn Chain>, submitter: Submitter) -> Self {
        Self { chain, submitter, audit: None }
    }

    /// Records the weights in `audit` before they are submitted. Without a record, nothing is
    /// submitted.
    #[must_use]
    pub fn with_audit(self, audit: AuditLog) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// Starts the task that completes unfinished submissions (see [`Self::follow`]), and returns
    /// the service.
    pub fn start(self, shutdown: &Shutdown) -> WeightService {
        let local = Arc::new(self);
        let (task_weights, stop) = (Arc::clone(&local), shutdown.clone());
        shutdown.spawn("unfinished weights", async move { task_weights.follow(&stop).await });
        WeightService::Local(local)
    }

    /// Completes the ledger's unfinished submissions, now and after every block, until shutdown.
    pub async fn follow(&self, shutdown: &Shutdown) {
        let mut heads = self.chain.heads();
        loop {
            let block = heads.borrow_and_update().map(|head| head.number);
            if let Some(block) = block {
                metrics::gauge!("taonet_subtensor_gateway_block").set(f64::from(block.get()));
            }
            // Interrupted work resumes at the next start, as after a kill.
            let advanced = tokio::select! {
                () = shutdown.requested() => return,
                advanced = self.submitter.advance() => advanced,
            };
            match advanced {
                Ok(intents) => {
                    for (key, result) in intents {
                        if let Err(error) = result {
                            tracing::warn!(
                                epoch = key.epoch, netuid = key.netuid.0, %error,
                                "cannot complete a weight submission"
                            );
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "the weight ledger failed"),
            }
            tokio::select! {
                () = shutdown.requested() => return,
                changed = heads.changed() => if changed.is_err() { return },
            }
        }
    }

    pub(crate) async fn current_block(&self) -> Result<BlockNumber, ChainError> {
        Ok(self.chain.head().await?.number)
    }

    /// Waits for the next block; `None` after `timeout`. All callers share one subscription.
    pub(crate) async fn wait_for_block(
        &self,
        timeout: Duration,
    ) -> Result<Option<BlockNumber>, RecvError> {
        let mut heads = self.chain.heads();
        let newest = heads.borrow_and_update().map(|head| head.number);
        let newer_head = heads.wait_for(|head| head.map(|head| head.number) > newest);
        match tokio::time::timeout(timeout, newer_head).await {
            Ok(head) => Ok(head?.map(|head| head.number)),
            Err(_) => Ok(None),
        }
    }

    pub(crate) async fn neurons(&self, netuid: NetUid) -> Result<Neurons, ChainError> {
        Neurons::read(&*self.chain, netuid).await
    }

    pub(crate) async fn metagraph(&self, netuid: NetUid) -> Result<Metagraph, ChainError> {
        self.chain.metagraph(netuid, MechId(0), Detail::Lite, At::Head).await
    }

    /// Submits the weights, or tracks the epoch's existing submission. The only limit is `timeout`:
    /// until then, attempts that may succeed later are repeated.
    pub(super) async fn set_weights(
        &self,
        request: &WeightsRequest,
        timeout: Duration,
        sleeper: &Sleeper,
    ) -> WeightsOutcome {
        if let Some(Err(error)) =
            self.audit.as_ref().map(|audit| audit.record_weights(None, request))
        {
            let error = format!("not signed: cannot write the audit log: {error}");
            return WeightsOutcome::NotSet { error, details: Value::Null };
        }
        let pauses = (0..).map(|retries| BACKOFF.delay(retries));
        self.submit(request, Retry { pauses, timeout, sleeper: Arc::clone(sleeper) }).await
    }

    /// Submits the weights of a request; `retry` replaces the request's own number of attempts.
    pub(crate) async fn submit(
        &self,
        request: &WeightsRequest,
        retry: Retry<impl Iterator<Item = Duration> + Send>,
    ) -> WeightsOutcome {
        let outcome = set_and_confirm(&*self.chain, &self.submitter, request, retry).await;
        let result = if outcome.is_success() { "confirmed" } else { "unconfirmed" };
        metrics::counter!("taonet_subtensor_gateway_submissions_total", "result" => result)
            .increment(1);
        outcome
    }

    /// Registers the help texts of the service's metrics, which the subtensor gateway has too. Call
    /// it after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!(
            "taonet_subtensor_gateway_submissions_total",
            "Weight submissions by result"
        );
        metrics::describe_gauge!("taonet_subtensor_gateway_block", "Height of the newest block");
    }

    #[cfg(test)]
    pub(crate) fn submitter(&self) -> &Submitter {
        &self.submitter
    }
}

impl fmt::Debug for LocalWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalWeights").field("submitter", &self.submitter).finish_non_exhaustive()
    }
}
