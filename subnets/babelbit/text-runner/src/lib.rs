//! The runner of the text-prediction contest.
//!
//! [`TextRunner::run_once`] plays the engine's current text challenge to all miners word by word, scores their
//! predictions, and writes the reference's files: a log for each miner and dialogue, the scores of the dialogue, and the
//! miner's mean over all dialogues. [`Submitter`] sends them to the scoring API, whose scores the validator turns into
//! weights.
//!
//! A run holds its results in memory and writes them at the end. The last file, `challenge_status/text_run_….json`, lists
//! the others and means that the challenge is done: without it, because the run was killed or the engine failed, the next
//! run plays the challenge again. A complete submission leaves `text_run_….submitted` beside it
//! ([`TextRunner::record_submission`]); without that marker, the next run can submit the stored files
//! ([`TextRunner::unsubmitted`]).
//!
//! Uses `taonet-babelbit-engine` (its client), `taonet-babelbit-runner` (addresses and signed calls of miners) and
//! `taonet_babelbit_core::text` (the scores).
//! Used by `bb runner --contest text` and the demonstration.

mod files;
mod miner;
mod play;
mod run;
mod score;
mod submit;

pub use files::{WrittenFile, WrittenKind};
pub use miner::{TextConnection, TextMiner};
pub use play::{PlayError, PlayOptions};
pub use run::{TextMinerReport, TextOutcome, TextReport, TextRunError, TextRunner};
pub use score::ScoringError;
pub use submit::{SubmitError, Submitter};

#[cfg(test)]
mod tests;
