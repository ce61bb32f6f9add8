//! Slot of a request at a miner.

use std::sync::Arc;

use taonet_nineteen_core::period::RequestOutcome;
use taonet_nineteen_core::routing::Position;
use taonet_nineteen_core::{Task, TaskName};
use taonet_primitives::Hotkey;

use crate::load::{CapacitySignal, MinerLoad};
use crate::querier::Inner;
use crate::roster::Completion;
use crate::{Contender, Roster};

/// A request in flight at a contender. Dropping it releases the slot, which goes to the next queued request.
pub(crate) struct Slot {
    inner: Arc<Inner>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) task: Arc<Task>,
    /// Whether answers are queued for checking.
    pub(crate) keeps_samples: bool,
    pub(crate) contender: Arc<Contender>,
    load: Arc<MinerLoad>,
    pub(crate) position: Position,
    /// API key of an organic request.
    key: Option<Arc<str>>,
    completion: Completion,
    signal: CapacitySignal,
}

impl Slot {
    /// Reserves a slot for an organic request at a miner outside `tried`. The caller counts it for the key.
    pub(crate) fn organic(inner: &Arc<Inner>, task: &TaskName, key: &Arc<str>, tried: &[Hotkey]) -> Option<Self> {
        let roster = inner.market.roster()?;
        let order = roster.floor(task.as_str())?.for_organic(inner.now(), tried, rand::random);
        let mut slot = Self::first(inner, &roster, task, order, 0.0, MinerLoad::enter)?;
        slot.key = Some(Arc::clone(key));
        Some(slot)
    }

    /// Reserves a slot for a synthetic request, without waiting.
    pub(crate) fn synthetic(inner: &Arc<Inner>, task: &TaskName) -> Option<Self> {
        let roster = inner.market.roster()?;
        let floor = roster.floor(task.as_str())?;
        let (order, sent) = (floor.for_synthetic(), floor.task.volume_to_requests_conversion);
        Self::first(inner, &roster, task, order, sent, MinerLoad::enter_test)
    }

    /// Reserves a slot at the first contender that has one. `sent` is the assumed volume of a synthetic request.
    fn first(
        inner: &Arc<Inner>,
        roster: &Arc<Roster>,
        task: &TaskName,
        order: Vec<Arc<Contender>>,
        sent: f64,
        enter: impl Fn(&MinerLoad, usize) -> Option<Position>,
    ) -> Option<Self> {
        let floor = roster.floor(task.as_str())?;
        let (contender, load, position) = order.into_iter().find_map(|contender| {
            let load = roster.load(&contender.offer.hotkey)?;
            let position = enter(load, inner.max_running)?;
            Some((contender, Arc::clone(load), position))
        })?;
        contender.enter(sent);
        Some(Self {
            inner: Arc::clone(inner),
            roster: Arc::clone(roster),
            task: Arc::clone(&floor.task),
            keeps_samples: floor.keeps_samples(),
            contender,
            load,
            position,
            key: None,
            completion: Completion::default(),
            signal: CapacitySignal::None,
        })
    }

    /// Records that the miner rejected the request with status 429, which lowers its limit of requests in flight.
    pub(crate) fn set_rate_limited(&mut self) {
        self.signal = CapacitySignal::RateLimited;
    }

    /// Sets how the request ended, which is recorded when the slot is dropped.
    pub(crate) fn end(&mut self, completion: Completion) {
        if self.signal == CapacitySignal::None && matches!(completion.outcome, Some(RequestOutcome::Answered { .. })) {
            self.signal = CapacitySignal::Answered;
        }
        self.completion = completion;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.contender.leave(&self.completion);
        self.load.leave(self.position, self.signal);
        if let Some(key) = &self.key {
            self.inner.backlog.end(key);
        }
        self.inner.dispatch();
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
