//! Babelbit (subnet 59): protocol and scoring. Pure: no clock, no I/O, no randomness.
//!
//! - [`protocol`]: what validator and miner say to each other (`s2s_audio_v1`);
//! - [`engine_api`]: what the utterance engine says;
//! - [`records`]: the files that a runner leaves behind.

pub mod engine_api;
pub mod protocol;
pub mod records;
mod rules;

pub use rules::Rules;
