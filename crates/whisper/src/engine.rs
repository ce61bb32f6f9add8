//! The scheduler of all encoder and decoder work in a process.
//!
//! Worker threads, by default one per core, take recordings from a shared queue. Each worker
//! decodes the windows of its recordings in one batch, with a row per beam, so each step reads the
//! weights once for all of them. After a window, a worker encodes the recording's next window or
//! takes another recording. A limit on the number of active windows bounds memory.
//!
//! A pass over unfinished speech runs between two steps of the windows, also when all windows are
//! active: neither kind of work waits for the end of the other.
//!
//! If decoding fails or panics, the worker decodes its recordings again, one at a time: only the
//! recordings that fail again get an error.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use taonet_primitives::panic_message;

use crate::TranscribeError;
use crate::decoder::{Cache, Row};
use crate::encoder::Buffers;
use crate::memory::{self, Dimensions};
use crate::model::Model;
use crate::options::Options;
use crate::search::Search;
use crate::transcribe::{Continuation, Prefix, Recording, Transcription};

/// Maximum memory of the active windows of a worker, in bytes, unless two windows take more. Most
/// windows take two thirds as much as the longest one.
const MAX_MEMORY: usize = 800 << 20;
/// Maximum number of windows per worker: 60 rows with 5 beams.
const MAX_WINDOWS: usize = 12;
/// Time after a pass over unfinished speech for which an idle worker keeps its memory: passes of a
/// speech follow after 0.8 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of threads and windows of an [`Engine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSize {
    /// Number of worker threads.
    pub threads: NonZeroUsize,
    /// Number of windows per worker, decoded in one batch.
    pub windows: NonZeroUsize,
}

impl EngineSize {
    /// Returns a size with one thread per core, and as many windows as fit into the memory of a
    /// worker, at most 12. Reduces both to what fits into three quarters of the available memory.
    pub fn for_model(model: &Model) -> Self {
        Self::with_threads(model, std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Returns a size with `threads` workers, like [`Self::for_model`].
    pub fn with_threads(model: &Model, threads: NonZeroUsize) -> Self {
        let size = Self::fit(model.decoder.dimensions(), threads, memory::available());
        if size.threads < threads {
            tracing::warn!(
                threads = size.threads,
                "the available memory does not suffice for transcription on {threads} threads"
            );
        }
        size
    }

    /// Fits workers into the available memory, in bytes.
    fn fit(dimensions: Dimensions, threads: NonZeroUsize, available: Option<u64>) -> Self {
        let budget = available
            .map_or(usize::MAX, |bytes| usize::try_from(bytes / 4 * 3).unwrap_or(usize::MAX));
        let (worker, window) = (dimensions.worker_bytes(), dimensions.window_bytes().max(1));
        let threads = at_least_one(threads.get().min(budget / (worker + window)));
        let memory = (budget / threads).saturating_sub(worker).min(MAX_MEMORY.max(2 * window));
        Self { threads, windows: at_least_one((memory / window).min(MAX_WINDOWS)) }
    }
}

fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
}

type TranscribeResult = Result<Transcription, TranscribeError>;

/// A recording with the work to do on it.
struct Job {
    samples: Vec<f32>,
    options: Arc<Options>,
    request: JobRequest,
}

/// The work on a recording, and where its result is sent.
enum JobRequest {
    Transcribe(SyncSender<TranscribeResult>),
    Continue(Prefix, SyncSender<Result<Continuation, TranscribeError>>),
}

impl JobRequest {
    /// Sends an error as the result. This fails only if the caller has stopped waiting.
    fn fail(&self, error: TranscribeError) {
        let _ = match self {
            Self::Transcribe(sender) => sender.send(Err(error)).is_ok(),
            Self::Continue(_, sender) => sender.send(Err(error)).is_ok(),
        };
    }

    /// Returns whether the work is a pass over unfinished speech.
    fn is_pass(&self) -> bool {
        matches!(self, Self::Continue(..))
    }
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Arc<Job>>,
    /// Number of live workers.
    workers: usize,
    is_closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    capacity: usize,
}

/// Pool of worker threads that transcribe recordings.
pub struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// [`TranscribeError::Stopped`] when a thread cannot be started.
    pub fn start(model: &Arc<Model>, size: EngineSize) -> Result<Self, TranscribeError> {
        let capacity = size.threads.get() * size.windows.get();
        let shared =
            Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), capacity });
        let mut engine = Self { shared, threads: Vec::new() };
        for index in 0..size.threads.get() {
            // A pool of one thread keeps matrix products on this thread.
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(move |_| format!("whisper-{index}"))
                .build()
                .map_err(|_| TranscribeError::Stopped)?;
            let (model, shared) = (model.clone(), engine.shared.clone());
            // The worker is registered before its thread starts, because a caller may submit a
            // recording first.
            let registration = WorkerRegistration::new(shared);
            let thread = std::thread::Builder::new()
                .name(format!("whisper-wait-{index}"))
                .spawn(move || {
                    pool.install(|| Worker::new(model, registration, size.windows.get()).run());
                })
                .map_err(|_| TranscribeError::Stopped)?;
            engine.threads.push(thread);
        }
        Ok(engine)
    }

    /// Returns the maximum number of recordings decoded concurrently.
    pub fn capacity(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.shared.capacity).unwrap_or(NonZeroUsize::MIN)
    }

    /// Transcribes samples at 16 kHz. Blocks while the queue is full, and until the transcription
    /// is complete.
    ///
    /// # Errors
    /// [`TranscribeError`] when the model does not support the options, decoding fails, or the
    /// engine has stopped.
    pub fn transcribe(&self, samples: Vec<f32>, options: Arc<Options>) -> TranscribeResult {
        let (sender, receiver) = sync_channel(1);
        self.submit(Job { samples, options, request: JobRequest::Transcribe(sender) })?;
        receiver.recv().unwrap_or(Err(TranscribeError::Stopped))
    }

    /// Continues the text of unfinished speech at 16 kHz after a prefix. Blocks like
    /// [`Self::transcribe`].
    pub(crate) fn continue_text(
        &self,
        samples: Vec<f32>,
        options: Arc<Options>,
        prefix: Prefix,
    ) -> Result<Continuation, TranscribeError> {
        let (sender, receiver) = sync_channel(1);
        self.submit(Job { samples, options, request: JobRequest::Continue(prefix, sender) })?;
        receiver.recv().unwrap_or(Err(TranscribeError::Stopped))
    }

    /// Appends a job to the queue. Blocks while the queue is full of jobs of its kind.
    fn submit(&self, job: Job) -> Result<(), TranscribeError> {
        let mut queue = self.shared.lock();
        let is_pass = job.request.is_pass();
        while queue.workers > 0
            && queue.jobs.iter().filter(|other| other.request.is_pass() == is_pass).count()
                >= self.shared.capacity
        {
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.workers == 0 {
            return Err(TranscribeError::Stopped);
        }
        queue.jobs.push_back(Arc::new(job));
        drop(queue);
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // The recordings of a worker that panicked have an error as their result.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next job from the queue: of any kind, or with `only_passes`, a pass over
    /// unfinished speech. Waits for at most `timeout`; without a timeout, `None` means shutdown.
    fn next_job(&self, only_passes: bool, timeout: Option<Duration>) -> Option<Arc<Job>> {
        let start = Instant::now();
        let mut queue = self.lock();
        loop {
            let index = queue.jobs.iter().position(|job| !only_passes || job.request.is_pass());
            if let Some(job) = index.and_then(|index| queue.jobs.remove(index)) {
                drop(queue);
                self.changed.notify_all();
                return Some(job);
            }
            if queue.is_closed {
                return None;
            }
            queue = match timeout {
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let remaining = timeout.saturating_sub(start.elapsed());
                    if remaining.is_zero() {
                        return None;
                    }
                    self.changed
                        .wait_timeout(queue, remaining)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

/// A recording whose window is being decoded.
struct ActiveRecording {
    job: Arc<Job>,
    result_sender: SyncSender<TranscribeResult>,
    recording: Recording,
    search: Search,
}

/// Registration of a running worker, removed on drop: when the worker exits or panics.
struct WorkerRegistration(Arc<Shared>);

impl WorkerRegistration {
    fn new(shared: Arc<Shared>) -> Self {
        shared.lock().workers += 1;
        Self(shared)
    }
}

struct Worker {
    model: Arc<Model>,
    registration: WorkerRegistration,
    windows: usize,
    buffers: Buffers,
    cache: Cache,
    /// Recordings without a result.
    jobs: Vec<Arc<Job>>,
    active: Vec<ActiveRecording>,
    /// Whether the last job was a pass over unfinished speech.
    last_job_is_pass: bool,
}

impl Worker {
    fn new(model: Arc<Model>, registration: WorkerRegistration, windows: usize) -> Self {
        let (buffers, cache) = (model.buffers(), model.decoder.cache());
        let (jobs, active) = (Vec::new(), Vec::new());
        Self { model, registration, windows, buffers, cache, jobs, active, last_job_is_pass: false }
    }

    fn run(mut self) {
        loop {
            while let Some(job) = self.next_job() {
                self.jobs.push(job.clone());
                self.run_with_retry(|worker| {
                    worker.admit(&job);
                    Ok(())
                });
                if self.last_job_is_pass && !self.active.is_empty() {
                    // One step of the windows between two passes.
                    break;
                }
            }
            if self.active.is_empty() {
                return;
            }
            self.run_with_retry(Self::step);
        }
    }

    /// Takes the next job from the queue. Without an active recording, waits for one and releases
    /// memory meanwhile; `None` then means shutdown.
    fn next_job(&mut self) -> Option<Arc<Job>> {
        let shared = &self.registration.0;
        let next = shared.next_job(self.active.len() >= self.windows, Some(Duration::ZERO));
        if next.is_some() || !self.active.is_empty() {
            return next;
        }
        if self.last_job_is_pass
            && let Some(job) = shared.next_job(false, Some(IDLE_TIMEOUT))
        {
            return Some(job);
        }
        self.release_memory();
        self.registration.0.next_job(false, None)
    }

    /// Runs a part of the work on all recordings of this worker. If it fails, decodes each of them
    /// again, alone.
    fn run_with_retry(&mut self, work: impl FnOnce(&mut Self) -> Result<(), TranscribeError>) {
        let Err(error) = self.catch_failure(work) else { return };
        let jobs = std::mem::take(&mut self.jobs);
        tracing::error!(%error, recordings = jobs.len(), "decoding failed, decoding each affected recording alone");
        for job in jobs {
            self.jobs.push(job.clone());
            let result = self.catch_failure(|worker| {
                worker.admit(&job);
                while !worker.active.is_empty() {
                    worker.step()?;
                }
                Ok(())
            });
            if let Err(error) = result {
                tracing::error!(%error, samples = job.samples.len(), "decoding failed again, aborting the recording");
                self.remove_job(&job);
                job.request.fail(error);
            }
        }
    }

    /// Runs a part of the work and converts a panic to an error. A failure leaves no active
    /// recording, and new buffers and cache.
    fn catch_failure(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), TranscribeError>,
    ) -> Result<(), TranscribeError> {
        let result = catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|panic| {
            Err(TranscribeError::Panicked(
                panic_message(&*panic).unwrap_or("no message").to_owned(),
            ))
        });
        if result.is_err() {
            self.active.clear();
            self.release_memory();
        }
        result
    }

    /// Releases the memory of buffers and cache.
    fn release_memory(&mut self) {
        (self.buffers, self.cache) = (self.model.buffers(), self.model.decoder.cache());
    }

    /// Encodes a recording's first window, or runs a pass over unfinished speech, which takes few
    /// tokens.
    fn admit(&mut self, job: &Arc<Job>) {
        self.last_job_is_pass = job.request.is_pass();
        let mut recording = Recording::new(self.model.clone(), job.options.clone(), &job.samples);
        match &job.request {
            JobRequest::Transcribe(sender) => {
                let search = recording.next_window(&mut self.buffers, &mut self.cache);
                self.advance(job.clone(), sender.clone(), recording, search);
            }
            JobRequest::Continue(prefix, sender) => {
                let continuation =
                    recording.continue_text(&mut self.buffers, &mut self.cache, prefix);
                #[cfg(test)]
                let continuation = match &self.model.fault {
                    Some(fault) => fault(&[job.samples.len()]).and(continuation),
                    None => continuation,
                };
                self.remove_job(job);
                // Sending fails only if the caller has stopped waiting.
                let _ = sender.send(continuation);
            }
        }
    }

    /// Schedules a recording's next search, or sends the result.
    fn advance(
        &mut self,
        job: Arc<Job>,
        result_sender: SyncSender<TranscribeResult>,
        recording: Recording,
        search: Result<Option<Search>, TranscribeError>,
    ) {
        let result = match search {
            Ok(Some(search)) => {
                return self.active.push(ActiveRecording { job, result_sender, recording, search });
            }
            Ok(None) => Ok(recording.into_transcription()),
            Err(error) => Err(error),
        };
        self.remove_job(&job);
        // Sending fails only if the caller has stopped waiting.
        let _ = result_sender.send(result);
    }

    /// Removes a recording that has its result.
    fn remove_job(&mut self, job: &Arc<Job>) {
        self.jobs.retain(|other| !Arc::ptr_eq(other, job));
    }

    /// Decodes one token for every active window.
    fn step(&mut self) -> Result<(), TranscribeError> {
        let Self { model, buffers, cache, active, .. } = self;
        #[cfg(test)]
        if let Some(fault) = &model.fault {
            fault(&active.iter().map(|active| active.job.samples.len()).collect::<Vec<_>>())?;
        }
        let (mut rows, mut logit_rows): (Vec<Row>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut row_counts = Vec::with_capacity(active.len());
        for (index, active) in active.iter_mut().enumerate() {
            let before = logit_rows.len();
            active.search.rows(cache, index, &mut rows, &mut logit_rows);
            row_counts.push(logit_rows.len() - before);
        }
        let memories: Vec<_> =
            active.iter().map(|active| active.search.memory().as_ref()).collect();
        let states =
            model.decoder.forward(&buffers.gemm.clone(), buffers, cache, &memories, &rows, None)?;
        let width = model.decoder.width();
        let mut selected_states = Vec::with_capacity(logit_rows.len() * width);
        for row in logit_rows {
            selected_states
                .extend_from_slice(states.get(row * width..(row + 1) * width).unwrap_or_default());
        }
        model.decoder.logits(&buffers.gemm.clone(), buffers, &selected_states)?;
        let tokens = model.decoder.tokens();
        let mut remaining_logits = buffers.logits.as_mut_slice();
        let mut ended = Vec::new();
        for (index, (active, count)) in active.iter_mut().zip(row_counts).enumerate() {
            let Some((window_logits, other_logits)) =
                remaining_logits.split_at_mut_checked(count * tokens)
            else {
                break;
            };
            remaining_logits = other_logits;
            if let Some(result) = active.search.advance(cache, window_logits, tokens) {
                ended.push((index, result));
            }
        }
        for (index, (hypothesis, no_speech)) in ended.into_iter().rev() {
            let ActiveRecording { job, result_sender, mut recording, .. } =
                self.active.swap_remove(index);
            let search =
                recording.accept(&mut self.buffers, &mut self.cache, hypothesis, no_speech);
            self.advance(job, result_sender, recording, search);
        }
        Ok(())
    }
}

impl Drop for WorkerRegistration {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.workers -= 1;
        if queue.workers == 0 {
            // Waiting callers get an error instead of blocking forever.
            queue.jobs.clear();
        }
        drop(queue);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
