//! Control loop of a Nineteen validator: miners, periods, checks and weights.
//!
//! ```text
//! nodes (chain) → handshakes → capacities → close the last period → open the next one → synthetic requests, spread over the period
//!                                            │                                            │ answers
//!                                            └ period scores                             scorer → checker → rewards
//! rewards, period scores, capacities → weights
//! ```
//!
//! - [`Controller`] runs periods one after the other, and resumes the open period after a crash;
//! - [`Scorer`] checks stored answers against the validator's own models ([`References`]);
//! - [`Nineteen`] implements the subnet for `taonet-validator`, which submits the weights;
//!   [`market_report`] returns them with every intermediate value;
//! - [`MarketFile`] is the configuration file, reloaded at each period. [`PeerVotes`] replaces its
//!   task weights with those that validators vote for ([`Ballot`]), weighted by their stakes;
//!   [`VotesFeed`] with those of a central service;
//! - [`TopUpWatcher`] credits the TAO that buyers transfer, from finalized blocks;
//! - [`synthetic`] generates synthetic requests, with texts that the checking model writes
//!   ([`synthetic::Drafts`]).
//!
//! The loops for periods, checks and weights run concurrently:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_nineteen_control::{Controller, MarketFile, Nineteen, Scorer, market_report};
//! use taonet_nineteen_store::Store;
//! use taonet_service::{Shutdown, sleeper, system_clock};
//! use taonet_validator::{StateFile, Validator, ValidatorSettings, WeightService};
//!
//! # async fn example(
//! #     store: Store, controller: Controller, scorer: Scorer, service: WeightService, settings: ValidatorSettings,
//! #     state: StateFile, shutdown: Shutdown, now_ms: i64,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let market = MarketFile::open(Path::new("tasks.toml"))?;
//! for miner in market_report(&store, &market.current(), now_ms).await?.miners {
//!     println!("miner {}: {:.4} of the weight", miner.uid, miner.weight);
//! }
//! let subnet = Nineteen::new(store, market, system_clock());
//! let mut validator = Validator::new(subnet, service, settings, state, system_clock(), sleeper());
//! tokio::join!(controller.run(&shutdown), scorer.run(&shutdown), validator.run(&shutdown));
//! # Ok(())
//! # }
//! ```
//!
//! If a check fails, for example because the checking server is down, the answer stays in the queue
//! and the check is retried; an answer that the model rejects is removed from the queue without a
//! quality. If the configuration file becomes invalid, the error is logged, and the last valid
//! configuration remains in effect. A miner's address must be public unless the
//! [`AddressPolicy`](taonet_neuron::AddressPolicy) permits others. Rewards and closed periods are
//! stored for seven days, unchecked answers for five hours.
//!
//! The formulas are in `taonet-nineteen-core`, so that recorded inputs reproduce the weights. The
//! crate serves no buyers.
//!
//! Uses `taonet-nineteen-query`, `taonet-nineteen-checker`, `taonet-nineteen-store`,
//! `taonet-nineteen-transport` and `taonet-nineteen-core`, `taonet-neuron` (miners of the
//! metagraph), `taonet-validator` (trait `Subnet`), `taonet-chain`, `taonet-http`, `taonet-wire`,
//! `taonet-wallet`, `taonet-service` and `taonet-primitives`. Used by `taonet-nineteen-entry` and
//! `tao nineteen`.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod controller;
mod market_file;
mod metrics;
mod onboarding;
mod references;
mod report;
mod schedule;
mod scorer;
pub mod synthetic;
mod topups;
mod votes;

pub use controller::{ControlError, ControlSettings, Controller};
pub use market_file::{MarketFile, MarketFileError};
pub use metrics::describe as describe_metrics;
pub use references::References;
pub use report::{MarketReport, MarketState, MinerReport, Nineteen, TaskReport, market_report};
pub use scorer::{ScoreError, Scorer};
pub use topups::{FinalizedBlocks, TopUpError, TopUpWatcher};
pub use votes::{Ballot, BallotError, PeerVotes, Voter, VotesError, VotesFeed};

#[cfg(test)]
mod tests;
