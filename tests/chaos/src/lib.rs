//! Fault injection and load for a network of real processes. The chain's blocks show whether a run
//! has passed.
//!
//! The network is that of the demonstration, with each daemon in its own process: a
//! development chain and a second node that follows it; the subnet owner's utterance engine and
//! scoring API; two miners; and two validators, each with subtensor gateway, signer, runner and
//! epoch loop. A daemon that ends by itself is started again after a second, as by systemd.
//!
//! - [`chaos()`] draws faults from a seed ([`FaultKind`]), injects one after the other, and reads
//!   from the chain's blocks how many submissions of weights each validator has in each epoch.
//! - [`soak()`] sends requests for hours, and compares memory, descriptors and latencies after the
//!   warm-up with those at the end.
//!
//! Both return a report that is JSON, or a Markdown table for docs/reliability.md. The programs
//! `chaos` and `soak` print it; the scripts of the same names at the root of the repository build
//! and run them:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use taonet_chaos::{ChainSpeed, ChaosOptions, FaultKind, chaos};
//! use taonet_service::Shutdown;
//!
//! # fn example() -> anyhow::Result<()> {
//! let speed = ChainSpeed { block_time: Duration::from_secs(1), epoch_blocks: 48 };
//! let tao = "target/release/tao".into();
//! let options = ChaosOptions { tao, speed, epochs: 20, seed: 7, faults: FaultKind::ALL.to_vec() };
//! println!("{}", chaos(&options, &Shutdown::new())?.markdown());
//! # Ok(())
//! # }
//! ```
//!
//! A seed determines the kinds, targets and lengths of the faults. What the daemons do meanwhile
//! depends on the machine, so a run does not repeat exactly: `scripts/simulate` does that. Faults
//! that need more than signals ([`Unavailable`]) are left out where the machine lacks what they
//! need, and the report names them. Not tested here: audio, arena, the text contest, and the other
//! subnets.
//!
//! Uses `taonet-babelbit-scoring-api` (the client for scores), `taonet-chain` (registrations, and
//! the submissions in the blocks), `taonet-primitives`, `taonet-service` (shutdown),
//! `taonet-wallet` (development keys) and `taonet-wire` (texts to sign). Used by the end-to-end
//! tests of `taonet-cli`, which run both for a few seconds.
#![warn(missing_docs)]

mod chaos;
mod disk;
mod fault;
mod load;
mod network;
mod plan;
mod process;
mod soak;
mod tools;
mod trend;

pub use chaos::{ChaosOptions, ChaosReport, EndedProcess, FaultRecord, ValidatorEpochs, chaos};
pub use fault::FaultKind;
pub use network::ChainSpeed;
pub use soak::{SoakOptions, SoakReport, soak};
pub use tools::Unavailable;
pub use trend::{LatencyTrend, ProcessTrend};
