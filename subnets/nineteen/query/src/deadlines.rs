use std::time::Duration;

/// Deadlines of a miner's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryDeadlines {
    /// Timeout of the first chunk; default: the task's timeout.
    pub first: Option<Duration>,
    /// Timeout between two chunks; default: the task's timeout.
    pub between: Option<Duration>,
    /// Timeout of the whole answer, excluding time spent waiting for a slow reader.
    pub total: Duration,
    /// Timeout of the whole answer in wall-clock time.
    pub longest: Duration,
    /// Delay after which a buyer's request without a first chunk is also sent to a second miner. The faster answer is
    /// used; the other attempt is cancelled.
    pub hedge: Option<Duration>,
}

impl Default for QueryDeadlines {
    /// The task's timeout for chunks, 2 minutes in total, 15 minutes of wall-clock time, no hedging.
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
