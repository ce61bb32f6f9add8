use std::time::Duration;

/// Timeouts for a miner's answer, and the delay before hedging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryDeadlines {
    /// Timeout for the first chunk; default: the task's timeout.
    pub first: Option<Duration>,
    /// Maximum time between two chunks; default: the task's timeout.
    pub between: Option<Duration>,
    /// Timeout for the complete answer, excluding time spent waiting for a slow reader.
    pub total: Duration,
    /// Timeout for the complete answer in wall-clock time, including the time in the queue and
    /// failed attempts.
    pub longest: Duration,
    /// Delay after which a buyer's request without a first chunk is also sent to a second miner.
    /// The faster answer is used; the other attempt is cancelled.
    pub hedge: Option<Duration>,
}

impl Default for QueryDeadlines {
    /// Returns the defaults: the task's timeout for chunks, 2 minutes in total, 15 minutes of
    /// wall-clock time, no hedging.
    fn default() -> Self {
        Self {
            first: None,
            between: None,
            total: Duration::from_mins(2),
            longest: Duration::from_mins(15),
            hedge: None,
        }
    }
}
