//! Messages between validator and miner, in the encoding of the subnet's implementations: maps with
//! string keys, absent options omitted, binary values as MessagePack binary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Message type of a proof request for a complete circuit.
pub const QUERY_ZK_PROOF: &str = "query-zk-proof";
/// Message type of a proof request for a slice of a model.
pub const SLICE_PROOF: &str = "dsperse-proof-generation";

/// A proof system by its wire name. Unknown names are rejected, never treated as verified.
///
/// Serialised as text: the published client's MessagePack encoder would write a variant as a
/// number, which its decoder rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "ProofSystemForm")]
pub enum ProofSystem {
    /// Legacy name of EZKL's zero-knowledge machine learning circuits.
    Zkml,
    /// Groth16 with Circom's artifacts.
    Circom,
    /// The Jolt zkVM.
    Jolt,
    /// Halo2 circuits of EZKL.
    Ezkl,
    /// Circuits of JSTprove.
    Jstprove,
    /// This project's Groth16 backend.
    Groth16,
    /// This project's transparent STARK backend.
    Stark,
    /// An external program, which the operators of both validator and miner install.
    External,
}

/// The text is not the wire name of a proof system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown proof system {0:?}")]
pub struct UnknownProofSystem(String);

impl From<ProofSystem> for &'static str {
    fn from(system: ProofSystem) -> Self {
        system.name()
    }
}

/// Encodings of a proof system's name: text, or the only key of a map.
#[derive(Deserialize)]
#[serde(untagged)]
enum ProofSystemForm {
    Name(String),
    Map(BTreeMap<String, Value>),
}

impl TryFrom<ProofSystemForm> for ProofSystem {
    type Error = UnknownProofSystem;

    fn try_from(encoding: ProofSystemForm) -> Result<Self, UnknownProofSystem> {
        let name = match encoding {
            ProofSystemForm::Name(name) => name,
            ProofSystemForm::Map(map) => map.into_keys().collect::<Vec<_>>().join(", "),
        };
        Self::ALL.into_iter().find(|system| system.name() == name).ok_or(UnknownProofSystem(name))
    }
}

impl ProofSystem {
    const ALL: [Self; 8] = [
        Self::Zkml,
        Self::Circom,
        Self::Jolt,
        Self::Ezkl,
        Self::Jstprove,
        Self::Groth16,
        Self::Stark,
        Self::External,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Zkml => "ZKML",
            Self::Circom => "CIRCOM",
            Self::Jolt => "JOLT",
            Self::Ezkl => "EZKL",
            Self::Jstprove => "JSTPROVE",
            Self::Groth16 => "GROTH16",
            Self::Stark => "STARK",
            Self::External => "EXTERNAL",
        }
    }

    /// Returns the wire name of one of this project's backends; `None` for an unknown ID.
    pub fn for_backend(id: &str) -> Option<Self> {
        match id {
            "groth16" => Some(Self::Groth16),
            "stark" => Some(Self::Stark),
            "external" => Some(Self::External),
            _ => None,
        }
    }
}

/// Request for a proof of one circuit's output.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryZkProof {
    /// Identity of the circuit: 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// The input, under the key `input_data`, `input`, `data` or `inputs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_input: Option<Value>,
    /// Unused in requests; carries the proof in older responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_output: Option<String>,
}

/// Response to [`QueryZkProof`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryZkProofResponse {
    /// Bytes of the proof.
    #[serde(with = "serde_bytes")]
    pub query_output: Vec<u8>,
    /// Public values; some backends put their witness here.
    #[serde(with = "serde_bytes")]
    pub witness: Vec<u8>,
    /// Outputs as real numbers.
    pub computed_outputs: Vec<f64>,
    /// Whether the miner refused because it is at capacity, in which case all other fields are
    /// empty. A protocol extension.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub busy: bool,
}

/// Request for a proof of one slice of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceProofRequest {
    /// Identity of the sliced model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<String>,
    /// Proof system of the slice.
    #[serde(default = "default_proof_system")]
    pub proof_system: ProofSystem,
    /// Input of the slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Value>,
    /// Expected output of the slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Value>,
    /// Number of the slice, as `N` or `slice_N`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice_num: Option<String>,
    /// Identity of the run that the slice belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_uid: Option<String>,
    /// SHA-256 of the slice's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_sha: Option<String>,
}

/// Response to [`SliceProofRequest`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SliceProofResponse {
    /// Bytes of the proof.
    #[serde(with = "serde_bytes")]
    pub proof: Vec<u8>,
    /// Public values of the proof.
    #[serde(with = "serde_bytes")]
    pub witness: Vec<u8>,
    /// Outputs as real numbers.
    pub computed_outputs: Vec<f64>,
    /// Whether the miner refused because it is at capacity, in which case all other fields are
    /// empty. A protocol extension.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub busy: bool,
}

fn default_proof_system() -> ProofSystem {
    ProofSystem::Jstprove
}

/// Returns the input values of a request: the value of the first of the keys `input_data`, `input`,
/// `data`, `inputs`, or the value itself if it is not a map.
pub fn input_of(query: &Value) -> Option<&Value> {
    match query {
        Value::Object(map) => {
            ["input_data", "input", "data", "inputs"].iter().find_map(|key| map.get(*key))
        }
        other => Some(other),
    }
}

/// Normalises a slice's name to `slice_N`; `None` for anything but a number with or without that
/// prefix.
pub(crate) fn slice_name(text: &str) -> Option<String> {
    let digits = text.strip_prefix("slice_").unwrap_or(text);
    digits.parse::<u32>().ok().map(|number| format!("slice_{number}"))
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: &T) {
        let packed = rmp_serde::to_vec_named(message).unwrap();
        assert_eq!(&rmp_serde::from_slice::<T>(&packed).unwrap(), message);
        let text = serde_json::to_string(message).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), message);
    }

    #[test]
    fn messages_round_trip_in_both_encodings() {
        round_trip(&QueryZkProof::default());
        round_trip(&QueryZkProof {
            model_id: Some("a".repeat(64)),
            query_input: Some(serde_json::json!({"input_data": [[1.5, 2.0]]})),
            query_output: None,
        });
        round_trip(&QueryZkProofResponse {
            query_output: vec![1, 255],
            computed_outputs: vec![0.25],
            ..QueryZkProofResponse::default()
        });
        round_trip(&QueryZkProofResponse { busy: true, ..QueryZkProofResponse::default() });
        round_trip(&SliceProofResponse {
            proof: vec![0; 300],
            witness: vec![7],
            ..SliceProofResponse::default()
        });
    }

    #[test]
    fn absent_options_are_left_out_and_defaults_filled_in() {
        assert_eq!(serde_json::to_string(&QueryZkProof::default()).unwrap(), "{}");
        let slice: SliceProofRequest = serde_json::from_str("{}").unwrap();
        assert_eq!(slice.proof_system, ProofSystem::Jstprove);
    }

    #[test]
    fn binary_values_are_packed_as_binary() {
        let answer = SliceProofResponse { proof: vec![1, 2, 3], ..SliceProofResponse::default() };
        let packed = rmp_serde::to_vec_named(&answer).unwrap();
        // bin 8, three bytes.
        assert!(packed.windows(5).any(|window| window == [0xc4, 3, 1, 2, 3]));
    }

    #[test]
    fn busy_field_is_sent_by_full_miner_only() {
        let text = serde_json::to_string(&QueryZkProofResponse::default()).unwrap();
        assert!(!text.contains("busy"), "the reference's fields only: {text}");
        let old = r#"{"query_output":[],"witness":[],"computed_outputs":[]}"#;
        assert!(!serde_json::from_str::<QueryZkProofResponse>(old).unwrap().busy);
    }

    #[test]
    fn unknown_proof_systems_are_refused() {
        assert!(serde_json::from_str::<ProofSystem>("\"GROTH16\"").is_ok());
        assert!(serde_json::from_str::<ProofSystem>("\"MAGIC\"").is_err());
        // The one-key map form.
        assert!(serde_json::from_str::<ProofSystem>(r#"{"CIRCOM":null}"#).is_ok());
    }

    #[test]
    fn query_inputs_are_read_from_the_first_known_key() {
        let query = serde_json::json!({"inputs": 1, "input": 2});
        assert_eq!(input_of(&query), Some(&serde_json::json!(2)));
        assert_eq!(input_of(&serde_json::json!([3])), Some(&serde_json::json!([3])));
    }

    #[test]
    fn slice_names_are_normalised() {
        assert_eq!(slice_name("slice_007"), Some("slice_7".to_owned()));
        assert_eq!(slice_name("../1"), None);
    }
}
