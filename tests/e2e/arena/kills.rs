//! The gateway is killed at random times while miners submit: no acknowledged submission is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use taonet_babelbit_arena::gateway::submit;
use taonet_babelbit_core::arena_api::Submission;
use taonet_wallet::Keypair;

use super::{gateway, key, miners};
use crate::support::{Daemon, free_address, kill_count};

const MINERS: u16 = 12;

/// The last acknowledged submission of each miner.
type Acknowledged = Arc<Mutex<BTreeMap<String, u64>>>;

/// Submits for the miners in turn, each time with a new address, until stopped.
fn submit_until_stopped(
    url: &str,
    acknowledged: &Acknowledged,
    count: &AtomicU64,
    stop: &AtomicBool,
) {
    let gateway = url.parse().unwrap();
    let receiver = Some(Keypair::from_uri("//gateway").unwrap().hotkey());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for number in 1.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let uid = (number % u64::from(MINERS)) as u16;
        let submission = Submission { endpoint_url: format!("127.0.0.1:9/{number}"), uid };
        match runtime.block_on(submit(&gateway, receiver, &key(uid), &submission)) {
            Ok(answer) => {
                acknowledged.lock().unwrap().insert(answer.hotkey, number);
                count.fetch_add(1, Ordering::SeqCst);
            }
            // At its first start the gateway rejects requests signed before; there is also a rate
            // limit per address.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(if count.load(Ordering::SeqCst) == 0 {
                    100
                } else {
                    5
                }));
            }
        }
    }
}

/// Returns the stored submission of each miner.
fn stored_submissions(path: &std::path::Path) -> BTreeMap<String, u64> {
    let Ok(bytes) = std::fs::read(path) else { return BTreeMap::new() };
    let saved_submission: Value = serde_json::from_slice(&bytes).unwrap();
    let number = |entry: &Value| {
        entry["endpoint_url"].as_str().unwrap().rsplit('/').next().unwrap().parse().unwrap()
    };
    saved_submission["submissions"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(hotkey, entry)| (hotkey.clone(), number(entry)))
        .collect()
}

#[test]
fn kills_lose_no_submission() {
    let seed = std::env::var("TAONET_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("TAONET_TEST_SEED={seed} repeats these kill times");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let start = || Daemon::start_at(gateway(folder.path()).args(["--slots", "100"]), &address);
    let (acknowledged, count) = (Acknowledged::default(), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let url = format!("http://{address}");
    let submitter = {
        let (url, acknowledged) = (url.clone(), Arc::clone(&acknowledged));
        let (count, stop) = (Arc::clone(&count), Arc::clone(&stop));
        std::thread::spawn(move || submit_until_stopped(&url, &acknowledged, &count, &stop))
    };
    let first = start();
    let started = Instant::now();
    while acknowledged.lock().unwrap().is_empty() {
        assert!(started.elapsed() < Duration::from_mins(2), "no submission is taken");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(first);
    let state = folder.path().join("arena.json");
    // On a busy machine there are few submissions between two kills.
    let mut kill = 0;
    while kill < kill_count() || count.load(Ordering::SeqCst) <= u64::from(kill_count()) {
        assert!(kill < 20 * kill_count(), "{count:?} submissions acknowledged");
        let running_gateway = start();
        std::thread::sleep(Duration::from_millis(random.random_range(0..200)));
        // Dropping a daemon kills it.
        drop(running_gateway);
        let acknowledged_before = acknowledged.lock().unwrap().clone();
        let stored = stored_submissions(&state);
        for (hotkey, number) in acknowledged_before {
            assert!(
                stored.get(&hotkey).is_some_and(|stored| *stored >= number),
                "kill {kill}: {number} of {hotkey}: {stored:?}"
            );
        }
        kill += 1;
    }
    stop.store(true, Ordering::SeqCst);
    submitter.join().unwrap();
    println!("{kill} kills, {count:?} submissions acknowledged");
    let last = start();
    let uids: Vec<u16> = (0..MINERS).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listed_miners = runtime.block_on(miners(last.url(), &uids));
    assert_eq!(
        listed_miners.len(),
        acknowledged.lock().unwrap().len().max(stored_submissions(&state).len())
    );
    assert_eq!(last.terminate().code(), Some(0));
}
