//! Tests of the credits that processes lease.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_database::statement;

use super::credits::{terms, usage};
use super::*;
use crate::{HoldRefusal, StoreError};

const DAY: &str = "2026-11-21";

async fn create_key_with(store: &Store, random: u8, credits: i64) -> String {
    let key = store.create_key(&terms(None), &[random; 40], 0).await.unwrap().id;
    store.grant(&key, credits, "test", 0).await.unwrap();
    key
}

/// Balances of a key: available, and leased.
async fn accounts(store: &Store, key: &str) -> (i64, i64) {
    let balances: HashMap<_, _> = store.balances().await.unwrap().into_iter().collect();
    let balance = |name: String| balances.get(&name).copied().unwrap_or(0);
    (balance(format!("key:{key}")), balance(format!("held:{key}")))
}

/// Concurrent requests of several keys, some charged twice at once, while another process grants
/// credits.
pub(super) async fn charges_of_a_batch_balance(location: DatabaseLocation) {
    let (store, operator) = (location.open().await, location.open().await);
    let mut requests = Vec::new();
    for byte in 1..=3 {
        let key = create_key_with(&store, byte, 1_000).await;
        for index in 0..50_i64 {
            let (store, operator, key) = (store.clone(), operator.clone(), key.clone());
            requests.push(tokio::spawn(async move {
                let request = format!("{key}-{index}");
                store.hold(&key, &request, 10, DAY, 0).await.unwrap().unwrap();
                let usage = usage(DAY, index % 12);
                let (one, other) = tokio::join!(
                    store.charge(&request, &usage, 1),
                    store.charge(&request, &usage, 1)
                );
                operator.grant(&key, 1, "test", 0).await.unwrap().unwrap();
                let charged = [one.unwrap(), other.unwrap()];
                assert_eq!(charged.iter().flatten().collect::<Vec<_>>(), [&(index % 12).min(10)]);
                (index % 12).min(10)
            }));
        }
    }
    let mut sum = 0;
    for request in requests {
        sum += request.await.unwrap();
    }
    store.close_leases().await;
    let balances = store.balances().await.unwrap();
    let mut held_balances = balances.iter().filter(|(name, _)| name.starts_with("held:"));
    assert!(held_balances.all(|(_, balance)| *balance == 0), "{balances:?}");
    assert_eq!(
        balances.iter().find(|(name, _)| name == "revenue"),
        Some(&("revenue".to_owned(), sum))
    );
    let used: i64 = store.usage(None).await.unwrap().iter().map(|row| row.requests).sum();
    assert_eq!(used, 150);
    let charges = store.charges().await.unwrap();
    let charged: i64 = charges.iter().map(|charge| charge.credits).sum();
    assert_eq!((charges.len(), charged), (150, sum));
    assert!(operator.is_balanced().await.unwrap());
}

/// Holds 10 credits for each request.
async fn hold_for(store: &Store, key: &str, requests: &[&str]) {
    for request in requests {
        store.hold(key, request, 10, DAY, 0).await.unwrap().unwrap();
    }
}

/// Charges two requests in one transaction; returns the time of that transaction.
async fn charge_two(store: &Store, key: &str) -> tokio::time::Instant {
    hold_for(store, key, &["one", "other"]).await;
    let (one, other) = (usage(DAY, 1), usage(DAY, 2));
    let charges = tokio::join!(store.charge("one", &one, 1), store.charge("other", &other, 1));
    assert_eq!((charges.0.unwrap(), charges.1.unwrap()), (Some(1), Some(2)));
    store.leases.written_at(key)
}

pub(super) async fn writer_pauses_after_several_charges(location: DatabaseLocation) {
    let store = location.open().await;
    let commit_delay = store.leases.commit_delay;
    let key = create_key_with(&store, 1, 6_400).await;
    hold_for(&store, &key, &["next", "running", "also running"]).await;
    let written_at = charge_two(&store, &key).await;
    store.charge("next", &usage(DAY, 3), 1).await.unwrap().unwrap();
    assert!(store.leases.written_at(&key) - written_at >= commit_delay);
}

/// The writer would pause for 10 minutes if the charges of two of four requests did not end its
/// pause.
pub(super) async fn charges_of_half_of_the_requests_end_pause_of_writer(
    location: DatabaseLocation,
) {
    let mut store = location.open().await;
    Arc::get_mut(&mut store.leases).unwrap().commit_delay = Duration::from_mins(10);
    let key = create_key_with(&store, 1, 6_400).await;
    hold_for(&store, &key, &["a", "b", "c", "d"]).await;
    charge_two(&store, &key).await;
    let (first, second) = (usage(DAY, 3), usage(DAY, 4));
    let charges =
        async { tokio::join!(store.charge("a", &first, 1), store.charge("b", &second, 1)) };
    let charges = tokio::time::timeout(Duration::from_mins(1), charges).await.unwrap();
    assert_eq!((charges.0.unwrap(), charges.1.unwrap()), (Some(3), Some(4)));
}

pub(super) async fn pending_hold_ends_pause_of_writer(location: DatabaseLocation) {
    let mut store = location.open().await;
    Arc::get_mut(&mut store.leases).unwrap().commit_delay = Duration::from_mins(10);
    let key = create_key_with(&store, 1, 6_400).await;
    hold_for(&store, &key, &["running", "also running"]).await;
    charge_two(&store, &key).await;
    store.leases.return_reserves(&store.database).await;
    let hold = store.hold(&key, "pending", 1_000, DAY, 0);
    tokio::time::timeout(Duration::from_mins(1), hold).await.unwrap().unwrap().unwrap();
}

/// A transaction has the budgets of one day: that of a later day follows without another request.
pub(super) async fn concurrent_requests_of_several_days_are_granted(location: DatabaseLocation) {
    let store = location.open().await;
    let key = create_key_with(&store, 1, 100).await;
    for round in 0..3 {
        let hold =
            async |request: &str, day: &str| store.hold(&key, request, 10, day, 0).await.unwrap();
        let requests = ["earlier", "later", "latest"].map(|request| format!("{request} {round}"));
        let [earlier, later, latest] = &requests;
        let days = [DAY, "2026-11-22", "2026-11-23"];
        let granted =
            tokio::join!(hold(later, days[1]), hold(latest, days[2]), hold(earlier, days[0]));
        assert_eq!(granted, (Ok(()), Ok(()), Ok(())));
        for request in requests {
            store.charge(&request, &usage(DAY, 1), 1).await.unwrap();
        }
    }
    store.close_leases().await;
    assert_eq!(store.key(&key).await.unwrap().unwrap().balance, 91);
    assert!(store.is_balanced().await.unwrap());
}

/// The transaction fails after it has computed the charges, as if the response to its commit had
/// been lost.
pub(super) async fn failed_charge_can_be_retried_after_recovery(location: DatabaseLocation) {
    let store = location.open().await;
    let key = create_key_with(&store, 1, 100).await;
    hold_for(&store, &key, &["a", "b"]).await;
    let run = async |sql: &'static str| statement(sql).execute(&store.database).await.unwrap();
    run("ALTER TABLE posting RENAME TO elsewhere").await;
    let error = store.charge("a", &usage(DAY, 7), 1).await.unwrap_err();
    assert!(matches!(error, StoreError::ChargeFailed(_)), "{error}");
    let error = store.hold(&key, "c", 10, DAY, 0).await.unwrap_err();
    assert!(matches!(error, StoreError::HoldFailed(_)), "{error}");
    run("ALTER TABLE elsewhere RENAME TO posting").await;
    assert_eq!(store.key(&key).await.unwrap().unwrap().balance, 80, "both are held");
    assert_eq!(store.charge("a", &usage(DAY, 7), 1).await.unwrap(), Some(7));
    assert_eq!(store.charge("a", &usage(DAY, 7), 1).await.unwrap(), None);
    assert_eq!(store.release_holds(1, 1).await.unwrap(), 1);
    assert_eq!(store.key(&key).await.unwrap().unwrap().balance, 93);
    assert!(store.is_balanced().await.unwrap());
}

/// The transaction is committed, but the response to its commit is lost.
pub(super) async fn committed_charge_is_not_repeated(location: DatabaseLocation) {
    let store = location.open().await;
    let key = create_key_with(&store, 1, 100).await;
    hold_for(&store, &key, &["a", "b"]).await;
    store.leases.charge_without_response(&store.database, "a", &usage(DAY, 7), 1).await;
    // The retry reports what was charged, even if it would charge another price.
    let (first_usage, other_usage) = (usage(DAY, 6), usage(DAY, 4));
    let (one, other) =
        tokio::join!(store.charge("a", &first_usage, 2), store.charge("b", &other_usage, 2));
    assert_eq!((one.unwrap(), other.unwrap()), (Some(7), Some(4)));
    assert_eq!(store.charge("a", &usage(DAY, 7), 3).await.unwrap(), None);
    store.close_leases().await;
    assert_eq!(accounts(&store, &key).await, (89, 0));
    let charges = store.charges().await.unwrap();
    let charges: Vec<_> =
        charges.iter().map(|charge| (charge.request.as_str(), charge.credits)).collect();
    assert_eq!(charges, [("a", 7), ("b", 4)]);
    assert!(store.is_balanced().await.unwrap());
}

/// Otherwise, an answer that takes long would be free.
pub(super) async fn running_requests_are_not_abandoned(location: DatabaseLocation) {
    let store = location.open().await;
    let key = create_key_with(&store, 1, 100).await;
    for request in ["long", "retried", "given up"] {
        store.hold(&key, request, 10, DAY, 0).await.unwrap().unwrap();
    }
    let run = async |sql: &'static str| statement(sql).execute(&store.database).await.unwrap();
    run("ALTER TABLE posting RENAME TO elsewhere").await;
    for (request, now_ms) in [("retried", 9), ("given up", 5)] {
        store.charge(request, &usage(DAY, 7), now_ms).await.unwrap_err();
    }
    run("ALTER TABLE elsewhere RENAME TO posting").await;
    assert_eq!(store.release_abandoned(6, 10).await.unwrap(), 1);
    assert_eq!(store.key(&key).await.unwrap().unwrap().balance, 80);
    assert_eq!(store.charge("long", &usage(DAY, 7), 10).await.unwrap(), Some(7));
    assert_eq!(store.charge("retried", &usage(DAY, 7), 10).await.unwrap(), Some(7));
    assert_eq!(store.charge("given up", &usage(DAY, 7), 10).await.unwrap(), None);
    assert_eq!(store.key(&key).await.unwrap().unwrap().balance, 86);
    assert!(store.is_balanced().await.unwrap());
}

pub(super) async fn reserve_serves_further_requests_and_is_returned(location: DatabaseLocation) {
    let (store, other) = (location.open().await, location.open().await);
    let key = create_key_with(&store, 1, 64_100).await;
    store.hold(&key, "0", 100, DAY, 0).await.unwrap().unwrap();
    for request in 1..=4 {
        store.hold(&key, &request.to_string(), 100, DAY, 0).await.unwrap().unwrap();
    }
    // The grant, and one lease: the first request, and a reserve of 1/64 of the remaining 64 000
    // credits.
    assert_eq!(
        statement("SELECT COUNT(*) FROM transfer").number(&store.database).await.unwrap(),
        2
    );
    assert_eq!(accounts(&other, &key).await, (63_000, 1_100));
    let balance = async |store: &Store| store.key(&key).await.unwrap().unwrap().balance;
    assert_eq!((balance(&store).await, balance(&other).await), (63_600, 63_000));
    // Another process has the remaining credits, and no more.
    assert_eq!(
        other.hold(&key, "x", 63_001, DAY, 0).await.unwrap(),
        Err(HoldRefusal::Credits { balance: 63_000 })
    );
    other.hold(&key, "x", 63_000, DAY, 0).await.unwrap().unwrap();
    // The reserve cannot be refilled.
    for request in 5..=10 {
        store.hold(&key, &request.to_string(), 100, DAY, 0).await.unwrap().unwrap();
    }
    let refused = store.hold(&key, "11", 100, DAY, 0).await.unwrap();
    assert_eq!(refused, Err(HoldRefusal::Credits { balance: 0 }));
    assert_eq!(other.charge("x", &usage(DAY, 1), 0).await.unwrap(), Some(1));
    for request in 0..=10 {
        assert_eq!(store.charge(&request.to_string(), &usage(DAY, 7), 0).await.unwrap(), Some(7));
    }
    assert!(store.is_balanced().await.unwrap());
    // A reserve is refilled before it is used up, and returned after a second without requests.
    for request in 0..100 {
        let request = format!("quick {request}");
        store.hold(&key, &request, 100, DAY, 0).await.unwrap().unwrap();
        assert_eq!(store.charge(&request, &usage(DAY, 0), 0).await.unwrap(), Some(0));
    }
    store.hold(&key, "12", 100, DAY, 0).await.unwrap().unwrap();
    assert_eq!(store.charge("12", &usage(DAY, 2), 0).await.unwrap(), Some(2));
    let start = std::time::Instant::now();
    while accounts(&store, &key).await != (64_100 - 1 - 77 - 2, 0) {
        assert!(start.elapsed().as_secs() < 60, "{:?}", accounts(&store, &key).await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(store.is_balanced().await.unwrap());
}

/// A thousand requests of one key, 64 at a time, need a handful of leases.
pub(super) async fn busy_key_needs_few_leases(location: DatabaseLocation) {
    let store = location.open().await;
    let key = create_key_with(&store, 1, 10_000_000).await;
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                for request in 0..16 {
                    let request = format!("{caller}-{request}");
                    store.hold(&key, &request, 10, DAY, 0).await.unwrap().unwrap();
                    assert_eq!(store.charge(&request, &usage(DAY, 7), 0).await.unwrap(), Some(7));
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    // 7 168 credits are charged; each lease but the first refills at least half of a reserve of
    // 2 550.
    let leases = statement("SELECT COUNT(*) FROM transfer WHERE kind = 'hold'");
    let leases = leases.number(&store.database).await.unwrap();
    assert!(leases <= 12, "{leases} leases");
    store.close_leases().await;
    assert_eq!(accounts(&store, &key).await, (10_000_000 - 7_168, 0));
    assert!(store.is_balanced().await.unwrap());
}

pub(super) async fn killed_process_loses_no_credits(location: DatabaseLocation) {
    let (killed, store) = (location.open().await, location.open().await);
    let key = create_key_with(&store, 1, 10_000).await;
    killed.hold(&key, "lost", 10, DAY, 1_000).await.unwrap().unwrap();
    killed.hold(&key, "charged", 10, DAY, 1_000).await.unwrap().unwrap();
    assert_eq!(killed.charge("charged", &usage(DAY, 3), 1_000).await.unwrap(), Some(3));
    let (available, leased) = accounts(&store, &key).await;
    assert!(available + leased == 9_997 && leased >= 10, "{available} {leased}");
    // Like a killed process, a dropped store neither charges nor returns anything.
    drop(killed);
    assert_eq!(store.release_holds(1_000, 2_000).await.unwrap(), 0, "its lease is not old enough");
    assert_eq!(store.release_holds(i64::MAX, 2_000).await.unwrap(), 1);
    assert_eq!(accounts(&store, &key).await, (9_997, 0));
    assert!(store.is_balanced().await.unwrap());
}

/// The future of a hold is dropped at each of its stages.
pub(super) async fn cancelled_caller_holds_no_credits(location: DatabaseLocation) {
    let store = location.open().await;
    let key = create_key_with(&store, 1, 100).await;
    for millis in 0..20 {
        let request = millis.to_string();
        let hold = store.hold(&key, &request, 100, DAY, 0);
        let hold_outcome =
            tokio::time::timeout(std::time::Duration::from_micros(millis * 200), hold).await;
        if hold_outcome.is_ok() {
            assert_eq!(store.charge(&request, &usage(DAY, 0), 0).await.unwrap(), Some(0));
        }
        // Nobody holds the credits, so that the next request gets them.
        let next = format!("after {millis}");
        store.hold(&key, &next, 100, DAY, 0).await.unwrap().unwrap();
        assert_eq!(store.charge(&next, &usage(DAY, 0), 0).await.unwrap(), Some(0));
    }
    assert!(store.is_balanced().await.unwrap());
}

/// Random operations of three processes, some of which are killed, on one key.
pub(super) async fn random_operations_never_overdraw(location: DatabaseLocation) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for case in 0..6_u8 {
        let mut stores = [location.open().await, location.open().await, location.open().await];
        let mut granted = random.random_range(0..20_000);
        let key = create_key_with(&stores[0], case, granted).await;
        let mut charged = 0;
        // Running requests, by process.
        let mut running: [Vec<(String, i64)>; 3] = Default::default();
        for step in 0..60 {
            let process = random.random_range(0..3);
            let request = format!("{case}-{step}");
            match random.random_range(0..10) {
                0..5 => {
                    let amount = random.random_range(0..200);
                    let held_credits: i64 =
                        running.iter().flatten().map(|(_, amount)| amount).sum();
                    let mut result =
                        stores[process].hold(&key, &request, amount, DAY, 1).await.unwrap();
                    if result.is_err() {
                        // Once no process has a reserve, a refusal is exact.
                        for store in &stores {
                            store.leases.return_reserves(&store.database).await;
                        }
                        let balance = granted - charged - held_credits;
                        result =
                            stores[process].hold(&key, &request, amount, DAY, 1).await.unwrap();
                        let expected = if balance < amount {
                            Err(HoldRefusal::Credits { balance })
                        } else {
                            Ok(())
                        };
                        assert_eq!(result, expected);
                    }
                    if result.is_ok() {
                        assert!(
                            held_credits + amount <= granted - charged,
                            "{held_credits} + {amount} of {}",
                            granted - charged
                        );
                        running[process].push((request, amount));
                    }
                }
                5..8 if !running[process].is_empty() => {
                    let index = random.random_range(0..running[process].len());
                    let (request, amount) = running[process].swap_remove(index);
                    let charge = random.random_range(0..250);
                    let charged_amount =
                        stores[process].charge(&request, &usage(DAY, charge), 1).await.unwrap();
                    assert_eq!(charged_amount, Some(charge.min(amount)));
                    charged += charge.min(amount);
                }
                8 => {
                    let amount = random.random_range(-500..500);
                    if stores[process].grant(&key, amount, "test", 1).await.unwrap().is_some() {
                        granted += amount;
                    }
                }
                9 if random.random_range(0..4) == 0 => {
                    // Killed, and released by another process.
                    let killed = Arc::downgrade(&stores[process].leases);
                    stores[process] = location.open().await;
                    // A transaction in the background ends first.
                    while killed.strong_count() > 0 {
                        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    }
                    let released = running[process].drain(..).len();
                    release_dead(&stores).await;
                    println!("{released} requests killed");
                }
                _ => {}
            }
            assert!(stores[process].is_balanced().await.unwrap());
        }
        let held_credits: i64 = running.iter().flatten().map(|(_, amount)| amount).sum();
        for store in &stores {
            store.close_leases().await;
        }
        // The last statement of a killed process may reach the server after its release. Processes
        // release repeatedly.
        let releases = async {
            while accounts(&stores[0], &key).await
                != (granted - charged - held_credits, held_credits)
            {
                release_dead(&stores).await;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(std::time::Duration::from_mins(1), releases).await;
        assert_eq!(
            accounts(&stores[0], &key).await,
            (granted - charged - held_credits, held_credits)
        );
        let used: i64 =
            stores[0].usage(Some(&key)).await.unwrap().iter().map(|row| row.charged).sum();
        assert_eq!(used, charged);
        assert!(stores[0].is_balanced().await.unwrap());
    }
}

/// Releases the leases of all processes but these, as if they had not been renewed. Changes no row
/// of these processes, which may write their leases at the same time.
async fn release_dead(alive: &[Store]) {
    let store = &alive[0];
    for id in
        statement("SELECT request_id FROM hold").values::<String>(&store.database).await.unwrap()
    {
        if !alive.iter().any(|store| store.leases.is_own_lease(&id)) {
            let age = statement("UPDATE hold SET created_ms = -1 WHERE request_id = $1");
            age.bind(&id).execute(&store.database).await.unwrap();
        }
    }
    store.release_holds(0, 1).await.unwrap();
}
