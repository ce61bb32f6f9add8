//! An API key's share of the miners while its requests are queued.

use taonet_nineteen_core::KeyWeight;

/// Requests of an API key, queued and in flight, over all tasks, because tasks share miners.
///
/// While requests of the key are queued, its service grows: the time that its requests are in flight, divided by its
/// weight. The key with the least service gets the next slot, so that saturating keys share the slots' time in proportion
/// to their weights, however few slots there are. A key without queued requests does not wait for others: it neither saves
/// service for later, nor owes any for slots that nobody else has needed.
#[derive(Debug)]
pub(super) struct KeyLoad {
    weight: f64,
    pub(super) queued: usize,
    running: usize,
    /// Service up to the time `since`, in seconds.
    service: f64,
    since: f64,
}

impl KeyLoad {
    /// Returns the load of a key without requests. Times are in seconds on the querier's clock.
    pub(super) fn new(weight: KeyWeight, now: f64) -> Self {
        Self { weight: f64::from(weight.get()), queued: 0, running: 0, service: 0.0, since: now }
    }

    /// Returns whether the key has no request, queued or in flight.
    pub(super) const fn is_idle(&self) -> bool {
        self.queued == 0 && self.running == 0
    }

    /// Returns the service at `now`.
    pub(super) fn service(&self, now: f64) -> f64 {
        if self.queued == 0 {
            return self.service;
        }
        self.service + (now - self.since).max(0.0) * self.running as f64 / self.weight
    }

    /// Returns the order of the key: that with the lowest one is next. The requests in flight count with the average
    /// `duration` of a request in advance; otherwise, a key would get all slots that become free until its service has
    /// grown.
    pub(super) fn order(&self, duration: f64, now: f64) -> f64 {
        self.service(now) + duration * self.running as f64 / self.weight
    }

    /// Adds a request to the queue. If it is the only one of the key, its service begins at `least`, that of the key which
    /// has waited longest.
    pub(super) fn enqueue(&mut self, weight: KeyWeight, least: f64, now: f64) {
        self.accrue(now);
        self.weight = f64::from(weight.get());
        if self.queued == 0 {
            self.service = least;
        }
        self.queued += 1;
    }

    /// Removes a request from the queue.
    pub(super) fn dequeue(&mut self, now: f64) {
        self.accrue(now);
        self.queued = self.queued.saturating_sub(1);
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
        self.since = now;
    }
}
