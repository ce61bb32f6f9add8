//! Result files of a runner. Fields are listed in the order in which they are written.
//!
//! One miner's part of one challenge produces a [`RunLog`] (everything but the audio), a [`ChallengeRun`] (transcripts
//! and their scores) and a [`ChallengeScore`] (the numbers alone); the challenge as a whole produces a
//! [`ChallengeStatus`]. Other programs read these files, so names, order and null or absent fields are fixed.

mod challenge_type;
mod miner_key;
mod run_log;
mod scores;
mod status;

pub use challenge_type::{ChallengeType, UnknownChallengeType};
pub use miner_key::{MinerKey, is_safe_name};
pub use run_log::{RunLog, RunLogUtterance};
pub use scores::{
    ChallengeRun, ChallengeRunUtterance, ChallengeScore, ChallengeScoreUtterance, ChallengeSummary, ScoreFileHead,
};
pub use status::ChallengeStatus;

/// Score method of an utterance whose reply failed.
pub const METHOD_PREDICTION_ERROR: &str = "prediction_error";
/// Score method when nothing was scored.
pub const METHOD_NOT_SCORED: &str = "not_scored";

#[cfg(test)]
mod tests;
