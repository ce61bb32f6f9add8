use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use taonet_primitives::{Hotkey, Uid};

use super::ChallengeType;

/// `challenge_run_…json`: what one miner said in one challenge, and how it scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeRun {
    /// Path of the run log.
    pub log_file: String,
    /// The challenge.
    pub challenge_uid: String,
    /// Its contest.
    pub challenge_type: ChallengeType,
    /// The miner's slot.
    pub miner_uid: Uid,
    /// The miner's key.
    pub miner_hotkey: Hotkey,
    /// One entry per utterance, by index.
    pub utterances: Vec<ChallengeRunUtterance>,
    /// Means over the utterances.
    pub challenge_summary: ChallengeSummary,
    /// Always [`crate::protocol::PROTOCOL`].
    pub protocol: String,
    /// Always false.
    pub score_is_fallback: bool,
    /// How the utterances were scored.
    pub score_method: String,
    /// Whether every utterance was played to its end and the challenge itself had no error.
    pub completed: bool,
    /// What cut the challenge short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One utterance in a [`ChallengeRun`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeRunUtterance {
    /// The engine's name for the utterance.
    pub utterance_uid: String,
    /// Position in the challenge, from 0.
    pub utterance_number: u32,
    /// The expected translation.
    pub reference_text: String,
    /// What the recogniser heard; null when it heard nothing.
    pub transcript: Option<String>,
    /// The score, 0 to 1.
    pub score: f64,
    /// Closeness of meaning, 0 to 1.
    pub accuracy: f64,
    /// When the listener has heard the reply.
    pub effective_completion_sec: f64,
    /// Length of the source.
    pub source_duration_sec: f64,
    /// Length of the reply.
    pub predicted_duration_sec: f64,
    /// Frames sent.
    pub frame_count_in: u32,
    /// Bytes received, in whole frames.
    pub frame_count_out: u64,
    /// Size of the reply's WAV file.
    pub predicted_num_bytes: u64,
    /// How the score came about, as in the run log.
    pub score_breakdown: Value,
    /// Always false.
    pub score_is_fallback: bool,
    /// How it was scored.
    pub score_method: String,
    /// Whether the reply came to its end.
    pub completed: bool,
    /// Why it did not.
    pub error: Option<String>,
}

/// `challenge_score_…json`: one miner's scores in one challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeScore {
    /// Path of the [`ChallengeRun`].
    pub run_file: String,
    /// The challenge.
    pub challenge_uid: String,
    /// Its contest.
    pub challenge_type: ChallengeType,
    /// The miner's slot.
    pub miner_uid: Uid,
    /// The miner's key.
    pub miner_hotkey: Hotkey,
    /// One entry per utterance, by index.
    pub utterances: Vec<ChallengeScoreUtterance>,
    /// Mean score, 6 decimals.
    #[serde(rename = "challenge_mean_U")]
    pub challenge_mean_u: f64,
    /// Means over the utterances.
    pub challenge_summary: ChallengeSummary,
    /// Always [`crate::protocol::PROTOCOL`].
    pub protocol: String,
    /// Always false.
    pub score_is_fallback: bool,
    /// How the utterances were scored.
    pub score_method: String,
    /// Whether every utterance was played to its end and the challenge itself had no error.
    pub completed: bool,
    /// What cut the challenge short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One utterance in a [`ChallengeScore`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeScoreUtterance {
    /// The engine's name for the utterance.
    pub utterance_uid: String,
    /// The score, 0 to 1.
    pub utterance_score: f64,
    /// Position in the challenge, from 0.
    pub utterance_index: u32,
    /// Always false.
    pub score_is_fallback: bool,
    /// How it was scored.
    pub score_method: String,
}

/// Means over a miner's utterances in one challenge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChallengeSummary {
    /// Mean score, 6 decimals. The name dates from an older contest.
    #[serde(rename = "average_U_best_early")]
    pub average_u_best_early: f64,
    /// Mean accuracy, 6 decimals.
    pub accuracy: f64,
    /// Mean effective completion, 4 decimals.
    pub effective_completion_sec: f64,
    /// Utterances played to their end.
    pub completed_utterances: usize,
    /// All utterances.
    pub total_utterances: usize,
}

/// The fields by which a score file of any age is recognised: whose score of which challenge it holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScoreFileHead {
    /// The challenge.
    pub challenge_uid: String,
    /// Its contest; files without one are from `main`, `None` where the name is unknown.
    #[serde(default = "main_type", deserialize_with = "type_or_main")]
    pub challenge_type: Option<ChallengeType>,
    /// The miner's slot.
    pub miner_uid: Uid,
    /// The miner's key.
    pub miner_hotkey: Hotkey,
}

// `Option` because the field has that type.
#[allow(clippy::unnecessary_wraps)]
const fn main_type() -> Option<ChallengeType> {
    Some(ChallengeType::Main)
}

/// Null and blank mean `main`; a name that no contest has gives `None`.
fn type_or_main<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ChallengeType>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => Some(ChallengeType::Main),
        Value::String(name) if name.trim().is_empty() => Some(ChallengeType::Main),
        Value::String(name) => name.parse().ok(),
        _ => None,
    })
}

impl ScoreFileHead {
    /// The head of a score file, or nothing when the text is no such file.
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}
