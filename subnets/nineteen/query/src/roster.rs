//! Contenders of the open period, with live counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use taonet_nineteen_core::period::{PeriodCounts, RequestOutcome};
use taonet_nineteen_core::routing::{Allowance, Health, Prospect, organic_order, synthetic_order};
use taonet_nineteen_core::{Task, TaskName};
use taonet_nineteen_store::{ContenderRow, NewContender, PeriodId};
use taonet_nineteen_transport::Session;
use taonet_primitives::Hotkey;

/// Quality assumed for miners without checked answers.
const EXPECTED_QUALITY: f64 = 0.5;

/// A miner's offer for one task in the running period, with its counters.
#[derive(Debug)]
pub struct Contender {
    /// The miner's offer.
    pub offer: NewContender,
    session: Session,
    live: Mutex<Live>,
}

#[derive(Debug, Clone, Copy)]
struct Live {
    counts: PeriodCounts,
    sent: f64,
    /// Maximum volume of synthetic requests in this period.
    allowed: f64,
    running: usize,
    quality: f64,
    health: Health,
    changed: bool,
}

impl Contender {
    /// Creates a contender with the counters of `row` and the volume `allowed` for synthetic requests.
    pub fn new(row: &ContenderRow, session: Session, allowed: f64) -> Self {
        let live = Live {
            counts: row.counts,
            sent: row.sent,
            allowed,
            running: 0,
            quality: EXPECTED_QUALITY,
            health: Health::default(),
            changed: false,
        };
        Self { offer: row.offer.clone(), session, live: Mutex::new(live) }
    }

    /// Returns the session with the miner.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the request counters of this period.
    pub fn counts(&self) -> PeriodCounts {
        self.live().counts
    }

    /// Returns the miner's health, as its latest requests show it.
    pub fn health(&self) -> Health {
        self.live().health
    }

    /// Returns the number of requests in flight.
    pub fn running(&self) -> usize {
        self.live().running
    }

    /// Returns the mean quality of the miner's checked answers.
    pub fn quality(&self) -> f64 {
        self.live().quality
    }

    /// Sets the mean quality of the miner's checked answers.
    pub fn set_quality(&self, quality: f64) {
        self.live().quality = quality;
    }

    /// Returns the contender's row for the store.
    pub fn row(&self) -> ContenderRow {
        let live = self.live();
        ContenderRow { offer: self.offer.clone(), counts: live.counts, sent: live.sent, score: None }
    }

    /// Returns the row for the store if the counters have changed since the last call.
    pub fn take_changes(&self) -> Option<ContenderRow> {
        let has_changed = std::mem::take(&mut self.live().changed);
        has_changed.then(|| self.row())
    }

    /// Reserves a slot for a request, unless `most` are in flight.
    pub(crate) fn enter(&self, most: usize, sent: f64) -> bool {
        let mut live = self.live();
        if live.running >= most {
            return false;
        }
        live.running += 1;
        live.sent += sent;
        live.changed |= sent > 0.0;
        true
    }

    /// Releases the slot and counts the outcome. `None` is an attempt that was cancelled after `latency` without an
    /// answer.
    pub(crate) fn leave(&self, outcome: Option<RequestOutcome>, latency: Option<f64>, now: f64) {
        let mut live = self.live();
        live.running = live.running.saturating_sub(1);
        let Some(outcome) = outcome else {
            live.health.waited(latency.unwrap_or_default());
            return;
        };
        live.changed = true;
        live.counts.count(outcome);
        match outcome {
            RequestOutcome::Answered { .. } => {
                let latency = latency.unwrap_or_else(|| live.health.latency());
                live.health.succeeded(latency);
            }
            RequestOutcome::RateLimited => live.health.limited(now),
            RequestOutcome::Failed => live.health.failed(now),
        }
    }

    fn inherit(&self, earlier: &Self) {
        let (health, quality) = {
            let earlier = earlier.live();
            (earlier.health, earlier.quality)
        };
        let mut live = self.live();
        (live.health, live.quality) = (health, quality);
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task of the running period, with its contenders and its budget of synthetic requests.
#[derive(Debug)]
pub struct TaskFloor {
    /// Definition of the task.
    pub task: Arc<Task>,
    contenders: Vec<Arc<Contender>>,
    budget: AtomicU64,
    keeps_samples: AtomicBool,
}

impl TaskFloor {
    /// Creates a task of the period from its contenders and its budget of synthetic requests.
    pub fn new(task: Arc<Task>, contenders: Vec<Contender>, budget: u64) -> Self {
        let contenders = contenders.into_iter().map(Arc::new).collect();
        Self { task, contenders, budget: AtomicU64::new(budget), keeps_samples: AtomicBool::new(true) }
    }

    /// Returns the task's contenders.
    pub fn contenders(&self) -> &[Arc<Contender>] {
        &self.contenders
    }

    /// Returns the number of synthetic requests left in this period.
    pub fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// Decrements the budget atomically, for a synthetic request or an organic one that replaces it.
    pub fn spend(&self) {
        let less = |budget: u64| budget.checked_sub(1);
        let _ = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Returns whether answers are kept for checking.
    pub fn keeps_samples(&self) -> bool {
        self.keeps_samples.load(Ordering::Relaxed)
    }

    /// Sets whether answers are kept for checking.
    pub fn set_keeps_samples(&self, keeps: bool) {
        self.keeps_samples.store(keeps, Ordering::Relaxed);
    }

    /// Returns whether any contender can accept an organic request now.
    pub fn is_served(&self, now: f64) -> bool {
        self.contenders.iter().any(|contender| {
            let live = contender.live();
            live.counts.capacity > live.counts.consumed_capacity && live.health.breaker().allows(now)
        })
    }

    /// Returns the contenders for a synthetic request, the one furthest behind its allowance first.
    pub(crate) fn for_synthetic(&self) -> Vec<Arc<Contender>> {
        let allowances: Vec<_> = self
            .contenders
            .iter()
            .map(|contender| {
                let live = contender.live();
                Allowance { to_score: live.allowed, sent: live.sent }
            })
            .collect();
        self.at(&synthetic_order(&allowances))
    }

    /// Returns the contenders for an organic request, the most promising first.
    pub(crate) fn for_organic(&self, now: f64, draw: impl FnMut() -> f64) -> Vec<Arc<Contender>> {
        let lives: Vec<Live> = self.contenders.iter().map(|contender| *contender.live()).collect();
        let prospects: Vec<_> = lives
            .iter()
            .map(|live| Prospect {
                capacity_left: live.counts.capacity - live.counts.consumed_capacity,
                quality: live.quality,
                health: &live.health,
            })
            .collect();
        self.at(&organic_order(&prospects, now, draw))
    }

    fn at(&self, places: &[usize]) -> Vec<Arc<Contender>> {
        places.iter().filter_map(|place| self.contenders.get(*place)).map(Arc::clone).collect()
    }
}

/// The tasks and contenders of the running period.
#[derive(Debug)]
pub struct Roster {
    /// Id of the period.
    pub period: PeriodId,
    floors: Vec<TaskFloor>,
    by_name: HashMap<TaskName, usize>,
}

impl Roster {
    /// Creates the roster of a period.
    pub fn new(period: PeriodId, floors: Vec<TaskFloor>) -> Self {
        let by_name = floors.iter().zip(0..).map(|(floor, place)| (floor.task.task.clone(), place)).collect();
        Self { period, floors, by_name }
    }

    /// Returns the period's tasks.
    pub fn floors(&self) -> &[TaskFloor] {
        &self.floors
    }

    /// Returns the task of this name.
    pub fn floor(&self, task: &str) -> Option<&TaskFloor> {
        self.floors.get(*self.by_name.get(task)?)
    }

    /// Returns the contenders of all tasks.
    pub fn contenders(&self) -> impl Iterator<Item = &Arc<Contender>> {
        self.floors.iter().flat_map(|floor| &floor.contenders)
    }

    /// Copies health and quality of the same miners from an earlier period.
    fn inherit(&self, earlier: &Self) {
        let known: HashMap<(&TaskName, &Hotkey), &Arc<Contender>> = earlier
            .contenders()
            .map(|contender| ((&contender.offer.task, &contender.offer.hotkey), contender))
            .collect();
        for contender in self.contenders() {
            if let Some(earlier) = known.get(&(&contender.offer.task, &contender.offer.hotkey)) {
                contender.inherit(earlier);
            }
        }
    }
}

/// Handle to the roster of the open period, replaced as a whole when the next one opens. Clones share state.
#[derive(Debug, Clone, Default)]
pub struct Market(Arc<RwLock<Option<Arc<Roster>>>>);

impl Market {
    /// Returns the roster of the open period; `None` before the first one.
    pub fn roster(&self) -> Option<Arc<Roster>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a period and returns the roster of the previous one.
    pub fn open(&self, roster: Roster) -> Option<Arc<Roster>> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = current.as_deref() {
            roster.inherit(earlier);
        }
        current.replace(Arc::new(roster))
    }
}
