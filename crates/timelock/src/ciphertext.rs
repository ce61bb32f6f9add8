//! Bytes of any length, encrypted to a round.

use std::fmt;

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::ibe::{SealedKey, WIDTH};
use crate::{Beacon, Pulse, Round};

mod format;
mod wrapped;

pub use format::FormatError;
pub use wrapped::{Wrapped, WrappedError};

/// Length of AES-GCM's nonce.
const NONCE: usize = 12;

/// Why nothing was encrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// AES-GCM takes no more than 64 GiB.
    #[error("{0} bytes are too many to encrypt at once; split them")]
    TooLong(usize),
}

/// Why a ciphertext stays closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The pulse's signature is not the key.
    #[error(
        "the pulse of round {0} does not open this: it was encrypted to another round or for another beacon, or it was changed"
    )]
    WrongPulse(Round),
    /// The key fits, the bytes that it protects do not.
    #[error("the encrypted data was changed since it was encrypted to round {0}; get it again from where it came")]
    Changed(Round),
}

/// Encrypts to a round of a beacon, with fresh randomness: no two ciphertexts are alike.
///
/// # Errors
/// [`EncryptError::TooLong`] when the plaintext is.
pub fn encrypt(
    plaintext: &[u8],
    beacon: &Beacon,
    round: Round,
    rng: &mut impl CryptoRng,
) -> Result<Ciphertext, EncryptError> {
    let (mut key, mut sigma) = (Zeroizing::new([0; WIDTH]), Zeroizing::new([0; WIDTH]));
    let mut nonce = [0; NONCE];
    rng.fill_bytes(key.as_mut_slice());
    rng.fill_bytes(sigma.as_mut_slice());
    rng.fill_bytes(&mut nonce);
    let data = Aes256Gcm::new((&*key).into())
        .encrypt(&nonce.into(), plaintext)
        .map_err(|_| EncryptError::TooLong(plaintext.len()))?;
    Ok(Ciphertext { key: SealedKey::seal(&key, &sigma, beacon, round), data, nonce })
}

/// Data that opens with the pulse of one round. It does not say which: that is told beside it, as in [`Wrapped`].
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext {
    key: SealedKey,
    /// With the tag at its end.
    data: Vec<u8>,
    nonce: [u8; NONCE],
}

impl Ciphertext {
    /// Opens it with the pulse of its round.
    ///
    /// # Errors
    /// [`DecryptError`] when the pulse is another, or the ciphertext was changed.
    pub fn decrypt(&self, pulse: &Pulse) -> Result<Vec<u8>, DecryptError> {
        let key = self.key.open(pulse).ok_or(DecryptError::WrongPulse(pulse.round()))?;
        Aes256Gcm::new((&*key).into())
            .decrypt(&self.nonce.into(), self.data.as_slice())
            .map_err(|_| DecryptError::Changed(pulse.round()))
    }
}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ciphertext").field("bytes", &self.data.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
