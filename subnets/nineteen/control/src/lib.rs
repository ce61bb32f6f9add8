//! The part of a Nineteen validator that keeps the market going.
//!
//! ```text
//! nodes (chain) → handshakes → capacities → close the last period → open the next one → tests, spread over the period
//!                                            │                                            │ answers
//!                                            └ period scores                             scorer → checker → rewards
//! rewards, period scores, capacities → weights
//! ```
//!
//! - [`Controller`] runs periods one after the other; killed at any moment, it resumes the period that runs;
//! - [`Scorer`] has stored answers checked;
//! - [`Nineteen`] is the subnet of `taonet-validator`: weights from what the store holds; [`market_report`] has every
//!   number behind them;
//! - [`MarketFile`] is the configuration file, read again at each period;
//! - [`synthetic`] makes up requests.
//!
//! Uses query, checker, store and `taonet-validator` (trait `Subnet`). Used by entry and `tao nineteen`.

// Counters and scores are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod controller;
mod market_file;
mod measures;
mod nodes;
mod onboarding;
mod report;
mod schedule;
mod scorer;
pub mod synthetic;

pub use controller::{ControlError, ControlSettings, Controller};
pub use market_file::{MarketFile, MarketFileError};
pub use measures::describe as describe_metrics;
pub use nodes::{AddressRules, ChainNodes, FoundNode, NodeSource, NodesError};
pub use report::{MarketReport, MarketState, MinerReport, Nineteen, TaskReport, market_report};
pub use scorer::{References, ScoreError, Scorer};

#[cfg(test)]
mod tests;
