use std::fmt;

use serde::{Deserialize, Serialize};
use taonet_primitives::bytes_without_bom;
use taonet_proof_backends::Seed;
use taonet_proof_core::Digest;

use crate::CircuitError;

/// Version of the format of openings.
pub const OPENING_VERSION: u32 = 1;

/// The opening of a proof's commitment to its hidden inputs. Whoever has it and the bundle can
/// check which inputs the proof hides: it is a secret of the prover, who gives it to whom they
/// choose.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The version of the format: [`OPENING_VERSION`].
    pub version: u32,
    /// The commitment that it opens.
    pub commitment: Digest,
    /// Integer inputs.
    pub inputs: Vec<i64>,
    /// Seed of the proof's random numbers, in hexadecimal.
    #[serde(with = "hexadecimal")]
    pub seed: Seed,
}

impl Opening {
    /// Parses an opening.
    ///
    /// # Errors
    /// When the text is malformed or of an unsupported version.
    pub fn from_json(text: &[u8]) -> Result<Self, CircuitError> {
        let opening: Self = serde_json::from_slice(bytes_without_bom(text))
            .map_err(|source| CircuitError::Json { document: "opening", source })?;
        if opening.version == OPENING_VERSION {
            Ok(opening)
        } else {
            Err(CircuitError::Opening("has an unsupported version"))
        }
    }

    /// Serializes the opening as JSON.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn to_json(&self) -> Result<Vec<u8>, CircuitError> {
        serde_json::to_vec(self)
            .map_err(|source| CircuitError::Json { document: "opening", source })
    }
}

/// Without the inputs.
impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("commitment", &self.commitment).finish_non_exhaustive()
    }
}

/// A seed as 64 hexadecimal digits.
mod hexadecimal {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use taonet_proof_backends::Seed;

    pub(super) fn serialize<S: Serializer>(seed: &Seed, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(seed.as_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Seed, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        // Without the text, which could be most of a secret.
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| D::Error::custom("the seed does not have 64 hexadecimal digits"))?;
        Ok(Seed::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Opening {
        Opening {
            version: OPENING_VERSION,
            commitment: Digest::of(b"commitment"),
            inputs: vec![3, -2],
            seed: Seed::from_bytes([171; 32]),
        }
    }

    #[test]
    fn opening_survives_serialization() {
        let text = opening().to_json().unwrap();
        assert!(Opening::from_json(&text).unwrap() == opening());
        assert!(String::from_utf8(text).unwrap().contains(&"ab".repeat(32)));
    }

    #[test]
    fn malformed_openings_are_rejected() {
        let text = String::from_utf8(opening().to_json().unwrap()).unwrap();
        let seed = "ab".repeat(32);
        for (old, new, expected) in [
            ("\"version\":1", "\"version\":2", "unsupported version"),
            (&seed[..], "ab", "64 hexadecimal digits"),
            (&seed[..], &"zz".repeat(32)[..], "64 hexadecimal digits"),
            ("[3,-2]", "[3,\"x\"]", "malformed opening"),
            ("{", "{\"other\":1,", "unknown field"),
        ] {
            assert!(text.contains(old), "{old}");
            let error = Opening::from_json(text.replacen(old, new, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let debug_output = format!("{:?}", opening());
        assert!(!debug_output.contains("171") && !debug_output.contains("ab".repeat(32).as_str()));
        assert!(!debug_output.contains("-2"), "{debug_output}");
    }
}
