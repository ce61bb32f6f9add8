use taonet_wire::Peer;

use super::*;
use crate::Wire;

const LIMITS: Limits = Limits {
    interval: Duration::ZERO,
    timeout: Duration::from_mins(3),
    overdue_after: Duration::from_secs(5),
    users_percent: 100,
    benchmarks: true,
};

fn key(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

fn miners(count: u8) -> Vec<ProofMiner> {
    let peer = |byte| Peer::new(key(byte), "127.0.0.1", 1).unwrap();
    (1..=count).map(|byte| ProofMiner { peer: peer(byte), wire: Wire::Http }).collect()
}

fn hotkey(assignment: &Assignment) -> Hotkey {
    *assignment.miner.hotkey()
}

#[test]
fn users_get_the_least_loaded_then_longest_idle_miner() {
    let (miners, no_miners) = (miners(3), BTreeSet::new());
    let dispatcher = Dispatcher::new(LIMITS);
    let assign = |excluded: &BTreeSet<Hotkey>| {
        dispatcher.assign_user_request(0, &miners, excluded, Instant::now())
    };
    let [first, second, third] = [(); 3].map(|()| assign(&no_miners).unwrap());
    let all: BTreeSet<Hotkey> = [&first, &second, &third].map(hotkey).into();
    assert_eq!(all.len(), 3, "each has one");
    let (one, two) = (hotkey(&first), hotkey(&second));
    drop(second);
    assert_eq!(hotkey(&assign(&no_miners).unwrap()), two, "the only idle one");
    drop((first, third));
    assert_eq!(hotkey(&assign(&no_miners).unwrap()), one, "the longest idle");
    assert_ne!(hotkey(&assign(&BTreeSet::from([one])).unwrap()), one);
    assert!(assign(&all).is_none());
    assert_eq!(dispatcher.in_flight(), 0);
}

#[test]
fn users_are_served_by_failing_miners_last() {
    let (miners, no_miners) = (miners(2), BTreeSet::new());
    let dispatcher = Dispatcher::new(LIMITS);
    dispatcher.assign_benchmark_to(0, &miners[0]).settle(AssignmentOutcome::Failed);
    dispatcher
        .assign_benchmark_to(0, &miners[1])
        .settle(AssignmentOutcome::Verified(Duration::from_secs(1)));
    // The miner that verified comes first, even at its capacity.
    let assignments = [(); 3]
        .map(|()| dispatcher.assign_user_request(0, &miners, &no_miners, Instant::now()).unwrap());
    assert!(assignments.iter().all(|assignment| hotkey(assignment) == key(2)), "{assignments:?}");
    assert_eq!(
        hotkey(
            &dispatcher
                .assign_user_request(0, &miners, &BTreeSet::from([key(2)]), Instant::now())
                .unwrap()
        ),
        key(1)
    );
}

/// Without benchmarks, a miner that has restarted would otherwise stay idle as long as another one
/// works.
#[test]
fn paused_miners_are_retried_by_users_without_benchmarks() {
    let (miners, no_miners) = (miners(2), BTreeSet::new());
    let now = Instant::now();
    for (benchmarks, after_pause) in [(true, key(2)), (false, key(1))] {
        let dispatcher = Dispatcher::new(Limits { benchmarks, ..LIMITS });
        dispatcher
            .assign_user_request(0, &miners, &no_miners, now)
            .unwrap()
            .settle(AssignmentOutcome::Failed);
        dispatcher
            .assign_user_request(0, &miners, &no_miners, now)
            .unwrap()
            .settle(AssignmentOutcome::Verified(Duration::from_secs(1)));
        assert_eq!(
            hotkey(&dispatcher.assign_user_request(0, &miners, &no_miners, now).unwrap()),
            key(2),
            "{benchmarks}"
        );
        let later = now + Duration::from_mins(1);
        assert_eq!(
            hotkey(&dispatcher.assign_user_request(0, &miners, &no_miners, later).unwrap()),
            after_pause,
            "{benchmarks}"
        );
    }
}

#[test]
fn users_get_the_fastest_miners_until_they_are_full() {
    let (miners, no_miners) = (miners(5), BTreeSet::new());
    let dispatcher = Dispatcher::new(Limits { users_percent: 20, ..LIMITS });
    let time = |miner: &ProofMiner, seconds| {
        for _ in 0..8 {
            dispatcher
                .assign_benchmark_to(0, miner)
                .settle(AssignmentOutcome::Verified(Duration::from_secs(seconds)));
        }
    };
    let assign = |circuit| {
        dispatcher.assign_user_request(circuit, &miners, &no_miners, Instant::now()).unwrap()
    };
    time(&miners[0], 5);
    time(&miners[3], 2);
    time(&miners[2], 7);
    // A fifth of five miners is one. Its capacity grew to two requests in the first step.
    let assignments = [(); 3].map(|()| assign(0));
    assert_eq!(assignments.iter().map(hotkey).filter(|hotkey| *hotkey == key(4)).count(), 2);
    assert_eq!([&assignments[0], &assignments[1]].map(hotkey), [key(4); 2]);
    drop(assignments);
    assert_eq!(hotkey(&assign(1)), key(5), "no miner is known to be fast for the other circuit");
    dispatcher.assign_benchmark_to(0, &miners[3]).settle(AssignmentOutcome::Failed);
    assert_ne!(hotkey(&assign(0)), key(4), "a failing miner is not preferred");
}

#[test]
fn performance_survives_a_restart() {
    let (miners, circuits, now) = (miners(2), [Digest::of(b"a")], Duration::from_secs(1));
    let dispatcher = Dispatcher::new(LIMITS);
    for _ in 0..60 {
        dispatcher
            .assign_benchmark_to(0, &miners[0])
            .settle(AssignmentOutcome::Verified(Duration::from_secs(20)));
    }
    let saved = dispatcher.save(&circuits, now);
    let restarted = Dispatcher::new(LIMITS);
    restarted.restore(saved.clone(), &circuits, now);
    restarted.retain(&[]);
    assert_eq!(
        restarted.save(&circuits, now),
        saved,
        "nothing is lost before the metagraph is read"
    );
    restarted.retain(&miners);
    let measured = restarted.assign_benchmark_to(0, &miners[0]);
    assert_eq!(
        (measured.timeout, measured.overdue_after),
        (Duration::from_secs(40), Duration::from_secs(40))
    );
    assert_eq!(
        restarted.assign_benchmark_to(0, &miners[1]).overdue_after,
        Duration::from_secs(40),
        "the others' times are known"
    );
    restarted.retain(&miners[1..]);
    let again = Dispatcher::new(LIMITS);
    again.restore(saved, &circuits, now);
    again.retain(&miners[1..]);
    assert_eq!(
        again.assign_benchmark_to(0, &miners[0]).timeout,
        LIMITS.timeout,
        "a miner that left is unknown"
    );
}

#[test]
fn benchmarks_fill_small_capacities_first() {
    // Distributes 100 requests over capacities of 300, 8, 9 and 1, as in the specification, but
    // with at most 32 per miner.
    let miners = miners(4);
    let dispatcher = Dispatcher::new(LIMITS);
    for (miner, capacity) in miners.iter().zip([32, 8, 9, 1]) {
        let mut proofs = 0;
        while dispatcher
            .lock()
            .miners
            .get(miner.hotkey())
            .is_none_or(|load| load.performance.capacity() < capacity)
        {
            let mut assignment = dispatcher.assign_benchmark_to(0, miner);
            // The miner is perfectly parallel: its response time does not depend on the number of
            // requests in flight.
            assignment.in_flight = dispatcher.lock().miners[miner.hotkey()].performance.capacity();
            assignment.settle(AssignmentOutcome::Verified(Duration::from_secs(1)));
            proofs += 1;
            assert!(proofs < 10_000);
        }
    }
    let now = Instant::now() + Duration::from_mins(1);
    let mut assignments = Vec::new();
    while let Ok(assignment) = dispatcher.next_benchmark(0, &miners, now) {
        assignments.push(assignment);
        if assignments.len() == 45 {
            break;
        }
    }
    let count =
        |byte| assignments.iter().filter(|assignment| hotkey(assignment) == key(byte)).count();
    assert_eq!([1, 2, 3, 4].map(count), [27, 8, 9, 1]);
    // Each miner received its first request before any received a second.
    let first: BTreeSet<Hotkey> = assignments[..4].iter().map(hotkey).collect();
    assert_eq!(first.len(), 4);
}

#[test]
fn idle_miners_are_benchmarked_in_turn() {
    let miners = miners(2);
    let dispatcher = Dispatcher::new(LIMITS);
    let now = Instant::now();
    let order: Vec<Hotkey> =
        (0..4).map(|_| hotkey(&dispatcher.next_benchmark(0, &miners, now).unwrap())).collect();
    assert_eq!(order, [1, 2, 1, 2].map(key));
    let user = dispatcher.assign_user_request(0, &miners, &BTreeSet::from([key(1)]), now).unwrap();
    assert_eq!(hotkey(&user), key(2));
    let benchmark = dispatcher.next_benchmark(0, &miners, now).unwrap();
    assert_eq!(hotkey(&benchmark), key(1));
    assert_eq!(
        dispatcher.next_benchmark(0, &miners, now).unwrap_err(),
        None,
        "one is full, the other works for a user"
    );
    drop(user);
    assert_eq!(hotkey(&dispatcher.next_benchmark(0, &miners, now).unwrap()), key(2));
}

#[test]
fn failing_miner_is_retried_with_exponential_backoff() {
    let miners = miners(1);
    let dispatcher = Dispatcher::new(LIMITS);
    let mut now = Instant::now();
    for expected in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000] {
        let mut assignment = dispatcher.next_benchmark(0, &miners, now).unwrap();
        assignment.set_overdue();
        assert_eq!(
            dispatcher.next_benchmark(0, &miners, now).unwrap_err(),
            None,
            "until the overdue request ends"
        );
        let (before, pause) = (Instant::now(), Duration::from_millis(expected));
        assignment.settle(AssignmentOutcome::Failed);
        let after = Instant::now();
        let ready = dispatcher.next_benchmark(0, &miners, after).unwrap_err().unwrap();
        assert!(
            (before + pause..=after + pause).contains(&ready),
            "{expected}: {:?}",
            ready.duration_since(before)
        );
        now = ready;
    }
    dispatcher
        .next_benchmark(0, &miners, now)
        .unwrap()
        .settle(AssignmentOutcome::Verified(Duration::from_secs(1)));
    assert!(
        dispatcher.next_benchmark(0, &miners, now + LIMITS.interval).is_ok(),
        "a verified proof ends the pauses"
    );
}

#[test]
fn timeout_adapts_to_the_miner_and_overdue_time_to_all_miners() {
    let miners = miners(2);
    let dispatcher = Dispatcher::new(LIMITS);
    let unknown = dispatcher.assign_benchmark_to(0, &miners[0]);
    assert_eq!((unknown.timeout, unknown.overdue_after), (LIMITS.timeout, LIMITS.overdue_after));
    drop(unknown);
    for _ in 0..60 {
        dispatcher
            .assign_benchmark_to(0, &miners[0])
            .settle(AssignmentOutcome::Verified(Duration::from_secs(20)));
    }
    let measured = dispatcher.assign_benchmark_to(0, &miners[0]);
    assert_eq!(
        (measured.timeout, measured.overdue_after),
        (Duration::from_secs(40), Duration::from_secs(40))
    );
    let newcomer = dispatcher.assign_benchmark_to(0, &miners[1]);
    assert_eq!(
        (newcomer.timeout, newcomer.overdue_after),
        (LIMITS.timeout, Duration::from_secs(40))
    );
    let other = dispatcher.assign_benchmark_to(1, &miners[0]);
    assert_eq!(
        (other.timeout, other.overdue_after),
        (LIMITS.timeout, LIMITS.overdue_after),
        "another circuit"
    );
    drop((measured, newcomer, other));
    for _ in 0..60 {
        dispatcher
            .assign_benchmark_to(1, &miners[0])
            .settle(AssignmentOutcome::Verified(Duration::from_millis(1)));
    }
    assert_eq!(
        dispatcher.assign_benchmark_to(1, &miners[0]).timeout,
        LIMITS.overdue_after,
        "never below the minimum"
    );
    dispatcher.retain(&miners[1..]);
    assert_eq!(
        dispatcher.assign_benchmark_to(0, &miners[0]).timeout,
        LIMITS.timeout,
        "a miner that left is unknown"
    );
}
