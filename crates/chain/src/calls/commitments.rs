use codec::Encode as _;
use subxt::ext::scale_value::Value;
use taonet_primitives::NetUid;

use super::number;
use crate::Call;

/// Maximum length in bytes of a text in a `Raw` field of a commitment.
const RAW_BYTES: usize = 128;
/// Maximum length of a commitment text, in bytes.
const BIG_RAW_BYTES: usize = 512;

/// A commitment text published by a neuron, of at most 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentText(String);

/// The commitment text is longer than 512 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a commitment of {0} bytes is too long (at most 512 bytes); hint: publish the hash or the URL of the longer text"
)]
pub struct CommitmentError(usize);

impl CommitmentText {
    /// Creates a commitment text after checking its length.
    ///
    /// # Errors
    /// [`CommitmentError`] if the text is longer than 512 bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, CommitmentError> {
        let text = text.into();
        if text.len() > BIG_RAW_BYTES { Err(CommitmentError(text.len())) } else { Ok(Self(text)) }
    }

    /// Returns the commitment's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Builds a call that publishes a text for the signing hotkey, which must be registered on the
/// subnet.
pub fn set_commitment(netuid: NetUid, text: &CommitmentText) -> Call {
    let bytes = text.0.as_bytes();
    // The variants Raw0 to Raw128 carry the number of bytes in their name, without a length prefix.
    let variant =
        if bytes.len() <= RAW_BYTES { format!("Raw{}", bytes.len()) } else { "BigRaw".to_owned() };
    let data = Value::unnamed_variant(variant, [Value::from_bytes(bytes)]);
    let info = Value::named_composite([("fields", Value::unnamed_composite([data]))]);
    Call::new("Commitments", "set_commitment", vec![("netuid", number(netuid.0)), ("info", info)])
}

/// Builds a call that publishes a timelocked text for the signing hotkey: the chain reveals it at
/// this round of the drand beacon. `encrypted` is the ciphertext of the SCALE-encoded text
/// ([`timelocked_plaintext`]), at most 1024 bytes.
pub fn set_timelocked_commitment(netuid: NetUid, encrypted: &[u8], reveal_round: u64) -> Call {
    let fields =
        [("encrypted", Value::from_bytes(encrypted)), ("reveal_round", number(reveal_round))];
    let data = Value::named_variant("TimelockEncrypted", fields);
    let info = Value::named_composite([("fields", Value::unnamed_composite([data]))]);
    Call::new("Commitments", "set_commitment", vec![("netuid", number(netuid.0)), ("info", info)])
}

/// Returns the plaintext of a timelocked commitment, which begins with the length of the text.
pub fn timelocked_plaintext(text: &CommitmentText) -> Vec<u8> {
    text.0.encode()
}
