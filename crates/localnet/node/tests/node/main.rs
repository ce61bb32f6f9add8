//! Tests of the node through its RPC API, and after `kill -9`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test helper panics as a test does"
)]

mod blocks;
mod crash;
mod dry_run;
mod extrinsics;
mod flood;
mod follow;
mod fork;
mod fuzz;
mod idle;
mod impersonate;
mod lifecycle;
mod process;
mod pulses;
mod set_storage;
mod snapshots;
mod state;
mod support;
mod time;
mod watch;
mod with_subxt;
