//! The memory that large responses share while they are read.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a response that need no reservation.
pub(super) const UNRESERVED_BYTES: usize = 768 * 1024;
/// The step in bytes by which a reservation grows: a peer reserves at most this much more than it
/// has sent.
const RESERVATION_STEP_BYTES: usize = 1024 * 1024;

/// Memory budget of the responses that are read at the same time. The first 768 KiB of a response
/// need no reservation. Beyond that, a response reserves memory in steps of 1 MiB as it arrives,
/// regardless of the size that its peer declares.
#[derive(Debug, Clone)]
pub struct ResponseMemory {
    bytes: usize,
    pub(super) shared: Arc<Semaphore>,
    /// Permit for one response without a reservation, so that responses that wait for each other
    /// cannot deadlock.
    pub(super) extra: Arc<Semaphore>,
}

impl ResponseMemory {
    /// Creates a memory budget of `bytes` for reservations. One response at a time may exceed it.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Self { bytes, shared: Arc::new(Semaphore::new(bytes)), extra: Arc::new(Semaphore::new(1)) }
    }

    /// Returns an empty reservation for a response.
    pub fn reservation(&self) -> MemoryReservation<'_> {
        MemoryReservation { memory: self, reserved_bytes: 0, permits: Vec::new(), is_extra: false }
    }
}

/// The reservation of one response, released on drop.
#[derive(Debug)]
pub struct MemoryReservation<'a> {
    memory: &'a ResponseMemory,
    reserved_bytes: usize,
    permits: Vec<OwnedSemaphorePermit>,
    is_extra: bool,
}

impl MemoryReservation<'_> {
    /// Waits for buffer space for `bytes` of a response of at most `max` bytes.
    pub async fn reserve(&mut self, bytes: usize, max: usize) {
        let missing_bytes = bytes.saturating_sub(UNRESERVED_BYTES + self.reserved_bytes);
        if missing_bytes == 0 || self.is_extra {
            return;
        }
        let remaining = self.memory.bytes.saturating_sub(self.reserved_bytes);
        let step = RESERVATION_STEP_BYTES
            .min(remaining)
            .min(max.saturating_sub(UNRESERVED_BYTES + self.reserved_bytes))
            .max(missing_bytes);
        let shared = async {
            match u32::try_from(step) {
                Ok(permits) if step <= remaining => {
                    Arc::clone(&self.memory.shared).acquire_many_owned(permits).await
                }
                _ => pending().await,
            }
        };
        // Neither semaphore is ever closed.
        tokio::select! {
            biased;
            permit = shared => {
                self.permits.extend(permit);
                self.reserved_bytes += step;
            }
            permit = Arc::clone(&self.memory.extra).acquire_owned() => {
                self.permits.extend(permit);
                self.is_extra = true;
            }
        }
    }
}
