//! Nineteen (subnet 19), the inference market: everything that decides a score. Pure: no clock, no I/O, no randomness of
//! its own; times and draws are arguments.
//!
//! A validator offers tasks to miners ([`MarketConfig`]). Each miner declares a capacity for each task, the validator
//! samples part of it ([`capacity`]) and spreads synthetic requests over the period ([`schedule`]). What came of the
//! requests becomes a period score ([`period`]); a sample of the answers is repeated and compared ([`checker`]). From
//! qualities, speeds, period scores and capacities follow the weights ([`scoring`]), with every intermediate number, so
//! that an owner can recompute each of them.
//!
//! - [`task`]: the table of tasks, as miners and checkers see it;
//! - [`config`]: the market's configuration file, its validation and the weights that validators vote for;
//! - [`routing`]: which miner gets a request;
//! - [`sampling`]: which results are checked;
//! - [`work`]: how much work a result was, and how fast;
//! - [`document`]: period scores and weights from JSON documents, for owners who check.
//!
//! The formulas are those of the reference implementation of
//! October 2024; where a module offers another profile, its documentation states the difference.
//!
//! Uses `taonet-primitives`. Used by the subnet's daemons and by `tao nineteen`.

// Tables are compared exactly, or with the tolerance that stands beside them.
#![cfg_attr(test, allow(clippy::float_cmp))]

pub mod capacity;
pub mod checker;
pub mod config;
pub mod document;
pub mod period;
pub mod routing;
pub mod sampling;
pub mod schedule;
pub mod scoring;
pub mod task;
pub mod work;

pub use config::MarketConfig;
pub use task::{Task, TaskName};
