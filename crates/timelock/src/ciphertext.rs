//! Ciphertexts: data of any length, encrypted to a round.

use std::fmt;

use aes_gcm::aead::Aead as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::ibe::{SECRET_BYTES, SealedKey};
use crate::{Beacon, Pulse, Round};

mod format;
mod wrapped;

pub use format::FormatError;
pub use wrapped::{WrappedCiphertext, WrappedCiphertextError};

/// The length of AES-GCM's nonce in bytes.
const NONCE_BYTES: usize = 12;

/// Why encryption failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The plaintext exceeds AES-GCM's limit of 64 GiB.
    #[error("a plaintext of {0} bytes is too large; hint: split it")]
    TooLong(usize),
}

/// Why decryption failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The pulse's signature does not match the ciphertext's round and beacon.
    #[error(
        "the pulse of round {0} does not decrypt the ciphertext: the ciphertext belongs to another round or beacon, \
         or was modified"
    )]
    WrongPulse(Round),
    /// The key matches, but the encrypted data was altered.
    #[error("the ciphertext for round {0} was modified; hint: fetch it again from its source")]
    Modified(Round),
}

/// Encrypts data to a round of a beacon. Fresh randomness makes every ciphertext different.
///
/// # Errors
/// [`EncryptError::TooLong`] when the plaintext exceeds 64 GiB.
pub fn encrypt(
    plaintext: &[u8],
    beacon: &Beacon,
    round: Round,
    rng: &mut impl CryptoRng,
) -> Result<Ciphertext, EncryptError> {
    let (mut key, mut sigma) =
        (Zeroizing::new([0; SECRET_BYTES]), Zeroizing::new([0; SECRET_BYTES]));
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(key.as_mut_slice());
    rng.fill_bytes(sigma.as_mut_slice());
    rng.fill_bytes(&mut nonce);
    let data = Aes256Gcm::new((&*key).into())
        .encrypt(&nonce.into(), plaintext)
        .map_err(|_| EncryptError::TooLong(plaintext.len()))?;
    Ok(Ciphertext { key: SealedKey::seal(&key, &sigma, beacon, round), data, nonce })
}

/// Data encrypted to a round, whose pulse decrypts it. The ciphertext does not contain the round's
/// number, which must be stored beside it, as in [`WrappedCiphertext`].
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext {
    key: SealedKey,
    /// The encrypted data, followed by the AES-GCM tag.
    data: Vec<u8>,
    nonce: [u8; NONCE_BYTES],
}

impl Ciphertext {
    /// Decrypts the data with the pulse of its round.
    ///
    /// # Errors
    /// [`DecryptError`] if the pulse does not match, or the ciphertext was altered.
    pub fn decrypt(&self, pulse: &Pulse) -> Result<Vec<u8>, DecryptError> {
        let key = self.key.open(pulse).ok_or(DecryptError::WrongPulse(pulse.round()))?;
        Aes256Gcm::new((&*key).into())
            .decrypt(&self.nonce.into(), self.data.as_slice())
            .map_err(|_| DecryptError::Modified(pulse.round()))
    }
}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ciphertext").field("bytes", &self.data.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
