use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Timeouts and pauses as fractions of the time between two blocks.
#[derive(Debug)]
pub(crate) struct BlockTiming {
    block_time_ms: AtomicU64,
}

/// The minimum block time assumed for timeouts: a busy machine cannot keep shorter ones.
const MIN_BLOCK_TIME: Duration = Duration::from_secs(1);
/// The minimum block time assumed for pauses, also before a failed node is tried again.
const MIN_BLOCK_TIME_FOR_PAUSES: Duration = Duration::from_millis(250);

impl BlockTiming {
    pub(crate) fn new(block_time: Duration) -> Self {
        let timing = Self { block_time_ms: AtomicU64::new(0) };
        timing.set_block_time(block_time);
        timing
    }

    pub(crate) fn set_block_time(&self, block_time: Duration) {
        let ms = u64::try_from(block_time.as_millis()).unwrap_or(u64::MAX);
        self.block_time_ms.store(ms, Ordering::Relaxed);
    }

    pub(crate) fn block_time(&self) -> Duration {
        Duration::from_millis(self.block_time_ms.load(Ordering::Relaxed))
    }

    /// Returns the block time assumed for timeouts: at least [`MIN_BLOCK_TIME`].
    pub(crate) fn timeout_block_time(&self) -> Duration {
        time_for_blocks(self.block_time(), 1)
    }

    /// Returns the total timeout of a read, and the time without a new block after which a
    /// connection is checked: two block times.
    pub(crate) fn read_timeout(&self) -> Duration {
        self.timeout_block_time().saturating_mul(2)
    }

    /// Returns the timeout of one attempt at one node: half of the total, or less with more than
    /// two nodes.
    pub(crate) fn attempt_timeout(&self, nodes: usize) -> Duration {
        let parts = u32::try_from(nodes).unwrap_or(u32::MAX).max(2);
        equal_part(self.read_timeout(), parts)
    }

    /// Returns the pause between two rounds of attempts.
    pub(crate) fn retry_delay(&self) -> Duration {
        equal_part(self.block_time().max(MIN_BLOCK_TIME_FOR_PAUSES), 16)
    }

    /// Returns the duration for which a failed node is skipped.
    pub(crate) fn skip_duration(&self) -> Duration {
        self.block_time().max(MIN_BLOCK_TIME_FOR_PAUSES).saturating_mul(4)
    }
}

/// Returns how long to wait for a number of blocks on a chain with this block time: at least one
/// second for each block, because a busy machine is slower than a fast development chain.
#[must_use]
pub fn time_for_blocks(block_time: Duration, blocks: u32) -> Duration {
    block_time.max(MIN_BLOCK_TIME).saturating_mul(blocks)
}

/// Returns one of `parts` equal parts of a duration.
pub(crate) fn equal_part(total: Duration, parts: u32) -> Duration {
    total.checked_div(parts).unwrap_or(total)
}
