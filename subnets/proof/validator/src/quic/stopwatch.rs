use std::time::Duration;

use taonet_proof_core::scoring::Fault;
use tokio::time::{Instant, timeout_at};

use crate::request::RequestError;

/// Stopwatch for an exchange with a miner, paused while this process has no memory for the answer.
#[derive(Debug)]
pub(super) struct Stopwatch {
    deadline: Instant,
    paused: Duration,
}

impl Stopwatch {
    pub(super) fn start(timeout: Duration) -> Self {
        Self { deadline: Instant::now() + timeout, paused: Duration::ZERO }
    }

    /// Waits for a future of the miner, at most until the deadline.
    pub(super) async fn limit<T>(&self, work: impl Future<Output = T>) -> Result<T, RequestError> {
        timeout_at(self.deadline, work).await.map_err(|_| RequestError::Fault(Fault::Timeout))
    }

    /// Waits for a future of this process, and extends the deadline by that time.
    pub(super) async fn pause<T>(&mut self, work: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let output = work.await;
        let elapsed = start.elapsed();
        self.deadline += elapsed;
        self.paused += elapsed;
        output
    }

    /// Moves the deadline to `timeout` from now, unless the current deadline is earlier.
    pub(super) fn shorten(&mut self, timeout: Duration) {
        self.deadline = self.deadline.min(Instant::now() + timeout);
    }

    /// Returns the time in which this process had no memory.
    pub(super) const fn paused(&self) -> Duration {
        self.paused
    }
}
