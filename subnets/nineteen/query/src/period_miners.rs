//! Contenders of the open period, with live counters.

mod order;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use taonet_nineteen_core::period::{PeriodCounts, RequestOutcome};
use taonet_nineteen_core::routing::{Health, RoutingCandidate};
use taonet_nineteen_core::{MarketConfig, Task, TaskName};
use taonet_nineteen_store::{ContenderRow, NewContender, PeriodId};
use taonet_nineteen_transport::Session;
use taonet_primitives::Hotkey;

use crate::Divisions;
use crate::load::MinerLoad;

/// Quality assumed for miners without checked answers.
const EXPECTED_QUALITY: f64 = 0.5;

/// A contender in the running period: a miner's task, with live counters.
#[derive(Debug)]
pub struct TaskMiner {
    /// The contender's task, hotkey, uid and capacity.
    pub offer: NewContender,
    session: Session,
    live: Mutex<LiveCounters>,
    /// The contender of the same miner and task in the next period, which counts the requests that
    /// end after this period.
    successor: OnceLock<Arc<Self>>,
    /// Whether the miner has refused images that another miner has read in this period.
    pub(crate) refuses_images: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct LiveCounters {
    /// Counters of this process.
    counts: PeriodCounts,
    /// The part of `counts` that is not in the database.
    unstored: PeriodCounts,
    /// Assumed volume of the synthetic requests that this process has sent.
    sent_volume: f64,
    /// Counters of all other processes, and of earlier ones, as last read.
    other_counts: PeriodCounts,
    other_sent_volume: f64,
    /// Maximum volume of synthetic requests in this period.
    allowance: f64,
    running: usize,
    quality: f64,
    health: Health,
    has_changed: bool,
}

impl LiveCounters {
    /// Counters of all processes.
    fn total(&self) -> PeriodCounts {
        let mut total = self.counts;
        total.add(&self.other_counts);
        total
    }

    /// Returns the remaining capacity in this period.
    fn remaining_capacity(&self) -> f64 {
        let total = self.total();
        total.capacity - total.consumed_capacity
    }

    /// Returns the contender as a candidate for an organic request.
    fn candidate(&self) -> RoutingCandidate {
        let Self { quality, health, running, .. } = *self;
        RoutingCandidate { capacity_left: self.remaining_capacity(), quality, health, running }
    }

    /// Counts requests that no earlier period has counted.
    fn count(&mut self, requests: &PeriodCounts) {
        self.counts.add(requests);
        self.unstored.add(requests);
        self.has_changed |= requests.total_requests > 0.0;
    }

    /// Records how a request has ended.
    fn record_completion(&mut self, completion: &Completion) {
        let Completion { outcome, latency, now, skips_breaker, skips_pause, .. } = *completion;
        let Some(outcome) = outcome else {
            self.health.record_wait(latency.unwrap_or_default());
            return;
        };
        let mut request = PeriodCounts::default();
        request.count(outcome);
        self.count(&request);
        match outcome {
            RequestOutcome::Answered { .. } => {
                let latency = latency.unwrap_or_else(|| self.health.latency());
                self.health.record_success(latency);
            }
            RequestOutcome::RateLimited if skips_pause => {}
            RequestOutcome::RateLimited => self.health.record_rate_limit(now),
            RequestOutcome::Failed if skips_breaker => self.health.record_isolated_failure(),
            RequestOutcome::Failed => self.health.record_failure(now),
        }
    }
}

/// End of a request at a contender.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Completion {
    /// Outcome of the request; `None` if it was cancelled, or does not count.
    pub(crate) outcome: Option<RequestOutcome>,
    /// Time to the first token, or, of a cancelled request, the time without one, in seconds.
    pub(crate) latency: Option<f64>,
    /// Time of the end, in seconds on the querier's clock.
    pub(crate) now: f64,
    /// Whether the request was the only one that a half-open circuit breaker allowed.
    pub(crate) ends_probe: bool,
    /// Whether a failure leaves the circuit breaker as it is.
    pub(crate) skips_breaker: bool,
    /// Whether a rate limit (429) does not pause the contender, because a lower limit of requests
    /// in flight suffices.
    pub(crate) skips_pause: bool,
}

impl TaskMiner {
    /// Creates a contender. `row` contains the counters of other processes; `allowance` is the
    /// maximum volume of synthetic requests.
    pub fn new(row: &ContenderRow, session: Session, allowance: f64) -> Self {
        let live = LiveCounters {
            counts: PeriodCounts::with_capacity(row.offer.capacity.accepted),
            unstored: PeriodCounts::default(),
            sent_volume: 0.0,
            other_counts: row.counts,
            other_sent_volume: row.sent,
            allowance,
            running: 0,
            quality: EXPECTED_QUALITY,
            health: Health::default(),
            has_changed: false,
        };
        let (live, refuses_images) = (Mutex::new(live), AtomicBool::new(false));
        Self { offer: row.offer.clone(), session, live, successor: OnceLock::new(), refuses_images }
    }

    /// Returns the session with the miner.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Returns the request counters of this period, summed over all processes.
    pub fn counts(&self) -> PeriodCounts {
        self.live().total()
    }

    /// Returns the miner's health, based on its latest requests.
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

    /// Returns the counters of this process for the database, and the part of them that is not yet
    /// stored.
    pub fn part(&self) -> (ContenderRow, PeriodCounts) {
        let mut live = self.live();
        live.has_changed = false;
        let unstored = std::mem::take(&mut live.unstored);
        let row = ContenderRow {
            offer: self.offer.clone(),
            counts: live.counts,
            sent: live.sent_volume,
            score: None,
        };
        (row, unstored)
    }

    /// Returns [`Self::part`] if the counters have changed since its last call.
    pub fn take_changes(&self) -> Option<(ContenderRow, PeriodCounts)> {
        let has_changed = self.live().has_changed;
        has_changed.then(|| self.part())
    }

    /// Makes the next [`Self::take_changes`] return the counters again, because it is unknown
    /// whether they were stored.
    pub(crate) fn mark_changed(&self) {
        self.live().has_changed = true;
    }

    /// Moves `unstored`, a part of the counters, to the next period, because this period was closed
    /// without it.
    pub(crate) fn carry_over(&self, unstored: &PeriodCounts) {
        let mut live = self.live();
        match self.successor.get() {
            Some(successor) => successor.live().count(unstored),
            None => live.unstored.add(unstored),
        }
    }

    /// Sets the counters of the other processes.
    pub(crate) fn set_other_counts(&self, row: &ContenderRow) {
        let mut live = self.live();
        (live.other_counts, live.other_sent_volume) = (row.counts, row.sent);
    }

    /// Adds a buyer's request in flight at `now`, in seconds on the querier's clock, unless the
    /// circuit breaker does not allow it. Returns whether it is the only one that a half-open
    /// breaker allows; `None` if the breaker does not allow it.
    pub(crate) fn enter(&self, now: f64) -> Option<bool> {
        self.update(|live| {
            let is_probe = live.health.start(now)?;
            live.running += 1;
            Some(is_probe)
        })
    }

    /// Adds a synthetic request in flight, with its assumed volume. The circuit breaker allows
    /// every synthetic request.
    pub(crate) fn enter_synthetic(&self, volume: f64) {
        self.update(|live| {
            live.running += 1;
            live.sent_volume += volume;
            live.has_changed |= volume > 0.0;
        });
    }

    /// Lets a half-open circuit breaker allow the next request.
    pub(crate) fn end_probe(&self) {
        self.update(|live| live.health.end_probe());
    }

    /// Removes a request in flight and counts its outcome.
    pub(crate) fn leave(&self, completion: &Completion) {
        self.update(|live| {
            live.running = live.running.saturating_sub(1);
            if completion.ends_probe {
                live.health.end_probe();
            }
            live.record_completion(completion);
        });
    }

    /// Counts the outcome of a request that is no longer in flight.
    pub(crate) fn count(&self, completion: &Completion) {
        self.update(|live| live.record_completion(completion));
    }

    /// Changes the counters of this period, or of the running one, if this one is over.
    fn update<T>(&self, change: impl FnOnce(&mut LiveCounters) -> T) -> T {
        let mut live = self.live();
        match self.successor.get() {
            Some(successor) => successor.update(change),
            None => change(&mut live),
        }
    }

    /// Continues the contender of an earlier period: takes over its health, its requests in flight,
    /// and the counters that the earlier period was closed without.
    fn inherit(self: &Arc<Self>, earlier: &Self) {
        let mut earlier_live = earlier.live();
        let mut live = self.live();
        (live.health, live.quality, live.running) =
            (earlier_live.health, earlier_live.quality, earlier_live.running);
        live.count(&std::mem::take(&mut earlier_live.unstored));
        let _ = earlier.successor.set(Arc::clone(self));
    }

    fn live(&self) -> MutexGuard<'_, LiveCounters> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task of the running period, with its contenders and its budget of synthetic requests.
#[derive(Debug)]
pub struct TaskMiners {
    /// Definition of the task.
    pub task: Arc<Task>,
    contenders: Vec<Arc<TaskMiner>>,
    /// Budget before the requests of this process are subtracted.
    budget: Arc<AtomicU64>,
    /// Number of requests that this process has subtracted from the budget.
    spent: Arc<AtomicU64>,
    keeps_samples: Arc<AtomicBool>,
}

impl TaskMiners {
    /// Creates a task of the period from its contenders and its budget of synthetic requests.
    pub fn new(task: Arc<Task>, contenders: Vec<TaskMiner>, budget: u64) -> Self {
        let contenders = contenders.into_iter().map(Arc::new).collect();
        let (budget, spent) = (Arc::new(AtomicU64::new(budget)), Arc::default());
        let keeps_samples = Arc::new(AtomicBool::new(task.checked));
        Self { task, contenders, budget, spent, keeps_samples }
    }

    /// Returns the same task with further contenders. Both share the budget and its counter.
    fn with_late_miners(&self, late_miners: Vec<TaskMiner>) -> Self {
        let late_miners = late_miners.into_iter().map(Arc::new);
        Self {
            task: Arc::clone(&self.task),
            contenders: self.contenders.iter().map(Arc::clone).chain(late_miners).collect(),
            budget: Arc::clone(&self.budget),
            spent: Arc::clone(&self.spent),
            keeps_samples: Arc::clone(&self.keeps_samples),
        }
    }

    /// Returns the task's contenders.
    pub fn contenders(&self) -> &[Arc<TaskMiner>] {
        &self.contenders
    }

    /// Returns the number of remaining synthetic requests in this period.
    pub fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed).saturating_sub(self.spent())
    }

    /// Returns the number of requests that this process has subtracted from the budget.
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Subtracts one from the budget of synthetic requests, for a synthetic request or an organic
    /// one that replaces it.
    pub fn spend(&self) {
        let budget = self.budget.load(Ordering::Relaxed);
        let increment = |spent: u64| (spent < budget).then_some(spent + 1);
        let _ = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, increment);
    }

    /// Sets the budget that remains after the requests of the other processes.
    pub(crate) fn set_budget(&self, budget: u64) {
        self.budget.store(budget, Ordering::Relaxed);
    }

    /// Returns whether answers are queued for checking.
    pub(crate) fn keeps_samples(&self) -> bool {
        self.keeps_samples.load(Ordering::Relaxed)
    }

    /// Sets whether answers are queued for checking.
    pub fn set_keeps_samples(&self, keeps_samples: bool) {
        self.keeps_samples.store(keeps_samples, Ordering::Relaxed);
    }

    /// Returns whether any contender has remaining capacity and no open circuit breaker at `now`,
    /// in seconds on the querier's clock.
    pub fn is_served(&self, now: f64) -> bool {
        self.contenders.iter().any(|contender| {
            let live = contender.live();
            live.remaining_capacity() > 0.0 && live.health.breaker().allows_from() <= now
        })
    }
}

/// The tasks and contenders of the running period.
#[derive(Debug)]
pub struct PeriodMiners {
    /// ID of the period.
    pub period: PeriodId,
    tasks: Vec<TaskMiners>,
    task_indices: HashMap<TaskName, usize>,
    loads: HashMap<Hotkey, Arc<MinerLoad>>,
}

impl PeriodMiners {
    /// Creates the miners of a period.
    pub fn new(period: PeriodId, tasks: Vec<TaskMiners>) -> Self {
        let task_indices = tasks
            .iter()
            .zip(0..)
            .map(|(task_miners, index)| (task_miners.task.task.clone(), index))
            .collect();
        let contenders = tasks
            .iter()
            .flat_map(|task_miners| &task_miners.contenders)
            .map(|contender| &contender.offer);
        let loads = contenders
            .map(|contender| (contender.hotkey, Arc::new(MinerLoad::new(contender.concurrency))))
            .collect();
        Self { period, tasks, task_indices, loads }
    }

    /// Creates the miners of a period from its rows in the database. Omits contenders without a
    /// session.
    pub fn from_rows(
        period: PeriodId,
        config: &MarketConfig,
        rows: &[ContenderRow],
        sessions: &HashMap<Hotkey, Session>,
        budgets: &[(TaskName, u64)],
    ) -> Self {
        let multiplier = config.period_multiplier();
        let mut by_task: HashMap<&TaskName, Vec<TaskMiner>> = HashMap::new();
        for row in rows {
            let Some(session) = sessions.get(&row.offer.hotkey) else { continue };
            let contender =
                TaskMiner::new(row, session.clone(), row.offer.capacity.to_score * multiplier);
            by_task.entry(&row.offer.task).or_default().push(contender);
        }
        let task_miners = |task: &Task| {
            let budget = budgets
                .iter()
                .find(|(name, _)| *name == task.task)
                .map_or(0, |(_, budget)| *budget);
            TaskMiners::new(
                Arc::new(task.clone()),
                by_task.remove(&task.task).unwrap_or_default(),
                budget,
            )
        };
        Self::new(period, config.enabled().map(task_miners).collect())
    }

    /// Returns the tasks of the period.
    pub fn tasks(&self) -> &[TaskMiners] {
        &self.tasks
    }

    /// Returns the task with this name, if the period offers it.
    pub fn task(&self, task: &str) -> Option<&TaskMiners> {
        self.tasks.get(*self.task_indices.get(task)?)
    }

    /// Returns the contenders of all tasks.
    pub fn contenders(&self) -> impl Iterator<Item = &Arc<TaskMiner>> {
        self.tasks.iter().flat_map(|task_miners| &task_miners.contenders)
    }

    /// Returns the current limit of requests in flight at a miner, if it is a contender.
    pub fn limit(&self, hotkey: &Hotkey) -> Option<usize> {
        Some(self.loads.get(hotkey)?.limit())
    }

    /// Returns the requests in flight at a miner.
    pub(crate) fn load(&self, hotkey: &Hotkey) -> Option<&Arc<MinerLoad>> {
        self.loads.get(hotkey)
    }

    /// Sets this process's share of the miners' limits.
    pub(crate) fn divide(&self, divisions: &Divisions) {
        self.loads.values().for_each(|load| load.divide(divisions));
    }

    /// Shares the requests in flight with an earlier period. Calls `renew` with each miner's
    /// earlier load, and the new one.
    fn inherit_loads(&mut self, earlier: &Self, renew: impl Fn(&MinerLoad, &MinerLoad)) {
        for (hotkey, load) in &mut self.loads {
            if let Some(earlier) = earlier.loads.get(hotkey) {
                renew(earlier, load);
                *load = Arc::clone(earlier);
            }
        }
    }

    /// Returns the same period with further contenders. Ignores tasks that the period does not
    /// offer, and contenders that it has already.
    pub(crate) fn with_late_miners(&self, late_miners: Vec<TaskMiner>) -> Self {
        let mut by_task: HashMap<TaskName, Vec<TaskMiner>> = HashMap::new();
        for contender in late_miners {
            let task_miners = self.task(contender.offer.task.as_str());
            let is_same_miner =
                |miner: &Arc<TaskMiner>| miner.offer.hotkey == contender.offer.hotkey;
            if task_miners
                .is_some_and(|task_miners| !task_miners.contenders.iter().any(is_same_miner))
            {
                by_task.entry(contender.offer.task.clone()).or_default().push(contender);
            }
        }
        let tasks = self.tasks.iter().map(|task_miners| {
            task_miners.with_late_miners(by_task.remove(&task_miners.task.task).unwrap_or_default())
        });
        let mut period_miners = Self::new(self.period, tasks.collect());
        period_miners.inherit_loads(self, |_, _| {});
        period_miners
    }

    /// Continues the contenders of the same miners in an earlier period.
    pub(crate) fn inherit(&mut self, earlier: &Self) {
        self.inherit_loads(earlier, |earlier, load| earlier.announce(load.announced()));
        let by_key: HashMap<(&TaskName, &Hotkey), &Arc<TaskMiner>> = earlier
            .contenders()
            .map(|contender| ((&contender.offer.task, &contender.offer.hotkey), contender))
            .collect();
        for contender in self.contenders() {
            if let Some(earlier) = by_key.get(&(&contender.offer.task, &contender.offer.hotkey)) {
                contender.inherit(earlier);
            }
        }
    }
}
