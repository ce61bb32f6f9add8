use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ScoreOptions;
use super::duplication::Duplication;
use crate::rounding::round6;

/// Score method of a scored reply.
pub const SCORE_METHOD: &str = "semantic_audio_v1";
/// Score method of a reply that could not be scored.
pub const SCORE_METHOD_ERROR: &str = "semantic_audio_v1_error";

/// A check that a reply failed, which makes its score 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Gate {
    /// The miner violated the protocol or did not respond in time.
    PredictionError,
    /// The reply has no audio.
    NoAudio,
    /// The reply ended so late that its latency score is 0.
    TooLate,
    /// The recogniser found no words in the reply.
    NoSpeech,
    /// The reply could not be scored for another reason.
    ScoringError,
    /// The reply is in the wrong language.
    Language,
    /// The reply's meaning differs too much from the reference's.
    Accuracy,
    /// The reply's speaking rate is out of bounds.
    Rate,
}

impl Gate {
    /// Returns the name of the gate in records, e.g. `too_late`.
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

    /// Returns the reason that tables and pages show for a failed gate, such as `too late`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::PredictionError => "invalid response",
            Self::NoAudio => "no audio",
            Self::TooLate => "too late",
            Self::NoSpeech => "no speech recognised",
            Self::ScoringError => "could not be scored",
            Self::Language => "wrong language",
            Self::Accuracy => "low accuracy",
            Self::Rate => "wrong speaking rate",
        }
    }
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Recorded speaking rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SpeechRate {
    /// The reply was transcribed, or recognition was skipped (then only the reference's rate is
    /// known).
    Measured {
        /// Result of the speaking-rate gate: 1 passed, 0 failed; null if not computed.
        #[serde(deserialize_with = "crate::number::optional_float")]
        penalty: Option<f64>,
        /// Words per second of the reply, 3 decimals.
        #[serde(deserialize_with = "crate::number::optional_float")]
        miner_wps: Option<f64>,
        /// Words per second of the reference, 3 decimals.
        #[serde(deserialize_with = "crate::number::optional_float")]
        reference_wps: Option<f64>,
        /// Ratio of the reply's rate to the reference's, 3 decimals.
        #[serde(deserialize_with = "crate::number::optional_float")]
        ratio: Option<f64>,
        /// Why the rate was not measurable; only in error results under strict rules.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The reply could not be scored.
    Unknown {
        /// Result of the speaking-rate gate; always 0.
        penalty: u8,
        /// Reason, always `scoring_error`.
        reason: String,
    },
}

/// Recorded latency; all fields but the score are in seconds with 4 decimals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyRow {
    /// Latency score, 0 to 1, 6 decimals; always 1 in error results under reference rules.
    pub score: f64,
    /// Time from the start of the source until a listener has heard the complete reply.
    pub completion_sec: f64,
    /// Duration of the source.
    pub source_duration_sec: f64,
    /// Time between the end of the source and the end of the reply.
    pub overshoot_sec: f64,
    /// Smallest overshoot at which the score is 0; missing in error results under reference rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_overshoot_sec: Option<f64>,
}

/// Recorded duplication step of a reply; optional fields are null if the reply was excluded from
/// the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DuplicatePenalty {
    /// Score before the step.
    pub raw_score: f64,
    /// Score after the step.
    pub final_score: f64,
    /// Ratio of the final score to the raw score.
    pub penalty_factor: Option<f64>,
    /// Duplicate pressure, at least 1: the score is multiplied by `duplicate_pressure^-gamma`.
    pub duplicate_pressure: Option<f64>,
    /// Highest cosine to another reply.
    pub max_peer_similarity: Option<f64>,
    /// Option: cosine above which two replies are duplicates.
    pub similarity_threshold: f64,
    /// Option: exponent of the duplicate pressure.
    pub gamma: f64,
    /// Option: minimum score at which a reply lowers the scores of its duplicates.
    pub min_score_for_pressure: f64,
    /// Option: maximum score difference at which a worse duplicate still lowers the score of a
    /// better one.
    pub score_epsilon: f64,
    /// Same value as `max_peer_similarity`.
    pub max_similarity: Option<f64>,
    /// Same value as `penalty_factor`.
    pub penalty: Option<f64>,
}

impl DuplicatePenalty {
    /// Creates the record of a reply that was compared with the other replies.
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

    /// Creates the record of a reply that was excluded from the comparison.
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

/// Distance of a reply from each gate's bound, 6 decimals: above 0 inside, below 0 outside.
/// Recorded only under strict rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Margins {
    /// Accuracy minus the threshold.
    pub accuracy: f64,
    /// Distance of the speaking-rate ratio from the nearer bound; null if there is no ratio.
    pub rate: Option<f64>,
}

/// Score of one reply with all its components. Serialises with the reference system's field names
/// and order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreResult {
    /// Score after the duplication step, 6 decimals.
    pub score: f64,
    /// Score before the duplication step; missing if that step was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_score: Option<f64>,
    /// Semantic similarity, 0 to 1, 6 decimals; null if a gate skipped the comparison.
    pub accuracy: Option<f64>,
    /// Whether the unrounded accuracy passes the accuracy gate.
    pub accuracy_pass: Option<bool>,
    /// Recorded speaking rate.
    pub speech_rate: SpeechRate,
    /// Recorded latency.
    pub latency: LatencyRow,
    /// Transcript of the reply; null if a gate skipped recognition.
    pub stt_text: Option<String>,
    /// Expected translation.
    pub gt_text: String,
    /// Duration of the reply in seconds, 4 decimals.
    pub predicted_duration_sec: f64,
    /// Time from the start of the source until a listener has heard the complete reply, in seconds,
    /// 4 decimals.
    pub effective_completion_sec: f64,
    /// Duration of the source in seconds, 4 decimals.
    pub source_duration_sec: f64,
    /// Whether the score is a fallback; always false.
    pub score_is_fallback: bool,
    /// [`SCORE_METHOD`] or [`SCORE_METHOD_ERROR`].
    pub score_method: String,
    /// File or URL from which the reference was requested.
    pub scoring_metadata_source: Option<String>,
    /// Recorded duplication step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_penalty: Option<DuplicatePenalty>,
    /// Why the reply could not be scored, as `<name>:<message>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score_error: Option<String>,
    /// The gate that skipped recognition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Distances from the bounds of the gates; only under strict rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margins: Option<Margins>,
    /// Failed gates. Not serialised: a deserialised result has none.
    #[serde(skip)]
    pub(super) failed_gates: Vec<Gate>,
}

impl ScoreResult {
    /// Returns the gates that the reply failed; empty if the reply passed all gates, or for a
    /// deserialised result.
    pub fn failed_gates(&self) -> &[Gate] {
        &self.failed_gates
    }

    /// Returns the part of the result that run files contain as `score_breakdown`: `speech_rate`,
    /// `latency`, `duplication` (if that step took place), `score_error` and `gate` (if present).
    pub fn breakdown(&self) -> Value {
        let mut breakdown = Map::new();
        let mut insert = |key: &str, value: Option<Value>| {
            breakdown.extend(value.map(|value| (key.to_owned(), value)));
        };
        insert("speech_rate", serde_json::to_value(&self.speech_rate).ok());
        insert("latency", serde_json::to_value(&self.latency).ok());
        let mut duplication =
            self.duplicate_penalty.as_ref().and_then(|row| serde_json::to_value(row).ok());
        if let Some(Value::Object(row)) = &mut duplication {
            row.retain(|key, _| key != "max_similarity" && key != "penalty");
        }
        insert("duplication", duplication);
        insert("score_error", self.score_error.clone().map(Value::from));
        insert("gate", self.gate.map(|gate| gate.name().into()));
        Value::Object(breakdown)
    }
}
