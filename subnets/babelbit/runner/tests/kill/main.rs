//! Kills a runner's process at random moments of a main and an arena round with submissions to a
//! scoring API, and restarts it until it finishes. No utterance may be lost, no utterance in the
//! ledger may be played again, every file must be complete, and the scoring API must have each
//! result of the ledger exactly once.
//!
//! The process is this test itself, restarted with a directory in its environment.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test"
)]

mod child;
mod outcome;
mod services;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_runner::Ledger;
use taonet_primitives::{Hotkey, Uid};
use taonet_testing::is_exhaustive;

use services::{ScoringServer, Services};

const CHALLENGE: &str = "kill";
/// Number of miners; the last one refuses every session.
const MINERS: u8 = 4;
const UTTERANCES: u32 = 4;
/// Number of consecutive failures after which the arena drops a miner.
const ARENA_DROPS_AFTER: u32 = 2;
const CONTESTS: [ChallengeType; 2] = [ChallengeType::Main, ChallengeType::Arena];

fn key(uid: u8) -> MinerKey {
    MinerKey { uid: Uid(uid.into()), hotkey: Hotkey::from_bytes([uid; 32]) }
}

/// Kills the process 50 times with `TAONET_TEST_ALL`, otherwise 8 times.
#[test]
fn killed_runner_loses_and_repeats_nothing() {
    let kill_count = if is_exhaustive() { 50 } else { 8 };
    let seed = std::env::var("TAONET_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("TAONET_TEST_SEED={seed} repeats these kill times");
    let mut random = StdRng::seed_from_u64(seed);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let services = runtime.block_on(Services::start());

    let complete = tempfile::tempdir().unwrap();
    let scoring = runtime.block_on(ScoringServer::start(complete.path()));
    let start = Instant::now();
    assert!(child::run(complete.path(), &services, &scoring, None));
    let mut duration = start.elapsed();
    runtime.block_on(outcome::check(complete.path(), &scoring));

    // Kill the processes of each directory until one of them finishes.
    let (mut kills, mut directories) = (0, 0);
    while kills < kill_count {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let scoring = runtime.block_on(ScoringServer::start(directory));
        let mut kill_times = Vec::new();
        loop {
            let stored_rows = runtime.block_on(ledger_rows(directory));
            let session_count = opened_sessions(directory).len();
            let kill_after =
                (kills < kill_count).then(|| duration.mul_f64(random.random_range(0.0..1.0)));
            let start = Instant::now();
            let has_ended = child::run(directory, &services, &scoring, kill_after);
            let new_sessions = opened_sessions(directory).split_off(session_count);
            let repeated: Vec<_> =
                new_sessions.iter().filter(|row| stored_rows.contains(*row)).collect();
            assert!(repeated.is_empty(), "kills at {kill_times:?}: {repeated:?} were played again");
            if has_ended {
                if kill_times.is_empty() {
                    // The first duration may be too long: other tests may have slowed down the
                    // process.
                    duration = duration.min(start.elapsed());
                }
                break;
            }
            kill_times.extend(kill_after);
            kills += 1;
        }
        directories += 1;
        println!("{} kills at {kill_times:?}", kill_times.len());
        runtime.block_on(outcome::check(directory, &scoring));
    }
    println!("{kills} kills in {directories} directories; an undisturbed round takes {duration:?}");
}

/// Returns contest, miner and utterance of every row of a killed process.
async fn ledger_rows(directory: &Path) -> BTreeSet<String> {
    let ledger = Ledger::open(&directory.join("state")).await.unwrap();
    let mut session_keys = BTreeSet::new();
    for contest in CONTESTS {
        let Some(challenge) = ledger.find(CHALLENGE, contest).await.unwrap() else { continue };
        let rows = ledger.results(&challenge).await.unwrap();
        session_keys.extend(
            rows.iter().map(|row| session_key(contest, row.miner.uid, row.utterance_index)),
        );
    }
    session_keys
}

/// Formats the record of an opened session.
fn session_key(contest: ChallengeType, miner: Uid, utterance: u32) -> String {
    format!("{contest} {miner} {CHALLENGE}:{utterance}")
}

/// Returns contest, miner and utterance of every opened session.
fn opened_sessions(directory: &Path) -> Vec<String> {
    let log = fs::read_to_string(directory.join("opened")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

/// Entry point of the child process. Run as a test by itself, it does nothing.
#[test]
fn runner_process_entry() {
    child::play();
}

/// Maximum duration of any step.
const MAX_STEP_DURATION: Duration = Duration::from_mins(2);
