//! Runs the simulation as its command does: each simulation needs its own process.
#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::process::{Command, Output};

/// Runs `simulate`.
fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().unwrap()
}

/// Simulates a seed twice, and compares the events one by one. There must be more than `minimum`.
#[track_caller]
fn assert_repeats(seed: &str, minimum: usize) {
    let events = || String::from_utf8(simulate(&[seed, "--verbose"]).stderr).unwrap();
    let (first, second) = (events(), events());
    for (first, second) in first.lines().zip(second.lines()) {
        assert_eq!(first, second);
    }
    assert_eq!(first, second, "the logs have different lengths");
    let events = first.lines().count();
    assert!(events > minimum, "only {events} events");
}

/// `./test` selects these tests by the name of the module.
mod simulated_seeds {
    use super::{assert_repeats, simulate};

    #[test]
    fn fifty_seeds_violate_no_invariant() {
        let output = simulate(&["--count", "50"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// With this seed, threads in repeated timed waits starved the thread that they waited for.
    #[test]
    fn process_with_repeated_timed_waits_terminates() {
        let output = simulate(&["84"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    #[test]
    fn repeated_seed_has_the_same_events() {
        assert_repeats("7", 1_000);
    }

    #[test]
    fn repeated_seed_of_nineteen_has_the_same_events() {
        assert_repeats("6", 900);
    }
}
