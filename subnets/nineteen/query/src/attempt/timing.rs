//! Timing of an attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Times of an attempt.
pub(super) struct AttemptTiming {
    start: Instant,
    /// Time spent waiting for the miner.
    pub(super) wait_time: Duration,
    /// Time to the first chunk, in seconds.
    latency: Option<f64>,
    /// Set at the first chunk.
    first_chunk_flag: Arc<AtomicBool>,
}

impl AttemptTiming {
    /// Begins an attempt now.
    pub(super) fn begin() -> Self {
        Self {
            start: Instant::now(),
            wait_time: Duration::ZERO,
            latency: None,
            first_chunk_flag: Arc::default(),
        }
    }

    /// Returns a flag that is set when the first chunk arrives.
    pub(super) fn first_chunk_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.first_chunk_flag)
    }

    /// Records the first chunk, which has arrived after `latency` seconds.
    pub(super) fn set_first_chunk(&mut self, latency: f64) {
        self.first_chunk_flag.store(true, Ordering::Relaxed);
        self.latency = Some(latency);
    }

    /// Returns the time to the first chunk, in seconds. The age of a cancelled attempt without a
    /// first chunk is a lower bound of it.
    pub(super) fn latency(&self, is_cancelled: bool) -> Option<f64> {
        self.latency.or_else(|| is_cancelled.then(|| self.start.elapsed().as_secs_f64()))
    }
}
