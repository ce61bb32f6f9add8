//! How long an attempt takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Times of an attempt.
pub(super) struct AttemptTiming {
    began: Instant,
    /// Time spent waiting for the miner.
    pub(super) waiting: Duration,
    /// Time to the first chunk, in seconds.
    latency: Option<f64>,
    /// Set at the first chunk.
    has_first_chunk: Arc<AtomicBool>,
}

impl AttemptTiming {
    /// Begins an attempt now.
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            waiting: Duration::ZERO,
            latency: None,
            has_first_chunk: Arc::default(),
        }
    }

    /// Returns a flag that is set when the first chunk arrives.
    pub(super) fn has_first_chunk(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_first_chunk)
    }

    /// Records the first chunk, which has arrived after `latency` seconds.
    pub(super) fn set_first_chunk(&mut self, latency: f64) {
        self.has_first_chunk.store(true, Ordering::Relaxed);
        self.latency = Some(latency);
    }

    /// Returns the time to the first chunk, in seconds. The age of a cancelled attempt without a
    /// first chunk is a lower bound of it.
    pub(super) fn latency(&self, is_cancelled: bool) -> Option<f64> {
        self.latency.or_else(|| is_cancelled.then(|| self.began.elapsed().as_secs_f64()))
    }
}
