//! Slot of a request at a miner.

use std::sync::Arc;
use std::time::Duration;

use taonet_nineteen_core::period::RequestOutcome;
use taonet_nineteen_core::routing::Position;
use taonet_nineteen_core::{Task, TaskName};
use taonet_primitives::Hotkey;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use crate::load::{CapacitySignal, MinerLoad, Reservation};
use crate::period_miners::Completion;
use crate::prefix::PromptPrefix;
use crate::querier::Inner;
use crate::{PeriodMiners, TaskMiner, metrics};

/// Maximum time that a synthetic request waits for a slot.
const MAX_SYNTHETIC_WAIT: Duration = Duration::from_secs(10);
/// Interval at which a waiting synthetic request polls for a slot.
const SYNTHETIC_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A request in flight at a contender. Dropping it releases the slot, which goes to the next queued
/// request.
pub(crate) struct Slot {
    inner: Arc<Inner>,
    pub(crate) period_miners: Arc<PeriodMiners>,
    pub(crate) task: Arc<Task>,
    /// Whether answers are queued for checking.
    pub(crate) keeps_samples: bool,
    pub(crate) contender: Arc<TaskMiner>,
    load: Arc<MinerLoad>,
    pub(crate) position: Position,
    /// API key of an organic request.
    key: Option<Arc<str>>,
    /// Permit of an organic request among the requests in flight.
    permit: Option<OwnedSemaphorePermit>,
    /// Reservation of a repeated synthetic request until the miner answers.
    reservation: Option<Reservation>,
    /// Time of the reservation, in seconds on the querier's clock.
    started: f64,
    completion: Completion,
    signal: CapacitySignal,
}

impl Slot {
    /// Reserves a slot for an organic request at a miner outside `tried`. The caller counts it for
    /// the key.
    pub(crate) fn acquire_organic(
        inner: &Arc<Inner>,
        task: &TaskName,
        key: &Arc<str>,
        tried: &[Hotkey],
        prefix: Option<PromptPrefix>,
    ) -> Option<Self> {
        let permit = Arc::clone(&inner.backlog.in_flight_permits).try_acquire_owned().ok()?;
        let now = inner.now();
        let period_miners = inner.market.period_miners()?;
        let order =
            period_miners.task(task.as_str())?.for_organic(now, tried, prefix, rand::random);
        let (is_prefix_order, is_sampled) = (order.is_prefix_order, order.is_sampled);
        let (index, mut slot) = order.enumerate().find_map(|(index, contender)| {
            let load = period_miners.load(&contender.offer.hotkey)?;
            let position = load.acquire(inner.max_running)?;
            let Some(is_probe) = contender.enter(now) else {
                load.release(position, CapacitySignal::None);
                return None;
            };
            let mut slot = Self::new(inner, &period_miners, Arc::clone(contender), load, position)?;
            slot.completion.ends_probe = is_probe;
            Some((index, slot))
        })?;
        if prefix.is_some() {
            metrics::record_prefix(is_prefix_order && index == 0 && tried.is_empty());
        }
        (slot.key, slot.permit) = (Some(Arc::clone(key)), Some(permit));
        slot.keeps_samples &= is_sampled && (index == 0 || !is_prefix_order);
        Some(slot)
    }

    /// Reserves a slot for a synthetic request. Waits up to [`MAX_SYNTHETIC_WAIT`] for one at the
    /// first miner in turn.
    pub(crate) async fn acquire_synthetic(inner: &Arc<Inner>, task: &TaskName) -> Option<Self> {
        let deadline = Instant::now() + MAX_SYNTHETIC_WAIT;
        let mut reservation = None;
        loop {
            let period_miners = inner.market.period_miners()?;
            let task_miners = period_miners.task(task.as_str())?;
            let contenders = task_miners.for_synthetic();
            let first_load = Arc::clone(period_miners.load(&contenders.first()?.offer.hotkey)?);
            let slot = contenders.into_iter().find_map(|contender| {
                let load = period_miners.load(&contender.offer.hotkey)?;
                let position = load.acquire_synthetic(inner.max_running)?;
                contender.enter_synthetic(task_miners.task.volume_to_requests_conversion);
                Self::new(inner, &period_miners, contender, load, position)
            });
            if slot.is_some() || Instant::now() >= deadline {
                return slot;
            }
            // The new reservation begins before the earlier one ends.
            reservation.replace(first_load.reserve(false));
            sleep(SYNTHETIC_POLL_INTERVAL).await;
        }
    }

    /// Reserves a slot for a synthetic request that a miner was free to reject: one in which the
    /// miner must accept it. Waits up to [`MAX_SYNTHETIC_WAIT`].
    pub(crate) async fn acquire_repeated(
        inner: &Arc<Inner>,
        task: &TaskName,
        hotkey: &Hotkey,
    ) -> Option<Self> {
        let deadline = Instant::now() + MAX_SYNTHETIC_WAIT;
        let mut reservation = None;
        loop {
            let period_miners = inner.market.period_miners()?;
            let contenders = period_miners.task(task.as_str())?.contenders();
            let contender =
                contenders.iter().find(|contender| contender.offer.hotkey == *hotkey)?;
            let load = period_miners.load(hotkey)?;
            reservation.replace(load.reserve(true));
            if let Some(position) = load.acquire_repeated_synthetic(inner.max_running) {
                // The first attempt has used the volume.
                contender.enter_synthetic(0.0);
                let mut slot =
                    Self::new(inner, &period_miners, Arc::clone(contender), load, position)?;
                slot.reservation = reservation;
                return Some(slot);
            }
            if Instant::now() >= deadline {
                return None;
            }
            sleep(SYNTHETIC_POLL_INTERVAL).await;
        }
    }

    /// Creates a slot at a contender that counts the request already; `None` if the period does not
    /// offer the task.
    fn new(
        inner: &Arc<Inner>,
        period_miners: &Arc<PeriodMiners>,
        contender: Arc<TaskMiner>,
        load: &Arc<MinerLoad>,
        position: Position,
    ) -> Option<Self> {
        let task_miners = period_miners.task(contender.offer.task.as_str())?;
        Some(Self {
            inner: Arc::clone(inner),
            period_miners: Arc::clone(period_miners),
            task: Arc::clone(&task_miners.task),
            keeps_samples: task_miners.keeps_samples(),
            contender,
            load: Arc::clone(load),
            position,
            key: None,
            permit: None,
            reservation: None,
            started: inner.now(),
            completion: Completion::default(),
            signal: CapacitySignal::None,
        })
    }

    /// Records that the miner has begun to answer. If the request is the only one that a half-open
    /// circuit breaker allows, or a repeated synthetic request, further requests need not wait
    /// until the answer is complete.
    pub(crate) fn begin_answer(&mut self) {
        let is_reserved = self.reservation.take().is_some();
        let ends_probe = std::mem::take(&mut self.completion.ends_probe);
        if ends_probe {
            self.contender.end_probe();
        }
        if ends_probe || is_reserved {
            self.inner.dispatch();
        }
    }

    /// Returns whether a rate limit (429) of the request counts against the miner.
    pub(crate) fn must_accept(&self) -> bool {
        self.load.must_accept(self.position)
    }

    /// Records that the miner has too many requests in flight, which lowers its limit.
    pub(crate) fn set_overloaded(&mut self) {
        self.signal = CapacitySignal::Overloaded;
    }

    /// Sets how the request ended, which is recorded when the slot is dropped.
    pub(crate) fn set_completion(&mut self, completion: Completion) {
        if self.signal == CapacitySignal::None
            && matches!(completion.outcome, Some(RequestOutcome::Answered { .. }))
        {
            self.signal = CapacitySignal::Answered;
        }
        self.completion = Completion { ends_probe: self.completion.ends_probe, ..completion };
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.contender.leave(&self.completion);
        self.load.release(self.position, self.signal);
        // Released while the queue is locked, so that the next request can use them.
        let resources = (self.permit.take(), self.reservation.take());
        if let Some(key) = &self.key {
            let elapsed = self.inner.now() - self.started;
            self.inner.end_request(
                key,
                (self.signal == CapacitySignal::Answered).then_some(elapsed),
                resources,
            );
        } else {
            drop(resources);
            self.inner.dispatch();
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("contender", &self.contender.offer)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
