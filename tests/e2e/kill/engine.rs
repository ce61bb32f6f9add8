//! Engines are killed while runners play: the next run asks for what is missing.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::{Network, engine, random_seed, results};
use crate::support::{Daemon, RunFiles, document, local_bb, repository, stderr};

const KILLS: u32 = 50;
/// Challenges that are played at the same time, each with an engine of its own: runners wait before they try again.
const LANES: u64 = 5;

/// The engine of [`engine`], where it was before.
fn engine_at(address: &str) -> Daemon {
    Daemon::start_at(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")), address)
}

/// Starts a runner, and sees when it has fetched the challenge; after that it needs no engine.
fn run_watched(mut runner: Command, directory: &Path) -> (Output, Duration) {
    let began = Instant::now();
    let mut child = runner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !directory.join("logs").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let fetched = began.elapsed();
    (child.wait_with_output().unwrap(), fetched)
}

#[test]
fn fifty_kills_of_engines_lose_and_repeat_nothing() {
    let seed = random_seed();
    let network = Network::start();
    let reference = network.directory("reference");
    let (output, fetched) = run_watched(network.runner(&engine(), &reference), &reference);
    let undisturbed = document(&output);
    let reference = RunFiles::read(&reference);
    let kills = AtomicU32::new(0);
    let partial = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (network, reference, undisturbed) = (&network, &reference, &undisturbed);
            let (kills, partial) = (&kills, &partial);
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(seed.wrapping_add(lane));
                let mut round = 0;
                while kills.load(Ordering::Relaxed) < KILLS {
                    let directory = network.directory(&format!("lane-{lane}-{round}"));
                    round += 1;
                    let cache = network.directory(&format!("lane-{lane}-cache"));
                    let report = play(network, [&directory, &cache], &mut random, fetched, kills, partial);
                    assert_eq!(results(&report), results(undisturbed));
                    RunFiles::read(&directory).assert_equal(reference, &directory);
                }
            });
        }
    });
    println!(
        "{kills:?} kills, {partial:?} runs with a part of the challenge; fetching takes {fetched:?} from the start"
    );
}

/// Plays one challenge to its end; the engine is killed once in every run.
fn play(
    network: &Network,
    [directory, cache]: [&Path; 2],
    random: &mut StdRng,
    fetched: Duration,
    kills: &AtomicU32,
    partial: &AtomicU32,
) -> Value {
    let mut engine = super::engine();
    let address = engine.url().trim_start_matches("http://").to_owned();
    loop {
        let mut runner = network.runner(&engine, directory);
        // What was recognised once costs nothing any more.
        runner.env("BABELBIT_CACHE_DIR", cache);
        let child = runner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if kills.fetch_add(1, Ordering::Relaxed) < KILLS {
            std::thread::sleep(fetched.mul_f64(random.random_range(0.0..1.2)));
            drop(engine);
            std::thread::sleep(Duration::from_millis(random.random_range(0..100)));
            engine = engine_at(&address);
        }
        let output = child.wait_with_output().unwrap();
        let text = stderr(&output);
        assert!(!text.contains("panicked"), "{text}");
        match output.status.code() {
            Some(0) => return document(&output),
            // What there is of the challenge is played and written all the same.
            Some(1) => {
                let report: Value =
                    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
                assert_eq!(report["outcome"], "partial", "{report}");
                assert!(fs::exists(directory.join("scores")).unwrap());
                partial.fetch_add(1, Ordering::Relaxed);
            }
            Some(3) => {}
            code => panic!("{code:?}: {text}"),
        }
    }
}
