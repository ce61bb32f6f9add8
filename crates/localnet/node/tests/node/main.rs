//! The node from the view of its clients, and after a kill.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test helper panics as a test does")]

mod blocks;
mod crash;
mod extrinsics;
mod flood;
mod fuzz;
mod idle;
mod lifecycle;
mod process;
mod state;
mod support;
mod watch;
mod with_subxt;
