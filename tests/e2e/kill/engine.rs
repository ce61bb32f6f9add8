//! Engines are killed while runners fetch: the next run requests the missing parts.

use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use super::{Network, random_seed, results};
use crate::support::{
    Daemon, RunFiles, document, free_address, kill_count, local_bb, repository, stderr,
};

/// Number of concurrent challenges, each with its own engine, since runners pause before retries.
const RUNNERS: u64 = 3;

/// Starts an engine that logs every request.
fn engine(listen: &str) -> Daemon {
    Daemon::start_at(
        local_bb().args(["engine", "-vv"]).arg(repository("tests/e2e/data/ferry.json")),
        listen,
    )
}

/// Number of lines that an engine has logged of requests. Its check of the clock logs, too.
fn request_count(engine: &Daemon) -> usize {
    let log = engine.log();
    log.lines()
        .filter(|line| !line.contains("taonet_chain") && !line.contains("pre-flight"))
        .count()
}

/// Starts a runner, waits for its first engine request, and runs a callback.
fn run(
    mut runner: Command,
    engine: Daemon,
    meanwhile: impl FnOnce(Daemon) -> Daemon,
) -> (Output, Daemon) {
    let before = request_count(&engine);
    let mut child = runner.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while request_count(&engine) == before && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let engine = meanwhile(engine);
    (child.wait_with_output().unwrap(), engine)
}

/// Outcomes by kill time.
#[derive(Debug, Default)]
struct Tally {
    kills: Vec<Duration>,
    finished: usize,
    partial: usize,
    unreachable: usize,
}

#[test]
fn killed_engines_change_no_results() {
    let seed = random_seed();
    // The other profiles would only take longer.
    let network = Network::of(&["parrot"], false);
    let reference = network.directory("reference");
    let mut fetching = Duration::ZERO;
    let first = engine("127.0.0.1:0");
    let (output, _first) = run(network.runner(&first, &reference), first, |engine| {
        let start = Instant::now();
        // Its first files are the fetched utterances.
        while !reference.join("logs").exists() {
            assert!(start.elapsed() < Duration::from_mins(1), "nothing was fetched");
            std::thread::sleep(Duration::from_millis(1));
        }
        fetching = start.elapsed();
        engine
    });
    let undisturbed = document(&output);
    let reference = RunFiles::read(&reference).without_reference_sources();
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for runner_index in 0..RUNNERS {
            let (network, tally, reference, undisturbed) =
                (&network, &tally, &reference, &undisturbed);
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(seed.wrapping_add(runner_index));
                for round in 0.. {
                    // With fewer kills, none of them might interrupt a run.
                    let kill_count = kill_count().max(12) as usize;
                    if tally.lock().unwrap().kills.len() >= kill_count {
                        return;
                    }
                    let directory = network.directory(&format!("lane-{runner_index}-{round}"));
                    // A miner closes a session when the same validator opens another one for the
                    // same utterance.
                    let key = format!("//lane//{runner_index}");
                    let runner = |engine: &Daemon| network.runner_of(&key, engine, &directory);
                    let report = play(runner, &mut random, fetching, tally);
                    assert_eq!(results(&report), results(undisturbed));
                    RunFiles::read(&directory)
                        .without_reference_sources()
                        .assert_equal(reference, &directory);
                }
            });
        }
    });
    let Tally { kills, finished, partial, unreachable } = tally.into_inner().unwrap();
    println!(
        "{} kills, {finished} runs finished, {partial} had a part, {unreachable} nothing",
        kills.len()
    );
    assert!(partial + unreachable > 0, "no kill came in time: {fetching:?}, {kills:?}");
}

/// Plays one challenge to completion; the engine is killed once in every run.
fn play(
    runner: impl Fn(&Daemon) -> Command,
    random: &mut StdRng,
    fetching: Duration,
    tally: &Mutex<Tally>,
) -> Value {
    let address = free_address();
    let mut server = engine(&address);
    loop {
        // Concurrent runners are slower than a single one.
        let kill_time = fetching.mul_f64(random.random_range(0.0..2.0));
        let (output, next) = run(runner(&server), server, |server| {
            std::thread::sleep(kill_time);
            drop(server);
            std::thread::sleep(Duration::from_millis(random.random_range(0..100)));
            engine(&address)
        });
        server = next;
        let text = stderr(&output);
        assert!(!text.contains("panicked"), "{text}");
        let mut tally = tally.lock().unwrap();
        tally.kills.push(kill_time);
        match output.status.code() {
            Some(0) => {
                tally.finished += 1;
                return document(&output);
            }
            // The available part of the challenge is still played and written.
            Some(1) => {
                tally.partial += 1;
                let report: Value = serde_json::from_slice(&output.stdout)
                    .unwrap_or_else(|error| panic!("{error}: {text}"));
                assert_eq!(report["outcome"], "partial", "{report}");
            }
            Some(3) => tally.unreachable += 1,
            code => panic!("{code:?}: {text}"),
        }
    }
}
