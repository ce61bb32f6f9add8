//! Queue of buyers' requests while no miner has a free slot.
//!
//! A free slot goes to the API key with the fewest requests in flight at the task's miners, and of its requests to the
//! oldest. A key with many requests therefore delays its own requests, not those of other keys. While the queue is full,
//! a new request replaces the newest one of the key with the most queued requests, if that is another key with more
//! requests in the queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_nineteen_core::TaskName;
use taonet_primitives::Hotkey;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::querier::Inner;
use crate::slot::Slot;
use crate::{Request, measures};

/// Interval at which queued requests look for a slot that no other request has released, such as that of a miner whose
/// pause has ended.
const LOOK: Duration = Duration::from_millis(250);
/// Maximum pause of all miners for which a request waits: that after a rate limit, but not that of an open circuit breaker,
/// after which miners often fail again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Period over which the rate of started requests is averaged, in seconds.
const AVERAGE: f64 = 10.0;
/// Estimate of the waiting time before any request has been started.
const UNKNOWN_WAIT: Duration = Duration::from_secs(5);
/// Maximum estimate of the waiting time.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Limits of the queue of buyers' requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSettings {
    /// Maximum number of queued requests per task. With 0, a request that finds no free slot fails immediately.
    pub length: usize,
    /// Maximum time that a request waits in the queue, over all its attempts.
    pub wait: Duration,
}

impl Default for QueueSettings {
    /// Returns the defaults: 1 000 requests per task, 30 s.
    fn default() -> Self {
        Self { length: 1_000, wait: Duration::from_secs(30) }
    }
}

/// Queues of all tasks.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    pub(crate) settings: QueueSettings,
    tasks: Mutex<HashMap<TaskName, TaskBacklog>>,
    /// Number of buyers' requests that have arrived, over all tasks.
    arrivals: AtomicU64,
}

/// Queue of a task.
#[derive(Debug, Default)]
struct TaskBacklog {
    /// Queued requests by order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    /// Requests in flight by API key.
    running: HashMap<Arc<str>, usize>,
    rate: StartRate,
    /// Time of the last look for a slot, in seconds on the querier's clock.
    looked: f64,
}

/// A queued request.
#[derive(Debug)]
struct Waiting {
    key: Arc<str>,
    /// Miners that have failed at the request.
    tried: Vec<Hotkey>,
    slot: oneshot::Sender<Slot>,
}

/// Rate at which requests get a slot: an exponentially weighted average.
#[derive(Debug, Default)]
struct StartRate {
    per_second: f64,
    /// Times of the first and of the last start, in seconds on the querier's clock.
    first: Option<f64>,
    last: f64,
}

impl StartRate {
    fn start(&mut self, now: f64) {
        self.per_second = self.decayed(now) + 1.0 / AVERAGE;
        self.first.get_or_insert(now);
        self.last = now;
    }

    fn decayed(&self, now: f64) -> f64 {
        self.per_second * (-(now - self.last).max(0.0) / AVERAGE).exp()
    }

    /// Returns the number of starts per second; `None` before the first one.
    fn get(&self, now: f64) -> Option<f64> {
        // The average contains only the time since the first start.
        let elapsed = (now - self.first?).max(1.0);
        Some(self.decayed(now) / (1.0 - (-elapsed / AVERAGE).exp()))
    }
}

impl TaskBacklog {
    /// Returns the arrival of the request that is next to get a slot, except for those in `skipped`.
    fn next(&self, skipped: &[u64]) -> Option<u64> {
        let waiting = self.waiting.iter().filter(|(arrival, _)| !skipped.contains(arrival));
        let order =
            |(arrival, waiting): &(&u64, &Waiting)| (self.running.get(&waiting.key).copied().unwrap_or(0), **arrival);
        waiting.min_by_key(order).map(|(arrival, _)| *arrival)
    }

    /// Returns the arrival of the request that a new one of `key` replaces in a full queue.
    fn replaceable(&self, key: &str) -> Option<u64> {
        let mut queued: HashMap<&str, usize> = HashMap::new();
        for waiting in self.waiting.values() {
            *queued.entry(&waiting.key).or_default() += 1;
        }
        let (longest, most) = queued.iter().max_by_key(|(key, count)| (**count, **key))?;
        if *most <= queued.get(key).copied().unwrap_or(0) + 1 {
            return None;
        }
        let newest = self.waiting.iter().rev().find(|(_, waiting)| *waiting.key == **longest);
        newest.map(|(arrival, _)| *arrival)
    }

    /// Estimates the time until a new request would get a slot, from the length of the queue and the rate.
    fn estimate(&self, now: f64) -> Duration {
        let Some(rate) = self.rate.get(now) else { return UNKNOWN_WAIT };
        // Infinite if no request has started for long.
        let seconds = (self.waiting.len() + 1) as f64 / rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }
}

/// Why a request gets no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// No miner that the request has not tried can serve it in time.
    NoMiner,
    /// The queue is full, or the request has waited too long. Contains the estimated time until a request gets a slot.
    Busy(Duration),
}

/// A buyer's request that needs slots, one for each attempt.
#[derive(Debug)]
pub(crate) struct SlotRequest<'a> {
    task: &'a TaskName,
    key: Arc<str>,
    /// Remaining time that the request may wait in the queue.
    wait: Duration,
    /// Order of arrival, which the request keeps for further attempts.
    arrival: u64,
    /// Whether the request has had a slot. If it needs another one, it is queued even if the queue is full.
    is_admitted: bool,
}

impl<'a> SlotRequest<'a> {
    pub(crate) fn new(inner: &Inner, request: &'a Request) -> Self {
        let arrival = inner.backlog.arrivals.fetch_add(1, Ordering::Relaxed);
        let (key, wait) = (Arc::clone(&request.key), inner.backlog.settings.wait);
        Self { task: &request.task, key, wait, arrival, is_admitted: false }
    }
}

impl Backlog {
    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskName, TaskBacklog>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether requests for a task are queued.
    pub(crate) fn has_queue(&self, task: &TaskName) -> bool {
        self.tasks().get(task).is_some_and(|backlog| !backlog.waiting.is_empty())
    }

    /// Returns the number of queued requests for a task.
    pub(crate) fn len(&self, task: &str) -> usize {
        let tasks = self.tasks();
        tasks.iter().find(|(name, _)| name.as_str() == task).map_or(0, |(_, backlog)| backlog.waiting.len())
    }

    /// Counts a request in flight of a key.
    pub(crate) fn started(&self, task: &TaskName, key: &Arc<str>, now: f64) {
        let mut tasks = self.tasks();
        let backlog = tasks.entry(task.clone()).or_default();
        start(backlog, key, now);
    }

    /// Removes a request in flight of a key.
    pub(crate) fn ended(&self, task: &TaskName, key: &Arc<str>) {
        if let Some(backlog) = self.tasks().get_mut(task)
            && let Some(running) = backlog.running.get_mut(key)
        {
            *running = running.saturating_sub(1);
            if *running == 0 {
                backlog.running.remove(key);
            }
        }
    }
}

fn start(backlog: &mut TaskBacklog, key: &Arc<str>, now: f64) {
    *backlog.running.entry(Arc::clone(key)).or_default() += 1;
    backlog.rate.start(now);
}

/// A place in the queue, released when dropped.
struct Place {
    inner: Arc<Inner>,
    task: TaskName,
    arrival: u64,
}

/// A place in the queue, and the receiver of the slot. Drops the place first, so that no slot is sent to a request that
/// has left.
struct Queued {
    place: Place,
    slot: oneshot::Receiver<Slot>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tasks = self.inner.backlog.tasks();
        if let Some(backlog) = tasks.get_mut(&self.task) {
            backlog.waiting.remove(&self.arrival);
            measures::queued(self.task.as_str(), backlog.waiting.len());
        }
    }
}

impl Inner {
    /// Returns a slot at a miner outside `tried`: immediately if one is free and no request is queued, otherwise after
    /// waiting in the queue, at most until `deadline`.
    pub(crate) async fn slot(
        self: &Arc<Self>,
        request: &mut SlotRequest<'_>,
        tried: &[Hotkey],
        deadline: Instant,
    ) -> Result<Slot, NoSlot> {
        let task = request.task;
        if !self.backlog.has_queue(task)
            && let Some(slot) = self.spare_slot(request, tried)
        {
            return Ok(slot);
        }
        let began = Instant::now();
        let until = deadline.min(began + request.wait);
        if !self.opens_until(task, tried, until) {
            return Err(NoSlot::NoMiner);
        }
        let slot = self.queue(request, tried, until).await;
        request.wait = request.wait.saturating_sub(began.elapsed());
        request.is_admitted |= slot.is_ok();
        measures::waited(began.elapsed().as_secs_f64());
        slot
    }

    /// Waits in the queue.
    async fn queue(
        self: &Arc<Self>,
        request: &SlotRequest<'_>,
        tried: &[Hotkey],
        until: Instant,
    ) -> Result<Slot, NoSlot> {
        let task = request.task;
        let mut queued = self.enqueue(request, tried)?;
        self.dispatch(task);
        loop {
            let look = (Instant::now() + LOOK).min(until);
            tokio::select! {
                biased;
                // Without a slot, a request of another key has replaced this one.
                granted = &mut queued.slot => return granted.map_err(|_| self.busy(task, "replaced")),
                () = sleep_until(look) => {
                    if Instant::now() >= until {
                        drop(queued.place);
                        // A slot may have been granted at the last moment.
                        return queued.slot.try_recv().map_err(|_| self.busy(task, "deadline"));
                    }
                    if !self.opens_until(task, tried, until) {
                        drop(queued.place);
                        return queued.slot.try_recv().map_err(|_| NoSlot::NoMiner);
                    }
                    self.dispatch_if_due(task);
                }
            }
        }
    }

    /// Returns whether a miner outside `tried` may get a slot by `until`, and soon enough to wait for it.
    fn opens_until(&self, task: &TaskName, tried: &[Hotkey], until: Instant) -> bool {
        let pause = until.saturating_duration_since(Instant::now()).min(LONGEST_PAUSE).as_secs_f64();
        let roster = self.market.roster();
        let floor = roster.as_ref().and_then(|roster| roster.floor(task.as_str()));
        floor.is_some_and(|floor| floor.opens_within(self.now(), pause, tried))
    }

    /// Returns a slot at a miner outside `tried` if one is free.
    pub(crate) fn spare_slot(self: &Arc<Self>, request: &mut SlotRequest<'_>, tried: &[Hotkey]) -> Option<Slot> {
        let slot = Slot::organic(self, request.task, &request.key, tried)?;
        self.backlog.started(request.task, &request.key, self.now());
        request.is_admitted = true;
        Some(slot)
    }

    fn enqueue(self: &Arc<Self>, request: &SlotRequest<'_>, tried: &[Hotkey]) -> Result<Queued, NoSlot> {
        let (task, now) = (request.task, self.now());
        let mut tasks = self.backlog.tasks();
        let backlog = tasks.entry(task.clone()).or_default();
        if !request.is_admitted && backlog.waiting.len() >= self.backlog.settings.length {
            let Some(replaced) = backlog.replaceable(&request.key) else {
                measures::rejected("full");
                return Err(NoSlot::Busy(backlog.estimate(now)));
            };
            backlog.waiting.remove(&replaced);
        }
        let arrival = request.arrival;
        let (sender, receiver) = oneshot::channel();
        let waiting = Waiting { key: Arc::clone(&request.key), tried: tried.to_vec(), slot: sender };
        backlog.waiting.insert(arrival, waiting);
        measures::queued(task.as_str(), backlog.waiting.len());
        Ok(Queued { place: Place { inner: Arc::clone(self), task: task.clone(), arrival }, slot: receiver })
    }

    fn busy(&self, task: &TaskName, reason: &'static str) -> NoSlot {
        measures::rejected(reason);
        let tasks = self.backlog.tasks();
        NoSlot::Busy(tasks.get(task).map_or(UNKNOWN_WAIT, |backlog| backlog.estimate(self.now())))
    }

    /// Gives the free slots of all tasks, which share miners, to queued requests, beginning with the task whose request
    /// has waited longest.
    pub(crate) fn dispatch_all(self: &Arc<Self>) {
        let mut queues: Vec<(u64, TaskName)> = {
            let tasks = self.backlog.tasks();
            let oldest = |(task, backlog): (&TaskName, &TaskBacklog)| {
                backlog.waiting.keys().next().map(|arrival| (*arrival, task.clone()))
            };
            tasks.iter().filter_map(oldest).collect()
        };
        queues.sort_unstable_by_key(|(arrival, _)| *arrival);
        for (_, task) in queues {
            self.dispatch(&task);
        }
    }

    /// Gives the free slots of a task to queued requests.
    fn dispatch(self: &Arc<Self>, task: &TaskName) {
        // Dropping a slot locks the queues, so it must happen after their guard is dropped.
        let mut undelivered = Vec::new();
        let mut tasks = self.backlog.tasks();
        let Some(backlog) = tasks.get_mut(task).filter(|backlog| !backlog.waiting.is_empty()) else { return };
        let now = self.now();
        backlog.looked = now;
        let mut skipped = Vec::new();
        while let Some(arrival) = backlog.next(&skipped) {
            let Some(waiting) = backlog.waiting.get(&arrival) else { break };
            let Some(slot) = Slot::organic(self, task, &waiting.key, &waiting.tried) else {
                // No miner has a slot, unless the request has excluded some.
                if waiting.tried.is_empty() {
                    break;
                }
                skipped.push(arrival);
                continue;
            };
            let Some(waiting) = backlog.waiting.remove(&arrival) else { break };
            start(backlog, &waiting.key, now);
            undelivered.extend(waiting.slot.send(slot).err());
        }
        measures::queued(task.as_str(), backlog.waiting.len());
        drop(tasks);
    }

    /// Like [`Self::dispatch`], unless another queued request has just done so.
    fn dispatch_if_due(self: &Arc<Self>, task: &TaskName) {
        let is_due = self
            .backlog
            .tasks()
            .get(task)
            .is_some_and(|backlog| self.now() - backlog.looked >= LOOK.as_secs_f64() / 2.0);
        if is_due {
            self.dispatch(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(keys: &[&str]) -> TaskBacklog {
        let mut backlog = TaskBacklog::default();
        for (arrival, key) in (0..).zip(keys) {
            let (slot, _) = oneshot::channel();
            backlog.waiting.insert(arrival, Waiting { key: Arc::from(*key), tried: Vec::new(), slot });
        }
        backlog
    }

    #[test]
    fn key_with_fewest_requests_in_flight_comes_first() {
        let mut backlog = backlog(&["a", "a", "b", "c"]);
        backlog.running = HashMap::from([(Arc::from("a"), 2), (Arc::from("b"), 1), (Arc::from("c"), 1)]);
        assert_eq!((backlog.next(&[]), backlog.next(&[2])), (Some(2), Some(3)));
        backlog.running.remove("a");
        assert_eq!((backlog.next(&[]), backlog.next(&[0])), (Some(0), Some(1)));
    }

    #[test]
    fn full_queue_replaces_newest_request_of_longest_key() {
        let backlog = backlog(&["a", "b", "a", "a", "b"]);
        assert_eq!(
            (backlog.replaceable("c"), backlog.replaceable("b"), backlog.replaceable("a")),
            (Some(3), None, None)
        );
        assert_eq!(self::backlog(&["a", "b"]).replaceable("c"), None);
        assert_eq!(self::backlog(&["a", "a"]).replaceable("c"), Some(1));
    }

    #[test]
    fn estimate_follows_queue_length_and_rate() {
        let mut backlog = backlog(&["a"; 19]);
        assert_eq!(backlog.estimate(7.0), UNKNOWN_WAIT);
        for start in 0..200 {
            backlog.rate.start(7.0 + f64::from(start) * 0.2);
        }
        let seconds = backlog.estimate(46.8).as_secs_f64();
        assert!((3.8..4.2).contains(&seconds), "{seconds} s for 20 requests at 5 per second");
        // The average of a short time is not too low.
        let mut rate = StartRate::default();
        (0..10).for_each(|start| rate.start(f64::from(start) * 0.2));
        assert!((4.0..6.5).contains(&rate.get(2.0).unwrap()), "{rate:?}");
        assert_eq!(backlog.estimate(1e9), LONGEST_WAIT);
    }
}
