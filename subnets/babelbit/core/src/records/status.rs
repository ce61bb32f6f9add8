use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ChallengeType;

/// `{challenge_uid}__{type}.json` in the status directory: the challenge was processed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeStatus {
    /// The challenge.
    pub challenge_uid: String,
    /// Its contest.
    #[serde(default)]
    pub challenge_type: ChallengeType,
    /// When it was processed: UTC, ISO 8601.
    #[serde(default)]
    pub processed_at: String,
    /// Miners with files.
    #[serde(default)]
    pub miner_count: usize,
    /// Utterances of the challenge.
    #[serde(default)]
    pub total_dialogues: usize,
    /// Mean of the miners' scores.
    #[serde(default)]
    pub mean_score: Option<f64>,
    /// Where the files are, and anything else worth knowing.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}
