//! Result files of a runner. Fields are listed in the order in which they are written.
//!
//! The files of one miner in one challenge are a [`RunLog`] (everything but the audio), a
//! [`ChallengeRun`] (transcripts and their scores) and a [`ChallengeScore`] (the numbers alone);
//! each challenge also has a [`ChallengeStatus`]. Other programs read these files, so the format is
//! fixed: the names and order of fields, and whether a missing value is null or absent.

mod challenge_type;
mod miner_key;
mod run_log;
mod scores;
mod status;

pub use challenge_type::{ChallengeType, UnknownChallengeType};
pub use miner_key::{MinerKey, is_safe_name};
pub use run_log::{RunLog, RunLogUtterance};
pub use scores::{
    ChallengeRun, ChallengeRunUtterance, ChallengeScore, ChallengeScoreUtterance, ChallengeSummary,
    ScoreFileHead,
};
pub use status::ChallengeStatus;

/// Score method of an utterance whose reply failed.
pub const METHOD_PREDICTION_ERROR: &str = "prediction_error";
/// Score method of a result in which nothing was scored.
pub const METHOD_NOT_SCORED: &str = "not_scored";

#[cfg(test)]
mod tests;
