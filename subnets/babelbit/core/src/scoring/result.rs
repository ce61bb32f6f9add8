use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ScoreOptions;
use super::duplication::Duplication;
use crate::rounding::round6;

/// The method of a reply that was scored.
pub const SCORE_METHOD: &str = "semantic_audio_v1";
/// The method of a reply that could not be scored.
pub const SCORE_METHOD_ERROR: &str = "semantic_audio_v1_error";

/// What a reply failed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Gate {
    /// The miner broke the protocol or did not answer in time.
    PredictionError,
    /// The reply holds no sound.
    NoAudio,
    /// The reply ended so late that its latency score is 0.
    TooLate,
    /// No word was heard in the reply.
    NoSpeech,
    /// The reply could not be scored for another reason.
    ScoringError,
    /// The reply is in another language.
    Language,
    /// The reply does not mean the same.
    Accuracy,
    /// The reply was spoken too fast or too slowly.
    Rate,
}

impl Gate {
    /// The name in records, e.g. `too_late`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PredictionError => "prediction_error",
            Self::NoAudio => "no_audio",
            Self::TooLate => "too_late",
            Self::NoSpeech => "no_speech",
            Self::ScoringError => "scoring_error",
            Self::Language => "language",
            Self::Accuracy => "accuracy",
            Self::Rate => "rate",
        }
    }
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The speaking rate as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SpeechRate {
    /// The reply was heard, or recognition was left out (then only the reference's rate is known).
    Measured {
        /// 1 passes, 0 fails; null where it was not computed.
        #[serde(deserialize_with = "crate::number::optional_float")]
        penalty: Option<f64>,
        /// Words per second of the reply, 3 decimals.
        #[serde(deserialize_with = "crate::number::optional_float")]
        miner_wps: Option<f64>,
        /// Words per second of the reference, 3 decimals.
        #[serde(deserialize_with = "crate::number::optional_float")]
        reference_wps: Option<f64>,
        /// The one over the other, 3 decimals.
        #[serde(deserialize_with = "crate::number::optional_float")]
        ratio: Option<f64>,
        /// Why nothing could be measured; only in error results under strict rules.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The reply could not be scored.
    Unknown {
        /// Always 0.
        penalty: u8,
        /// Always `scoring_error`.
        reason: String,
    },
}

/// The latency as recorded; all but the score in seconds with 4 decimals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyRow {
    /// 0 to 1, 6 decimals; always 1 in error results under reference rules.
    pub score: f64,
    /// When a listener has heard the whole reply.
    pub completion_sec: f64,
    /// Length of the source.
    pub source_duration_sec: f64,
    /// How long after the source the reply ended.
    pub overshoot_sec: f64,
    /// Overshoot from which the score is 0; absent in error results under reference rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_overshoot_sec: Option<f64>,
}

/// The duplication step as recorded; null where the reply took no part in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DuplicatePenalty {
    /// Score before the step.
    pub raw_score: f64,
    /// Score after the step.
    pub final_score: f64,
    /// The one over the other.
    pub penalty_factor: Option<f64>,
    /// At least 1.
    pub duplicate_pressure: Option<f64>,
    /// Greatest cosine to another reply.
    pub max_peer_similarity: Option<f64>,
    /// Setting: cosine above which replies begin to count as the same.
    pub similarity_threshold: f64,
    /// Setting: strength of the pressure.
    pub gamma: f64,
    /// Setting: score from which a reply puts pressure on others.
    pub min_score_for_pressure: f64,
    /// Setting: by how much a reply may be worse and still put pressure on a better one.
    pub score_epsilon: f64,
    /// The same as `max_peer_similarity`.
    pub max_similarity: Option<f64>,
    /// The same as `penalty_factor`.
    pub penalty: Option<f64>,
}

impl DuplicatePenalty {
    /// The record of a reply that took part.
    pub(super) fn of(row: &Duplication, options: &ScoreOptions) -> Self {
        let rounded = |value: f32| Some(round6(f64::from(value)));
        Self {
            raw_score: round6(f64::from(row.raw_score)),
            final_score: round6(f64::from(row.final_score)),
            penalty_factor: rounded(row.penalty_factor),
            duplicate_pressure: rounded(row.duplicate_pressure),
            max_peer_similarity: rounded(row.max_peer_similarity),
            max_similarity: rounded(row.max_peer_similarity),
            penalty: rounded(row.penalty_factor),
            ..Self::absent(options)
        }
    }

    /// The record of a reply that took no part.
    pub(super) fn absent(options: &ScoreOptions) -> Self {
        Self {
            raw_score: 0.0,
            final_score: 0.0,
            penalty_factor: None,
            duplicate_pressure: None,
            max_peer_similarity: None,
            similarity_threshold: options.similarity_threshold(),
            gamma: options.duplication_gamma.max(0.0),
            min_score_for_pressure: options.duplication_min_score_for_pressure.max(0.0),
            score_epsilon: options.duplication_score_epsilon,
            max_similarity: None,
            penalty: None,
        }
    }
}

/// How far a reply is inside (above 0) or outside (below 0) of each gate, 6 decimals. Only under strict rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Margins {
    /// Accuracy less the threshold.
    pub accuracy: f64,
    /// Distance of the rate's ratio to the nearer bound; null where there is no ratio.
    pub rate: Option<f64>,
}

/// The score of one reply with everything that led to it. Serialises in the order and with the names that others read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreResult {
    /// The score after the duplication step, 6 decimals.
    pub score: f64,
    /// The score before it; absent where there was no such step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_score: Option<f64>,
    /// 0 to 1, 6 decimals; null where a gate made it needless.
    pub accuracy: Option<f64>,
    /// Whether the accuracy (before rounding) passes.
    pub accuracy_pass: Option<bool>,
    /// The speaking rate.
    pub speech_rate: SpeechRate,
    /// The latency.
    pub latency: LatencyRow,
    /// What was heard; null where a gate made listening needless.
    pub stt_text: Option<String>,
    /// What should have been said.
    pub gt_text: String,
    /// Length of the reply, 4 decimals.
    pub predicted_duration_sec: f64,
    /// When a listener has heard the whole reply, 4 decimals.
    pub effective_completion_sec: f64,
    /// Length of the source, 4 decimals.
    pub source_duration_sec: f64,
    /// Always false.
    pub score_is_fallback: bool,
    /// [`SCORE_METHOD`] or [`SCORE_METHOD_ERROR`].
    pub score_method: String,
    /// Where the reference came from.
    pub scoring_metadata_source: Option<String>,
    /// The duplication step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_penalty: Option<DuplicatePenalty>,
    /// Why the reply could not be scored, as `<name>:<message>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_error: Option<String>,
    /// The gate that made recognition needless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Distances to the gates' bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margins: Option<Margins>,
    /// Not part of the record: a result that was read back has none.
    #[serde(skip)]
    pub(super) failed: Vec<Gate>,
}

impl ScoreResult {
    /// Which gates the reply failed; empty when it passed all of them, and for results read back from a file.
    pub fn failed_gates(&self) -> &[Gate] {
        &self.failed
    }

    /// The part of the result that run files keep as `score_breakdown`: `speech_rate`, `latency`, `duplication` (where
    /// there was such a step), `score_error` and `gate` (where there is one).
    pub fn breakdown(&self) -> Value {
        let mut breakdown = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            breakdown.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("speech_rate", serde_json::to_value(&self.speech_rate).ok());
        put("latency", serde_json::to_value(&self.latency).ok());
        let mut duplication = self.duplicate_penalty.as_ref().and_then(|row| serde_json::to_value(row).ok());
        if let Some(Value::Object(row)) = &mut duplication {
            row.retain(|key, _| key != "max_similarity" && key != "penalty");
        }
        put("duplication", duplication);
        put("score_error", self.score_error.clone().map(Value::from));
        put("gate", self.gate.map(|gate| gate.name().into()));
        Value::Object(breakdown)
    }
}
