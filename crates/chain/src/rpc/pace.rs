use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long things may take: fractions of the time between two blocks.
#[derive(Debug)]
pub(crate) struct Pace {
    block_time_ms: AtomicU64,
}

/// No chain makes blocks faster than nodes are asked.
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

    /// A block time as far as deadlines go.
    pub(crate) fn unit(&self) -> Duration {
        self.block_time().max(FASTEST)
    }

    /// A read, whatever happens: two block times.
    pub(crate) fn total(&self) -> Duration {
        self.unit().saturating_mul(2)
    }

    /// One try of one node: half of the whole, or less where there are more than two.
    pub(crate) fn attempt(&self, nodes: usize) -> Duration {
        let parts = u32::try_from(nodes).unwrap_or(u32::MAX).max(2);
        part(self.total(), parts)
    }

    /// Between two rounds of tries.
    pub(crate) fn pause(&self) -> Duration {
        part(self.unit(), 16)
    }

    /// How long a node that failed is left alone.
    pub(crate) fn shun(&self) -> Duration {
        self.unit().saturating_mul(4)
    }

    /// So long without a new block, and the connection is looked at.
    pub(crate) fn silence(&self) -> Duration {
        self.total()
    }
}

/// One of so many equal parts.
pub(crate) fn part(whole: Duration, parts: u32) -> Duration {
    whole.checked_div(parts).unwrap_or(whole)
}
