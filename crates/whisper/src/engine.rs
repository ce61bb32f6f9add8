//! The scheduler of all encoder and decoder work in a process.
//!
//! Worker threads, by default one per core, take recordings from a shared queue. Each worker decodes the windows of its
//! recordings in one batch, with a row per beam, so each step reads the weights once for all of them. After a window, a
//! worker encodes the recording's next window or takes another recording. A limit on the number of active windows
//! bounds memory.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::TranscribeError;
use crate::decoder::{Cache, Row};
use crate::encoder::Buffers;
use crate::model::Model;
use crate::options::Options;
use crate::search::Search;
use crate::transcribe::{Reply, Transcription};

/// Maximum total memory of all active windows, in bytes.
const MEMORY: usize = 672 << 20;
/// Maximum number of windows per worker: 60 rows with 5 beams.
const MOST_WINDOWS: usize = 12;

/// Number of threads and windows of an [`Engine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSize {
    /// Number of worker threads.
    pub threads: NonZeroUsize,
    /// Number of windows per worker, decoded in one batch.
    pub windows: NonZeroUsize,
}

impl EngineSize {
    /// Returns a size with one thread per core and as many windows as fit into 672 MiB, at most 12 per worker.
    pub fn for_model(model: &Model) -> Self {
        Self::with_threads(model, std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Returns a size with `threads` workers and as many windows as fit into 672 MiB, at most 12 per worker.
    pub fn with_threads(model: &Model, threads: NonZeroUsize) -> Self {
        let windows = (MEMORY / model.decoder.memory_bytes().max(1) / threads).clamp(1, MOST_WINDOWS);
        Self { threads, windows: NonZeroUsize::new(windows).unwrap_or(NonZeroUsize::MIN) }
    }
}

type Answer = Result<Transcription, TranscribeError>;

struct Job {
    samples: Vec<f32>,
    options: Arc<Options>,
    answer: SyncSender<Answer>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
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
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), capacity });
        let mut engine = Self { shared, threads: Vec::new() };
        for index in 0..size.threads.get() {
            // A pool of one thread keeps matrix products on this thread.
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(move |_| format!("whisper-{index}"))
                .build()
                .map_err(|_| TranscribeError::Stopped)?;
            let (model, shared) = (model.clone(), engine.shared.clone());
            // The worker is registered before its thread starts, because a caller may submit a recording first.
            let place = Place::new(shared);
            let thread = std::thread::Builder::new()
                .name(format!("whisper-wait-{index}"))
                .spawn(move || pool.install(|| Worker::new(model, place, size.windows.get()).run()))
                .map_err(|_| TranscribeError::Stopped)?;
            engine.threads.push(thread);
        }
        Ok(engine)
    }

    /// Returns the maximum number of recordings decoded concurrently.
    pub fn capacity(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.shared.capacity).unwrap_or(NonZeroUsize::MIN)
    }

    /// Transcribes samples at 16 kHz. Blocks while the queue is full, and until the transcription is complete.
    ///
    /// # Errors
    /// [`TranscribeError`] when the model does not support the options, or the engine has stopped.
    pub fn transcribe(&self, samples: Vec<f32>, options: Arc<Options>) -> Answer {
        let (answer, receiver) = sync_channel(1);
        let mut queue = self.shared.lock();
        while queue.jobs.len() >= self.shared.capacity && queue.workers > 0 {
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.workers == 0 {
            return Err(TranscribeError::Stopped);
        }
        queue.jobs.push_back(Job { samples, options, answer });
        drop(queue);
        self.shared.changed.notify_all();
        receiver.recv().unwrap_or(Err(TranscribeError::Stopped))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A worker that panicked has already answered its recordings with an error.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next recording from the queue. With `may_wait`, blocks until a recording arrives; `None` then means
    /// shutdown.
    fn next(&self, may_wait: bool) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                self.changed.notify_all();
                return Some(job);
            }
            if !may_wait || queue.is_closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A recording whose window is being decoded.
struct Active {
    reply: Reply,
    search: Search,
    answer: SyncSender<Answer>,
}

/// Registration of a running worker, removed on drop: when the worker exits or panics.
struct Place(Arc<Shared>);

impl Place {
    fn new(shared: Arc<Shared>) -> Self {
        shared.lock().workers += 1;
        Self(shared)
    }
}

struct Worker {
    model: Arc<Model>,
    place: Place,
    windows: usize,
    buffers: Buffers,
    cache: Cache,
    active: Vec<Active>,
    logits: Vec<f32>,
}

impl Worker {
    fn new(model: Arc<Model>, place: Place, windows: usize) -> Self {
        let cache = model.decoder.cache();
        Self { model, place, windows, buffers: Buffers::default(), cache, active: Vec::new(), logits: Vec::new() }
    }

    fn run(mut self) {
        loop {
            while self.active.len() < self.windows {
                let Some(job) = self.place.0.next(self.active.is_empty()) else { break };
                self.admit(job);
            }
            if self.active.is_empty() {
                return;
            }
            if let Err(error) = self.step() {
                tracing::error!(%error, "decoding failed, aborting the affected recordings");
                for Active { mut search, answer, .. } in self.active.drain(..) {
                    search.release(&mut self.cache);
                    let _ = answer.send(Err(TranscribeError::Product(error.to_string())));
                }
            }
        }
    }

    fn admit(&mut self, job: Job) {
        let mut reply = Reply::new(self.model.clone(), job.options, &job.samples);
        let search = reply.next_window(&mut self.buffers, &mut self.cache);
        self.go_on(reply, search, job.answer);
    }

    /// Schedules a recording's next search, or sends the answer.
    fn go_on(&mut self, reply: Reply, search: Result<Option<Search>, TranscribeError>, answer: SyncSender<Answer>) {
        let result = match search {
            Ok(Some(search)) => {
                self.active.push(Active { reply, search, answer });
                return;
            }
            Ok(None) => Ok(reply.into_transcription()),
            Err(error) => Err(error),
        };
        // Sending fails only if the caller has stopped waiting.
        let _ = answer.send(result);
    }

    /// Decodes one token for every active window.
    fn step(&mut self) -> Result<(), TranscribeError> {
        let Self { model, buffers, cache, active, logits, .. } = self;
        let (mut rows, mut wanted): (Vec<Row>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut counts = Vec::with_capacity(active.len());
        for (index, active) in active.iter_mut().enumerate() {
            let before = wanted.len();
            active.search.rows(cache, index, &mut rows, &mut wanted);
            counts.push(wanted.len() - before);
        }
        let memories: Vec<_> = active.iter().map(|active| active.search.memory().clone()).collect();
        let memories: Vec<_> = memories.iter().map(AsRef::as_ref).collect();
        let states = model.decoder.forward(&buffers.gemm.clone(), buffers, cache, &memories, &rows, None)?;
        let width = model.decoder.width();
        let mut chosen = Vec::with_capacity(wanted.len() * width);
        for row in wanted {
            chosen.extend_from_slice(states.get(row * width..(row + 1) * width).unwrap_or_default());
        }
        model.decoder.logits(&buffers.gemm.clone(), buffers, &chosen, logits)?;
        let tokens = model.decoder.tokens();
        let mut rest = logits.as_mut_slice();
        let mut ended = Vec::new();
        for (index, (active, count)) in active.iter_mut().zip(counts).enumerate() {
            let Some((own, others)) = rest.split_at_mut_checked(count * tokens) else { break };
            rest = others;
            if let Some(result) = active.search.advance(cache, own, tokens) {
                ended.push((index, result));
            }
        }
        for (index, (hypothesis, no_speech)) in ended.into_iter().rev() {
            let Active { mut reply, answer, .. } = self.active.swap_remove(index);
            let search = reply.take(&mut self.buffers, &mut self.cache, hypothesis, no_speech);
            self.go_on(reply, search, answer);
        }
        Ok(())
    }
}

impl Drop for Place {
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
