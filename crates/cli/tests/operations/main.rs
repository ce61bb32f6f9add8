//! Checks the deployment files against the program: env.example, compose.yml, systemd units,
//! packages, Prometheus, Grafana, and those of one's own subnet.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod compose;
mod env_example;
mod monitoring;
mod own_subnet;
mod packaging;
mod units;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns whether a program is installed; prints a notice if its checks are skipped.
fn is_installed(program: &str) -> bool {
    let is_installed =
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_installed {
        eprintln!("{program} is not installed: its checks are skipped");
    }
    is_installed
}

/// Runs an external checker.
#[track_caller]
fn check(command: &mut Command) {
    let output = command.output().unwrap();
    let message = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {message}");
}
