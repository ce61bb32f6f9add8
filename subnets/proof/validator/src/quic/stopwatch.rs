use std::time::Duration;

use taonet_proof_core::scoring::Fault;
use tokio::time::{Instant, timeout_at};

use crate::request::RequestError;

/// Deadline of an exchange with a miner, extended by the time for which the exchange waits for
/// memory in this process.
#[derive(Debug)]
pub(super) struct PausableDeadline {
    deadline: Instant,
    paused: Duration,
}

impl PausableDeadline {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { deadline: Instant::now() + timeout, paused: Duration::ZERO }
    }

    /// Waits for a future of the miner, at most until the deadline.
    pub(super) async fn wait_for_miner<T>(
        &self,
        future: impl Future<Output = T>,
    ) -> Result<T, RequestError> {
        timeout_at(self.deadline, future).await.map_err(|_| RequestError::Fault(Fault::Timeout))
    }

    /// Waits for a future of this process, and extends the deadline by that time.
    pub(super) async fn wait_for_local<T>(&mut self, future: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let output = future.await;
        let elapsed = start.elapsed();
        self.deadline += elapsed;
        self.paused += elapsed;
        output
    }

    /// Moves the deadline to `timeout` from now, unless the current deadline is earlier.
    pub(super) fn shorten(&mut self, timeout: Duration) {
        self.deadline = self.deadline.min(Instant::now() + timeout);
    }

    /// Returns the time by which waits for memory have extended the deadline.
    pub(super) const fn paused(&self) -> Duration {
        self.paused
    }
}
