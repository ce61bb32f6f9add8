//! Tests of several processes that share a database.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_database::statement;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::period::{PeriodProfile, RequestOutcome};

use super::credits::{terms, usage};
use super::market::offer;
use super::*;
use crate::HoldRefusal;

const DAY: &str = "2026-11-21";

/// Opens the database twice, like two processes.
async fn processes(location: &DatabaseLocation) -> [Store; 2] {
    [location.open().await, location.open().await]
}

pub(super) async fn credits_are_shared_across_processes(location: DatabaseLocation) {
    let stores = processes(&location).await;
    let keys = [1, 2].map(|byte| [byte; 40]);
    let mut ids = Vec::new();
    for random in &keys {
        let id = stores[0].create_key(&terms(None), random, 0).await.unwrap().id;
        stores[1].grant(&id, 205, "test", 0).await.unwrap();
        ids.push(id);
    }
    // 60 concurrent requests of up to 10 credits on both processes; each key has credits for 20.
    let requests: Vec<_> = (0..60)
        .map(|index| {
            let (store, key) = (stores[index % 2].clone(), ids[index / 2 % 2].clone());
            tokio::spawn(
                async move { store.hold(&key, &index.to_string(), 10, DAY, 0).await.unwrap() },
            )
        })
        .collect();
    let mut holds = Vec::new();
    for (index, request) in requests.into_iter().enumerate() {
        match request.await.unwrap() {
            Ok(()) => holds.push(index),
            Err(refusal) => assert_eq!(refusal, HoldRefusal::Credits { balance: 5 }),
        }
    }
    for parity in [0, 1] {
        assert_eq!(holds.iter().filter(|index| *index / 2 % 2 == parity).count(), 20);
    }
    assert!(stores[0].is_balanced().await.unwrap());
    // Both processes charge each request, concurrently with grants and the release of abandoned
    // requests.
    let mut charges = Vec::new();
    for index in &holds {
        for store in &stores {
            let (store, request) = (store.clone(), index.to_string());
            charges.push(tokio::spawn(async move {
                store.charge(&request, &usage(DAY, 7), 1).await.unwrap()
            }));
        }
    }
    let release = stores[1].release_holds(0, 1);
    let (granted, released) = tokio::join!(stores[0].grant(&ids[0], 1, "test", 1), release);
    assert!(granted.unwrap().is_some());
    assert_eq!(released.unwrap(), 0, "no hold is old enough");
    let mut charged = 0;
    for charge in charges {
        charged += charge.await.unwrap().unwrap_or(0);
    }
    assert_eq!(charged, 40 * 7);
    let balances = stores[0].balances().await.unwrap();
    let balance = |name: &str| balances.iter().find(|(account, _)| account == name).unwrap().1;
    assert_eq!((balance("revenue"), balance("issued")), (280, -411));
    assert_eq!(
        (balance(&format!("key:{}", ids[0])), balance(&format!("key:{}", ids[1]))),
        (66, 65)
    );
    assert!(stores[1].is_balanced().await.unwrap());
    let used = stores[0].usage(Some(&ids[1])).await.unwrap();
    assert_eq!((used[0].requests, used[0].charged, used[0].output_tokens), (20, 140, 100));
}

pub(super) async fn budgets_apply_across_processes(location: DatabaseLocation) {
    let stores = processes(&location).await;
    let key = stores[0].create_key(&terms(Some(100)), &[1; 40], 0).await.unwrap().id;
    stores[0].grant(&key, 10_000, "test", 0).await.unwrap();
    // Holds and charges run concurrently.
    let requests: Vec<_> = (0..60)
        .map(|index| {
            let (store, key) = (stores[index % 2].clone(), key.clone());
            tokio::spawn(async move {
                let request = index.to_string();
                if store.hold(&key, &request, 10, DAY, 0).await.unwrap().is_err() {
                    return 0;
                }
                store.charge(&request, &usage(DAY, 10), 1).await.unwrap().unwrap()
            })
        })
        .collect();
    let mut spent = 0;
    for request in requests {
        spent += request.await.unwrap();
    }
    assert_eq!(spent, 100);
    assert!(stores[0].is_balanced().await.unwrap());
}

/// Rate limits are atomic, and their counters expire.
pub(super) async fn rate_limits_hold_across_processes(location: DatabaseLocation) {
    let stores = processes(&location).await;
    let key = stores[0].create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    let requests: Vec<_> = (0..40)
        .map(|index| {
            let (store, key) = (stores[index % 2].clone(), key.clone());
            let now_ms = 60_000 + i64::try_from(index).unwrap() * 100;
            tokio::spawn(async move { store.admit(&key, 15, now_ms).await.unwrap().is_admitted })
        })
        .collect();
    let mut admitted = 0;
    for request in requests {
        admitted += usize::from(request.await.unwrap());
    }
    assert_eq!(admitted, 15);
    stores[0].admit(&key, 15, 600_000).await.unwrap();
    assert_eq!(
        statement("SELECT COUNT(*) FROM rate").number(&stores[0].database).await.unwrap(),
        1
    );
}

pub(super) async fn rate_window_slides(location: DatabaseLocation) {
    let store = location.open().await;
    let [key, other] = [1, 2].map(|byte| [byte; 40]);
    let key = store.create_key(&terms(None), &key, 0).await.unwrap().id;
    let other = store.create_key(&terms(None), &other, 0).await.unwrap().id;
    let admit = async |key: &str, now_ms| {
        let usage = store.admit(key, 2, now_ms).await.unwrap();
        (usage.is_admitted, usage.remaining, usage.retry_after.as_millis(), usage.reset.as_millis())
    };
    assert_eq!(admit(&key, 500).await, (true, 1, 0, 60_500));
    assert_eq!(admit(&key, 20_000).await, (true, 0, 41_000, 61_000));
    assert_eq!(
        admit(&key, 30_000).await,
        (false, 0, 31_000, 51_000),
        "rejected requests do not count"
    );
    assert_eq!(admit(&other, 30_000).await, (true, 1, 0, 61_000), "API keys have separate limits");
    assert!(!admit(&key, 60_999).await.0, "the first request is still in the window");
    assert_eq!(admit(&key, 61_000).await, (true, 0, 20_000, 61_000));
    assert!(!admit(&key, 10_000).await.0, "a clock that was set back admits no further requests");
    // Another process's clock is a day ahead.
    assert_eq!(admit(&key, 86_600_000).await, (true, 1, 0, 61_000));
    assert_eq!(admit(&key, 86_600_000).await, (true, 0, 61_000, 61_000));
    assert_eq!(
        admit(&key, 200_000).await,
        (true, 1, 0, 61_000),
        "requests of the next day do not count"
    );
}

pub(super) async fn busy_keys_reserve_admissions(location: DatabaseLocation) {
    let stores = processes(&location).await;
    let key = stores[0].create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    let admit = async |process: usize, now_ms| {
        let usage = stores[process].admit(&key, 1_800, now_ms).await.unwrap();
        (usage.is_admitted, usage.remaining, usage.reset.as_millis())
    };
    let counted = async || {
        let requests = statement("SELECT CAST(SUM(requests) AS BIGINT) FROM rate");
        requests.number(&stores[0].database).await.unwrap()
    };
    // Three admissions at once, which count in the next second.
    assert_eq!(admit(0, 10_500).await, (true, 1_799, 61_500));
    assert_eq!((admit(0, 10_600).await, counted().await), ((true, 1_798, 61_400), 3));
    assert_eq!((admit(1, 10_600).await, counted().await), ((true, 1_796, 61_400), 6));
    assert_eq!(admit(0, 11_999).await, (true, 1_797, 60_001), "the last of three");
    assert_eq!((admit(0, 11_999).await, counted().await), ((true, 1_793, 61_001), 9));
    // The other process's two unused admissions expire, and are returned with its next reservation.
    assert_eq!((admit(1, 12_000).await, counted().await), ((true, 1_792, 62_000), 10));
    // A limit that was lowered counts at once for further reservations.
    let usage = stores[1].admit(&key, 10, 12_000).await.unwrap();
    assert!(!usage.is_admitted && usage.retry_after.as_millis() == 60_000, "{usage:?}");
}

pub(super) async fn reserved_admissions_never_exceed_the_limit(location: DatabaseLocation) {
    const LIMIT: u32 = 1_200;
    let stores = [location.open().await, location.open().await, location.open().await];
    let key = stores[0].create_key(&terms(None), &[1; 40], 0).await.unwrap().id;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // Times of the admitted requests, in milliseconds: bursts and pauses.
    let (mut now_ms, mut admitted) = (0, Vec::new());
    while now_ms < 130_000 {
        now_ms += if random.random_range(0..100) == 0 {
            random.random_range(0..3_000)
        } else {
            random.random_range(0..30)
        };
        let usage = stores[random.random_range(0..3)].admit(&key, LIMIT, now_ms).await.unwrap();
        if usage.is_admitted {
            admitted.push(now_ms);
        } else {
            assert!(usage.remaining == 0 && usage.retry_after.as_millis() > 0, "{usage:?}");
            now_ms += random.random_range(0..1_000);
        }
    }
    for (index, time) in admitted.iter().enumerate() {
        let count_within_minute =
            admitted[index..].iter().take_while(|later| **later < time + 60_000).count();
        assert!(count_within_minute <= 1_200, "{count_within_minute} requests from {time} ms");
    }
    println!("{} requests admitted", admitted.len());
}

pub(super) async fn counters_of_a_closed_period_are_unchanged(location: DatabaseLocation) {
    let stores = processes(&location).await;
    let ([control, worker], config) =
        ([Process::random(), Process::random()], MarketConfig::default());
    let answered = RequestOutcome::Answered { work: 5.0 };
    for round in 0..10 {
        let id = stores[0]
            .begin_period(round, 1, PeriodProfile::Seed, &[offer("//Alice", "a")], &[], &config)
            .await
            .unwrap();
        let none = stores[0].contenders(id).await.unwrap();
        let mut process_part = none.clone();
        process_part[0].counts.count(answered);
        // One process closes the period while another one stores counters.
        let (closed, put_result) = tokio::join!(
            stores[0].close_period(id, &control, &none, &[], round + 1),
            stores[1].put_part(id, &worker, &process_part, &[])
        );
        closed.unwrap();
        let expected = if put_result.unwrap() { &process_part } else { &none };
        let actual = stores[0].contenders(id).await.unwrap();
        assert_eq!(actual[0].counts, expected[0].counts);
        assert_eq!(actual[0].score.is_some(), expected[0].counts.total_requests > 0.0);
    }
}

pub(super) async fn counts_of_processes_add_up(location: DatabaseLocation) {
    let stores = processes(&location).await;
    let processes: Vec<_> = (0..4).map(|_| Process::random()).collect();
    let (offers, config) = ([offer("//Alice", "a"), offer("//Bob", "a")], MarketConfig::default());
    let id = stores[0]
        .begin_period(0, 1, PeriodProfile::Seed, &offers, &[(task("a"), 100)], &config)
        .await
        .unwrap();
    // Each process stores its growing part ten times, concurrently with the other processes.
    let writers: Vec<_> = processes
        .iter()
        .enumerate()
        .map(|(index, process)| {
            let (store, process) = (stores[index % 2].clone(), process.clone());
            tokio::spawn(async move {
                let mut rows = store.contenders_excluding(id, &process).await.unwrap();
                rows.truncate(1);
                rows[0].counts = taonet_nineteen_core::period::PeriodCounts::with_capacity(1_000.0);
                // Another process may already have stored its part.
                rows[0].sent = 0.0;
                for requests in 1..=10 {
                    rows[0].counts.count(RequestOutcome::Answered { work: 2.0 });
                    rows[0].sent += 3.0;
                    let spent = [SpentBudget { task: task("a"), requests }];
                    assert!(store.put_part(id, &process, &rows, &spent).await.unwrap());
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let sums = async || {
        let rows = stores[1].contenders(id).await.unwrap();
        let counts = rows[0].counts;
        (
            counts.total_requests,
            counts.consumed_capacity,
            rows[0].sent,
            rows[1].counts.total_requests,
        )
    };
    assert_eq!(sums().await, (40.0, 80.0, 120.0, 0.0));
    let others = stores[0].contenders_excluding(id, &processes[2]).await.unwrap();
    assert_eq!((others[0].counts.total_requests, others[0].sent), (30.0, 90.0));
    let remaining = async |without| stores[0].budgets(id, without).await.unwrap()[0].remaining;
    assert_eq!((remaining(None).await, remaining(Some(&processes[0])).await), (60, 70));
    // Closing the period preserves the sums, including the last counters of the process that closes
    // it.
    let mut last = stores[0].contenders(id).await.unwrap();
    last.truncate(1);
    (last[0].counts.total_requests, last[0].counts.consumed_capacity, last[0].sent) =
        (11.0, 22.0, 33.0);
    stores[0].close_period(id, &processes[3], &last, &[], 5).await.unwrap();
    assert_eq!(sums().await, (41.0, 82.0, 123.0, 0.0));
    assert_eq!(remaining(None).await, 60);
    assert!(!stores[0].put_part(id, &processes[0], &last, &[]).await.unwrap());
    assert_eq!(sums().await, (41.0, 82.0, 123.0, 0.0));
}

pub(super) async fn only_one_process_has_control(location: DatabaseLocation) {
    let stores = processes(&location).await;
    assert_eq!(stores[0].market_id().await.unwrap(), stores[1].market_id().await.unwrap());
    let lock = stores[0].lock_control().await.unwrap();
    assert!(matches!(stores[1].lock_control().await, Err(StoreError::ControlLockHeld)));
    // The first process exits while the second one waits for the lock.
    let (next, ()) = tokio::join!(stores[1].lock_control(), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        drop(lock);
    });
    next.unwrap();
}
