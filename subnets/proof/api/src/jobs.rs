//! Users' proofs: those in progress, and those finished within the last hour.

mod deliver;
mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde::Serialize;
use taonet_proof_core::Digest;
use taonet_proof_lm::{ProofBundle, Text};
use taonet_proof_validator::{DeliveryError, Examiner, Progress};
use taonet_service::Shutdown;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};

use deliver::deliver;
pub use file::JobFileError;
use file::{JobDirectory, JobFile, JobResult};

/// Retention period of a finished proof.
const RETENTION: Duration = Duration::from_hours(1);
/// Maximum size of all finished bundles in memory, as JSON, in bytes. Only the newest one is kept
/// regardless of its size.
const MAX_BUNDLE_BYTES: usize = 128 << 20;
/// Grace period for proofs in progress at shutdown: shorter than the server's, so that users
/// receive the final status.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// Maximum wait for the first list of miners.
const MINERS_TIMEOUT: Duration = Duration::from_mins(2);

/// Submission of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Integer inputs of a circuit or sliced model.
    Inputs(Vec<i64>),
    /// A prompt that a language model continues.
    Prompt(String),
}

/// Status of a user's proof.
#[derive(Clone, Debug)]
pub enum Status {
    /// The proof is in progress.
    Running,
    /// The proof is complete.
    Done(Arc<FinishedProof>),
    /// The proof failed; contains the reason.
    Failed(String),
    /// A restart of the validator interrupted the proof; contains advice for the user.
    Interrupted(&'static str),
}

/// A finished proof.
#[derive(Debug)]
pub struct FinishedProof {
    /// The proof bundle for the user.
    pub bundle: ProofBundle,
    /// Prompt and answer of a language model.
    pub text: Option<Text>,
    /// The bundle as JSON: encoded once for all downloads.
    pub(crate) json: Bytes,
}

/// A user's proof request with its progress.
#[derive(Debug)]
pub struct Job {
    pub(crate) owner: String,
    pub(crate) circuit: Digest,
    state: watch::Sender<JobState>,
}

/// Progress events and status of a job.
#[derive(Clone, Debug)]
pub(crate) struct JobState {
    pub(crate) steps: Vec<Step>,
    pub(crate) status: Status,
    finished_at: Option<Instant>,
}

/// A progress event with its time since the submission, or since the validator's restart.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) progress: Progress,
}

impl Job {
    fn new(owner: &str, circuit: Digest, status: Status) -> Arc<Self> {
        let finished_at = (!matches!(status, Status::Running)).then(Instant::now);
        let state = JobState { steps: Vec::new(), status, finished_at };
        Arc::new(Self { owner: owner.to_owned(), circuit, state: watch::Sender::new(state) })
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<JobState> {
        self.state.subscribe()
    }

    /// Returns the current status.
    pub fn status(&self) -> Status {
        self.state.borrow().status.clone()
    }

    /// Waits until the proof ends and returns its final status.
    pub(crate) async fn wait_until_finished(&self) -> Status {
        let mut states = self.subscribe();
        match states.wait_for(|state| !matches!(state.status, Status::Running)).await {
            Ok(state) => state.status.clone(),
            // Unreachable: `self` holds the sender.
            Err(_) => Status::Running,
        }
    }

    /// Returns the number of slices without a verified proof.
    pub(crate) fn unproven_slices(&self, slices: usize) -> usize {
        let state = self.state.borrow();
        let verified =
            state.steps.iter().filter(|step| matches!(step.progress, Progress::Verified { .. }));
        slices.saturating_sub(verified.count())
    }

    fn is_running(&self) -> bool {
        matches!(self.state.borrow().status, Status::Running)
    }

    fn finish(&self, status: Status) {
        self.state.send_modify(|state| {
            (state.status, state.finished_at) = (status, Some(Instant::now()));
        });
    }

    /// Returns the completion time of the proof and the size of its bundle in bytes; `None` while
    /// the proof is in progress.
    fn completion(&self) -> Option<(Instant, usize)> {
        let state = self.state.borrow();
        let bytes =
            if let Status::Done(finished) = &state.status { finished.json.len() } else { 0 };
        Some((state.finished_at?, bytes))
    }
}

/// Limits and storage of users' proofs; see [`Jobs`].
#[derive(Clone, Debug)]
pub struct JobSettings {
    /// Maximum number of proofs in progress.
    pub max_running: usize,
    /// Maximum number of proofs in memory. Finished ones are stored for an hour.
    pub max_stored: usize,
    /// Directory in which proofs are stored to survive a restart; `None` keeps them in memory only.
    pub directory: Option<PathBuf>,
}

/// Why a proof was not started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Too many proofs are in progress, or the validator is shutting down.
    #[error("too many proofs are in progress, or the validator is shutting down")]
    Full,
    /// The request cannot be written to disk.
    #[error(transparent)]
    File(#[from] JobFileError),
}

/// Proofs in progress, and those finished in the last hour.
///
/// With a directory, a proof is on disk before its request is accepted. After a restart, even after
/// a kill, the proofs in progress are requested from the miners again.
pub struct Jobs {
    examiner: Arc<Examiner>,
    max_running: usize,
    max_stored: usize,
    directory: Option<Arc<JobDirectory>>,
    stop: Shutdown,
    /// Held while the answer to a prompt is computed: the other cores are for verification.
    answer_slot: Arc<Semaphore>,
    by_id: Mutex<BTreeMap<Digest, Arc<Job>>>,
}

impl Jobs {
    /// Loads the stored proofs and resumes those in progress. Requires a tokio runtime.
    ///
    /// # Errors
    /// When the directory cannot be created or listed.
    pub fn open(
        examiner: Arc<Examiner>,
        settings: JobSettings,
        stop: &Shutdown,
    ) -> Result<Self, JobFileError> {
        let JobSettings { max_running, max_stored, directory } = settings;
        let (directory, files) = match directory {
            Some(path) => {
                let (directory, files) = JobDirectory::open(path)?;
                (Some(Arc::new(directory)), files)
            }
            None => (None, Vec::new()),
        };
        let (answer_slot, by_id) = (Arc::new(Semaphore::new(1)), Mutex::default());
        let jobs = Self {
            examiner,
            max_running,
            max_stored,
            directory,
            stop: stop.clone(),
            answer_slot,
            by_id,
        };
        for (id, JobFile { owner, circuit, inputs, prompt, ending, .. }) in files {
            let status = match ending {
                None => Status::Running,
                Some(JobResult::Failed(error)) => Status::Failed(error),
                Some(JobResult::Done(bundle)) => done_status(*bundle),
            };
            let job = Job::new(&owner, circuit, status);
            jobs.lock().insert(id, Arc::clone(&job));
            if job.is_running() {
                tracing::info!(proof = %id, "resuming a user's proof");
                jobs.run(id, job, prompt.map_or(Submission::Inputs(inputs), Submission::Prompt));
            }
        }
        Ok(jobs)
    }

    pub(crate) fn examiner(&self) -> &Examiner {
        &self.examiner
    }

    /// Starts a proof for the API key named `owner`. Blocks on disk I/O if proofs are stored in a
    /// directory. Requires a tokio runtime.
    ///
    /// # Errors
    /// When too many proofs are in progress, or the request cannot be written.
    pub fn start(
        &self,
        owner: &str,
        circuit: Digest,
        submission: Submission,
    ) -> Result<Digest, StartError> {
        let (id, job) =
            (Digest::from_bytes(rand::random()), Job::new(owner, circuit, Status::Running));
        {
            let mut jobs = self.lock();
            self.evict(&mut jobs);
            let running = jobs.values().filter(|job| job.is_running()).count();
            if running >= self.max_running || self.stop.is_requested() {
                return Err(StartError::Full);
            }
            jobs.insert(id, Arc::clone(&job));
        }
        if let Some(directory) = &self.directory
            && let Err(error) =
                directory.write(&id, &JobFile::new(owner, circuit, submission.clone()))
        {
            self.lock().remove(&id);
            return Err(error.into());
        }
        self.run(id, job, submission);
        Ok(id)
    }

    /// Requests the proof from the miners, in the background.
    fn run(&self, id: Digest, job: Arc<Job>, submission: Submission) {
        let (examiner, directory, stop) =
            (Arc::clone(&self.examiner), self.directory.clone(), self.stop.clone());
        let answer_slot = Arc::clone(&self.answer_slot);
        self.stop.spawn("user proof", async move {
            let (start, reported_job) = (Instant::now(), Arc::clone(&job));
            let report = Arc::new(move |progress| {
                let step = Step { seconds: start.elapsed().as_secs_f64(), progress };
                reported_job.state.send_modify(|state| state.steps.push(step));
            });
            let delivery = async {
                // Wait for the first metagraph, because a request without miners fails.
                let _ = tokio::time::timeout(MINERS_TIMEOUT, examiner.wait_for_miners()).await;
                deliver(&examiner, &answer_slot, job.circuit, submission, report).await
            };
            let drain_deadline = async {
                stop.requested().await;
                tokio::time::sleep(DRAIN_TIMEOUT).await;
            };
            tokio::select! {
                result = delivery => {
                    let completion = tokio::task::spawn_blocking({
                        let job = Arc::clone(&job);
                        move || job.finish(final_status(&id, &job, result, directory.as_deref()))
                    });
                    if completion.await.is_err() {
                        job.finish(Status::Failed(INTERNAL_ERROR.to_owned()));
                    }
                }
                () = drain_deadline => job.finish(Status::Interrupted(if directory.is_some() {
                    "the validator is restarting; the proof resumes afterwards under the same id"
                } else {
                    "the validator is restarting; submit the request again"
                })),
            }
        });
    }

    /// Returns a proof that the API key named `owner` requested; `None` for an unknown proof, or a
    /// proof of another key.
    pub fn get(&self, owner: &str, id: &Digest) -> Option<Arc<Job>> {
        self.lock().get(id).filter(|job| job.owner == owner).map(Arc::clone)
    }

    /// Removes a proof from memory and disk.
    pub(crate) fn forget(&self, id: &Digest) {
        self.lock().remove(id);
        self.remove_file(id);
    }

    /// Returns the number of proofs in progress.
    pub(crate) fn in_progress(&self) -> usize {
        self.lock().values().filter(|job| job.is_running()).count()
    }

    /// Removes expired proofs, then the oldest finished ones until there is room for one more.
    fn evict(&self, jobs: &mut BTreeMap<Digest, Arc<Job>>) {
        let finished = jobs.iter().filter_map(|(id, job)| Some((job.completion()?, *id)));
        for id in ids_to_evict(finished.collect(), jobs.len(), self.max_stored, Instant::now()) {
            jobs.remove(&id);
            self.remove_file(&id);
        }
    }

    fn remove_file(&self, id: &Digest) {
        if let Some(directory) = &self.directory {
            directory.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Arc<Job>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Selects the finished proofs, each with its completion time and size, to remove from `stored`
/// proofs so that one more has room.
fn ids_to_evict(
    mut finished: Vec<((Instant, usize), Digest)>,
    mut stored: usize,
    max_stored: usize,
    now: Instant,
) -> Vec<Digest> {
    finished.sort_unstable();
    let newest = finished.last().map(|(_, id)| *id);
    let mut bytes: usize = finished.iter().map(|((_, size), _)| size).sum();
    let mut evicted = Vec::new();
    for ((finished_at, size), id) in finished {
        let is_expired = now.saturating_duration_since(finished_at) >= RETENTION;
        let is_surplus = bytes > MAX_BUNDLE_BYTES && newest != Some(id);
        if is_expired || is_surplus || stored >= max_stored {
            bytes -= size;
            stored -= 1;
            evicted.push(id);
        }
    }
    evicted
}

/// Message that users receive in place of the details of an internal error.
const INTERNAL_ERROR: &str = "request processing failed";

/// Encodes the result and writes it to disk. Returns the final status.
fn final_status(
    id: &Digest,
    job: &Job,
    result: Result<ProofBundle, DeliveryError>,
    directory: Option<&JobDirectory>,
) -> Status {
    let status = match result {
        Ok(bundle) => done_status(bundle),
        Err(error @ DeliveryError::Local(_)) => {
            tracing::error!(%error, "a user's proof failed");
            Status::Failed(INTERNAL_ERROR.to_owned())
        }
        Err(error) => Status::Failed(error.to_string()),
    };
    let job_result = match &status {
        Status::Done(finished) => JobResult::Done(Box::new(finished.bundle.clone())),
        Status::Failed(error) => JobResult::Failed(error.clone()),
        Status::Running | Status::Interrupted(_) => return status,
    };
    if let Some(directory) = directory
        && let Err(error) =
            directory.write(id, &JobFile::finished(&job.owner, job.circuit, job_result))
    {
        // The user still gets the proof from memory; only after a restart is the proof requested
        // again.
        tracing::warn!(%error, "cannot write a finished proof");
    }
    status
}

fn done_status(bundle: ProofBundle) -> Status {
    let encoded = serde_json::to_vec(&bundle).map_err(|error| error.to_string());
    let encoded =
        encoded.and_then(|json| Ok((json, bundle.text().map_err(|error| error.to_string())?)));
    match encoded {
        Ok((json, text)) => {
            Status::Done(Arc::new(FinishedProof { bundle, text, json: json.into() }))
        }
        Err(error) => {
            tracing::error!(error, "cannot encode a bundle, or read its answer");
            Status::Failed(INTERNAL_ERROR.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_proofs_are_limited_by_age_number_and_size() {
        let start = Instant::now();
        let ids: Vec<Digest> = (0..4_u8).map(|index| Digest::of(&[index])).collect();
        // One finishes each minute.
        let jobs_of_sizes = |sizes: [usize; 4]| {
            let times = (0..).map(|minutes| start + Duration::from_mins(minutes));
            times.zip(sizes).zip(ids.iter().copied()).collect::<Vec<((Instant, usize), Digest)>>()
        };
        let small_jobs = || jobs_of_sizes([1; 4]);
        let now = start + Duration::from_mins(10);
        assert!(ids_to_evict(small_jobs(), 6, 7, now).is_empty());
        assert_eq!(ids_to_evict(small_jobs(), 6, 6, now), ids[..1]);
        assert_eq!(ids_to_evict(small_jobs(), 6, 4, now), ids[..3]);
        assert_eq!(ids_to_evict(small_jobs(), 6, 1, now), ids[..]);
        let after_retention = start + RETENTION + Duration::from_mins(1);
        assert_eq!(ids_to_evict(small_jobs(), 6, 7, after_retention), ids[..2]);
        let half_limit = MAX_BUNDLE_BYTES / 2;
        assert!(ids_to_evict(jobs_of_sizes([half_limit, half_limit, 0, 0]), 6, 7, now).is_empty());
        assert_eq!(
            ids_to_evict(jobs_of_sizes([half_limit, half_limit, 0, half_limit]), 6, 7, now),
            ids[..1]
        );
        // The newest bundle stays for its user, until others follow.
        assert_eq!(ids_to_evict(jobs_of_sizes([1, 1, 1, 4 * half_limit]), 6, 7, now), ids[..3]);
        assert_eq!(ids_to_evict(jobs_of_sizes([1, 4 * half_limit, 1, 1]), 6, 7, now), ids[..2]);
    }
}
