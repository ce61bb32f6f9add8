//! Ciphertexts together with their round.

use codec::{DecodeAll as _, Encode as _};

use super::{Ciphertext, FormatError};
use crate::Round;

/// Why bytes are not a valid wrapped ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrappedCiphertextError {
    /// The frame around the ciphertext is malformed.
    #[error(
        "malformed wrapped ciphertext, expected length, ciphertext and round (SCALE); hint: fetch it again"
    )]
    Frame,
    /// The ciphertext is malformed.
    #[error(transparent)]
    Ciphertext(#[from] FormatError),
}

/// A ciphertext with its round, in the form that the Python package bittensor-drand uses.
///
/// The SCALE form is `compact length ‖ ciphertext ‖ round u64`.
///
/// The round is not authenticated: it only suggests which pulse to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedCiphertext {
    /// The encrypted data.
    pub ciphertext: Ciphertext,
    /// The round whose pulse decrypts the ciphertext.
    pub round: Round,
}

impl WrappedCiphertext {
    /// Encodes the ciphertext and its round in SCALE.
    pub fn to_bytes(&self) -> Vec<u8> {
        (self.ciphertext.to_bytes(), self.round.0).encode()
    }

    /// Decodes a ciphertext and its round from SCALE.
    ///
    /// # Errors
    /// [`WrappedCiphertextError`] when the bytes are malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WrappedCiphertextError> {
        let (ciphertext, round) = <(Vec<u8>, u64)>::decode_all(&mut &*bytes)
            .map_err(|_| WrappedCiphertextError::Frame)?;
        Ok(Self { ciphertext: Ciphertext::from_bytes(&ciphertext)?, round: Round(round) })
    }
}
