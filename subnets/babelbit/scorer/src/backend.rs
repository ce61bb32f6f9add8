//! Transcription backends: threads of this process, or workers on other machines.

use std::num::NonZeroUsize;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use taonet_babelbit_core::scoring::ScoreError;
use taonet_speech::Recognizer;

use super::Audio;
use super::jobs::{TranscriptionResult, transcribe};

/// Transcribes recordings in the background.
pub trait Backend: Send + Sync {
    /// Starts a transcription in the background, which calls `callback` with the outcome on any
    /// thread.
    fn start(&self, audio: Audio, callback: TranscriptionCallback);
}

/// Callback for the outcome of one transcription.
///
/// Dropping a callback reports a failure, so that nobody waits for a transcription that a backend
/// has abandoned.
pub struct TranscriptionCallback(Option<Box<dyn FnOnce(TranscriptionResult) + Send>>);

impl TranscriptionCallback {
    /// Creates a callback from a closure.
    pub fn new(closure: impl FnOnce(TranscriptionResult) + Send + 'static) -> Self {
        Self(Some(Box::new(closure)))
    }

    /// Calls the callback with the outcome.
    pub fn complete(mut self, transcription: TranscriptionResult) {
        self.call(transcription);
    }

    /// Calls the callback, unless it was called before.
    fn call(&mut self, transcription: TranscriptionResult) {
        if let Some(closure) = self.0.take() {
            closure(transcription);
        }
    }
}

impl Drop for TranscriptionCallback {
    fn drop(&mut self) {
        self.call(Err(ScoreError::failed("RuntimeError", &"the transcription was abandoned")));
    }
}

/// A thread pool of this process. Transcription has no deadline: nothing can end a thread that
/// hangs.
pub(super) struct ThreadBackend {
    recognizer: Arc<dyn Recognizer>,
    pool: ThreadPool,
}

impl ThreadBackend {
    /// Starts as many threads as the recogniser prefers, or else `threads`.
    pub(super) fn start(
        recognizer: Arc<dyn Recognizer>,
        threads: NonZeroUsize,
    ) -> Result<Self, ThreadPoolBuildError> {
        // A recogniser that batches calls may prefer more threads than there are cores, since a
        // waiting call uses no processor time.
        let threads = recognizer.concurrency().unwrap_or(threads);
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .thread_name(|index| format!("scorer-{index}"))
            .build()?;
        Ok(Self { recognizer, pool })
    }
}

impl Backend for ThreadBackend {
    fn start(&self, audio: Audio, callback: TranscriptionCallback) {
        let recognizer = Arc::clone(&self.recognizer);
        self.pool.spawn(move || {
            let transcription = transcribe(&*recognizer, &audio);
            callback.complete(
                transcription
                    .unwrap_or_else(|stopped| Err(ScoreError::failed("RuntimeError", &stopped))),
            );
        });
    }
}
