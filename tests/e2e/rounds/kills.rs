//! The loop is killed many times at random; its final files must equal those of an undisturbed run,
//! with one row per miner and utterance.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_runner::{ChallengeState, Ledger, RoundEnd};

use super::{Network, PROFILES, RoundLoop};
use crate::support::{RunFiles, kill_count};

/// Runs a loop until its main and solo rounds are complete, or kills it after a delay; returns
/// whether it completed.
fn play(
    network: &Network,
    engine: &str,
    directory: &std::path::Path,
    kill_after: Option<Duration>,
) -> bool {
    let mut runner = network.loop_command(engine, directory);
    runner.env("BB_RUNNER_ON_STARTUP", "1");
    let mut round_loop = RoundLoop::start(runner);
    let id = round_loop.child.id();
    // Reading blocks, so another thread kills the process.
    let (done_sender, done_receiver) = std::sync::mpsc::channel::<()>();
    let killer = std::thread::spawn(move || {
        let Some(kill_time) = kill_after else { return false };
        let is_in_time = done_receiver.recv_timeout(kill_time).is_ok();
        if !is_in_time {
            // The process has not been reaped yet, so its pid is valid.
            let command = format!("kill -KILL {id}");
            assert!(
                std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success()
            );
        }
        !is_in_time
    });
    let mut solo = None;
    while solo.is_none() {
        let Some(report) = round_loop.next_report() else { break };
        assert!(matches!(report["outcome"].as_str(), Some("played" | "already_done")), "{report}");
        solo = (report["contest"] == "solo").then_some(report);
    }
    let _ = done_sender.send(());
    if killer.join().unwrap() {
        round_loop.child.wait().unwrap();
        return false;
    }
    let solo: Value = solo.expect("a runner that is not killed comes to its end");
    assert_eq!(solo["main_challenge_uid"], "ferry");
    assert_eq!(round_loop.terminate().0.code(), Some(0));
    true
}

/// Checks that the ledger has both challenges completed, with one row per miner and utterance.
async fn check_ledger(directory: &std::path::Path) {
    let ledger = Ledger::read(&directory.join("state")).await.unwrap();
    for (uid, kind, main) in
        [("ferry", ChallengeType::Main, None), ("pier", ChallengeType::Solo, Some("ferry"))]
    {
        let challenge = ledger.find(uid, kind).await.unwrap().unwrap();
        assert_eq!(
            (challenge.state, challenge.main_challenge_uid.as_deref()),
            (ChallengeState::Finished, main)
        );
        let rows = ledger.results(&challenge).await.unwrap();
        assert_eq!(rows.len(), PROFILES.len() * challenge.utterances.len());
        assert!(rows.iter().all(|row| row.score.is_some() || row.outcome.is_err()));
        assert_eq!(ledger.finished_miners(&challenge).await.unwrap().len(), PROFILES.len());
        let round = ledger.last_round(kind).await.unwrap().unwrap();
        assert_eq!((round.end, round.challenge_uid.as_deref()), (RoundEnd::Played, Some(uid)));
    }
}

#[test]
fn killed_loops_produce_same_files_as_uninterrupted_run() {
    let seed = std::env::var("TAONET_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("TAONET_TEST_SEED={seed} repeats these kill times");
    let mut random = StdRng::seed_from_u64(seed);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let network = Network::start();

    let reference = network.path("reference");
    let start = Instant::now();
    assert!(play(&network, network.engine().url(), &reference, None));
    let mut duration = start.elapsed();
    runtime.block_on(check_ledger(&reference));
    let reference = RunFiles::read(&reference);

    // Each directory goes through kills until a loop completes; all results are equal.
    let (mut kills, mut directories) = (0, 0);
    while kills < kill_count() {
        let directory = network.path(&format!("killed-{directories}"));
        directories += 1;
        // An engine allows 30 authentications per minute, fewer than the restarts in this test.
        let engine = network.engine();
        let mut kill_times = Vec::new();
        loop {
            let kill_time =
                (kills < kill_count()).then(|| duration.mul_f64(random.random_range(0.0..1.0)));
            let start = Instant::now();
            if play(&network, engine.url(), &directory, kill_time) {
                if kill_times.is_empty() {
                    // The first run can have shared the machine with other tests.
                    duration = duration.min(start.elapsed());
                }
                break;
            }
            kill_times.extend(kill_time);
            kills += 1;
        }
        runtime.block_on(check_ledger(&directory));
        RunFiles::read(&directory).assert_equal(&reference, &kill_times);
    }
    println!(
        "{kills} kills in {directories} directories; an undisturbed main and solo round take {duration:?}"
    );
}
