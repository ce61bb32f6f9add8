//! Runs the simulation as its command does: each simulation needs a process of its own.
#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::process::Command;

/// Runs `simulate` and returns whether it succeeded, and its output.
fn simulate(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_simulate")).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn sixteen_seeds_violate_no_invariant() {
    let (has_passed, output) = simulate(&["--count", "16"]);
    assert!(has_passed, "{output}");
}
