//! An API key's share of the miners while its requests are queued.

use std::collections::HashMap;

use taonet_nineteen_core::{KeyWeight, TaskName};

/// Requests of an API key, queued and in flight, over all tasks, because tasks share miners.
///
/// While requests of the key are queued, its service grows: the time that its requests are in
/// flight, divided by its weight. The key with the least service gets the next slot, so that
/// saturating keys share the slots' time in proportion to their weights, however few slots there
/// are. A key without queued requests does not compete with others: its service does not change,
/// whatever slots nobody else needs. The lead of a key is limited if another key has waited for
/// slots which this key could not use, such as those of another task's miners: see
/// [`Self::limit_service`].
#[derive(Debug)]
pub(super) struct KeyLoad {
    weight: f64,
    /// Number of queued requests by task, without tasks that have none.
    queued: HashMap<TaskName, usize>,
    running: usize,
    /// Service up to `updated_at`, in seconds.
    service: f64,
    updated_at: f64,
}

impl KeyLoad {
    /// Returns the load of a key without requests. Times are in seconds on the querier's clock.
    pub(super) fn new(weight: KeyWeight, now: f64) -> Self {
        Self {
            weight: f64::from(weight.get()),
            queued: HashMap::new(),
            running: 0,
            service: 0.0,
            updated_at: now,
        }
    }

    /// Returns whether the key has no request, queued or in flight.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_queued() && self.running == 0
    }

    /// Returns whether the key has queued requests.
    pub(super) fn is_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Returns whether the key has queued requests for a task.
    pub(super) fn is_queued_for(&self, task: &TaskName) -> bool {
        self.queued.contains_key(task)
    }

    /// Returns the number of requests in flight.
    pub(super) const fn running(&self) -> usize {
        self.running
    }

    /// Returns the service at `now`.
    pub(super) fn service(&self, now: f64) -> f64 {
        if !self.is_queued() {
            return self.service;
        }
        self.service + (now - self.updated_at).max(0.0) * self.running as f64 / self.weight
    }

    /// Returns the rank of the key: the key with the lowest rank is next. Requests in flight count
    /// in advance with the average `duration` of a request; otherwise, a key would get all slots
    /// that become free until its service has grown.
    pub(super) fn rank(&self, duration: f64, now: f64) -> f64 {
        self.service(now) + duration * self.running as f64 / self.weight
    }

    /// Lowers the service to `max_service`. Otherwise, a key that has waited for the few slots of
    /// one task would get all slots of another task until it has caught up with the keys that have
    /// used them, which could take minutes.
    pub(super) fn limit_service(&mut self, max_service: f64, now: f64) {
        self.accrue(now);
        self.service = self.service.min(max_service);
    }

    /// Adds a request for a task to the queue. If it is the only one of the key, its service begins
    /// at `minimum`, that of the key which has waited longest.
    pub(super) fn enqueue(&mut self, task: &TaskName, weight: KeyWeight, minimum: f64, now: f64) {
        self.accrue(now);
        self.weight = f64::from(weight.get());
        if !self.is_queued() {
            self.service = minimum;
        }
        *self.queued.entry(task.clone()).or_default() += 1;
    }

    /// Removes a request for a task from the queue.
    pub(super) fn dequeue(&mut self, task: &TaskName, now: f64) {
        self.accrue(now);
        if let Some(queued) = self.queued.get_mut(task) {
            *queued -= 1;
            if *queued == 0 {
                self.queued.remove(task);
            }
        }
    }

    /// Adds a request in flight.
    pub(super) fn start(&mut self, now: f64) {
        self.accrue(now);
        self.running += 1;
    }

    /// Removes a request in flight.
    pub(super) fn end(&mut self, now: f64) {
        self.accrue(now);
        self.running = self.running.saturating_sub(1);
    }

    fn accrue(&mut self, now: f64) {
        self.service = self.service(now);
        self.updated_at = now;
    }
}
