//! Slots of requests in flight, which validators share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_primitives::Hotkey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::metrics;

/// Time that a request waits for a slot, after which the miner is full.
const SLOT_WAIT: Duration = Duration::from_millis(100);
/// Inverse of the share of the slots that probes leave free for validators that have not been
/// active lately.
const PROBE_RESERVE: usize = 4;
/// Time since a validator's latest request in which probes of other validators leave its unused
/// slots free.
const ACTIVE_WINDOW: Duration = Duration::from_mins(10);

/// Slots of requests in flight. Probes are requests beyond what the miner has announced to their
/// validators. The other validators send as many requests as announced to them, and count a
/// rejection against the miner, so probes use only slots that no active validator may need.
pub(crate) struct RequestSlots {
    total: usize,
    free: Arc<Semaphore>,
    /// One permit per request that may wait for a slot that is about to be released.
    waiters: Semaphore,
    validators: Mutex<HashMap<Hotkey, ValidatorLoad>>,
}

struct ValidatorLoad {
    /// Number of requests in flight that the miner announces to the validator.
    announced: usize,
    running: usize,
    latest_request: Instant,
}

/// An in-flight request at the backend, counted until dropped.
pub(crate) struct RunningRequest {
    request_slots: Arc<RequestSlots>,
    validator: Hotkey,
    _permit: OwnedSemaphorePermit,
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        metrics::change_running(-1.0);
        if let Some(load) = self.request_slots.validators().get_mut(&self.validator) {
            load.running = load.running.saturating_sub(1);
        }
    }
}

impl RequestSlots {
    /// Creates a number of slots.
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let total = total.min(Semaphore::MAX_PERMITS);
        let (free, waiters) = (Arc::new(Semaphore::new(total)), Semaphore::new(total));
        Arc::new(Self { total, free, waiters, validators: Mutex::default() })
    }

    /// Reserves a slot for a request of a validator to which the miner announces a number of
    /// requests. A validator that has just cancelled a request, or received the end of an answer,
    /// may send the next one before the miner has released the slot, so a full miner waits
    /// briefly, except for probes.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        validator: Hotkey,
        announced: usize,
        is_probe: bool,
    ) -> Option<RunningRequest> {
        if is_probe {
            return self.acquire_for_probe(validator, announced);
        }
        // Recorded before a slot is free: probes must not take the next one.
        Self::record_request(&mut self.validators(), validator, announced);
        let permit = if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            permit
        } else {
            let _waiter = self.waiters.try_acquire().ok()?;
            timeout(SLOT_WAIT, Arc::clone(&self.free).acquire_owned()).await.ok()?.ok()?
        };
        Self::record_request(&mut self.validators(), validator, announced).running += 1;
        Some(self.start_request(validator, permit))
    }

    fn acquire_for_probe(
        self: &Arc<Self>,
        validator: Hotkey,
        announced: usize,
    ) -> Option<RunningRequest> {
        // Locked until the slot is taken, so that simultaneous probes do not take more slots than
        // one after the other.
        let mut validators = self.validators();
        validators
            .retain(|_, load| load.running > 0 || load.latest_request.elapsed() < ACTIVE_WINDOW);
        let other_loads = validators.iter().filter(|(other, _)| **other != validator);
        let unused_announced: usize =
            other_loads.map(|(_, load)| load.announced.saturating_sub(load.running)).sum();
        if self.free.available_permits() <= unused_announced.max(self.total.div_ceil(PROBE_RESERVE))
        {
            return None;
        }
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Self::record_request(&mut validators, validator, announced).running += 1;
        drop(validators);
        Some(self.start_request(validator, permit))
    }

    /// Records that a validator sends a request; returns its load.
    fn record_request(
        validators: &mut HashMap<Hotkey, ValidatorLoad>,
        validator: Hotkey,
        announced: usize,
    ) -> &mut ValidatorLoad {
        let now = Instant::now();
        let load = validators.entry(validator).or_insert(ValidatorLoad {
            announced,
            running: 0,
            latest_request: now,
        });
        (load.announced, load.latest_request) = (announced, now);
        load
    }

    fn start_request(
        self: &Arc<Self>,
        validator: Hotkey,
        permit: OwnedSemaphorePermit,
    ) -> RunningRequest {
        metrics::change_running(1.0);
        RunningRequest { request_slots: Arc::clone(self), validator, _permit: permit }
    }

    fn validators(&self) -> MutexGuard<'_, HashMap<Hotkey, ValidatorLoad>> {
        self.validators.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    const LARGE_VALIDATOR: Hotkey = Hotkey::from_bytes([1; 32]);
    const SMALL_VALIDATOR: Hotkey = Hotkey::from_bytes([2; 32]);

    /// A validator that has sent no request for a moment finds as many slots as announced to it.
    #[tokio::test(start_paused = true)]
    async fn probes_leave_unused_slots_of_active_validators_free() {
        let request_slots = RequestSlots::new(16);
        drop(request_slots.acquire(LARGE_VALIDATOR, 12, false).await.unwrap());
        let mut running = Vec::new();
        for _ in 0..4 {
            running.push(request_slots.acquire(SMALL_VALIDATOR, 4, false).await.unwrap());
        }
        assert!(request_slots.acquire(SMALL_VALIDATOR, 4, true).await.is_none());
        running.extend(request_slots.acquire(LARGE_VALIDATOR, 12, false).await);
        assert!(request_slots.acquire(SMALL_VALIDATOR, 4, true).await.is_none());
        for _ in 0..11 {
            running.push(request_slots.acquire(LARGE_VALIDATOR, 12, false).await.unwrap());
        }
        assert!(request_slots.acquire(LARGE_VALIDATOR, 12, false).await.is_none());
        // A validator that is no longer active leaves its slots to probes, except for a quarter of
        // all.
        running.truncate(4);
        tokio::time::advance(ACTIVE_WINDOW).await;
        while let Some(probe) = request_slots.acquire(SMALL_VALIDATOR, 4, true).await {
            running.push(probe);
        }
        assert_eq!(running.len(), 12);
    }

    #[test]
    fn simultaneous_probes_leave_the_reserve_free() {
        const PROBES: usize = 8;
        for _ in 0..200 {
            let (request_slots, barrier) = (RequestSlots::new(8), Barrier::new(PROBES));
            let probe = || {
                barrier.wait();
                request_slots.acquire_for_probe(SMALL_VALIDATOR, 1)
            };
            let running: Vec<_> = std::thread::scope(|scope| {
                let probes: Vec<_> = (0..PROBES).map(|_| scope.spawn(probe)).collect();
                probes.into_iter().filter_map(|probe| probe.join().unwrap()).collect()
            });
            assert_eq!(running.len(), 6);
        }
    }
}
