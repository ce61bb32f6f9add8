mod performance;
mod verification;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::IteratorRandom as _;
use taonet_proof_circuits::{Bundle, Catalogue, CircuitError};
use taonet_proof_core::Digest;
use taonet_proof_core::scoring::{Event, Outcome};
use taonet_proof_core::slices::SlicedModel;
use taonet_service::{Access, Clock, atomic_write, unix_time};
use tokio::sync::{Semaphore, watch};

use crate::diagnosis::ProofHistory;
use crate::dispatch::{Assignment, AssignmentOutcome, Dispatcher, Limits};
use crate::request::{Clients, LoadedCircuit, ProofRequest, RequestError, UnverifiedProof};
use crate::{ProofMiner, ScoreStore, metrics};
use verification::Verifications;

/// Maximum number of concurrent executions of circuits. Each holds all values of its circuit in
/// memory.
const MAX_EXECUTIONS: usize = 2;

/// Settings of an [`Examiner`].
#[derive(Clone, Debug)]
pub struct ExaminerSettings {
    /// Minimum time between two benchmark requests to a miner of capacity 1. For a miner of
    /// capacity n, it is divided by n.
    pub interval: Duration,
    /// Maximum timeout of a request. Once a miner has 50 verified proofs of a circuit, its timeout
    /// is twice the 95th percentile of its response times.
    pub timeout: Duration,
    /// Minimum time before an answer is overdue. An overdue request no longer counts towards
    /// `requests`, and an overdue user's request is also sent to another miner.
    pub overdue_after: Duration,
    /// Maximum number of concurrent benchmark requests to all miners together, without overdue
    /// ones.
    pub requests: usize,
    /// Maximum number of concurrent verifications.
    pub verifications: usize,
    /// Whether benchmark requests are sent. Without them, users' requests alone are scored.
    pub benchmarks: bool,
    /// Circuits without benchmark requests, such as those whose proofs take long.
    pub users_only: BTreeSet<Digest>,
    /// Percentage of the miners, the fastest ones, that are preferred for users' requests.
    pub users_percent: u8,
    /// Directory in which each miner's last verified proof is stored as a bundle.
    pub bundles: Option<PathBuf>,
    /// File in which measured capacities and response times survive a restart.
    pub performance: Option<PathBuf>,
}

impl Default for ExaminerSettings {
    /// Returns the default settings: a request to each miner every second, a timeout of 180 s,
    /// overdue after 5 s at the earliest, 32 requests at a time, verifications on twice as many
    /// threads as there are cores, users' requests to all miners alike, no files.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_mins(3),
            overdue_after: Duration::from_secs(5),
            requests: 32,
            verifications: cores * 2,
            benchmarks: true,
            users_only: BTreeSet::new(),
            users_percent: 100,
            bundles: None,
            performance: None,
        }
    }
}

/// Sends proof requests to miners and verifies every proof.
///
/// Each miner has as many requests in flight as its measured capacity allows, so that faster miners
/// deliver more. A slow or silent miner does not delay others, because an overdue request no longer
/// counts towards the limit of concurrent requests.
pub struct Examiner {
    pub(crate) circuits: Arc<Vec<LoadedCircuit>>,
    pub(crate) models: BTreeMap<Digest, Arc<SlicedModel>>,
    clients: Clients,
    score_store: Arc<ScoreStore>,
    pub(crate) settings: ExaminerSettings,
    clock: Clock,
    pub(crate) requests: Arc<Semaphore>,
    execution_slots: Arc<Semaphore>,
    verifications: Verifications,
    proof_history: Arc<ProofHistory>,
    miners: watch::Sender<Arc<Vec<ProofMiner>>>,
    pub(crate) dispatcher: Arc<Dispatcher>,
}

impl Examiner {
    /// Loads the verifier of every circuit, and the measured performance if it was saved.
    ///
    /// # Errors
    /// When a key is missing, modified or malformed.
    pub fn load(
        catalogue: &Catalogue,
        clients: impl Into<Clients>,
        score_store: Arc<ScoreStore>,
        settings: ExaminerSettings,
        clock: Clock,
    ) -> Result<Self, CircuitError> {
        let circuits: Vec<_> =
            catalogue.circuits().map(LoadedCircuit::load).collect::<Result<_, _>>()?;
        let limits = Limits {
            interval: settings.interval,
            timeout: settings.timeout,
            overdue_after: settings.overdue_after,
            users_percent: settings.users_percent,
            benchmarks: settings.benchmarks,
        };
        let dispatcher = Dispatcher::new(limits);
        if let Some(saved) = settings.performance.as_deref().and_then(performance::read_saved) {
            let identities: Vec<Digest> =
                circuits.iter().map(|loaded| loaded.directory.id()).collect();
            dispatcher.restore(saved, &identities, unix_time(clock()));
        }
        let (circuits, proof_history) = (Arc::new(circuits), Arc::default());
        let bundles = settings.bundles.clone();
        Ok(Self {
            verifications: Verifications::new(
                &circuits,
                &proof_history,
                settings.verifications,
                bundles,
            ),
            circuits,
            models: catalogue.models().map(|(id, model)| (*id, Arc::clone(model))).collect(),
            clients: clients.into(),
            score_store,
            requests: Arc::new(Semaphore::new(settings.requests.clamp(1, Semaphore::MAX_PERMITS))),
            execution_slots: Arc::new(Semaphore::new(MAX_EXECUTIONS)),
            dispatcher,
            settings,
            clock,
            proof_history,
            miners: watch::Sender::default(),
        })
    }

    /// Updates the list of miners. [`Examiner::run`] calls it; a validator without benchmarks calls
    /// it directly.
    pub async fn follow_miners(&self, list: &[ProofMiner]) {
        self.set_miners(list);
        self.connect(list).await;
    }

    pub(crate) fn set_miners(&self, list: &[ProofMiner]) {
        self.miners.send_replace(Arc::new(list.to_vec()));
        self.dispatcher.retain(list);
        self.proof_history.retain(list);
    }

    /// Connects to the miners that use QUIC.
    pub(crate) async fn connect(&self, list: &[ProofMiner]) {
        if let Some(quic) = &self.clients.quic {
            quic.follow(list).await;
        }
    }

    /// Sends an assigned request, verifies its proof and records the outcome. When the answer is
    /// overdue, calls `on_overdue`, and the request continues until its timeout.
    pub(crate) async fn request(
        &self,
        mut assignment: Assignment,
        request: &ProofRequest,
        on_overdue: impl FnOnce(),
    ) -> Result<(Outcome, Arc<UnverifiedProof>), RequestError> {
        let (miner, circuit) = (assignment.miner.clone(), assignment.circuit());
        let overdue_after = assignment.overdue_after;
        let mut exchange =
            pin!(self.request_and_verify(&miner, circuit, request, assignment.timeout));
        let result = if let Ok(result) = tokio::time::timeout(overdue_after, &mut exchange).await {
            result
        } else {
            assignment.set_overdue();
            on_overdue();
            exchange.await
        };
        match &result {
            Ok((Outcome::Verified { time, .. }, _)) => {
                assignment.settle(AssignmentOutcome::Verified(*time));
            }
            Ok((Outcome::Failed(_), _)) | Err(RequestError::Fault(_)) => {
                assignment.settle(AssignmentOutcome::Failed);
            }
            Err(RequestError::Busy) => assignment.settle(AssignmentOutcome::Busy),
            Err(RequestError::Local(_)) => {}
        }
        result
    }

    async fn request_and_verify(
        &self,
        miner: &ProofMiner,
        position: usize,
        request: &ProofRequest,
        timeout: Duration,
    ) -> Result<(Outcome, Arc<UnverifiedProof>), RequestError> {
        let loaded = self
            .circuits
            .get(position)
            .ok_or_else(|| RequestError::local("the circuit is not loaded"))?;
        let circuit = loaded.directory.id().to_string();
        match self.clients.request_proof(miner, loaded, request, timeout).await {
            Ok(claim) => {
                let claim = Arc::new(claim);
                let outcome =
                    self.verifications.verify(position, Arc::clone(&claim), self.miners()).await;
                let outcome =
                    outcome.ok_or_else(|| RequestError::local("the local verifier failed"))?;
                let recorded = self.record_outcome(miner, &circuit, outcome).await;
                match recorded.ok_or_else(|| RequestError::local("cannot record an outcome"))? {
                    Outcome::Failed(fault) => Err(RequestError::Fault(fault)),
                    verified @ Outcome::Verified { .. } => Ok((verified, claim)),
                }
            }
            Err(RequestError::Fault(fault)) => {
                let recorded = self.record_outcome(miner, &circuit, Outcome::Failed(fault)).await;
                Err(recorded.map_or_else(
                    || RequestError::local("cannot record an outcome"),
                    |_| RequestError::Fault(fault),
                ))
            }
            Err(RequestError::Busy) => {
                metrics::count_busy();
                Err(RequestError::Busy)
            }
            Err(local) => Err(local),
        }
    }

    /// Runs an operation that executes circuits, on a thread for blocking work. Returns `None` if
    /// it panicked.
    pub(crate) async fn execute<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.execution_slots).acquire_owned().await.ok()?;
        let task = tokio::task::spawn_blocking(move || {
            // Held until the operation ends, even if its request is abandoned.
            let _permit = permit;
            operation()
        });
        task.await.ok()
    }

    /// Chooses the circuit of the next benchmark request at random, among those for which random
    /// inputs can be proven.
    pub(crate) fn choose_circuit(&self) -> Option<usize> {
        let Self { circuits, settings, .. } = self;
        let all = circuits.iter().enumerate();
        let benchmark_circuits = all.filter(|(_, loaded)| {
            !settings.users_only.contains(&loaded.directory.id())
                && !loaded.input_draws.is_exhausted()
        });
        benchmark_circuits.map(|(position, _)| position).choose(&mut rand::rng())
    }

    async fn record_outcome(
        &self,
        miner: &ProofMiner,
        circuit: &str,
        outcome: Outcome,
    ) -> Option<Outcome> {
        metrics::record_outcome(&outcome);
        let event = Event {
            miner: *miner.hotkey(),
            kind: format!("{circuit}:0"),
            at: unix_time((self.clock)()),
            miners: self.miners().len().max(1),
            outcome,
        };
        let score_store = Arc::clone(&self.score_store);
        match tokio::task::spawn_blocking(move || score_store.record(event)).await {
            Ok(Ok(())) => Some(outcome),
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot record an outcome");
                None
            }
            Err(_) => None,
        }
    }

    pub(crate) fn miners(&self) -> Arc<Vec<ProofMiner>> {
        Arc::clone(&self.miners.borrow())
    }

    /// Waits until the list of miners is not empty.
    pub async fn wait_for_miners(&self) {
        // The wait cannot fail, because `self` owns the sender.
        let _ = self.miners.subscribe().wait_for(|miners| !miners.is_empty()).await;
    }
}

/// Creates the bundle of a proof.
pub(crate) fn create_bundle(
    loaded: &LoadedCircuit,
    claim: &UnverifiedProof,
) -> Result<Bundle, CircuitError> {
    Bundle::new(&loaded.directory, &claim.statement, &claim.proof)
}

/// Replaces the bundle of the miner's last verified proof. The file is readable by its owner only,
/// because the proof may contain a user's confidential input.
fn save_bundle(
    directory: &Path,
    loaded: &LoadedCircuit,
    claim: &UnverifiedProof,
) -> Result<(), Box<dyn Error>> {
    let bundle = create_bundle(loaded, claim)?;
    let path = directory.join(format!("{}.json", claim.statement.binding.miner));
    atomic_write(path, &serde_json::to_vec(&bundle)?, Access::Owner)?;
    Ok(())
}

#[cfg(test)]
mod tests;
