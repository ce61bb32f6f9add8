//! Runs the simulation as its command does: each simulation needs its own process.
#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::process::{Command, Output};

use taonet_testing::is_exhaustive;

/// Runs `simulate`.
fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().unwrap()
}

/// Simulates 50 seeds with `TAONET_TEST_ALL`, otherwise 20.
#[test]
fn seeds_violate_no_invariant() {
    let output = simulate(&["--count", if is_exhaustive() { "50" } else { "20" }]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Simulates a seed twice, and compares the events one by one. There must be more than `least`.
#[track_caller]
fn assert_reproducible(seed: &str, least: usize) {
    let events = || String::from_utf8(simulate(&[seed, "--verbose"]).stderr).unwrap();
    let (first, second) = (events(), events());
    for (first, second) in first.lines().zip(second.lines()) {
        assert_eq!(first, second);
    }
    assert_eq!(first, second, "the logs have different lengths");
    let events = first.lines().count();
    assert!(events > least, "only {events} events");
}

#[test]
fn repeated_seed_has_the_same_events() {
    assert_reproducible("7", 1_000);
}

#[test]
fn repeated_seed_of_nineteen_has_the_same_events() {
    assert_reproducible("6", 900);
}
