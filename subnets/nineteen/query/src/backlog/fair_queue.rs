//! Order of queued requests, and their estimated waiting time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use taonet_nineteen_core::{KeyWeight, TaskName};
use taonet_primitives::Hotkey;
use tokio::sync::oneshot;

use super::key_load::KeyLoad;
use crate::prefix::PromptPrefix;
use crate::slot::Slot;
use crate::{QueueSettings, metrics};

/// Period over which the rate of started requests is averaged, in seconds.
const AVERAGING_SECONDS: f64 = 10.0;
/// Estimate of the waiting time before any request has been started.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// Maximum estimate of the waiting time.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// Estimate of the duration of a request before any has ended, in seconds.
const INITIAL_DURATION: f64 = 1.0;
/// Weight of the latest request in the average duration.
const NEWEST_WEIGHT: f64 = 0.1;
/// Maximum lead of a key's service over that of another key, in average durations for each request
/// in flight. Requests that take longer than the average make leads of a few durations. Much larger
/// leads come from slots that the other key could not use; while it caught up, it would starve this
/// one.
const MAX_LEAD: f64 = 4.0;

/// A queued request.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    pub(super) task: TaskName,
    pub(super) key: Arc<str>,
    pub(super) weight: KeyWeight,
    /// Miners that have failed at the request.
    pub(super) tried: Vec<Hotkey>,
    pub(super) prefix: Option<PromptPrefix>,
    /// Size of the request in memory.
    pub(super) bytes: usize,
    /// Whether the request has had no slot before.
    pub(super) is_new: bool,
    pub(super) slot: oneshot::Sender<Slot>,
}

/// Queued requests of all tasks, and the loads of their API keys.
#[derive(Debug)]
pub(super) struct FairQueue {
    /// Queued requests by order of arrival.
    requests: BTreeMap<u64, QueuedRequest>,
    /// Number of queued requests by task.
    lengths: HashMap<TaskName, usize>,
    /// Size of all queued requests.
    bytes: usize,
    /// Loads of the API keys that have requests, queued or in flight.
    keys: HashMap<Arc<str>, KeyLoad>,
    /// Average time that an answered request is in flight, in seconds.
    average_duration: f64,
    rates: HashMap<TaskName, StartRate>,
}

/// Rate at which new requests get a slot, without further slots of the same request: an
/// exponentially weighted average.
#[derive(Debug, Default)]
struct StartRate {
    per_second: f64,
    /// Times of the first and of the last start, in seconds on the querier's clock.
    first_start: Option<f64>,
    last_start: f64,
}

impl StartRate {
    fn start(&mut self, now: f64) {
        self.per_second = self.decayed(now) + 1.0 / AVERAGING_SECONDS;
        self.first_start.get_or_insert(now);
        self.last_start = now;
    }

    fn decayed(&self, now: f64) -> f64 {
        self.per_second * (-(now - self.last_start).max(0.0) / AVERAGING_SECONDS).exp()
    }

    /// Returns the number of starts per second; `None` before the first one.
    fn starts_per_second(&self, now: f64) -> Option<f64> {
        // The average contains only the time since the first start.
        let elapsed = (now - self.first_start?).max(1.0);
        Some(self.decayed(now) / (1.0 - (-elapsed / AVERAGING_SECONDS).exp()))
    }
}

impl Default for FairQueue {
    fn default() -> Self {
        Self {
            requests: BTreeMap::new(),
            lengths: HashMap::new(),
            bytes: 0,
            keys: HashMap::new(),
            average_duration: INITIAL_DURATION,
            rates: HashMap::new(),
        }
    }
}

impl FairQueue {
    /// Returns the number of queued requests for a task.
    pub(super) fn len(&self, task: &str) -> usize {
        self.lengths.iter().find(|(name, _)| name.as_str() == task).map_or(0, |(_, length)| *length)
    }

    /// Returns whether requests for a task are queued.
    pub(super) fn has_requests(&self, task: &TaskName) -> bool {
        self.lengths.contains_key(task)
    }

    pub(super) fn get(&self, arrival: u64) -> Option<&QueuedRequest> {
        self.requests.get(&arrival)
    }

    /// Adds a request at `now`, in seconds on the querier's clock.
    pub(super) fn insert(&mut self, arrival: u64, request: QueuedRequest, now: f64) {
        let length = self.lengths.entry(request.task.clone()).or_default();
        *length += 1;
        metrics::set_queued(request.task.as_str(), *length);
        self.bytes += request.bytes;
        let minimum =
            self.least_service(Some(&request.task), now).or_else(|| self.least_service(None, now));
        let load = self
            .keys
            .entry(Arc::clone(&request.key))
            .or_insert_with(|| KeyLoad::new(request.weight, now));
        load.enqueue(&request.task, request.weight, minimum.unwrap_or(0.0), now);
        self.requests.insert(arrival, request);
        self.limit_services(now);
    }

    /// Returns the least service of the keys with queued requests for a task; `None` if there are
    /// none. Without a task, that of all keys with queued requests.
    fn least_service(&self, task: Option<&TaskName>, now: f64) -> Option<f64> {
        let is_queued = |load: &&KeyLoad| {
            task.map_or_else(|| load.is_queued(), |task| load.is_queued_for(task))
        };
        self.keys.values().filter(is_queued).map(|load| load.service(now)).min_by(f64::total_cmp)
    }

    /// Limits the leads of the keys with queued requests to [`MAX_LEAD`].
    fn limit_services(&mut self, now: f64) {
        let Some(minimum) = self.least_service(None, now) else { return };
        let running: usize = self.keys.values().map(KeyLoad::running).sum();
        let maximum = minimum + MAX_LEAD * self.average_duration * running.max(1) as f64;
        for load in self.keys.values_mut().filter(|load| load.is_queued()) {
            load.limit_service(maximum, now);
        }
    }

    /// Removes a request at `now`.
    pub(super) fn remove(&mut self, arrival: u64, now: f64) -> Option<QueuedRequest> {
        let request = self.requests.remove(&arrival)?;
        self.bytes = self.bytes.saturating_sub(request.bytes);
        if let Some(length) = self.lengths.get_mut(&request.task) {
            *length -= 1;
            metrics::set_queued(request.task.as_str(), *length);
            if *length == 0 {
                self.lengths.remove(&request.task);
            }
        }
        self.update_load(&request.key, |load| load.dequeue(&request.task, now));
        Some(request)
    }

    /// Changes the load of a key, and forgets the key if it has no more requests.
    fn update_load(&mut self, key: &Arc<str>, update: impl FnOnce(&mut KeyLoad)) {
        if let Some(load) = self.keys.get_mut(key) {
            update(load);
            if load.is_idle() {
                self.keys.remove(key);
            }
        }
    }

    /// Returns the arrival of the request that is next to get a slot at `now`, without those of the
    /// tasks in `full_tasks` and those in `skipped`: the oldest one of the key that has had the
    /// least service for its weight.
    pub(super) fn next(
        &self,
        full_tasks: &HashSet<TaskName>,
        skipped: &HashSet<u64>,
        now: f64,
    ) -> Option<u64> {
        let eligible = self.requests.iter().filter(|(arrival, request)| {
            !skipped.contains(arrival)
                && (full_tasks.is_empty() || !full_tasks.contains(&request.task))
        });
        let rank = |key: &Arc<str>| {
            self.keys.get(key).map_or(0.0, |load| load.rank(self.average_duration, now))
        };
        let ranked = eligible.map(|(arrival, request)| (rank(&request.key), *arrival));
        let first = ranked.min_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        first.map(|(_, arrival)| arrival)
    }

    /// Makes room for a new request at `now` by removing newest requests of the keys with the most
    /// for their weights; returns whether it fits. If it does not, removes none. Replaces at most
    /// one request because of the queue's length: if this process's share of the queue's capacity
    /// has become smaller, the queue empties by itself.
    pub(super) fn make_room(
        &mut self,
        incoming: &QueuedRequest,
        settings: &QueueSettings,
        now: f64,
    ) -> bool {
        let length = self.lengths.get(&incoming.task).copied().unwrap_or(0);
        let (mut is_full, mut bytes) = (length >= settings.length, self.bytes);
        let mut replaced = HashSet::new();
        loop {
            let next = if std::mem::take(&mut is_full) {
                self.find_replaceable(incoming, &replaced, |request| {
                    usize::from(request.task == incoming.task)
                })
            } else if bytes.saturating_add(incoming.bytes) > settings.bytes {
                self.find_replaceable(incoming, &replaced, |request| request.bytes)
            } else {
                break;
            };
            let Some((arrival, request)) = next else { return false };
            bytes = bytes.saturating_sub(request.bytes);
            replaced.insert(arrival);
        }
        for arrival in replaced {
            self.remove(arrival, now);
        }
        true
    }

    /// Returns the request that a new one replaces after those in `replaced`: the newest one of the
    /// key with the largest share of the queue for its weight, by `measure`, if that is another key
    /// that has more even with the new request. For the first request of a key, weights do not
    /// count, so that each key can have one. Requests that have had a slot are not replaced.
    fn find_replaceable(
        &self,
        incoming: &QueuedRequest,
        replaced: &HashSet<u64>,
        measure: impl Fn(&QueuedRequest) -> usize,
    ) -> Option<(u64, &QueuedRequest)> {
        let queued = || self.requests.iter().filter(|(arrival, _)| !replaced.contains(arrival));
        let mut shares: HashMap<&str, (usize, KeyWeight)> = HashMap::new();
        for (_, request) in queued() {
            shares.entry(&request.key).or_insert((0, request.weight)).0 += measure(request);
        }
        let own_share = shares.get(&*incoming.key).map_or(0, |(own_share, _)| *own_share);
        let weighted = |sum: usize, weight: KeyWeight| {
            let weight = if own_share == 0 { KeyWeight::default() } else { weight };
            sum as f64 / f64::from(weight.get())
        };
        let shares = shares.iter().map(|(key, (sum, weight))| (*key, weighted(*sum, *weight)));
        let (largest_key, maximum) =
            shares.max_by(|one, other| one.1.total_cmp(&other.1).then(one.0.cmp(other.0)))?;
        if maximum <= weighted(own_share + measure(incoming), incoming.weight) {
            return None;
        }
        let mut newest = queued().rev().map(|(arrival, request)| (*arrival, request));
        newest.find(|(_, request)| {
            request.is_new && *request.key == *largest_key && measure(request) > 0
        })
    }

    /// Counts a request in flight of a key from `now` on. `is_new` is set if the request has had no
    /// slot before.
    pub(super) fn start(
        &mut self,
        task: &TaskName,
        key: &Arc<str>,
        weight: KeyWeight,
        is_new: bool,
        now: f64,
    ) {
        self.keys.entry(Arc::clone(key)).or_insert_with(|| KeyLoad::new(weight, now)).start(now);
        if is_new {
            self.rates.entry(task.clone()).or_default().start(now);
        }
    }

    /// Removes a request in flight of a key, which has ended at `now`. `answer_seconds` is the
    /// duration of a complete answer; `None` for other requests, which often end much earlier.
    pub(super) fn end(&mut self, key: &Arc<str>, answer_seconds: Option<f64>, now: f64) {
        if let Some(seconds) = answer_seconds {
            self.average_duration += NEWEST_WEIGHT * (seconds - self.average_duration);
        }
        self.update_load(key, |load| load.end(now));
    }

    /// Estimates the time until a new request for a task would get a slot, from the length of the
    /// queue and the rate.
    pub(super) fn estimate_wait(&self, task: &TaskName, now: f64) -> Duration {
        let Some(rate) = self.rates.get(task).and_then(|rate| rate.starts_per_second(now)) else {
            return DEFAULT_WAIT;
        };
        let length = self.lengths.get(task).copied().unwrap_or(0);
        // Infinite if no request has started for long.
        let seconds = (length + 1) as f64 / rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(MAX_WAIT).min(MAX_WAIT)
    }
}

#[cfg(test)]
mod tests;
