//! Babelbit (subnet 59): protocol and scoring. Pure: no clock, no I/O, no randomness.
//!
//! Everything on which validators must agree is here: the bytes of messages and files, and the
//! arithmetic from replies to weights. Other crates play, transcribe and submit; they pass times
//! and texts in.
//!
//! - [`protocol`]: messages between validator and miner (`s2s_audio_v1`);
//! - [`arena_api`]: messages of the arena gateway;
//! - [`engine_api`]: messages of the utterance engine;
//! - [`records`]: result files of a runner;
//! - [`mod@reference`]: expected text and speaking rate of a reply;
//! - [`qualifying`]: eligibility for the arena;
//! - [`scoring_api`]: queries of scores from the scoring API;
//! - [`submission_api`]: submissions of results to the scoring API;
//! - [`aggregation`]: combination of several validators' scores into one;
//! - [`scoring`]: scores of replies (`semantic_audio_v1`);
//! - [`text`]: scores of the text-prediction contest;
//! - [`text_api`]: messages between validator and text miner;
//! - [`field_metrics`]: standard quality and latency metrics of speech translation, not part of the
//!   score;
//! - [`weights`]: weights from scores;
//! - [`contest_scores`]: scores of one challenge that determine weights;
//! - [`rounding`]: rounding as in the reference system.
//!
//! ```
//! use taonet_babelbit_core::Rules;
//! use taonet_babelbit_core::weights::{ArenaShare, compute_weights};
//! use taonet_primitives::Uid;
//!
//! let (main, arena) = ([(Uid(1), 0.75), (Uid(3), 0.25)], [(Uid(2), 0.5)]);
//! let weights = compute_weights(&main, &arena, ArenaShare::from_percent(90.0), None, Rules::Reference);
//! assert!((weights.of(Uid(2)) - 0.9).abs() < 1e-12);
//! assert!((weights.of(Uid(3)) - 0.025).abs() < 1e-12);
//! ```
//!
//! [`Rules`] selects between the results of the reference system (the subnet's own Python
//! programs), defects included, and corrected ones; `docs/compat.md` lists the differences. Results
//! are compared with recordings of the reference system to the last printed digit.
//!
//! Uses `taonet-primitives`. Used by every crate of the subnet.

// Rounded numbers must match exactly: tests compare without tolerance.
#![cfg_attr(test, allow(clippy::float_cmp, clippy::approx_constant))]

pub mod aggregation;
pub mod arena_api;
pub mod contest_scores;
pub mod engine_api;
pub mod field_metrics;
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
pub mod text;
pub mod text_api;
pub mod weights;

pub use rules::Rules;
