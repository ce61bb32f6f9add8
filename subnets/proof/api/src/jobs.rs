use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use taonet_proof_circuits::ModelBundle;
use taonet_proof_core::Digest;
use taonet_proof_validator::{DeliveryError, Examiner, Progress};
use tokio::sync::watch;

/// Retention period of a finished proof.
const KEPT: Duration = Duration::from_hours(1);

/// Status of a user's proof.
#[derive(Clone, Debug)]
pub enum Status {
    /// Miners are working on the proof.
    Running,
    /// The proof is complete; its bundle is available.
    Done(Arc<ModelBundle>),
    /// The proof failed, with the reason.
    Failed(String),
}

/// A user's proof request with its progress.
#[derive(Debug)]
pub struct Job {
    pub(crate) owner: String,
    pub(crate) circuit: Digest,
    state: watch::Sender<State>,
}

/// Progress events and status of a job.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) steps: Vec<Step>,
    pub(crate) status: Status,
    finished: Option<Instant>,
}

/// A progress event with its time since the submission.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) progress: Progress,
}

impl Job {
    pub(crate) fn follow(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Returns the current status.
    pub fn status(&self) -> Status {
        self.state.borrow().status.clone()
    }

    /// Waits for the end, and returns the final status.
    pub(crate) async fn finished(&self) -> Status {
        let mut states = self.follow();
        match states.wait_for(|state| !matches!(state.status, Status::Running)).await {
            Ok(state) => state.status.clone(),
            // The sender is in `self`.
            Err(_) => Status::Running,
        }
    }

    /// Returns how many of the slices have no verified proof.
    pub(crate) fn unproven(&self, slices: usize) -> usize {
        let state = self.state.borrow();
        let verified = state.steps.iter().filter(|step| matches!(step.progress, Progress::Verified { .. }));
        slices.saturating_sub(verified.count())
    }

    fn finish(&self, result: Result<ModelBundle, DeliveryError>) {
        self.state.send_modify(|state| {
            state.status = match result {
                Ok(bundle) => Status::Done(Arc::new(bundle)),
                Err(error) => {
                    if let DeliveryError::Local(_) = error {
                        tracing::error!(%error, "a user's proof failed");
                        // Internal errors are not revealed to the user.
                        Status::Failed("request processing failed".to_owned())
                    } else {
                        Status::Failed(error.to_string())
                    }
                }
            };
            state.finished = Some(Instant::now());
        });
    }
}

/// Proofs in progress, and those finished in the last hour.
pub struct Jobs {
    examiner: Arc<Examiner>,
    /// Maximum number of proofs in progress.
    running: usize,
    /// Maximum number of proofs in memory.
    kept: usize,
    by_id: Mutex<BTreeMap<Digest, Arc<Job>>>,
}

impl Jobs {
    /// Creates an empty list for at most `running` proofs in progress and `kept` proofs in total.
    pub fn new(examiner: Arc<Examiner>, running: usize, kept: usize) -> Self {
        Self { examiner, running, kept, by_id: Mutex::default() }
    }

    pub(crate) fn examiner(&self) -> &Examiner {
        &self.examiner
    }

    /// Starts a proof for an API key; `None` when too many are in progress.
    pub fn start(&self, owner: &str, circuit: Digest, inputs: Vec<i64>) -> Option<Digest> {
        let mut jobs = self.lock();
        jobs.retain(|_, job| job.state.borrow().finished.is_none_or(|finished| finished.elapsed() < KEPT));
        let finished = |job: &Arc<Job>| job.state.borrow().finished;
        if jobs.values().filter(|job| finished(job).is_none()).count() >= self.running {
            return None;
        }
        if jobs.len() >= self.kept {
            let oldest = jobs.iter().filter_map(|(id, job)| Some((finished(job)?, *id))).min();
            oldest.map(|(_, id)| jobs.remove(&id));
        }
        let id = Digest::from_bytes(rand::random());
        let state = State { steps: Vec::new(), status: Status::Running, finished: None };
        let job = Arc::new(Job { owner: owner.to_owned(), circuit, state: watch::Sender::new(state) });
        jobs.insert(id, Arc::clone(&job));
        let (examiner, began) = (Arc::clone(&self.examiner), Instant::now());
        // Not awaited at shutdown, since no client could fetch the proof afterwards.
        tokio::spawn(async move {
            let sink = Arc::clone(&job);
            let report = Arc::new(move |progress| {
                let step = Step { seconds: began.elapsed().as_secs_f64(), progress };
                sink.state.send_modify(|state| state.steps.push(step));
            });
            job.finish(examiner.deliver(&circuit, &inputs, report).await);
        });
        Some(id)
    }

    /// Returns a proof of an API key; `None` for proofs of other keys.
    pub fn get(&self, owner: &str, id: &Digest) -> Option<Arc<Job>> {
        self.lock().get(id).filter(|job| job.owner == owner).map(Arc::clone)
    }

    /// Removes a proof from memory.
    pub(crate) fn forget(&self, id: &Digest) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<Job>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
