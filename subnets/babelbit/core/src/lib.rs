//! Babelbit (subnet 59): protocol and scoring. Pure: no clock, no I/O, no randomness.
//!
//! - [`protocol`]: what validator and miner say to each other (`s2s_audio_v1`);
//! - [`arena_api`]: what the arena gateway says;
//! - [`engine_api`]: what the utterance engine says;
//! - [`records`]: the files that a runner leaves behind;
//! - [`mod@reference`]: what a reply should have said, and how fast;
//! - [`qualifying`]: who may enter the arena;
//! - [`scoring_api`]: what validators and the scoring API say about scores;
//! - [`submission_api`]: what they say about results;
//! - [`aggregation`]: how several validators' scores become one;
//! - [`scoring`]: how good a reply was (`semantic_audio_v1`);
//! - [`weights`]: how scores become weights;
//! - [`contest_scores`]: which scores count;
//! - [`rounding`]: numbers as the reference system prints them.

// Rounded numbers are equal or they are wrong: the tables are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp, clippy::approx_constant))]

pub mod aggregation;
pub mod arena_api;
pub mod contest_scores;
pub mod engine_api;
mod number;
pub mod protocol;
pub mod qualifying;
pub mod records;
pub mod reference;
pub mod rounding;
mod rules;
pub mod scoring;
pub mod scoring_api;
pub mod submission_api;
pub mod weights;

pub use rules::Rules;
