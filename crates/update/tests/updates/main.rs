//! Tests of updates from local servers, with their own keys and releases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod auto;
mod daemons;
mod install_script;
mod installation;
#[cfg(target_os = "linux")]
mod real_program;
mod release_script;
mod releases;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns a path in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Returns whether a tool is installed; panics if it is missing in CI.
fn has(tool: &str) -> bool {
    let actual = Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .output()
        .unwrap()
        .status
        .success();
    assert!(actual || std::env::var_os("CI").is_none(), "{tool} is not installed");
    if !actual {
        eprintln!("{tool} is not installed: its checks are skipped");
    }
    actual
}
