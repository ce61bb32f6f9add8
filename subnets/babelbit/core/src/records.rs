//! The files that a runner leaves behind, field by field in the order in which they are written.
//!
//! One miner's part of one challenge gives a [`RunLog`] (everything, beside the audio), a [`ChallengeRun`] (what was
//! said and how it scored) and a [`ChallengeScore`] (the numbers alone); the challenge as a whole gives a
//! [`ChallengeStatus`]. Other programs read these files, so names, order and null or absent fields are fixed.

mod challenge_type;
mod run_log;
mod scores;
mod status;

pub use challenge_type::{ChallengeType, UnknownChallengeType};
pub use run_log::{RunLog, RunLogUtterance, ScoreBreakdown};
pub use scores::{
    ChallengeRun, ChallengeRunUtterance, ChallengeScore, ChallengeScoreUtterance, ChallengeSummary, ScoreFileHead,
};
pub use status::{ChallengeStatus, status_file_names};

/// Score method of an utterance whose reply failed on the way.
pub const METHOD_PREDICTION_ERROR: &str = "prediction_error";
/// Score method of an utterance that has no score yet.
pub const METHOD_NOT_SCORED: &str = "not_scored";
/// Score method of a challenge whose utterances were scored in different ways.
pub const METHOD_MIXED: &str = "mixed_semantic_audio_scores";

/// The score method of a challenge: the one that all its utterances share, otherwise [`METHOD_MIXED`].
pub fn common_method<'a>(methods: impl IntoIterator<Item = &'a str>) -> &'a str {
    let mut methods = methods.into_iter();
    let Some(first) = methods.next() else { return METHOD_NOT_SCORED };
    if methods.all(|method| method == first) { first } else { METHOD_MIXED }
}

#[cfg(test)]
mod tests;
