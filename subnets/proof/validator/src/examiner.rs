use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng as _;
use taonet_primitives::Hotkey;
use taonet_proof_circuits::{Bundle, Catalogue, CircuitError};
use taonet_proof_core::Digest;
use taonet_proof_core::metadata::VERIFICATION_KEY;
use taonet_proof_core::scoring::{Event, Outcome};
use taonet_proof_core::slices::SlicedModel;
use taonet_service::{Access, Clock, Shutdown, atomic_write, unix_time};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::assignments::Assignments;
use crate::diagnosis::{Remembered, diagnose};
use crate::request::{Asked, Claimed, Clients, Examined, Missing};
use crate::{Book, MinerEntry, measures};

/// Maximum pause after consecutive failures.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Initial pause after a failure.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// Settings of an [`Examiner`].
#[derive(Clone, Debug)]
pub struct ExaminerSettings {
    /// Pause between two requests to the same miner.
    pub interval: Duration,
    /// Timeout of a request.
    pub timeout: Duration,
    /// Maximum number of concurrent requests, over all miners.
    pub requests: usize,
    /// Maximum number of concurrent verifications.
    pub verifications: usize,
    /// Directory in which each miner's last verified proof is kept as a bundle.
    pub bundles: Option<PathBuf>,
}

impl Default for ExaminerSettings {
    /// Default settings: a request to each miner every second, a timeout of 180 s, 32 requests at a time, verifications
    /// on twice as many threads as there are cores, no bundles.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_mins(3),
            requests: 32,
            verifications: cores * 2,
            bundles: None,
        }
    }
}

/// Sends proof requests to miners and verifies every proof.
///
/// Each miner has its own pipeline with one request in flight, so that a slow miner delays no other, and a fast one
/// delivers more.
pub struct Examiner {
    pub(crate) circuits: Arc<Vec<Examined>>,
    pub(crate) models: BTreeMap<Digest, Arc<SlicedModel>>,
    clients: Clients,
    book: Arc<Book>,
    pub(crate) settings: ExaminerSettings,
    clock: Clock,
    requests: Semaphore,
    verifications: Arc<Semaphore>,
    remembered: Arc<Remembered>,
    miners: Mutex<Arc<Vec<MinerEntry>>>,
    pub(crate) assignments: Assignments,
}

impl Examiner {
    /// Loads the verifier of every circuit.
    ///
    /// # Errors
    /// When a key is missing, modified or malformed.
    pub fn load(
        catalogue: &Catalogue,
        clients: impl Into<Clients>,
        book: Arc<Book>,
        settings: ExaminerSettings,
        clock: Clock,
    ) -> Result<Self, CircuitError> {
        let circuits: Vec<_> = catalogue.circuits().map(Examined::load).collect::<Result<_, _>>()?;
        let permits = |count: usize| Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self {
            circuits: Arc::new(circuits),
            models: catalogue.models().map(|(id, model)| (*id, Arc::clone(model))).collect(),
            clients: clients.into(),
            book,
            requests: permits(settings.requests),
            verifications: Arc::new(permits(settings.verifications)),
            settings,
            clock,
            remembered: Arc::default(),
            miners: Mutex::default(),
            assignments: Assignments::default(),
        })
    }

    /// Sends requests to the miners of the latest list until shutdown.
    pub async fn run(self: Arc<Self>, mut list: watch::Receiver<Vec<MinerEntry>>, stop: &Shutdown) {
        let (mut pipelines, mut running) = (JoinSet::new(), HashMap::<MinerEntry, AbortHandle>::new());
        loop {
            let wanted = list.borrow_and_update().clone();
            measures::miners(wanted.len());
            self.follow_list(&wanted).await;
            running.retain(|miner, pipeline| {
                let stays = wanted.contains(miner) && !pipeline.is_finished();
                if !stays {
                    pipeline.abort();
                }
                stays
            });
            for miner in wanted {
                running.entry(miner).or_insert_with_key(|miner| {
                    let (examiner, stop, miner) = (Arc::clone(&self), stop.clone(), miner.clone());
                    pipelines.spawn(async move { examiner.follow(&miner, &stop).await })
                });
            }
            tokio::select! {
                () = stop.requested() => break,
                changed = list.changed() => if changed.is_err() { break },
                Some(ended) = pipelines.join_next() => if ended.is_err_and(|error| error.is_panic()) {
                    tracing::error!("a pipeline panicked; stopping");
                    stop.request();
                },
            }
        }
        stop.requested().await;
        pipelines.shutdown().await;
    }

    /// Updates the list of miners. [`Examiner::run`] calls it; a validator without benchmarks calls it directly.
    pub async fn follow_list(&self, list: &[MinerEntry]) {
        *self.miners.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(list.to_vec());
        if let Some(quic) = &self.clients.quic {
            quic.follow(list).await;
        }
    }

    /// Sends requests to one miner in a loop, except while it works for a user. Consecutive failures lengthen the
    /// pause.
    async fn follow(&self, miner: &MinerEntry, stop: &Shutdown) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            if self.assignments.is_busy(miner.hotkey()) {
                tokio::select! {
                    () = stop.requested() => return,
                    () = tokio::time::sleep(SHORTEST_PAUSE) => continue,
                }
            }
            let wait = match self.examine(miner).await {
                Some(Outcome::Verified { .. }) => {
                    pause = SHORTEST_PAUSE;
                    self.settings.interval
                }
                Some(Outcome::Failed(_)) | None => {
                    let wait = pause.max(self.settings.interval);
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    wait
                }
            };
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Sends one benchmark request, verifies its proof and records the outcome; `None` if there is nothing to record.
    pub async fn examine(&self, miner: &MinerEntry) -> Option<Outcome> {
        let position = self.choose()?;
        let examined = self.circuits.get(position)?;
        let asked = Asked::Circuit(examined.benchmark());
        let _permit = self.requests.acquire().await.ok()?;
        match self.request(miner, position, &asked).await {
            Ok((outcome, _)) => Some(outcome),
            Err(Missing::Fault(fault)) => Some(Outcome::Failed(fault)),
            Err(Missing::Busy) => None,
            Err(Missing::Local(error)) => {
                tracing::warn!(miner = %miner.hotkey(), error, "benchmark request failed locally");
                None
            }
        }
    }

    /// Sends one request, verifies its proof and records the outcome.
    pub(crate) async fn request(
        &self,
        miner: &MinerEntry,
        position: usize,
        asked: &Asked,
    ) -> Result<(Outcome, Arc<Claimed>), Missing> {
        let local = |text: &str| Missing::Local(text.to_owned());
        let examined = self.circuits.get(position).ok_or_else(|| local("the circuit is gone"))?;
        let circuit = examined.directory.id().to_string();
        match self.clients.ask(miner, examined, asked, self.settings.timeout).await {
            Ok(claimed) => {
                let claimed = Arc::new(claimed);
                let outcome = self.verify(position, Arc::clone(&claimed)).await;
                let outcome = outcome.ok_or_else(|| local("a proof could not be verified here"))?;
                let counted = self.count(miner, &circuit, outcome).await;
                match counted.ok_or_else(|| local("cannot record an outcome"))? {
                    Outcome::Failed(fault) => Err(Missing::Fault(fault)),
                    verified @ Outcome::Verified { .. } => Ok((verified, claimed)),
                }
            }
            Err(Missing::Fault(fault)) => {
                let counted = self.count(miner, &circuit, Outcome::Failed(fault)).await;
                Err(counted.map_or_else(|| local("cannot record an outcome"), |_| Missing::Fault(fault)))
            }
            Err(Missing::Busy) => {
                measures::busy();
                Err(Missing::Busy)
            }
            Err(local) => Err(local),
        }
    }

    /// Chooses a circuit at random.
    fn choose(&self) -> Option<usize> {
        let count = self.circuits.len();
        (count > 0).then(|| rand::rng().random_range(0..count))
    }

    /// Verifies on the blocking pool; `None` if the verifier itself failed, twice.
    async fn verify(&self, position: usize, claimed: Arc<Claimed>) -> Option<Outcome> {
        let permit = Arc::clone(&self.verifications).acquire_owned().await.ok()?;
        let (circuits, remembered) = (Arc::clone(&self.circuits), Arc::clone(&self.remembered));
        let miners: Vec<Hotkey> = self.miners().iter().map(|miner| *miner.hotkey()).collect();
        let bundles = self.settings.bundles.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let examined = circuits.get(position)?;
            let began = Instant::now();
            let check = || examined.verifier.verify(&claimed.statement, &claimed.proof);
            let verified = match check() {
                // An error of the local verifier is not the miner's fault.
                Err(error) if error.is_local() => check(),
                verified => verified,
            };
            measures::verification(began.elapsed());
            match verified {
                Ok(()) => {
                    let outcome = Outcome::Verified { time: claimed.time, bytes: claimed.proof.len() as u64 };
                    if let Some(Err(error)) = bundles.map(|directory| keep(&directory, examined, &claimed)) {
                        tracing::warn!(%error, "cannot write a bundle");
                    }
                    remembered.add(claimed.statement.clone());
                    Some(outcome)
                }
                Err(error) if error.is_local() => {
                    tracing::error!(%error, "cannot verify a proof");
                    None
                }
                Err(error) => {
                    let fault = diagnose(examined, &circuits, &claimed, &error, &remembered, &miners);
                    tracing::info!(miner = %claimed.statement.binding.miner, %error, %fault, "proof rejected");
                    Some(Outcome::Failed(fault))
                }
            }
        });
        work.await.ok().flatten()
    }

    async fn count(&self, miner: &MinerEntry, circuit: &str, outcome: Outcome) -> Option<Outcome> {
        measures::outcome(&outcome);
        let event = Event {
            miner: *miner.hotkey(),
            kind: format!("{circuit}:0"),
            at: unix_time((self.clock)()),
            miners: self.miners().len().max(1),
            outcome,
        };
        let book = Arc::clone(&self.book);
        match tokio::task::spawn_blocking(move || book.record(event)).await {
            Ok(Ok(())) => Some(outcome),
            Ok(Err(error)) => {
                tracing::error!(%error, "cannot record an outcome");
                None
            }
            Err(_) => None,
        }
    }

    pub(crate) fn miners(&self) -> Arc<Vec<MinerEntry>> {
        Arc::clone(&self.miners.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Creates the bundle of a proof.
pub(crate) fn bundle(examined: &Examined, claimed: &Claimed) -> Result<Bundle, CircuitError> {
    let key = examined.directory.file(VERIFICATION_KEY)?;
    Ok(Bundle::new(examined.directory.metadata(), &key, &claimed.statement, &claimed.proof))
}

/// Replaces the bundle of the miner's last verified proof.
fn keep(directory: &Path, examined: &Examined, claimed: &Claimed) -> Result<(), Box<dyn Error>> {
    let bundle = bundle(examined, claimed)?;
    let path = directory.join(format!("{}.json", claimed.statement.binding.miner));
    atomic_write(path, &serde_json::to_vec(&bundle)?, Access::Everyone)?;
    Ok(())
}

impl std::fmt::Debug for Examiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Examiner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
