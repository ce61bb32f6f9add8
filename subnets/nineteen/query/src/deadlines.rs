use std::time::Duration;

/// How long a miner may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryDeadlines {
    /// To the first piece of an answer; left out, the task's timeout.
    pub first: Option<Duration>,
    /// Between two pieces; left out, the task's timeout.
    pub between: Option<Duration>,
    /// For a whole answer. Time in which nobody reads the answer does not count.
    pub total: Duration,
    /// For a whole answer by the clock, however slowly it is read.
    pub longest: Duration,
}

impl Default for QueryDeadlines {
    /// The task's timeout, 2 minutes in all, 15 minutes by the clock.
    fn default() -> Self {
        Self { first: None, between: None, total: Duration::from_mins(2), longest: Duration::from_mins(15) }
    }
}
