//! Under which conditions a score came about: whoever wants to recompute it needs the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_speech::{Recognizer, SentenceEmbedder};

/// Which engine, and which weights and options of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineIdentity {
    /// The name that settings use, e.g. `tiny-ctc`.
    pub name: String,
    /// Identifies weights and options: engines with equal fingerprints give equal results.
    pub fingerprint: String,
}

impl EngineIdentity {
    /// The identity of a recogniser.
    pub fn of_recognizer(recognizer: &dyn Recognizer) -> Self {
        Self { name: recognizer.name().to_owned(), fingerprint: recognizer.fingerprint().to_owned() }
    }

    /// The identity of a sentence embedder.
    pub fn of_embedder(embedder: &dyn SentenceEmbedder) -> Self {
        Self { name: embedder.name().to_owned(), fingerprint: embedder.fingerprint().to_owned() }
    }
}

/// Everything beside reply and reference that a score depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringConditions {
    /// What recognised the replies.
    pub recognizer: EngineIdentity,
    /// What compared their meaning.
    pub embedder: EngineIdentity,
    /// The contest's numbers.
    pub options: ScoreOptions,
    /// Whether replies that score 0 either way were spared recognition.
    pub gates: bool,
    /// The program that scored, e.g. `taonet 0.1.0`. Decides nothing.
    pub program: String,
    /// Processor and vector instructions: sums of floats may differ in their last digits between them.
    pub machine: String,
}

/// A condition that is not what it was when the score was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConditionDifference {
    /// Which one, e.g. `recognizer.fingerprint` or `options.accuracy_threshold`.
    pub field: String,
    /// What it was.
    pub recorded: Value,
    /// What it is here.
    pub here: Value,
}

impl ScoringConditions {
    /// The conditions of this program on this machine.
    pub fn here(recognizer: EngineIdentity, embedder: EngineIdentity, options: ScoreOptions, gates: bool) -> Self {
        let program = format!("taonet {}", env!("CARGO_PKG_VERSION"));
        Self { recognizer, embedder, options, gates, program, machine: machine() }
    }

    /// SHA-256 of the conditions as JSON, lowercase hex: their name in the ledger.
    pub fn sha256(&self) -> String {
        // Texts, numbers and a flag always serialise.
        hex::encode(Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }

    /// What may give other scores here than it gave under `self`: engines, their fingerprints, options. Gates spare
    /// work and change no score; program and machine are for the record.
    pub fn differences(&self, here: &Self) -> Vec<ConditionDifference> {
        let fields = |conditions: &Self| {
            let Self { recognizer, embedder, options, .. } = conditions;
            let mut fields = vec![
                ("recognizer.name".to_owned(), Value::from(recognizer.name.as_str())),
                ("recognizer.fingerprint".to_owned(), Value::from(recognizer.fingerprint.as_str())),
                ("embedder.name".to_owned(), Value::from(embedder.name.as_str())),
                ("embedder.fingerprint".to_owned(), Value::from(embedder.fingerprint.as_str())),
            ];
            if let Ok(Value::Object(options)) = serde_json::to_value(options) {
                fields.extend(options.into_iter().map(|(name, value)| (format!("options.{name}"), value)));
            }
            fields
        };
        let pairs = fields(self).into_iter().zip(fields(here));
        pairs
            .filter(|((_, recorded), (_, here))| recorded != here)
            .map(|((field, recorded), (_, here))| ConditionDifference { field, recorded, here })
            .collect()
    }
}

/// The processor's family and the vector instructions that it has, e.g. `x86_64 avx2 fma avx512f`.
fn machine() -> String {
    let mut words = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        words.extend(features.into_iter().filter(|(_, has)| *has).map(|(name, _)| name));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conditions() -> ScoringConditions {
        let engine = |name: &str| EngineIdentity { name: name.into(), fingerprint: format!("{name} 1") };
        ScoringConditions::here(engine("ear"), engine("sense"), ScoreOptions::default(), true)
    }

    #[test]
    fn equal_conditions_have_one_name() {
        assert_eq!(conditions().sha256(), conditions().sha256());
        assert_eq!(conditions().differences(&conditions()), []);
        let text = serde_json::to_string(&conditions()).unwrap();
        assert_eq!(serde_json::from_str::<ScoringConditions>(&text).unwrap().sha256(), conditions().sha256());
    }

    #[test]
    fn what_changes_a_score_is_a_difference() {
        let mut other = conditions();
        other.recognizer.fingerprint = "ear 2".into();
        other.options.accuracy_threshold = 0.7;
        (other.gates, other.program, other.machine) = (false, "another".into(), "z80".into());
        let difference = |field: &str, recorded, here| ConditionDifference { field: field.into(), recorded, here };
        let expected = [
            difference("recognizer.fingerprint", json!("ear 1"), json!("ear 2")),
            difference("options.accuracy_threshold", json!(0.65), json!(0.7)),
        ];
        assert_eq!(conditions().differences(&other), expected);
        assert_ne!(conditions().sha256(), other.sha256());
    }
}
