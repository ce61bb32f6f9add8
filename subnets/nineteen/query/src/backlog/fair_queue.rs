//! Order of queued requests, and their estimated waiting time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use taonet_nineteen_core::TaskName;
use taonet_primitives::Hotkey;
use tokio::sync::oneshot;

use crate::slot::Slot;
use crate::{QueueSettings, measures};

/// Period over which the rate of started requests is averaged, in seconds.
const AVERAGE: f64 = 10.0;
/// Estimate of the waiting time before any request has been started.
const UNKNOWN_WAIT: Duration = Duration::from_secs(5);
/// Maximum estimate of the waiting time.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// A queued request.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    pub(super) task: TaskName,
    pub(super) key: Arc<str>,
    /// Miners that have failed at the request.
    pub(super) tried: Vec<Hotkey>,
    /// Size of the request in memory.
    pub(super) bytes: usize,
    /// Whether the request has had no slot before.
    pub(super) is_new: bool,
    pub(super) slot: oneshot::Sender<Slot>,
}

/// Queued requests of all tasks, and requests in flight by API key.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    /// Queued requests by order of arrival.
    requests: BTreeMap<u64, QueuedRequest>,
    /// Number of queued requests by task.
    lengths: HashMap<TaskName, usize>,
    /// Size of all queued requests.
    bytes: usize,
    /// Requests in flight by API key, over all tasks.
    running: HashMap<Arc<str>, usize>,
    rates: HashMap<TaskName, StartRate>,
}

/// Rate at which new requests get a slot, without further slots of the same request: an exponentially weighted average.
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

    pub(super) fn insert(&mut self, arrival: u64, request: QueuedRequest) {
        let length = self.lengths.entry(request.task.clone()).or_default();
        *length += 1;
        measures::queued(request.task.as_str(), *length);
        self.bytes += request.bytes;
        self.requests.insert(arrival, request);
    }

    pub(super) fn remove(&mut self, arrival: u64) -> Option<QueuedRequest> {
        let request = self.requests.remove(&arrival)?;
        self.bytes = self.bytes.saturating_sub(request.bytes);
        if let Some(length) = self.lengths.get_mut(&request.task) {
            *length -= 1;
            measures::queued(request.task.as_str(), *length);
            if *length == 0 {
                self.lengths.remove(&request.task);
            }
        }
        Some(request)
    }

    /// Returns the arrival of the request that is next to get a slot, without those of the tasks in `full` and those in
    /// `skipped`: the oldest one of the key with the fewest requests in flight.
    pub(super) fn next(&self, full: &HashSet<TaskName>, skipped: &HashSet<u64>) -> Option<u64> {
        let eligible = self.requests.iter().filter(|(arrival, request)| {
            !skipped.contains(arrival) && (full.is_empty() || !full.contains(&request.task))
        });
        let order = |(arrival, request): &(&u64, &QueuedRequest)| {
            (self.running.get(&request.key).copied().unwrap_or(0), **arrival)
        };
        eligible.min_by_key(order).map(|(arrival, _)| *arrival)
    }

    /// Makes room for a new request by removing newest requests of the keys with the most; returns whether it fits. If it
    /// does not, removes none.
    pub(super) fn make_room(&mut self, new: &QueuedRequest, settings: &QueueSettings) -> bool {
        let mut length = self.lengths.get(&new.task).copied().unwrap_or(0);
        let mut bytes = self.bytes;
        let mut replaced = HashSet::new();
        loop {
            let next = if length >= settings.length {
                self.replaceable(new, &replaced, |request| usize::from(request.task == new.task))
            } else if bytes.saturating_add(new.bytes) > settings.bytes {
                self.replaceable(new, &replaced, |request| request.bytes)
            } else {
                break;
            };
            let Some((arrival, request)) = next else { return false };
            length -= usize::from(request.task == new.task);
            bytes = bytes.saturating_sub(request.bytes);
            replaced.insert(arrival);
        }
        for arrival in replaced {
            self.remove(arrival);
        }
        true
    }

    /// Returns the request that a new one replaces after those in `replaced`: the newest one of the key with the largest
    /// `share` of the queue, if that is another key that has more even with the new request. Requests that have had a slot
    /// are not replaced.
    fn replaceable(
        &self,
        new: &QueuedRequest,
        replaced: &HashSet<u64>,
        share: impl Fn(&QueuedRequest) -> usize,
    ) -> Option<(u64, &QueuedRequest)> {
        let queued = || self.requests.iter().filter(|(arrival, _)| !replaced.contains(arrival));
        let mut shares: HashMap<&str, usize> = HashMap::new();
        for (_, request) in queued() {
            *shares.entry(&request.key).or_default() += share(request);
        }
        let (largest, most) = shares.iter().max_by_key(|(key, sum)| (**sum, **key))?;
        if *most <= shares.get(&*new.key).copied().unwrap_or(0) + share(new) {
            return None;
        }
        let mut newest = queued().rev().map(|(arrival, request)| (*arrival, request));
        newest.find(|(_, request)| request.is_new && *request.key == **largest && share(request) > 0)
    }

    /// Counts a request in flight of a key. `is_new` is set if the request has had no slot before.
    pub(super) fn start(&mut self, task: &TaskName, key: &Arc<str>, is_new: bool, now: f64) {
        *self.running.entry(Arc::clone(key)).or_default() += 1;
        if is_new {
            self.rates.entry(task.clone()).or_default().start(now);
        }
    }

    /// Removes a request in flight of a key.
    pub(super) fn end(&mut self, key: &Arc<str>) {
        if let Some(running) = self.running.get_mut(key) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(key);
            }
        }
    }

    /// Estimates the time until a new request for a task would get a slot, from the length of the queue and the rate.
    pub(super) fn estimate(&self, task: &TaskName, now: f64) -> Duration {
        let Some(rate) = self.rates.get(task).and_then(|rate| rate.get(now)) else { return UNKNOWN_WAIT };
        let length = self.lengths.get(task).copied().unwrap_or(0);
        // Infinite if no request has started for long.
        let seconds = (length + 1) as f64 / rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(MAX_WAIT).min(MAX_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> TaskName {
        name.parse().unwrap()
    }

    fn request(name: &str, key: &str, bytes: usize) -> QueuedRequest {
        let (slot, _) = oneshot::channel();
        QueuedRequest { task: task(name), key: Arc::from(key), tried: Vec::new(), bytes, is_new: true, slot }
    }

    /// Returns a queue of requests, each with its task and its key.
    fn queue(requests: &[(&str, &str)]) -> FairQueue {
        let mut queue = FairQueue::default();
        for (arrival, (name, key)) in (0..).zip(requests) {
            queue.insert(arrival, request(name, key, 1));
        }
        queue
    }

    #[test]
    fn key_with_fewest_requests_in_flight_over_all_tasks_comes_first() {
        let mut queue = queue(&[("x", "a"), ("x", "a"), ("x", "b"), ("y", "c")]);
        for (name, key) in [("y", "a"), ("y", "a"), ("y", "b"), ("x", "c")] {
            queue.start(&task(name), &Arc::from(key), true, 0.0);
        }
        let next = |queue: &FairQueue, full: &[&str], skipped: &[u64]| {
            queue.next(&full.iter().map(|name| task(name)).collect(), &skipped.iter().copied().collect())
        };
        assert_eq!(
            (next(&queue, &[], &[]), next(&queue, &[], &[2]), next(&queue, &["x"], &[])),
            (Some(2), Some(3), Some(3))
        );
        queue.end(&Arc::from("a"));
        queue.end(&Arc::from("a"));
        assert_eq!((next(&queue, &[], &[]), next(&queue, &[], &[0])), (Some(0), Some(1)));
        assert_eq!(next(&queue, &["x", "y"], &[]), None);
    }

    /// Returns the arrivals of the queued requests.
    fn arrivals(queue: &FairQueue) -> Vec<u64> {
        queue.requests.keys().copied().collect()
    }

    #[test]
    fn full_queue_replaces_newest_request_of_longest_key() {
        let settings = |length| QueueSettings { length, ..QueueSettings::default() };
        let make_room = |keys: &[&'static str], key: &str| {
            let mut queue = queue(&keys.iter().map(|key| ("x", *key)).collect::<Vec<_>>());
            let fits = queue.make_room(&request("x", key, 1), &settings(keys.len()));
            (fits, arrivals(&queue).len(), arrivals(&queue).last().copied())
        };
        let keys = ["a", "b", "a", "b", "a"];
        assert_eq!(make_room(&keys, "c"), (true, 4, Some(3)));
        assert_eq!(make_room(&keys, "b"), (false, 5, Some(4)));
        assert_eq!(make_room(&keys, "a"), (false, 5, Some(4)));
        assert_eq!(make_room(&["a", "b"], "c"), (false, 2, Some(1)));
        assert_eq!(make_room(&["a", "a"], "c"), (true, 1, Some(0)));
        let mut queue = queue(&[("x", "a"); 5]);
        assert!(queue.make_room(&request("y", "a", 1), &settings(5)), "the queue of another task");
        (0..5).for_each(|arrival| assert!(queue.remove(arrival).is_some() && queue.remove(arrival).is_none()));
        assert_eq!((queue.len("x"), queue.has_requests(&task("x")), queue.bytes), (0, false, 0));
    }

    #[test]
    fn queue_is_limited_by_bytes_over_all_tasks() {
        let mut queue = queue(&[("x", "a"), ("y", "b")]);
        let settings = QueueSettings { bytes: 10, ..QueueSettings::default() };
        assert!(queue.make_room(&request("x", "a", 8), &settings));
        assert!(!queue.make_room(&request("x", "a", 9), &settings), "larger than what remains");
        queue.insert(2, request("x", "a", 8));
        // The key with the most bytes makes room for others, not for itself.
        assert!(!queue.make_room(&request("y", "a", 1), &settings));
        assert!(!queue.make_room(&request("y", "b", 9), &settings));
        assert_eq!(arrivals(&queue), [0, 1, 2]);
        assert!(queue.make_room(&request("y", "b", 4), &settings));
        assert_eq!((arrivals(&queue), queue.bytes), (vec![0, 1], 2));
        // If the request does not fit, it replaces none.
        for (arrival, bytes) in [(2, 3), (3, 3)] {
            queue.insert(arrival, request("x", "a", bytes));
        }
        assert!(!queue.make_room(&request("y", "b", 6), &settings));
        assert_eq!(arrivals(&queue), [0, 1, 2, 3]);
        // A request that has had a slot stays.
        queue.requests.get_mut(&3).unwrap().is_new = false;
        assert!(queue.make_room(&request("y", "b", 4), &settings));
        assert_eq!(arrivals(&queue), [0, 1, 3]);
    }

    #[test]
    fn estimate_follows_queue_length_and_rate() {
        let mut queue = queue(&[("x", "a"); 19]);
        let (x, key) = (task("x"), Arc::from("a"));
        assert_eq!(queue.estimate(&x, 7.0), UNKNOWN_WAIT);
        for start in 0..200 {
            queue.start(&x, &key, true, 7.0 + f64::from(start) * 0.2);
            // Further attempts of a request do not shorten the queue.
            queue.start(&x, &key, false, 7.0 + f64::from(start) * 0.2);
        }
        let seconds = queue.estimate(&x, 46.8).as_secs_f64();
        assert!((3.8..4.2).contains(&seconds), "{seconds} s for 20 requests at 5 per second");
        assert_eq!(queue.estimate(&task("y"), 46.8), UNKNOWN_WAIT);
        // The average of a short time is not too low.
        let mut rate = StartRate::default();
        (0..10).for_each(|start| rate.start(f64::from(start) * 0.2));
        assert!((4.0..6.5).contains(&rate.get(2.0).unwrap()), "{rate:?}");
        assert_eq!(queue.estimate(&x, 1e9), MAX_WAIT);
    }
}
