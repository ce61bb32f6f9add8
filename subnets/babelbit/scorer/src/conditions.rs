//! Scoring conditions: recomputing a score gives the same result only under equal conditions.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_speech::{Recognizer, SentenceEmbedder};

/// Identity of a recogniser or embedder: name, weights and options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineIdentity {
    /// Name of the engine in settings, e.g. `tiny-ctc`.
    pub name: String,
    /// Fingerprint of weights and options: engines with equal fingerprints give equal results.
    pub fingerprint: String,
}

impl EngineIdentity {
    /// Returns the identity of a recogniser.
    pub fn for_recognizer(recognizer: &dyn Recognizer) -> Self {
        Self {
            name: recognizer.name().to_owned(),
            fingerprint: recognizer.fingerprint().to_owned(),
        }
    }

    /// Returns the identity of a sentence embedder.
    pub fn for_embedder(embedder: &dyn SentenceEmbedder) -> Self {
        Self { name: embedder.name().to_owned(), fingerprint: embedder.fingerprint().to_owned() }
    }
}

/// All inputs of a score besides reply and reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringConditions {
    /// Identity of the recogniser.
    pub recognizer: EngineIdentity,
    /// Identity of the sentence embedder.
    pub embedder: EngineIdentity,
    /// The scoring parameters.
    pub options: ScoreOptions,
    /// Whether recognition was skipped for replies that score 0 regardless of their transcript.
    pub gates: bool,
    /// Name and version of the scoring program, e.g. `taonet 0.2.0`. Informational.
    pub program: String,
    /// Processor architecture and instructions, which affect the last digits of float sums, and
    /// therefore tokens of the recogniser.
    pub machine: String,
}

/// A scoring condition that differs from the recorded one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConditionDifference {
    /// Path of the condition, e.g. `recognizer.fingerprint` or `options.accuracy_threshold`.
    pub field: String,
    /// The recorded value.
    pub recorded: Value,
    /// The local value.
    pub here: Value,
}

impl ScoringConditions {
    /// Returns the conditions of this program on this machine.
    pub fn of_this_machine(
        recognizer: EngineIdentity,
        embedder: EngineIdentity,
        options: ScoreOptions,
        gates: bool,
    ) -> Self {
        let program = format!("taonet {}", env!("CARGO_PKG_VERSION"));
        Self { recognizer, embedder, options, gates, program, machine: machine() }
    }

    /// Returns the SHA-256 of the conditions as JSON, in lowercase hex: the key of the conditions
    /// in the ledger.
    pub fn sha256(&self) -> String {
        // Serialisation of strings, numbers and a flag cannot fail.
        hex::encode(Sha256::digest(serde_json::to_vec(self).unwrap_or_default()))
    }

    /// Lists the differences that may change scores: names and fingerprints of the engines, and
    /// options. Gates only skip work and change no score; program and machine are informational.
    pub fn differences(&self, current: &Self) -> Vec<ConditionDifference> {
        let fields = |conditions: &Self| {
            let Self { recognizer, embedder, options, .. } = conditions;
            let mut fields = vec![
                ("recognizer.name".to_owned(), Value::from(recognizer.name.as_str())),
                ("recognizer.fingerprint".to_owned(), Value::from(recognizer.fingerprint.as_str())),
                ("embedder.name".to_owned(), Value::from(embedder.name.as_str())),
                ("embedder.fingerprint".to_owned(), Value::from(embedder.fingerprint.as_str())),
            ];
            if let Ok(Value::Object(options)) = serde_json::to_value(options) {
                fields.extend(
                    options.into_iter().map(|(name, value)| (format!("options.{name}"), value)),
                );
            }
            fields
        };
        let pairs = fields(self).into_iter().zip(fields(current));
        pairs
            .filter(|((_, recorded), (_, current))| recorded != current)
            .map(|((field, recorded), (_, current))| ConditionDifference {
                field,
                recorded,
                here: current,
            })
            .collect()
    }
}

/// Returns processor architecture and the instructions on which the results of engines depend, e.g.
/// `x86_64 avx2 fma avx512f avx512bw avx512vnni`. `amx` stands for AMX with int8 and bf16, which
/// this process may use.
fn machine() -> String {
    let mut words = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
            ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
            ("amx", taonet_amx::Amx::detect().is_some()),
        ];
        words.extend(
            features.into_iter().filter(|(_, is_detected)| *is_detected).map(|(name, _)| name),
        );
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conditions() -> ScoringConditions {
        let engine =
            |name: &str| EngineIdentity { name: name.into(), fingerprint: format!("{name} 1") };
        ScoringConditions::of_this_machine(
            engine("ear"),
            engine("sense"),
            ScoreOptions::default(),
            true,
        )
    }

    #[test]
    fn equal_conditions_have_the_same_digest() {
        assert_eq!(conditions().sha256(), conditions().sha256());
        assert_eq!(conditions().differences(&conditions()), []);
        let text = serde_json::to_string(&conditions()).unwrap();
        assert_eq!(
            serde_json::from_str::<ScoringConditions>(&text).unwrap().sha256(),
            conditions().sha256()
        );
    }

    #[test]
    fn settings_that_change_scores_are_differences() {
        let mut other = conditions();
        other.recognizer.fingerprint = "ear 2".into();
        other.options.accuracy_threshold = 0.7;
        (other.gates, other.program, other.machine) = (false, "another".into(), "z80".into());
        let difference = |field: &str, recorded, here| ConditionDifference {
            field: field.into(),
            recorded,
            here,
        };
        let expected = [
            difference("recognizer.fingerprint", json!("ear 1"), json!("ear 2")),
            difference("options.accuracy_threshold", json!(0.65), json!(0.7)),
        ];
        assert_eq!(conditions().differences(&other), expected);
        assert_ne!(conditions().sha256(), other.sha256());
    }
}
