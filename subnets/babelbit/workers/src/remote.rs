//! The runner's client of the workers: submits jobs and collects their results.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use taonet_babelbit_core::scoring::ScoreError;
use taonet_babelbit_scorer::{
    Audio, Backend, EngineIdentity, TranscriptionCallback, TranscriptionResult,
};
use taonet_service::Shutdown;
use taonet_speech::Recognizer;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::error::WorkError;
use crate::job::{AUDIO_KEY_PREFIX, Job, JobId};
use crate::outcome::decode;
use crate::queue::Queue;
use crate::services::Services;
use crate::store::{Row, Store};
use crate::worker::Worker;

/// Maximum number of concurrent submissions.
const MAX_CONCURRENT_SUBMISSIONS: usize = 8;
/// Age from which a new request repeats a failed job instead of returning the stored failure.
const FAILURE_RETENTION: Duration = Duration::from_hours(1);
/// Age after which unused results and audio are deleted.
const RETENTION: Duration = Duration::from_hours(30 * 24);
/// Interval of the deletion of unused results and audio.
const PURGE_INTERVAL: Duration = Duration::from_hours(1);

/// Loads the recogniser with which the runner transcribes if no worker does.
pub type LoadRecognizer =
    Arc<dyn Fn() -> Result<Arc<dyn Recognizer>, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// Client that sends recordings to transcription workers on other machines.
///
/// Requests have no timeout: they wait during an outage of a service. If no worker returns a result
/// for [`crate::JobTiming::fallback_after`], a worker starts in this process.
pub struct Workers {
    // Unbounded, since the caller also has all pending replies in memory.
    requests: UnboundedSender<(Audio, TranscriptionCallback)>,
}

impl Workers {
    /// Starts the client on a separate thread, which connects to the services and reconnects after
    /// outages.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        services: Services,
        recognizer: EngineIdentity,
        load_recognizer: LoadRecognizer,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (requests, receiver) = unbounded_channel();
        let client = Client {
            services,
            recognizer,
            load_recognizer,
            local_worker: None,
            pending: HashMap::new(),
            last_result: Instant::now(),
        };
        std::thread::Builder::new().name("workers".to_owned()).spawn(move || {
            runtime.block_on(client.run(receiver));
            // Do not wait for file reads, which may hang on a network drive.
            runtime.shutdown_background();
        })?;
        Ok(Self { requests })
    }

    /// Registers the help texts of the client's metrics.
    pub fn describe_metrics() {
        metrics::describe_gauge!(
            "taonet_runner_transcriptions_waiting",
            "Transcriptions requested from workers but not yet completed"
        );
        metrics::describe_counter!(
            "taonet_runner_transcriptions_total",
            "Transcriptions completed by workers"
        );
    }
}

impl Backend for Workers {
    fn start(&self, audio: Audio, callback: TranscriptionCallback) {
        // Sending fails only if the thread has ended. Dropping the request then fails its
        // transcription.
        if self.requests.send((audio, callback)).is_err() {
            tracing::error!("the client of the transcription workers has stopped");
        }
    }
}

/// A job without a result.
struct PendingJob {
    audio: Audio,
    callbacks: Vec<TranscriptionCallback>,
    /// Time of the next submission; `None` while one is in progress.
    next_submission: Option<Instant>,
    is_new: bool,
    /// Number of recorded attempts at the last resubmission of the job.
    tries_at_submission: i64,
}

/// Outcome of a background task.
enum TaskOutcome {
    Submitted(JobId, Result<(), WorkError>),
    /// The runner cannot read the recording.
    Unreadable(JobId, io::Error),
    CleanedUp,
}

type Tasks<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = TaskOutcome> + 'a>>>;

struct Client {
    services: Services,
    recognizer: EngineIdentity,
    load_recognizer: LoadRecognizer,
    /// The worker in this process, once started.
    local_worker: Option<JoinHandle<()>>,
    pending: HashMap<JobId, PendingJob>,
    /// Start of the wait for a result: the last result, first pending request, connection or start
    /// of the fallback.
    last_result: Instant,
}

impl Client {
    /// Serves requests until all senders are dropped; reconnects after failures and panics.
    async fn run(mut self, mut requests: UnboundedReceiver<(Audio, TranscriptionCallback)>) {
        loop {
            // Pending replies outlive a panic: they are submitted again.
            let result =
                AssertUnwindSafe(self.connect_and_serve(&mut requests)).catch_unwind().await;
            let waiting = self.pending.len();
            match result {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::warn!(%error, waiting, "cannot reach the transcription workers' services, retrying");
                }
                Err(_) => {
                    tracing::error!(
                        waiting,
                        "the client of the transcription workers has panicked, restarting it"
                    );
                }
            }
            // Repeat submissions that the failure interrupted.
            for pending in self.pending.values_mut() {
                pending.next_submission.get_or_insert_with(Instant::now);
            }
            tokio::time::sleep(self.services.timing.retry_after).await;
        }
    }

    async fn connect_and_serve(
        &mut self,
        requests: &mut UnboundedReceiver<(Audio, TranscriptionCallback)>,
    ) -> Result<(), WorkError> {
        let store = Store::open(&self.services.database_url).await?;
        let queue = Queue::connect(&self.services.nats_url, &self.recognizer).await?;
        // The workers may have been disconnected as well.
        self.last_result = Instant::now();
        let services = self.services.clone();
        let recognizer = self.recognizer.clone();
        let mut tasks: Tasks<'_> = FuturesUnordered::new();
        let mut poll_timer = tokio::time::interval(services.timing.poll);
        poll_timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last_purge: Option<Instant> = None;
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some((audio, callback)) => self.add_request(audio, callback),
                    None => return Ok(()),
                },
                Some(outcome) = tasks.next(), if !tasks.is_empty() => self.handle_outcome(outcome)?,
                _ = poll_timer.tick(), if !self.pending.is_empty() => {
                    if last_purge.is_none_or(|last_purge| last_purge.elapsed() > PURGE_INTERVAL) {
                        last_purge = Some(Instant::now());
                        tasks.push(Box::pin(async {
                            if let Err(error) = purge(&services, &store).await {
                                tracing::debug!(%error, "cannot delete old results and audio");
                            }
                            TaskOutcome::CleanedUp
                        }));
                    }
                    for job in self.collect(&store).await? {
                        let bucket = services.bucket.clone();
                        tasks.push(Box::pin(async move {
                            if let Err(error) = bucket.remove(&job.object_key()).await {
                                tracing::debug!(%job, %error, "cannot delete the audio of a job");
                            }
                            TaskOutcome::CleanedUp
                        }));
                    }
                    let free_slots = MAX_CONCURRENT_SUBMISSIONS.saturating_sub(tasks.len());
                    for (id, audio) in self.take_due_jobs(free_slots) {
                        tasks.push(Box::pin(submit(id, audio, &recognizer, &services, &queue)));
                    }
                }
            }
            metrics::gauge!("taonet_runner_transcriptions_waiting").set(self.pending.len() as f64);
        }
    }

    fn add_request(&mut self, audio: Audio, callback: TranscriptionCallback) {
        if self.pending.is_empty() {
            self.last_result = Instant::now();
        }
        let pending = self
            .pending
            .entry(JobId::new(audio.hash(), &self.recognizer))
            .or_insert_with(|| PendingJob {
                audio,
                callbacks: Vec::new(),
                next_submission: Some(Instant::now()),
                is_new: true,
                tries_at_submission: 0,
            });
        pending.callbacks.push(callback);
    }

    /// Passes stored results to the callers; returns the completed jobs.
    async fn collect(&mut self, store: &Store) -> Result<Vec<JobId>, WorkError> {
        let new_jobs: Vec<String> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.is_new)
            .map(|(id, _)| id.to_string())
            .collect();
        if !new_jobs.is_empty() {
            store.delete_old_failures(&new_jobs, FAILURE_RETENTION).await?;
            self.pending.values_mut().for_each(|pending| pending.is_new = false);
        }
        let ids: Vec<String> = self.pending.keys().map(JobId::to_string).collect();
        let mut completed = Vec::new();
        for Row { job, tries, result, .. } in store.find_rows(&ids).await? {
            let Some(id) = JobId::from_hex(&job) else { continue };
            match result.as_deref().map(decode) {
                Some(Some(transcription)) => {
                    self.complete_job(&id, &transcription);
                    completed.push(id);
                }
                Some(None) => {
                    tracing::error!(job, "malformed result in the database, transcribing again");
                    store.delete_job(&id).await?;
                }
                // An additional attempt suggests that the bucket or the queue lost data: submit the
                // job again.
                None => {
                    if let Some(pending) = self.pending.get_mut(&id)
                        && tries > pending.tries_at_submission.max(1)
                        && pending.next_submission.is_some()
                    {
                        (pending.tries_at_submission, pending.next_submission) =
                            (tries, Some(Instant::now()));
                    }
                }
            }
        }
        self.fall_back();
        Ok(completed)
    }

    fn complete_job(&mut self, id: &JobId, transcription: &TranscriptionResult) {
        self.last_result = Instant::now();
        if let Some(pending) = self.pending.remove(id) {
            metrics::counter!("taonet_runner_transcriptions_total").increment(1);
            for callback in pending.callbacks {
                callback.complete(transcription.clone());
            }
        }
    }

    /// Starts a worker in this process if there are pending jobs and no worker has returned a
    /// result for a while.
    fn fall_back(&mut self) {
        let fallback_after = self.services.timing.fallback_after;
        if self.pending.is_empty() || self.last_result.elapsed() < fallback_after {
            return;
        }
        self.last_result = Instant::now();
        tracing::warn!(
            waiting = self.pending.len(),
            recognizer = self.recognizer.name,
            fingerprint = self.recognizer.fingerprint,
            "no result from any worker in {} s, transcribing in this process too; hint: check that `bb scorer` runs \
             with the same model and version, on processors with the same instructions",
            fallback_after.as_secs()
        );
        if self.local_worker.as_ref().is_none_or(JoinHandle::is_finished) {
            self.local_worker = Some(tokio::spawn(work_in_process(
                Arc::clone(&self.load_recognizer),
                self.services.clone(),
            )));
        }
    }

    /// Selects up to `max_jobs` jobs that are due for submission.
    fn take_due_jobs(&mut self, max_jobs: usize) -> Vec<(JobId, Audio)> {
        let now = Instant::now();
        let due_jobs = self
            .pending
            .iter_mut()
            .filter(|(_, pending)| {
                pending.next_submission.is_some_and(|next_submission| next_submission <= now)
            })
            .take(max_jobs);
        due_jobs
            .map(|(id, pending)| {
                pending.next_submission = None;
                (*id, pending.audio.clone())
            })
            .collect()
    }

    /// Handles the outcome of a background task and schedules the job's next submission; returns a
    /// submission's error.
    fn handle_outcome(&mut self, outcome: TaskOutcome) -> Result<(), WorkError> {
        match outcome {
            TaskOutcome::CleanedUp => {}
            TaskOutcome::Unreadable(id, error) => {
                self.complete_job(&id, &Err(ScoreError::failed("OSError", &error)));
            }
            TaskOutcome::Submitted(id, result) => {
                if let Some(pending) = self.pending.get_mut(&id) {
                    pending.next_submission =
                        Some(Instant::now() + self.services.timing.resubmit_after);
                    if result.is_err() {
                        pending.next_submission = Some(Instant::now());
                    }
                }
                result?;
            }
        }
        Ok(())
    }
}

/// Stores the audio of a job and publishes it.
async fn submit(
    id: JobId,
    audio: Audio,
    recognizer: &EngineIdentity,
    services: &Services,
    queue: &Queue,
) -> TaskOutcome {
    let job = Job::new(audio.hash(), recognizer);
    let read_result =
        tokio::task::spawn_blocking(move || audio.read().map(std::borrow::Cow::into_owned)).await;
    let wav = match read_result.map_err(io::Error::other).and_then(|read| read) {
        Ok(wav) => wav,
        Err(error) => return TaskOutcome::Unreadable(id, error),
    };
    let submit = async {
        services.bucket.put(&id.object_key(), wav.into()).await?;
        let is_new = queue.publish(&id, &job).await?;
        tracing::debug!(job = %id, is_new, "transcription job submitted");
        Ok(())
    };
    TaskOutcome::Submitted(id, submit.await)
}

/// Processes jobs in this process, until the recogniser hangs or stops.
async fn work_in_process(load_recognizer: LoadRecognizer, services: Services) {
    let load_result = tokio::task::spawn_blocking(move || load_recognizer()).await;
    match load_result.map_err(Into::into).and_then(|result| result) {
        Ok(recognizer) => {
            Worker::describe_metrics();
            let name = format!("runner-{}", std::process::id());
            Worker::new(&name, recognizer, services).run(&Shutdown::new(), || {}).await;
        }
        Err(error) => tracing::error!(%error, "cannot load the recogniser, waiting for workers"),
    }
}

/// Deletes results and audio older than [`RETENTION`].
async fn purge(services: &Services, store: &Store) -> Result<(), WorkError> {
    store.purge(RETENTION).await?;
    let Some(before) = SystemTime::now().checked_sub(RETENTION) else { return Ok(()) };
    for key in services.bucket.written_before(AUDIO_KEY_PREFIX, before).await? {
        services.bucket.remove(&key).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transcription_fails_if_the_client_has_stopped() {
        let (requests, receiver) = unbounded_channel();
        drop(receiver);
        let (sender, outcome) = std::sync::mpsc::channel();
        let callback =
            TranscriptionCallback::new(move |transcription| sender.send(transcription).unwrap());
        Workers { requests }.start(Audio::from(vec![]), callback);
        let error = outcome.recv().unwrap().unwrap_err().to_string();
        assert_eq!(error, "RuntimeError:the transcription was abandoned");
    }
}
