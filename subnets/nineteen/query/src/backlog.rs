//! Queue of buyers' requests while no miner has a free slot, or the process has its maximum of
//! requests in flight.
//!
//! API keys share the slots in proportion to their weights (weighted fair queueing), over all
//! tasks, because tasks share miners: a free slot goes to the key whose requests have had the least
//! time in slots for its weight since it has had to wait; of the key's requests, to the oldest. A
//! key with many requests therefore delays its own requests, not those of other keys. A key that
//! had no queued request starts level with the others, so that its next request gets one of the
//! next free slots: weights apply among keys that have queued requests all the time. Leads in
//! service are limited to a few requests, because a key may have waited for slots that others could
//! not use.
//!
//! While the queue of a task is full, a new request replaces the newest one of the key with the
//! most queued requests for its weight, if that is another key with more requests in the queue. If
//! the queues of all tasks are too large, their sizes in bytes decide.

mod fair_queue;
mod key_load;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use taonet_nineteen_core::{KeyWeight, TaskName};
use taonet_primitives::Hotkey;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

use self::fair_queue::{FairQueue, QueuedRequest};
use crate::prefix::PromptPrefix;
use crate::querier::Inner;
use crate::slot::Slot;
use crate::{Payload, Request, metrics};

/// Interval at which queued requests poll for a slot that no other request has released, such as
/// that of a miner whose pause has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum pause of all miners for which a request waits: long enough for the pause after a rate
/// limit, but not for that of an open circuit breaker, after which miners often fail again.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Limits of the queue of buyers' requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSettings {
    /// Maximum number of queued requests per task, over all processes that send requests. With 0, a
    /// request that finds no free slot fails immediately.
    pub length: usize,
    /// Maximum time that a request waits in the queue, over all its attempts.
    pub wait: Duration,
    /// Maximum size of all queued requests in memory, over all tasks, in bytes.
    pub bytes: usize,
    /// Maximum number of buyers' requests in flight, over all tasks; further ones wait in the
    /// queue.
    pub running: usize,
}

impl Default for QueueSettings {
    /// Returns the defaults: 1 000 requests per task, 30 s, 256 MiB, any number in flight.
    fn default() -> Self {
        Self {
            length: 1_000,
            wait: Duration::from_secs(30),
            bytes: 256 << 20,
            running: Semaphore::MAX_PERMITS,
        }
    }
}

/// The queue with its limits.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) settings: QueueSettings,
    /// One permit per request in flight.
    pub(crate) in_flight_permits: Arc<Semaphore>,
    queue: Mutex<FairQueue>,
    /// Number of buyers' requests that have arrived.
    arrivals: AtomicU64,
    /// Time of the last poll for slots, in milliseconds on the querier's clock.
    latest_poll: AtomicU64,
}

/// Why a request gets no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// No miner that the request has not tried can serve it in time.
    NoMiner,
    /// The queue is full, or the request has waited too long. Contains the estimated time until a
    /// request gets a slot.
    Busy(Duration),
}

/// A buyer's request that needs slots, one for each attempt.
#[derive(Debug)]
pub(crate) struct SlotRequest<'a> {
    task: &'a TaskName,
    key: Arc<str>,
    weight: KeyWeight,
    payload: &'a Payload,
    /// Prefix of the prompt, if it selects the miner.
    prefix: Option<PromptPrefix>,
    /// Remaining time that the request may wait in the queue.
    remaining_wait: Duration,
    /// Order of arrival, which the request keeps for further attempts.
    arrival: u64,
    /// Whether the request has had a slot. If it needs another one, it is queued even if the queue
    /// is full.
    is_admitted: bool,
}

impl<'a> SlotRequest<'a> {
    pub(crate) fn new(inner: &Inner, request: &'a Request, prefix: Option<PromptPrefix>) -> Self {
        let arrival = inner.backlog.arrivals.fetch_add(1, Ordering::Relaxed);
        let max_wait = inner.backlog.settings.wait;
        let (key, remaining_wait) = (
            Arc::clone(&request.key),
            request.max_wait.map_or(max_wait, |wait| wait.min(max_wait)),
        );
        let (task, payload, weight) = (&request.task, &request.payload, request.weight);
        Self { task, key, weight, payload, prefix, remaining_wait, arrival, is_admitted: false }
    }
}

impl Backlog {
    pub(crate) fn new(settings: QueueSettings) -> Self {
        let in_flight_permits =
            Arc::new(Semaphore::new(settings.running.min(Semaphore::MAX_PERMITS)));
        let (arrivals, latest_poll) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { settings, in_flight_permits, queue: Mutex::default(), arrivals, latest_poll }
    }

    fn queue(&self) -> MutexGuard<'_, FairQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether requests for a task are queued.
    pub(crate) fn has_queue(&self, task: &TaskName) -> bool {
        self.queue().has_requests(task)
    }

    /// Returns the number of queued requests for a task.
    pub(crate) fn len(&self, task: &str) -> usize {
        self.queue().len(task)
    }
}

/// A request's entry in the queue, removed when dropped.
struct QueueEntry {
    inner: Arc<Inner>,
    arrival: u64,
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        self.inner.backlog.queue().remove(self.arrival, self.inner.now());
    }
}

/// An entry in the queue, and the receiver of the slot. Drops the entry first, so that no slot is
/// sent to a request that has left.
struct PendingSlot {
    entry: QueueEntry,
    slot: oneshot::Receiver<Slot>,
}

impl PendingSlot {
    /// Leaves the queue; returns the slot if one was granted at the last moment.
    fn into_slot(self) -> Option<Slot> {
        let Self { entry, mut slot } = self;
        drop(entry);
        slot.try_recv().ok()
    }
}

impl Inner {
    /// Returns a slot at a miner outside `tried`: immediately if one is free and no request is
    /// queued, otherwise after waiting in the queue, at most until `deadline`.
    pub(crate) async fn acquire_slot(
        self: &Arc<Self>,
        request: &mut SlotRequest<'_>,
        tried: &[Hotkey],
        deadline: Instant,
    ) -> Result<Slot, NoSlot> {
        if !self.backlog.has_queue(request.task)
            && let Some(slot) = self.try_acquire_slot(request, tried)
        {
            return Ok(slot);
        }
        let start = Instant::now();
        let wait_deadline = deadline.min(start + request.remaining_wait);
        if !self.may_get_slot_by(request.task, tried, wait_deadline) {
            return Err(NoSlot::NoMiner);
        }
        let slot = self.wait_in_queue(request, tried, wait_deadline).await;
        request.remaining_wait = request.remaining_wait.saturating_sub(start.elapsed());
        request.is_admitted |= slot.is_ok();
        metrics::record_queue_wait(start.elapsed().as_secs_f64());
        slot
    }

    async fn wait_in_queue(
        self: &Arc<Self>,
        request: &SlotRequest<'_>,
        tried: &[Hotkey],
        wait_deadline: Instant,
    ) -> Result<Slot, NoSlot> {
        let task = request.task;
        let mut pending = self.enqueue(request, tried)?;
        self.dispatch();
        loop {
            let poll = (Instant::now() + POLL_INTERVAL).min(wait_deadline);
            tokio::select! {
                biased;
                // Without a slot, a request of another key has replaced this one.
                result = &mut pending.slot => {
                    return result.map_err(|_| self.busy_error(task, "replaced"));
                }
                () = sleep_until(poll) => {
                    if Instant::now() >= wait_deadline {
                        return pending.into_slot().ok_or_else(|| self.busy_error(task, "deadline"));
                    }
                    if !self.may_get_slot_by(task, tried, wait_deadline) {
                        return pending.into_slot().ok_or(NoSlot::NoMiner);
                    }
                    self.dispatch_unless_polled();
                }
            }
        }
    }

    /// Returns whether a miner outside `tried` may have a free slot by `wait_deadline`, and soon
    /// enough to wait for it.
    fn may_get_slot_by(&self, task: &TaskName, tried: &[Hotkey], wait_deadline: Instant) -> bool {
        let pause =
            wait_deadline.saturating_duration_since(Instant::now()).min(MAX_PAUSE).as_secs_f64();
        let period_miners = self.market.period_miners();
        let task_miners =
            period_miners.as_ref().and_then(|period_miners| period_miners.task(task.as_str()));
        task_miners
            .is_some_and(|task_miners| task_miners.may_accept_within(self.now(), pause, tried))
    }

    /// Returns a slot at a miner outside `tried` if one is free.
    pub(crate) fn try_acquire_slot(
        self: &Arc<Self>,
        request: &mut SlotRequest<'_>,
        tried: &[Hotkey],
    ) -> Option<Slot> {
        let slot = Slot::acquire_organic(self, request.task, &request.key, tried, request.prefix)?;
        let (key, is_new) = (&request.key, !request.is_admitted);
        self.backlog.queue().start(request.task, key, request.weight, is_new, self.now());
        request.is_admitted = true;
        Some(slot)
    }

    fn enqueue(
        self: &Arc<Self>,
        request: &SlotRequest<'_>,
        tried: &[Hotkey],
    ) -> Result<PendingSlot, NoSlot> {
        let (sender, slot) = oneshot::channel();
        let (task, key, weight) = (request.task.clone(), Arc::clone(&request.key), request.weight);
        let bytes = request
            .payload
            .shared_fields()
            .iter()
            .map(|(name, value)| name.len() + memory_size(value))
            .sum();
        let (tried, prefix, is_new) = (tried.to_vec(), request.prefix, !request.is_admitted);
        let queued =
            QueuedRequest { task, key, weight, tried, prefix, bytes, is_new, slot: sender };
        let (mut queue, now) = (self.backlog.queue(), self.now());
        let length = self.market.queue_share(self.backlog.settings.length);
        if is_new
            && !queue.make_room(&queued, &QueueSettings { length, ..self.backlog.settings }, now)
        {
            metrics::record_rejection("full");
            return Err(NoSlot::Busy(queue.estimate_wait(request.task, now)));
        }
        queue.insert(request.arrival, queued, now);
        let entry = QueueEntry { inner: Arc::clone(self), arrival: request.arrival };
        Ok(PendingSlot { entry, slot })
    }

    fn busy_error(&self, task: &TaskName, reason: &'static str) -> NoSlot {
        metrics::record_rejection(reason);
        NoSlot::Busy(self.backlog.queue().estimate_wait(task, self.now()))
    }

    /// Gives the free slots to queued requests.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        self.dispatch_from(self.backlog.queue());
    }

    /// Removes a request in flight of a key, drops `resources`, which the next request needs, and
    /// gives the free slots to queued requests. `answer_seconds` is the duration of a complete
    /// answer.
    pub(crate) fn end_request<T>(
        self: &Arc<Self>,
        key: &Arc<str>,
        answer_seconds: Option<f64>,
        resources: T,
    ) {
        let mut queue = self.backlog.queue();
        queue.end(key, answer_seconds, self.now());
        drop(resources);
        self.dispatch_from(queue);
    }

    fn dispatch_from(self: &Arc<Self>, mut queue: MutexGuard<'_, FairQueue>) {
        // Dropping a slot locks the queue, so it must happen after the guard is dropped.
        let mut undelivered = Vec::new();
        let now = self.now();
        let (mut full_tasks, mut skipped_arrivals) = (HashSet::new(), HashSet::new());
        while self.backlog.in_flight_permits.available_permits() > 0
            && let Some(arrival) = queue.next(&full_tasks, &skipped_arrivals, now)
        {
            let Some(request) = queue.get(arrival) else { break };
            match Slot::acquire_organic(
                self,
                &request.task,
                &request.key,
                &request.tried,
                request.prefix,
            ) {
                Some(slot) => {
                    let Some(request) = queue.remove(arrival, now) else { break };
                    let QueuedRequest { task, key, weight, is_new, slot: slot_sender, .. } =
                        request;
                    queue.start(&task, &key, weight, is_new, now);
                    undelivered.extend(slot_sender.send(slot).err());
                }
                None if request.tried.is_empty() => _ = full_tasks.insert(request.task.clone()),
                // Only the miners that the request has excluded may have a slot.
                None => _ = skipped_arrivals.insert(arrival),
            }
        }
        drop(queue);
    }

    /// Like [`Self::dispatch`], unless another queued request has just polled.
    fn dispatch_unless_polled(self: &Arc<Self>) {
        let now = (self.now() * 1e3) as u64;
        let latest_poll = self.backlog.latest_poll.load(Ordering::Relaxed);
        if now >= latest_poll + POLL_INTERVAL.as_millis() as u64 / 2 {
            self.backlog.latest_poll.store(now, Ordering::Relaxed);
            self.dispatch();
        }
    }
}

/// Returns the approximate size of a value in memory, in bytes.
fn memory_size(value: &Value) -> usize {
    let content = match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(memory_size).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + memory_size(value)).sum()
        }
        _ => 0,
    };
    size_of::<Value>() + content
}
