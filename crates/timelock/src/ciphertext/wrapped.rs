//! A ciphertext with its round beside it.

use codec::{DecodeAll as _, Encode as _};

use super::{Ciphertext, FormatError};
use crate::Round;

/// Why bytes are no wrapped ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrappedError {
    /// The frame around the ciphertext is broken.
    #[error("expected a ciphertext between its length and its round (SCALE): get the data again, whole")]
    Frame,
    /// The ciphertext within is.
    #[error(transparent)]
    Ciphertext(#[from] FormatError),
}

/// Data as the general helpers of the Python packages encrypt it, in SCALE: `compact length ‖ ciphertext ‖ round u64`.
///
/// Nothing protects the round: it says which pulse to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The data.
    pub ciphertext: Ciphertext,
    /// The round that opens it.
    pub round: Round,
}

impl Wrapped {
    /// The wrapped form.
    pub fn to_bytes(&self) -> Vec<u8> {
        (self.ciphertext.to_bytes(), self.round.0).encode()
    }

    /// Reads the wrapped form.
    ///
    /// # Errors
    /// [`WrappedError`] when the bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WrappedError> {
        let (ciphertext, round) = <(Vec<u8>, u64)>::decode_all(&mut &*bytes).map_err(|_| WrappedError::Frame)?;
        Ok(Self { ciphertext: Ciphertext::from_bytes(&ciphertext)?, round: Round(round) })
    }
}
