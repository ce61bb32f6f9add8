//! Helpers of the tests of several crates.
//!
//! - [`skip`] reports that a test is skipped: loudly, and as a failure in CI.
//! - [`peer_directory`] finds another implementation, a peer, that `scripts/peers` has installed;
//!   [`suite_directory`] a part of a repository that `scripts/suites` has fetched.
//! - [`query_program`] passes a JSON document to a program, such as a script that runs in a peer,
//!   and returns its response.
//! - [`is_exhaustive`] returns whether tests try everything in place of a sample.
//! - [`CapturedLog`] holds what the current thread logs.
//!
//! ```no_run
//! let Some(directory) = taonet_testing::peer_directory("whisper") else { return };
//! let python = directory.join("bin/python");
//! # let _ = python;
//! let (log, _capture) = taonet_testing::CapturedLog::start();
//! tracing::info!("refused");
//! assert!(log.text().contains("refused"));
//! ```
//!
//! Functions panic on errors, because only tests call them. No product code depends on the crate,
//! and helpers of one crate's tests stay in that crate.
//!
//! Uses no other crate of the workspace. Used by the tests of `taonet-chain`, `taonet-pow`,
//! `taonet-speech`, `taonet-voice`, `taonet-validator`, `taonet-whisper`, `taonet-babelbit-runner`,
//! `taonet-nineteen-miner`, `taonet-nineteen-control`, `taonet-nineteen-entry`,
//! `taonet-proof-backends`, `taonet-proof-circuits` and `taonet-proof-lm`, and by the end-to-end
//! tests.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "tests fail by panicking"
)]

mod captured_log;
mod peers;

use std::io::Write as _;

pub use captured_log::CapturedLog;
pub use peers::{peer_directory, query_program, suite_directory};

/// Returns whether `./test --all` runs, in which tests that otherwise try a sample try everything.
pub fn is_exhaustive() -> bool {
    std::env::var_os("TAONET_TEST_ALL").is_some()
}

/// Prints why a test is skipped to standard error; with `CI` set, panics. `./test` lists messages
/// that begin with `SKIPPED` or `NOT TESTED`.
pub fn skip(message: &str) {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    assert!(!is_ci, "{message}");
    print_skipped(message);
}

/// Prints why a test is skipped to standard error, as [`skip`] does; never panics.
fn print_skipped(message: &str) {
    // Bypasses the test harness, which captures the output of passing tests.
    let _ = writeln!(std::io::stderr(), "{message}");
}
