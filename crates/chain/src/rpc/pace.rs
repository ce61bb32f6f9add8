use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Timeouts as fractions of the time between two blocks.
#[derive(Debug)]
pub(crate) struct Pace {
    block_time_ms: AtomicU64,
}

/// The minimum block time assumed for timeouts, however fast the chain.
const FASTEST: Duration = Duration::from_millis(250);

impl Pace {
    pub(crate) fn new(block_time: Duration) -> Self {
        let pace = Self { block_time_ms: AtomicU64::new(0) };
        pace.set(block_time);
        pace
    }

    pub(crate) fn set(&self, block_time: Duration) {
        let ms = u64::try_from(block_time.as_millis()).unwrap_or(u64::MAX);
        self.block_time_ms.store(ms, Ordering::Relaxed);
    }

    pub(crate) fn block_time(&self) -> Duration {
        Duration::from_millis(self.block_time_ms.load(Ordering::Relaxed))
    }

    /// The block time assumed for timeouts: at least [`FASTEST`].
    pub(crate) fn unit(&self) -> Duration {
        self.block_time().max(FASTEST)
    }

    /// The total timeout of a read: two block times.
    pub(crate) fn total(&self) -> Duration {
        self.unit().saturating_mul(2)
    }

    /// The timeout of one attempt at one node: half of the total, or less with more than two nodes.
    pub(crate) fn attempt(&self, nodes: usize) -> Duration {
        let parts = u32::try_from(nodes).unwrap_or(u32::MAX).max(2);
        part(self.total(), parts)
    }

    /// The pause between two rounds of attempts.
    pub(crate) fn pause(&self) -> Duration {
        part(self.unit(), 16)
    }

    /// The duration for which a failed node is skipped.
    pub(crate) fn shun(&self) -> Duration {
        self.unit().saturating_mul(4)
    }

    /// The maximum time without a new block before the connection is checked.
    pub(crate) fn silence(&self) -> Duration {
        self.total()
    }
}

/// Divides a duration into equal parts and returns one.
pub(crate) fn part(whole: Duration, parts: u32) -> Duration {
    whole.checked_div(parts).unwrap_or(whole)
}
