//! A miner's commitment on the chain.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taonet_primitives::Hotkey;

/// Maximum length of a commitment in bytes.
const MAX_LENGTH: usize = 2_048;

/// A miner's commitment: a model, and the chute that serves it. Field order is the order on the
/// chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// Name of the model's repository on the hub.
    #[serde(default)]
    pub model: Option<String>,
    /// Revision of the repository.
    #[serde(default)]
    pub revision: Option<String>,
    /// ID of the chute.
    #[serde(default)]
    pub chute_id: Option<String>,
    /// Slug of the chute.
    #[serde(default)]
    pub slug: Option<String>,
    /// Hotkey of the miner.
    #[serde(default)]
    pub hotkey: Option<Hotkey>,
}

/// Why a commitment cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitmentError {
    /// The text is not a JSON object with the fields of a commitment.
    #[error(
        "the commitment is not a JSON object with model, revision, chute_id, slug and hotkey: {0}"
    )]
    Json(#[from] serde_json::Error),
    /// The text is too long.
    #[error("the commitment has {0} bytes, expected at most {MAX_LENGTH}")]
    TooLong(usize),
    /// The commitment names the hotkey of another miner.
    #[error("the commitment belongs to another hotkey, {0}")]
    OtherHotkey(Hotkey),
}

impl Commitment {
    /// Parses the commitment of `miner`. Blank texts count as absent.
    ///
    /// # Errors
    /// [`CommitmentError`] when the text is malformed or names another hotkey.
    pub fn parse(text: &str, miner: &Hotkey) -> Result<Self, CommitmentError> {
        if text.len() > MAX_LENGTH {
            return Err(CommitmentError::TooLong(text.len()));
        }
        // An array of the fields in order would pass for a commitment, too.
        let fields: Map<String, Value> = serde_json::from_str(text)?;
        let Self { model, revision, chute_id, slug, hotkey } =
            Self::deserialize(Value::Object(fields))?;
        let nonempty = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        match hotkey {
            Some(other) if other != *miner => Err(CommitmentError::OtherHotkey(other)),
            _ => Ok(Self {
                model: nonempty(model),
                revision: nonempty(revision),
                chute_id: nonempty(chute_id),
                slug: nonempty(slug),
                hotkey,
            }),
        }
    }

    /// Formats the text for the chain.
    pub fn text(&self) -> String {
        // A struct of texts has no value that JSON cannot express.
        serde_json::to_string(self).unwrap_or_default()
    }
}
