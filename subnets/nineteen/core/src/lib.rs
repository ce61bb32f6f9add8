//! Scoring rules of Nineteen (subnet 19), an inference market. The crate has no clock, I/O or
//! random source: times and random numbers are arguments.
//!
//! A validator offers tasks to miners ([`MarketConfig`]). Each miner declares a capacity for each
//! task. The validator tests part of this capacity ([`capacity`]) with synthetic requests, which it
//! spreads over the period ([`schedule`]). The outcomes of the requests determine each miner's
//! period score ([`period`]). The validator compares a sample of the answers with its own model
//! ([`checker`]). Qualities, speeds, period scores and capacities determine the weights
//! ([`scoring`]). The scores include every intermediate value, so that a subnet owner can recompute
//! each weight.
//!
//! - [`task`]: tasks, their public view for miners and their checkers' configuration;
//! - [`config`]: the market's configuration file, its validation and the weights that validators
//!   vote for;
//! - [`payload`]: payloads of requests to miners;
//! - [`routing`]: selection of the miners for a request;
//! - [`sampling`]: selection of the results to check;
//! - [`work`]: work and speed of a result;
//! - [`document`]: period scores and weights from JSON documents, for verification by subnet
//!   owners.
//!
//! By default, the scoring formulas are those of the reference implementation of October 2024, with
//! three bugs fixed in the weights ([`scoring`]); [`period`] and [`scoring`] also have the formulas
//! of later releases.
//!
//! Uses `taonet-primitives`. Used by `taonet-nineteen-checker`, `taonet-nineteen-control`,
//! `taonet-nineteen-dashboard`, `taonet-nineteen-entry`, `taonet-nineteen-images`,
//! `taonet-nineteen-miner`, `taonet-nineteen-query`, `taonet-nineteen-store` and `tao nineteen`.

// Tests compare tables exactly, or within an explicit tolerance.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod capacity;
pub mod checker;
pub mod config;
pub mod document;
mod key_weight;
pub mod payload;
pub mod period;
pub mod routing;
pub mod sampling;
pub mod schedule;
pub mod scoring;
pub mod task;
pub mod work;

pub use config::MarketConfig;
pub use key_weight::{KeyWeight, KeyWeightError};
pub use task::{Task, TaskName};
