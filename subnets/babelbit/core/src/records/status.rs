use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ChallengeType;

/// `{challenge_uid}__{type}.json` in the status directory: marks a challenge as processed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeStatus {
    /// ID of the challenge.
    pub challenge_uid: String,
    /// Contest of the challenge.
    #[serde(default)]
    pub challenge_type: ChallengeType,
    /// Time of processing in UTC, ISO 8601.
    #[serde(default)]
    pub processed_at: String,
    /// Number of miners with result files.
    #[serde(default)]
    pub miner_count: usize,
    /// Number of utterances of the challenge.
    #[serde(default)]
    pub total_dialogues: usize,
    /// Mean of the miners' scores.
    #[serde(default)]
    pub mean_score: Option<f64>,
    /// Paths of the result files, and further details.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}
