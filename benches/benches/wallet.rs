//! How many messages a second one core signs and verifies, one by one and in batches.
//!
//! `cargo bench -p taonet-benches --bench wallet` prints the rates; with `-- --json` as one document, which
//! `wallet/compare` reads.
#![allow(clippy::print_stdout, reason = "printing the figures is what a benchmark is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;
use taonet_wallet::{Keypair, verify, verify_batch};

/// As long as what a request between neurons signs.
const MESSAGE: [u8; 128] = [b'm'; 128];
/// Signatures in a batch: as many validators may call a miner.
const BATCH: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
