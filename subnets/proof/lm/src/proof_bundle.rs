use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use taonet_proof_circuits::{Bundle, ModelBundle};

use crate::{LmError, Text, TextBundle};

/// A proof bundle of any kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ProofBundle {
    /// A proof of a model's outputs.
    Model(ModelBundle),
    /// A proof of a language model's answer.
    Text(Box<TextBundle>),
}

/// Not derived, for the same reason as that of [`ModelBundle`].
impl<'de> Deserialize<'de> for ProofBundle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(json.get().as_bytes()).map_err(D::Error::custom)
    }
}

impl ProofBundle {
    /// Parses a bundle.
    ///
    /// # Errors
    /// When the text is malformed, or the bundle of a model is too long or of an unsupported
    /// version.
    pub fn from_json(text: &[u8]) -> Result<Self, LmError> {
        match TextBundle::from_json(text)? {
            Some(bundle) => Ok(Self::Text(Box::new(bundle))),
            None => Ok(Self::Model(ModelBundle::from_json(text)?)),
        }
    }

    /// Returns the proofs: one for each slice of a model.
    pub fn proofs(&self) -> &[Bundle] {
        match self {
            Self::Model(bundle) => bundle.proofs(),
            Self::Text(bundle) => std::slice::from_ref(&bundle.proof),
        }
    }

    /// Returns the proof of the model's outputs.
    pub fn model(&self) -> ModelBundle {
        match self {
            Self::Model(bundle) => bundle.clone(),
            Self::Text(bundle) => ModelBundle::Single(Box::new(bundle.proof.clone())),
        }
    }

    /// Returns the text of a language model; `None` for other models. The proof is not verified.
    ///
    /// # Errors
    /// When the answer is not the one that the outputs choose; see [`TextBundle::text`].
    pub fn text(&self) -> Result<Option<Text>, LmError> {
        match self {
            Self::Model(_) => Ok(None),
            Self::Text(bundle) => bundle.text().map(Some),
        }
    }
}
