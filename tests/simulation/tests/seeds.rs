//! Runs the simulation as its command does: each simulation needs a process of its own.
#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::process::Command;

/// Runs `simulate` and returns whether it succeeded, and its output.
fn simulate(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn fifty_seeds_violate_no_invariant() {
    let (has_passed, output) = simulate(&["--count", "50"]);
    assert!(has_passed, "{output}");
}

#[test]
fn seed_repeats_exactly() {
    let first = simulate(&["7", "--no-shrink"]);
    assert!(first.1.contains("trace "), "{}", first.1);
    assert_eq!(simulate(&["7", "--no-shrink"]), first);
    assert_ne!(simulate(&["8", "--no-shrink"]).1, first.1);
}
