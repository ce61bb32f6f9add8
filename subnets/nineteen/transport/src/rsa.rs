//! The miner's RSA key: 2 048 bits, OAEP with SHA-256 and MGF1-SHA-256.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroize as _;

use crate::FernetKey;
use crate::pem::{decode_private, decode_public, encode_public};

/// Accepted key sizes, in bits.
const KEY_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;

/// Why an RSA operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RsaError {
    /// The text is not an RSA key of 2 048 to 4 096 bits in PEM.
    #[error("malformed RSA key, expected 2048 to 4096 bits in PEM")]
    Key,
    /// The random source or the key encoding failed.
    #[error("RSA operation failed")]
    Failed,
    /// The ciphertext does not contain 32 bytes encrypted with this key.
    #[error("ciphertext does not decrypt to a symmetric key")]
    Ciphertext,
}

/// A miner's RSA key pair, generated at each start.
pub struct RsaKey {
    private_key: OaepPrivateDecryptingKey,
    public_pem: String,
}

impl RsaKey {
    /// Generates a key pair of 2 048 bits, which takes about 0.1 s.
    ///
    /// # Errors
    /// [`RsaError::Failed`] when the system's random source or the key encoding fails.
    pub fn generate() -> Result<Self, RsaError> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(|_| RsaError::Failed)?;
        Self::new(key)
    }

    /// Parses a private key: PKCS #8 in PEM.
    ///
    /// # Errors
    /// [`RsaError::Key`] when the text is not a private key of 2 048 to 4 096 bits.
    pub fn from_pem(text: &str) -> Result<Self, RsaError> {
        let der = decode_private(text).ok_or(RsaError::Key)?;
        let key = PrivateDecryptingKey::from_pkcs8(&der).map_err(|_| RsaError::Key)?;
        if !KEY_BITS.contains(&key.key_size_bits()) {
            return Err(RsaError::Key);
        }
        Self::new(key)
    }

    fn new(key: PrivateDecryptingKey) -> Result<Self, RsaError> {
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| RsaError::Failed)?;
        let public_pem = encode_public(der.as_ref()).ok_or(RsaError::Failed)?;
        let private_key = OaepPrivateDecryptingKey::new(key).map_err(|_| RsaError::Failed)?;
        Ok(Self { private_key, public_pem })
    }

    /// Returns the public key in PEM, as the miner publishes it.
    pub(crate) fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// Decrypts a symmetric key from its RSA ciphertext in standard base64, which takes about 1 ms.
    ///
    /// # Errors
    /// [`RsaError::Ciphertext`] when the text does not contain 32 bytes encrypted with this key.
    pub fn decrypt(&self, text: &str) -> Result<FernetKey, RsaError> {
        let ciphertext = STANDARD.decode(text).map_err(|_| RsaError::Ciphertext)?;
        let mut buffer = vec![0; self.private_key.min_output_size()];
        let plaintext =
            self.private_key.decrypt(&OAEP_SHA256_MGF1SHA256, &ciphertext, &mut buffer, None);
        let key = plaintext.ok().and_then(|plaintext| <[u8; 32]>::try_from(&*plaintext).ok());
        buffer.zeroize();
        key.map(FernetKey::from_bytes).ok_or(RsaError::Ciphertext)
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaKey(..)")
    }
}

/// A miner's public RSA key, with which validators encrypt symmetric keys.
pub struct PublicEncryptionKey(OaepPublicEncryptingKey);

impl PublicEncryptionKey {
    /// Parses a public key: SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// [`RsaError::Key`] when the text is not a public key of 2 048 to 4 096 bits.
    pub fn from_pem(text: &str) -> Result<Self, RsaError> {
        let der = decode_public(text).ok_or(RsaError::Key)?;
        let key = PublicEncryptingKey::from_der(&der).map_err(|_| RsaError::Key)?;
        if !KEY_BITS.contains(&key.key_size_bits()) {
            return Err(RsaError::Key);
        }
        OaepPublicEncryptingKey::new(key).map(Self).map_err(|_| RsaError::Key)
    }

    /// Encrypts a symmetric key; returns the ciphertext in standard base64.
    ///
    /// # Errors
    /// [`RsaError::Failed`] when the system's random source fails.
    pub fn encrypt(&self, key: &FernetKey) -> Result<String, RsaError> {
        let mut buffer = vec![0; self.0.ciphertext_size()];
        let ciphertext = self.0.encrypt(&OAEP_SHA256_MGF1SHA256, key.as_bytes(), &mut buffer, None);
        ciphertext.map(|ciphertext| STANDARD.encode(ciphertext)).map_err(|_| RsaError::Failed)
    }
}

impl fmt::Debug for PublicEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicEncryptionKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symmetric_key_round_trips_through_rsa() {
        let miner = RsaKey::generate().unwrap();
        assert!(miner.public_pem().starts_with(
            "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"
        ));
        let public = PublicEncryptionKey::from_pem(miner.public_pem()).unwrap();
        let key = FernetKey::random();
        let text = public.encrypt(&key).unwrap();
        assert_eq!(text.len(), 344);
        assert_eq!(miner.decrypt(&text).unwrap().as_bytes(), key.as_bytes());
        assert_eq!(RsaKey::generate().unwrap().decrypt(&text).unwrap_err(), RsaError::Ciphertext);
        for wrong in ["", "%%%", "eHh4", &"eHh4".repeat(86)] {
            assert_eq!(miner.decrypt(wrong).unwrap_err(), RsaError::Ciphertext);
        }
    }

    #[test]
    fn malformed_pem_is_an_error() {
        for text in ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert_eq!(PublicEncryptionKey::from_pem(text).unwrap_err(), RsaError::Key);
            assert_eq!(RsaKey::from_pem(text).unwrap_err(), RsaError::Key);
        }
    }
}
