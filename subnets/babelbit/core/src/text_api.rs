//! Messages between validator and text miner (`POST /predict`).

use serde::{Deserialize, Serialize};

/// Path of the predict route.
pub const PREDICT_PATH: &str = "/predict";

/// Message name of a predict request in signatures.
pub const PREDICT_MESSAGE: &str = "BBPredictedUtterance";

/// Separator of earlier utterances in [`PredictedUtterance::context`].
pub const CONTEXT_SEPARATOR: &str = " EOF ";

/// Request to a text miner: the revealed words of an utterance. Field order is the order on the
/// wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictedUtterance {
    /// ID of the engine's session.
    pub index: String,
    /// Number of revealed words, minus 1.
    pub step: u32,
    /// The revealed words, separated by one space.
    pub prefix: String,
    /// Earlier utterances of the dialogue, separated by [`CONTEXT_SEPARATOR`].
    #[serde(default)]
    pub context: String,
    /// Whether the utterance is complete.
    #[serde(default)]
    pub done: bool,
    /// The prediction; empty in a request.
    #[serde(default)]
    pub prediction: String,
    /// The utterance, once it is complete.
    #[serde(default)]
    pub ground_truth: Option<String>,
    /// Scores of the prediction, if known.
    #[serde(default)]
    pub evaluation: Option<Evaluation>,
}

/// Scores of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evaluation {
    /// Character-level similarity of the prediction and the ground truth, in `0..=1`.
    pub lexical_similarity: f64,
    /// Semantic similarity of the prediction and the ground truth, in `0..=1`.
    pub semantic_similarity: f64,
    /// Weight of the step, in `0..=1`: earlier steps weigh more.
    pub earliness: f64,
    /// Score of the step.
    pub u_step: f64,
}

/// Response of a text miner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionResponse {
    /// The complete utterance, including the prefix; may be empty.
    pub prediction: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Columns: field · value if absent, or none if required
    #[test]
    fn predict_request_has_fields_and_defaults() {
        let complete = json!({"index": "s", "step": 0, "prefix": "a"});
        let parsed: PredictedUtterance = serde_json::from_value(complete.clone()).unwrap();
        let serialized = serde_json::to_value(&parsed).unwrap();
        for (field, default) in [
            ("index", None),
            ("step", None),
            ("prefix", None),
            ("context", Some(json!(""))),
            ("done", Some(json!(false))),
            ("prediction", Some(json!(""))),
            ("ground_truth", Some(Value::Null)),
            ("evaluation", Some(Value::Null)),
        ] {
            let mut partial = complete.clone();
            partial.as_object_mut().unwrap().remove(field);
            let outcome = serde_json::from_value::<PredictedUtterance>(partial);
            assert_eq!(outcome.is_ok(), default.is_some(), "{field}");
            assert!(
                default.is_none_or(|default| serialized[field] == default),
                "{field}: {serialized}"
            );
        }
        for (field, value) in [
            ("index", json!(1)),
            ("step", json!("0")),
            ("step", json!(-1)),
            ("prefix", json!(null)),
        ] {
            let mut invalid = complete.clone();
            invalid[field] = value.clone();
            assert!(
                serde_json::from_value::<PredictedUtterance>(invalid).is_err(),
                "{field}={value}"
            );
        }
        let evaluation: Evaluation = serde_json::from_value(json!({"u_step": 0.5})).unwrap();
        assert_eq!(evaluation, Evaluation { u_step: 0.5, ..Evaluation::default() });
    }
}
