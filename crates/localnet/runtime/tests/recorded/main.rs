//! Compares the runtime with the recorded metadata of the real chain: names, layouts, encodings.
//!
//! The comparison is also `docs/localnet-coverage.md`: `TAONET_UPDATE_DOCS=1 cargo test -p
//! taonet-localnet-runtime --test recorded` updates it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail like the tests themselves"
)]

mod bad_input;
mod btcli;
mod corpus;
mod coverage;
mod dispatch;
mod explanations;
mod forks;
mod golden;
mod items;
mod notation;
mod runtime_apis;
mod structure;
mod texts;
mod tiers;
mod values;
mod vectors;
mod version;
mod weights;
