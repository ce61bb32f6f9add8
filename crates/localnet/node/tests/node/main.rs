//! A node as its clients see it, and as it is after its process was killed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test helper panics as a test does")]

mod blocks;
mod crash;
mod extrinsics;
mod flood;
mod fuzz;
mod lifecycle;
mod process;
mod state;
mod support;
mod watch;
mod with_subxt;
