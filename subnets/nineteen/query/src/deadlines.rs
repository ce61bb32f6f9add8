use std::time::Duration;

/// Time allowed for each requested token of a long answer: honest miners write 20 tokens per
/// second.
const TIME_PER_TOKEN: Duration = Duration::from_millis(50);

/// Timeouts for a miner's answer, and the delay before hedging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryDeadlines {
    /// Timeout for the first chunk; default: the task's timeout.
    pub first_chunk: Option<Duration>,
    /// Maximum time between two chunks; default: the task's timeout.
    pub between_chunks: Option<Duration>,
    /// Timeout for the complete answer, excluding time spent waiting for a slow reader. Long
    /// answers have more time: 50 ms for each requested token, up to `max_total`.
    pub total: Duration,
    /// Timeout for the complete answer in wall-clock time, including the time in the queue and
    /// failed attempts.
    pub max_total: Duration,
    /// Delay after which a buyer's request without a first chunk is also sent to a second miner.
    /// The faster answer is used; the other attempt is cancelled.
    pub hedge: Option<Duration>,
}

impl QueryDeadlines {
    /// Returns the timeout for a complete answer with a maximum number of tokens.
    pub(crate) fn total_for(&self, max_tokens: usize) -> Duration {
        let tokens = u32::try_from(max_tokens).unwrap_or(u32::MAX);
        self.total.max(TIME_PER_TOKEN.saturating_mul(tokens).min(self.max_total))
    }
}

impl Default for QueryDeadlines {
    /// Returns the defaults: the task's timeout for chunks, 2 minutes in total, 15 minutes of
    /// wall-clock time, no hedging.
    fn default() -> Self {
        Self {
            first_chunk: None,
            between_chunks: None,
            total: Duration::from_mins(2),
            max_total: Duration::from_mins(15),
            hedge: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise, a miner would fail at a long answer that the buyer has asked for.
    #[test]
    fn total_deadline_grows_with_max_tokens() {
        let deadlines = QueryDeadlines::default();
        let seconds = [1, 2_400, 10_000, 32_768, usize::MAX]
            .map(|tokens| deadlines.total_for(tokens).as_secs());
        assert_eq!(seconds, [120, 120, 500, 900, 900]);
    }
}
