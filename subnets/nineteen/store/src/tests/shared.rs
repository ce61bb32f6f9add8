//! Several processes on one database.

use taonet_nineteen_core::period::{PeriodProfile, RequestOutcome};

use super::credits::{terms, usage};
use super::market::offer;
use super::*;
use crate::HoldRefusal;

const MONTH: &str = "2026-11";
const DAY: &str = "2026-11-21";

/// The processes that share a home.
async fn processes(home: &Home) -> [Store; 2] {
    [home.open().await, home.open().await]
}

pub(super) async fn credits_hold_over_processes(home: Home) {
    let stores = processes(&home).await;
    let keys = [1, 2].map(|byte| [byte; 40]);
    let mut ids = Vec::new();
    for random in &keys {
        let id = stores[0].create_key(&terms(None), random, 0).await.unwrap().id;
        stores[1].grant(&id, 205, "test", 0).await.unwrap();
        ids.push(id);
    }
    // 60 requests of up to 10 credits, on both processes at once, where each key has credits for 20.
    let requests: Vec<_> = (0..60)
        .map(|index| {
            let (store, key) = (stores[index % 2].clone(), ids[index / 2 % 2].clone());
            tokio::spawn(async move { store.hold(&key, &index.to_string(), 10, MONTH, 0).await.unwrap() })
        })
        .collect();
    let mut held = Vec::new();
    for (index, request) in requests.into_iter().enumerate() {
        match request.await.unwrap() {
            Ok(()) => held.push(index),
            Err(refusal) => assert_eq!(refusal, HoldRefusal::Credits { balance: 5 }),
        }
    }
    for parity in [0, 1] {
        assert_eq!(held.iter().filter(|index| *index / 2 % 2 == parity).count(), 20);
    }
    assert!(stores[0].is_balanced().await.unwrap());
    // Each is charged by both processes, at the same time as grants and as the release of abandoned requests.
    let mut charges = Vec::new();
    for index in &held {
        for store in &stores {
            let (store, request) = (store.clone(), index.to_string());
            charges.push(tokio::spawn(async move { store.charge(&request, &usage(DAY, 7), 1).await.unwrap() }));
        }
    }
    let release = stores[1].release_holds(0, 1);
    let (granted, released) = tokio::join!(stores[0].grant(&ids[0], 1, "test", 1), release);
    assert!(granted.unwrap().is_some());
    assert_eq!(released.unwrap(), 0, "none is from before the time");
    let mut charged = 0;
    for charge in charges {
        charged += charge.await.unwrap().unwrap_or(0);
    }
    assert_eq!(charged, 40 * 7);
    let balances = stores[0].balances().await.unwrap();
    let of = |name: &str| balances.iter().find(|(account, _)| account == name).unwrap().1;
    assert_eq!((of("revenue"), of("issued")), (280, -411));
    assert_eq!((of(&format!("key:{}", ids[0])), of(&format!("key:{}", ids[1]))), (66, 65));
    assert!(stores[1].is_balanced().await.unwrap());
    let used = stores[0].usage(Some(&ids[1])).await.unwrap();
    assert_eq!((used[0].requests, used[0].charged, used[0].output_tokens), (20, 140, 100));
}

pub(super) async fn budgets_hold_over_processes(home: Home) {
    let stores = processes(&home).await;
    let key = stores[0].create_key(&terms(Some(100)), &[1; 40], 0).await.unwrap().id;
    stores[0].grant(&key, 10_000, "test", 0).await.unwrap();
    // While some requests are held, others are charged.
    let requests: Vec<_> = (0..60)
        .map(|index| {
            let (store, key) = (stores[index % 2].clone(), key.clone());
            tokio::spawn(async move {
                let request = index.to_string();
                if store.hold(&key, &request, 10, MONTH, 0).await.unwrap().is_err() {
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

pub(super) async fn rates_hold_over_processes(home: Home) {
    let stores = processes(&home).await;
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
}

pub(super) async fn rates_slide(home: Home) {
    let store = home.open().await;
    let [key, other] = [1, 2].map(|byte| [byte; 40]);
    let key = store.create_key(&terms(None), &key, 0).await.unwrap().id;
    let other = store.create_key(&terms(None), &other, 0).await.unwrap().id;
    let admit = async |key: &str, now_ms| {
        let usage = store.admit(key, 2, now_ms).await.unwrap();
        (usage.is_admitted, usage.left, usage.retry.as_millis(), usage.reset.as_millis())
    };
    assert_eq!(admit(&key, 500).await, (true, 1, 0, 60_500));
    assert_eq!(admit(&key, 20_000).await, (true, 0, 41_000, 61_000));
    assert_eq!(admit(&key, 30_000).await, (false, 0, 31_000, 51_000), "rejected requests do not count");
    assert_eq!(admit(&other, 30_000).await, (true, 1, 0, 61_000), "keys do not disturb each other");
    assert!(!admit(&key, 60_999).await.0, "the first is in the same minute");
    assert_eq!(admit(&key, 61_000).await, (true, 0, 20_000, 61_000));
    assert!(!admit(&key, 10_000).await.0, "a clock set back admits nothing more");
}

pub(super) async fn counters_of_a_closed_period_stay(home: Home) {
    let stores = processes(&home).await;
    for round in 0..10 {
        let id = stores[0].begin_period(round, 1, PeriodProfile::Seed, &[offer("//Alice", "a")], &[]).await.unwrap();
        let last = stores[0].contenders(id).await.unwrap();
        let mut late = last.clone();
        late[0].counts.count(RequestOutcome::Answered { work: 5.0 });
        // One process closes the period while another one stores counters.
        let (closed, put) =
            tokio::join!(stores[0].close_period(id, &last, round + 1), stores[1].put_counts(id, &late, &[]));
        closed.unwrap();
        put.unwrap();
        let found = stores[0].contenders(id).await.unwrap();
        assert_eq!(found[0].counts, last[0].counts, "the closing process has the final counters");
    }
}
