use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use taonet_primitives::{Hotkey, Uid};

use super::ChallengeType;
use crate::field_metrics::{ChallengeMetrics, UtteranceMetrics};

/// `challenge_run_…json`: transcripts and scores of one miner in one challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeRun {
    /// Path of the run log.
    pub log_file: String,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Uid of the miner.
    pub miner_uid: Uid,
    /// Hotkey of the miner.
    pub miner_hotkey: Hotkey,
    /// One entry per utterance, sorted by index.
    pub utterances: Vec<ChallengeRunUtterance>,
    /// Means over the utterances.
    pub challenge_summary: ChallengeSummary,
    /// Name of the protocol, always [`crate::protocol::PROTOCOL`].
    pub protocol: String,
    /// Whether the score is a fallback; always false.
    pub score_is_fallback: bool,
    /// Scoring method of the utterances.
    pub score_method: String,
    /// Whether every utterance was played completely and the challenge itself had no error.
    pub completed: bool,
    /// Error that aborted the challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One utterance in a [`ChallengeRun`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeRunUtterance {
    /// The engine's ID of the utterance.
    pub utterance_uid: String,
    /// Position in the challenge, from 0.
    pub utterance_number: u32,
    /// The expected translation.
    pub reference_text: String,
    /// Transcript from the recogniser; null if it recognised no words.
    pub transcript: Option<String>,
    /// Score of the utterance, 0 to 1.
    pub score: f64,
    /// Semantic similarity, 0 to 1.
    pub accuracy: f64,
    /// Time from the start of the source until a listener has heard the complete reply, in seconds.
    pub effective_completion_sec: f64,
    /// Duration of the source in seconds.
    pub source_duration_sec: f64,
    /// Duration of the reply in seconds.
    pub predicted_duration_sec: f64,
    /// Number of source frames sent to the miner.
    pub frame_count_in: u32,
    /// Number of complete frames in the received audio.
    pub frame_count_out: u64,
    /// Size of the reply's WAV file in bytes.
    pub predicted_num_bytes: u64,
    /// Components of the score, as in the run log.
    pub score_breakdown: Value,
    /// Whether the score is a fallback; always false.
    pub score_is_fallback: bool,
    /// Scoring method of the utterance.
    pub score_method: String,
    /// Whether the reply is complete.
    pub completed: bool,
    /// Why the reply is incomplete.
    pub error: Option<String>,
}

/// `challenge_score_…json`: one miner's scores in one challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeScore {
    /// Path of the [`ChallengeRun`].
    pub run_file: String,
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Uid of the miner.
    pub miner_uid: Uid,
    /// Hotkey of the miner.
    pub miner_hotkey: Hotkey,
    /// One entry per utterance, sorted by index.
    pub utterances: Vec<ChallengeScoreUtterance>,
    /// Mean score, 6 decimals.
    #[serde(rename = "challenge_mean_U")]
    pub challenge_mean_u: f64,
    /// Means over the utterances.
    pub challenge_summary: ChallengeSummary,
    /// Name of the protocol, always [`crate::protocol::PROTOCOL`].
    pub protocol: String,
    /// Whether the score is a fallback; always false.
    pub score_is_fallback: bool,
    /// Scoring method of the utterances.
    pub score_method: String,
    /// Whether every utterance was played completely and the challenge itself had no error.
    pub completed: bool,
    /// Speech translation metrics, not part of the score; missing if no reply was transcribed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<ChallengeMetrics>,
    /// Error that aborted the challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One utterance in a [`ChallengeScore`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeScoreUtterance {
    /// The engine's ID of the utterance.
    pub utterance_uid: String,
    /// Score of the utterance, 0 to 1.
    pub utterance_score: f64,
    /// Position in the challenge, from 0.
    pub utterance_index: u32,
    /// Whether the score is a fallback; always false.
    pub score_is_fallback: bool,
    /// Scoring method of the utterance.
    pub score_method: String,
    /// Speech translation metrics, not part of the score; missing if the reply was not transcribed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<UtteranceMetrics>,
}

/// Means over a miner's utterances in one challenge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChallengeSummary {
    /// Mean score, 6 decimals. The field's name dates from an older contest.
    #[serde(rename = "average_U_best_early")]
    pub average_u_best_early: f64,
    /// Mean accuracy, 6 decimals.
    pub accuracy: f64,
    /// Mean time from the start of the source until a listener has heard the complete reply, in
    /// seconds, 4 decimals.
    pub effective_completion_sec: f64,
    /// Number of completely played utterances.
    pub completed_utterances: usize,
    /// Number of all utterances.
    pub total_utterances: usize,
}

/// The identifying fields of a score file of any version: challenge and miner.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScoreFileHead {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge; defaults to `main`, `None` if the name is unknown.
    #[serde(default = "main_type", deserialize_with = "type_or_main")]
    pub challenge_type: Option<ChallengeType>,
    /// Uid of the miner.
    pub miner_uid: Uid,
    /// Hotkey of the miner.
    pub miner_hotkey: Hotkey,
}

// `serde(default)` requires a function that returns the field's type.
#[allow(clippy::unnecessary_wraps)]
const fn main_type() -> Option<ChallengeType> {
    Some(ChallengeType::Main)
}

/// Deserialises a contest. Null and blank mean `main`; an unknown name gives `None`.
fn type_or_main<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ChallengeType>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => Some(ChallengeType::Main),
        Value::String(name) if name.trim().is_empty() => Some(ChallengeType::Main),
        Value::String(name) => name.parse().ok(),
        _ => None,
    })
}

impl ScoreFileHead {
    /// Parses the head of a score file; `None` if the text is not a score file.
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}
