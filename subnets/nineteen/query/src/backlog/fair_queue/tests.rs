use super::*;

fn task(name: &str) -> TaskName {
    name.parse().unwrap()
}

fn request(name: &str, key: &str, bytes: usize) -> QueuedRequest {
    let (slot, _) = oneshot::channel();
    QueuedRequest {
        task: task(name),
        key: Arc::from(key),
        weight: KeyWeight::default(),
        tried: Vec::new(),
        prefix: None,
        bytes,
        is_new: true,
        slot,
    }
}

fn weighted_request(key: &str, weight: u32) -> QueuedRequest {
    QueuedRequest { weight: weight.try_into().unwrap(), ..request("x", key, 1) }
}

/// Returns a queue of requests, each with its task and its key.
fn queue(requests: &[(&str, &str)]) -> FairQueue {
    let mut queue = FairQueue::default();
    for (arrival, (name, key)) in (0..).zip(requests) {
        queue.insert(arrival, request(name, key, 1), 0.0);
    }
    queue
}

#[test]
fn key_with_fewest_requests_in_flight_over_all_tasks_comes_first() {
    let mut queue = queue(&[("x", "a"), ("x", "a"), ("x", "b"), ("y", "c")]);
    for (name, key) in [("y", "a"), ("y", "a"), ("y", "b"), ("x", "c")] {
        queue.start(&task(name), &Arc::from(key), KeyWeight::default(), true, 0.0);
    }
    let next = |queue: &FairQueue, full: &[&str], skipped: &[u64]| {
        queue.next(
            &full.iter().map(|name| task(name)).collect(),
            &skipped.iter().copied().collect(),
            0.0,
        )
    };
    assert_eq!(
        (next(&queue, &[], &[]), next(&queue, &[], &[2]), next(&queue, &["x"], &[])),
        (Some(2), Some(3), Some(3))
    );
    queue.end(&Arc::from("a"), Some(1.0), 0.0);
    queue.end(&Arc::from("a"), Some(1.0), 0.0);
    assert_eq!((next(&queue, &[], &[]), next(&queue, &[], &[0])), (Some(0), Some(1)));
    assert_eq!(next(&queue, &["x", "y"], &[]), None);
}

/// Returns the arrivals of the queued requests.
fn arrivals(queue: &FairQueue) -> Vec<u64> {
    queue.requests.keys().copied().collect()
}

#[test]
fn full_queue_replaces_newest_request_of_busiest_key() {
    let settings = |length| QueueSettings { length, ..QueueSettings::default() };
    let make_room = |keys: &[&'static str], key: &str| {
        let mut queue = queue(&keys.iter().map(|key| ("x", *key)).collect::<Vec<_>>());
        let fits = queue.make_room(&request("x", key, 1), &settings(keys.len()), 0.0);
        (fits, arrivals(&queue).len(), arrivals(&queue).last().copied())
    };
    let keys = ["a", "b", "a", "b", "a"];
    assert_eq!(make_room(&keys, "c"), (true, 4, Some(3)));
    assert_eq!(make_room(&keys, "b"), (false, 5, Some(4)));
    assert_eq!(make_room(&keys, "a"), (false, 5, Some(4)));
    assert_eq!(make_room(&["a", "b"], "c"), (false, 2, Some(1)));
    assert_eq!(make_room(&["a", "a"], "c"), (true, 1, Some(0)));
    let mut queue = queue(&[("x", "a"); 5]);
    assert!(queue.make_room(&request("y", "a", 1), &settings(5), 0.0), "the queue of another task");
    (0..5).for_each(|arrival| {
        assert!(queue.remove(arrival, 0.0).is_some() && queue.remove(arrival, 0.0).is_none());
    });
    assert_eq!((queue.len("x"), queue.has_requests(&task("x")), queue.bytes), (0, false, 0));
}

/// If this process's share of the queue's capacity becomes smaller, queued requests stay queued
/// until they leave.
#[test]
fn new_request_replaces_one_of_an_overfull_queue() {
    let mut queue = queue(&[("x", "a"); 8]);
    let settings = QueueSettings { length: 4, ..QueueSettings::default() };
    assert!(queue.make_room(&request("x", "b", 1), &settings, 0.0));
    assert_eq!(arrivals(&queue), (0..7).collect::<Vec<_>>());
    assert!(!queue.make_room(&request("x", "a", 1), &settings, 0.0));
}

#[test]
fn only_answered_requests_change_the_average_duration() {
    let (mut queue, key) = (FairQueue::default(), Arc::from("a"));
    for _ in 0..2 {
        queue.start(&task("x"), &key, KeyWeight::default(), true, 0.0);
    }
    queue.end(&key, None, 0.1);
    assert_eq!(queue.average_duration, INITIAL_DURATION);
    queue.end(&key, Some(11.0), 11.0);
    assert_eq!(queue.average_duration, 2.0);
}

#[test]
fn queue_is_limited_by_bytes_over_all_tasks() {
    let mut queue = queue(&[("x", "a"), ("y", "b")]);
    let settings = QueueSettings { bytes: 10, ..QueueSettings::default() };
    assert!(queue.make_room(&request("x", "a", 8), &settings, 0.0));
    assert!(!queue.make_room(&request("x", "a", 9), &settings, 0.0), "larger than what remains");
    queue.insert(2, request("x", "a", 8), 0.0);
    // The key with the most bytes makes room for others, not for itself.
    assert!(!queue.make_room(&request("y", "a", 1), &settings, 0.0));
    assert!(!queue.make_room(&request("y", "b", 9), &settings, 0.0));
    assert_eq!(arrivals(&queue), [0, 1, 2]);
    assert!(queue.make_room(&request("y", "b", 4), &settings, 0.0));
    assert_eq!((arrivals(&queue), queue.bytes), (vec![0, 1], 2));
    // If the request does not fit, it replaces none.
    for (arrival, bytes) in [(2, 3), (3, 3)] {
        queue.insert(arrival, request("x", "a", bytes), 0.0);
    }
    assert!(!queue.make_room(&request("y", "b", 6), &settings, 0.0));
    assert_eq!(arrivals(&queue), [0, 1, 2, 3]);
    // A request that has had a slot stays.
    queue.requests.get_mut(&3).unwrap().is_new = false;
    assert!(queue.make_room(&request("y", "b", 4), &settings, 0.0));
    assert_eq!(arrivals(&queue), [0, 1, 3]);
}

#[test]
fn wait_estimate_follows_queue_length_and_rate() {
    let mut queue = queue(&[("x", "a"); 19]);
    let (x, key) = (task("x"), Arc::from("a"));
    assert_eq!(queue.estimate_wait(&x, 7.0), DEFAULT_WAIT);
    for start in 0..200 {
        queue.start(&x, &key, KeyWeight::default(), true, 7.0 + f64::from(start) * 0.2);
        // Further attempts of a request do not shorten the queue.
        queue.start(&x, &key, KeyWeight::default(), false, 7.0 + f64::from(start) * 0.2);
    }
    let seconds = queue.estimate_wait(&x, 46.8).as_secs_f64();
    assert!((3.8..4.2).contains(&seconds), "{seconds} s for 20 requests at 5 per second");
    assert_eq!(queue.estimate_wait(&task("y"), 46.8), DEFAULT_WAIT);
    // The average of a short time is not too low.
    let mut rate = StartRate::default();
    (0..10).for_each(|start| rate.start(f64::from(start) * 0.2));
    assert!((4.0..6.5).contains(&rate.starts_per_second(2.0).unwrap()), "{rate:?}");
    assert_eq!(queue.estimate_wait(&x, 1e9), MAX_WAIT);
}

/// A key that always has queued requests: name, weight, and seconds that each of its requests
/// takes.
type SaturatingKey = (&'static str, u32, f64);

/// Gives slots to the requests of saturating keys; returns the keys in the order of their slots.
fn serve(keys: &[SaturatingKey], slots: usize, requests: usize) -> Vec<&'static str> {
    let (mut queue, mut arrivals, mut now) = (FairQueue::default(), 0.., 0.0);
    let mut enqueue = |queue: &mut FairQueue, (key, weight, _): &SaturatingKey, now: f64| {
        queue.insert(arrivals.next().unwrap(), weighted_request(key, *weight), now);
    };
    for key in keys {
        (0..2).for_each(|_| enqueue(&mut queue, key, now));
    }
    let (mut order, mut running) = (Vec::new(), Vec::new());
    while order.len() < requests {
        while running.len() < slots {
            let next = queue.next(&HashSet::new(), &HashSet::new(), now).unwrap();
            let QueuedRequest { task, key, weight, .. } = queue.remove(next, now).unwrap();
            queue.start(&task, &key, weight, true, now);
            let saturating = keys.iter().find(|(name, ..)| *name == &*key).unwrap();
            enqueue(&mut queue, saturating, now);
            order.push(saturating.0);
            running.push((now + saturating.2, saturating));
        }
        running.sort_by(|one, other| other.0.total_cmp(&one.0));
        let (end, (key, _, seconds)) = running.pop().unwrap();
        now = end;
        queue.end(&Arc::from(*key), Some(*seconds), now);
    }
    order
}

fn count(order: &[&str], key: &str) -> f64 {
    order.iter().filter(|served| **served == key).count() as f64
}

#[test]
fn saturating_keys_are_served_in_proportion_to_their_weights() {
    for slots in [1, 2, 3, 4, 9, 64] {
        let order = serve(&[("a", 1, 0.7), ("b", 3, 0.7)], slots, 2_000);
        let ratio = count(&order, "b") / count(&order, "a");
        assert!((2.8..3.2).contains(&ratio), "{ratio} with {slots} slots");
        // Not only in the long run.
        let windows = order.windows(8 * slots.max(4));
        assert!(
            windows.clone().all(|window| count(window, "a") > 0.0 && count(window, "b") > 0.0),
            "{slots} slots"
        );
    }
}

/// Keys share the slots' time: a key with long answers gets fewer of them.
#[test]
fn key_with_long_requests_gets_no_larger_share() {
    for slots in [1, 4, 16] {
        let order = serve(&[("long", 1, 5.0), ("short", 1, 1.0)], slots, 4_000);
        let ratio = 5.0 * count(&order, "long") / count(&order, "short");
        assert!((0.9..1.1).contains(&ratio), "{ratio} with {slots} slots");
    }
}

#[test]
fn key_of_small_weight_is_not_starved() {
    for slots in [1, 4, 32] {
        let order = serve(&[("small", 1, 1.0), ("large", 100, 1.0)], slots, 5_000);
        let indices: Vec<_> =
            (0..).zip(&order).filter(|(_, key)| **key == "small").map(|(index, _)| index).collect();
        let longest = indices.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= 101 + 4 * slots, "{longest} requests in between with {slots} slots");
    }
    // A request that is the only one of its key gets the next slot.
    let mut queue = FairQueue::default();
    for arrival in 0..10 {
        queue.insert(arrival, weighted_request("large", 100), 0.0);
    }
    for _ in 0..4 {
        queue.start(&task("x"), &Arc::from("large"), 100.try_into().unwrap(), true, 0.0);
    }
    queue.insert(10, weighted_request("small", 1), 50.0);
    assert_eq!(queue.next(&HashSet::new(), &HashSet::new(), 50.0), Some(10));
}

/// Task with its own miners: name, slots, and seconds that each of its requests takes.
type SeparateTask = (&'static str, usize, f64);

/// Request in flight: time of its end, task and key.
type ServedRequest<'a> = (f64, &'a SeparateTask, &'static str);

/// Gives slots of separate tasks to keys that always have queued requests: each with its task, and
/// the time of its first request. Returns the task, the key and the time of each start.
fn serve_tasks(
    tasks: &[SeparateTask],
    keys: &[(&'static str, &'static str, f64)],
    until: f64,
) -> Vec<(&'static str, &'static str, f64)> {
    let (mut queue, mut arrivals, mut now) = (FairQueue::default(), 0.., 0.0);
    let (mut started, mut running): (Vec<_>, Vec<ServedRequest<'_>>) = (Vec::new(), Vec::new());
    let mut waiting = keys.to_vec();
    while now < until {
        waiting.retain(|(name, key, first)| {
            if *first <= now {
                (0..2).for_each(|_| {
                    queue.insert(arrivals.next().unwrap(), request(name, key, 1), now);
                });
            }
            *first > now
        });
        loop {
            let in_flight =
                |name: &str| running.iter().filter(|(_, task, _)| task.0 == name).count();
            let full = tasks.iter().filter(|(name, slots, _)| in_flight(name) >= *slots);
            let full: HashSet<_> = full.map(|(name, ..)| task(name)).collect();
            let Some(arrival) = queue.next(&full, &HashSet::new(), now) else { break };
            let removed_request = queue.remove(arrival, now).unwrap();
            queue.start(
                &removed_request.task,
                &removed_request.key,
                removed_request.weight,
                true,
                now,
            );
            let served =
                tasks.iter().find(|(name, ..)| *name == removed_request.task.as_str()).unwrap();
            let key = keys.iter().find(|(_, key, _)| **key == *removed_request.key).unwrap().1;
            queue.insert(arrivals.next().unwrap(), request(served.0, key, 1), now);
            started.push((served.0, key, now));
            running.push((now + served.2, served, key));
        }
        running.sort_by(|one, other| other.0.total_cmp(&one.0));
        let (end, served, key) = running.pop().unwrap();
        now = end;
        queue.end(&Arc::from(key), Some(served.2), now);
    }
    started
}

/// A key that has waited for the only slot of one task has had little service, and a new key starts
/// with the service of the key that has had least. Neither gets all slots of another task for more
/// than a few seconds.
#[test]
fn key_with_little_service_does_not_starve_keys_of_another_task() {
    let tasks = [("x", 1, 10.0), ("y", 8, 1.0)];
    for late_key in ["n", "z"] {
        let keys = [("x", "z", 0.0), ("y", "i", 0.0), ("y", late_key, 600.0)];
        let started = serve_tasks(&tasks, &keys, 660.0);
        let start_times = |key: &str| {
            let key_requests =
                started.iter().filter(|(name, started, _)| *name == "y" && *started == key);
            key_requests.map(|(.., time)| *time).filter(|time| *time >= 600.0).collect::<Vec<_>>()
        };
        let (early, late_starts) = (start_times("i"), start_times(late_key));
        let pauses = early.windows(2).map(|pair| pair[1] - pair[0]).chain([early[0] - 600.0]);
        let longest = pauses.max_by(f64::total_cmp).unwrap();
        assert!(longest < 15.0, "{late_key}: {longest} s without a slot");
        let count_after_start =
            |starts: &[f64]| starts.iter().filter(|time| **time >= 630.0).count();
        let (early, late_starts) = (count_after_start(&early), count_after_start(&late_starts));
        assert!(
            early > 60 && late_starts > 60,
            "{late_key}: {early} and {late_starts} of 240 slots"
        );
    }
}

#[test]
fn full_queue_is_shared_by_weights() {
    let settings = QueueSettings { length: 8, ..QueueSettings::default() };
    let mut queue = FairQueue::default();
    for arrival in 0..8 {
        queue.insert(arrival, weighted_request("large", 3), 0.0);
    }
    let mut add = |arrival: u64, key: &str, weight: u32| {
        let fits = queue.make_room(&weighted_request(key, weight), &settings, 0.0);
        if fits {
            queue.insert(arrival, weighted_request(key, weight), 0.0);
        }
        fits
    };
    // Two of eight for weight 1 beside weight 3.
    assert_eq!([8, 9, 10].map(|arrival| add(arrival, "small", 1)), [true, true, false]);
    assert!(!add(11, "large", 3));
    // The first request of each key replaces another one, whatever the weights.
    assert!(add(12, "third", 1));
}
