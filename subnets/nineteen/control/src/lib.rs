//! Control loop of a Nineteen validator: miners, periods, checks and weights.
//!
//! ```text
//! nodes (chain) → handshakes → capacities → close the last period → open the next one → tests, spread over the period
//!                                            │                                            │ answers
//!                                            └ period scores                             scorer → checker → rewards
//! rewards, period scores, capacities → weights
//! ```
//!
//! - [`Controller`] runs periods one after the other, and resumes the open period after a crash;
//! - [`Scorer`] checks stored answers;
//! - [`Nineteen`] is the subnet for `taonet-validator`: it computes weights from the store; [`market_report`] returns
//!   every number behind them;
//! - [`MarketFile`] is the configuration file, reloaded at each period;
//! - [`synthetic`] generates test requests.
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
