//! What replies may take of the memory while they grow, all of them together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of 16-bit samples that every reply may hold without asking: 21 s on one channel.
const FREE_BYTES: usize = 1 << 20;
/// Bytes of all replies together beyond that.
const SHARED_BYTES: usize = 224 << 20;
/// Replies that are written to disk at a time; each is held twice meanwhile.
const WRITERS: usize = 8;

/// The memory that the replies of a run share.
///
/// The worst case with 256 miners and replies of two minutes on one channel stays below 1 GB: 256 × 1 MiB that each may
/// hold, 224 MiB for longer ones, 8 × 5.5 MiB for those being written, and for answers that are being read 256 × 768 KiB
/// and 128 MiB more (see [`taonet_wire::ClientConfig`]); in all 844 MiB. Taking an answer apart adds some four times its
/// size for each thread of the runtime.
pub(super) struct ReplyMemory {
    shared: Arc<Semaphore>,
    writers: Semaphore,
}

impl Default for ReplyMemory {
    fn default() -> Self {
        Self { shared: Arc::new(Semaphore::new(SHARED_BYTES)), writers: Semaphore::new(WRITERS) }
    }
}

impl ReplyMemory {
    /// The share of one reply, which may grow to `limit` bytes of 16-bit samples.
    pub(super) fn lease(&self, limit: usize) -> ReplyLease {
        let extra = limit.saturating_sub(FREE_BYTES).min(SHARED_BYTES);
        ReplyLease { shared: Arc::clone(&self.shared), extra: u32::try_from(extra).unwrap_or(u32::MAX), permit: None }
    }

    /// Waits for a turn to write a reply to disk.
    pub(super) async fn writer(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.writers.acquire().await.ok()
    }
}

/// One reply's share of the memory; given back when dropped.
pub(super) struct ReplyLease {
    shared: Arc<Semaphore>,
    extra: u32,
    permit: Option<OwnedSemaphorePermit>,
}

impl ReplyLease {
    /// Waits until the reply may hold `bytes`.
    ///
    /// Beyond its free share a reply takes all that it may ever need at once: who holds some never waits for more, so
    /// two replies cannot wait for each other.
    pub(super) async fn hold(&mut self, bytes: usize) {
        if bytes > FREE_BYTES && self.permit.is_none() {
            self.permit = Arc::clone(&self.shared).acquire_many_owned(self.extra).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn waits(lease: &mut ReplyLease, bytes: usize) -> bool {
        tokio::time::timeout(Duration::from_secs(1), lease.hold(bytes)).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn long_replies_wait_for_each_other_and_short_ones_for_nobody() {
        let memory = ReplyMemory::default();
        let limit = FREE_BYTES + SHARED_BYTES / 2;
        let mut leases: Vec<_> = (0..3).map(|_| memory.lease(limit)).collect();
        assert!(!waits(&mut leases[0], limit).await && !waits(&mut leases[1], FREE_BYTES + 1).await);
        assert!(!waits(&mut leases[0], limit).await, "who holds some never waits");
        assert!(!waits(&mut leases[2], FREE_BYTES).await);
        assert!(waits(&mut leases[2], FREE_BYTES + 1).await);
        drop(leases.remove(0));
        assert!(!waits(&mut leases[1], FREE_BYTES + 1).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_larger_than_all_memory_gets_its_turn() {
        let memory = ReplyMemory::default();
        assert!(!waits(&mut memory.lease(usize::MAX), usize::MAX).await);
    }
}
