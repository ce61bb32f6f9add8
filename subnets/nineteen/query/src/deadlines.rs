use std::time::Duration;

/// Deadlines of a miner's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryDeadlines {
    /// Until the first chunk; default: the task's timeout.
    pub first: Option<Duration>,
    /// Between two chunks; default: the task's timeout.
    pub between: Option<Duration>,
    /// For the whole answer, without the time in which the reader is slow.
    pub total: Duration,
    /// For the whole answer in wall-clock time.
    pub longest: Duration,
    /// After this time without a first chunk, a buyer's request goes to a second miner too; the faster one's answer is
    /// used, the other one's work is cancelled.
    pub hedge: Option<Duration>,
}

impl Default for QueryDeadlines {
    /// The task's timeout, 2 minutes in all, 15 minutes by the clock, no second requests.
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
