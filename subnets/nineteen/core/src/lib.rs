//! Scoring rules of Nineteen (subnet 19), an inference market. Pure: no clock, no I/O, no randomness of its own; times
//! and random numbers are arguments.
//!
//! A validator offers tasks to miners ([`MarketConfig`]). Each miner declares a capacity for each task, the validator
//! samples part of it ([`capacity`]) and spreads synthetic requests over the period ([`schedule`]). The outcomes of the
//! requests determine the period score ([`period`]). A sample of the answers is compared with those of the validator's
//! own model ([`checker`]). Qualities, speeds, period scores and capacities determine the weights ([`scoring`]), which
//! come with every intermediate number, so that a subnet owner can recompute them.
//!
//! - [`task`]: tasks, their public view for miners and their checkers' configuration;
//! - [`config`]: the market's configuration file, its validation and the weights that validators vote for;
//! - [`payload`]: payloads of requests to miners;
//! - [`routing`]: selection of the miners for a request;
//! - [`sampling`]: selection of the results to check;
//! - [`work`]: work and speed of a result;
//! - [`document`]: period scores and weights from JSON documents, for verification by subnet owners.
//!
//! The formulas are those of the reference implementation of October 2024; where a module offers another profile, its
//! documentation states the difference.
//!
//! Uses `taonet-primitives`. Used by the subnet's daemons and by `tao nineteen`.

// Tests compare tables exactly, or within an explicit tolerance.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod capacity;
pub mod checker;
pub mod config;
pub mod document;
pub mod payload;
pub mod period;
pub mod routing;
pub mod sampling;
pub mod schedule;
pub mod scoring;
pub mod task;
pub mod work;

pub use config::MarketConfig;
pub use task::{Task, TaskName};
