use std::fmt;

use ed25519_dalek::VerifyingKey;
use taonet_primitives::{Coldkey, Hotkey, Ss58, Ss58Prefix};

use crate::hex_text::secret_from_hex;
use crate::{CryptoType, KeyError, Signature};

/// The signing context of every Substrate chain.
pub(crate) const CONTEXT: &[u8] = b"substrate";

/// A public key and its signature scheme. `Display` writes the address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey {
    crypto_type: CryptoType,
    key: [u8; 32],
}

impl PublicKey {
    /// Creates a public key from its 32 bytes and scheme. With invalid bytes, every verification
    /// fails.
    pub const fn new(key: [u8; 32], crypto_type: CryptoType) -> Self {
        Self { crypto_type, key }
    }

    /// Parses a Bittensor address, or a key as `0x` and 64 hex digits.
    ///
    /// # Errors
    /// [`PublicKeyError`]: a malformed address or malformed digits.
    pub fn parse(text: &str, crypto_type: CryptoType) -> Result<Self, PublicKeyError> {
        let key = if text.starts_with("0x") {
            *secret_from_hex(text).ok_or(KeyError::PublicKey)?
        } else {
            text.parse::<Ss58>()?.key_with_prefix(Ss58Prefix::BITTENSOR)?
        };
        Ok(Self { crypto_type, key })
    }

    /// Returns the signature scheme.
    pub const fn crypto_type(&self) -> CryptoType {
        self.crypto_type
    }

    /// Returns the 32 bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// Returns the key as a neuron's hotkey.
    pub const fn hotkey(&self) -> Hotkey {
        Hotkey::from_bytes(self.key)
    }

    /// Returns the key as an owner's coldkey.
    pub const fn coldkey(&self) -> Coldkey {
        Coldkey::from_bytes(self.key)
    }

    /// Returns the key as an address on the network with this prefix.
    pub(crate) const fn address_on(&self, prefix: Ss58Prefix) -> Ss58 {
        Ss58::new(self.key, prefix)
    }

    /// Whether the key signed exactly `message`.
    ///
    /// No signature is valid for keys with which anyone can sign: the all-zero sr25519 key, and
    /// ed25519 keys or nonces of small order.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.decode().is_some_and(|key| key.verify(message, signature))
    }

    /// Decodes the key, for several verifications; `None` if no signature is valid for it.
    pub fn decode(&self) -> Option<DecodedPublicKey> {
        Some(DecodedPublicKey(match self.crypto_type {
            CryptoType::Sr25519 => Point::Sr25519(sr25519_key(&self.key)?),
            CryptoType::Ed25519 => Point::Ed25519(VerifyingKey::from_bytes(&self.key).ok()?),
        }))
    }

    /// Whether the key signed `message`, either plain or wrapped in `<Bytes>…</Bytes>` as browser
    /// wallets do.
    ///
    /// Use it for messages that people sign; verify requests between neurons with [`Self::verify`].
    pub fn verify_wrapped(&self, message: &[u8], signature: &Signature) -> bool {
        self.verify(message, signature)
            || self.verify(&[b"<Bytes>", message, b"</Bytes>"].concat(), signature)
    }
}

/// A public key as a point of its curve. To decode it takes a tenth of the time of a verification.
#[derive(Debug, Clone, Copy)]
pub struct DecodedPublicKey(Point);

#[derive(Debug, Clone, Copy)]
enum Point {
    Sr25519(schnorrkel::PublicKey),
    Ed25519(VerifyingKey),
}

impl DecodedPublicKey {
    /// Whether the key signed exactly `message`, as [`PublicKey::verify`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        match &self.0 {
            Point::Sr25519(key) => schnorrkel::Signature::from_bytes(signature.as_bytes())
                .is_ok_and(|signature| key.verify_simple(CONTEXT, message, &signature).is_ok()),
            Point::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
                key.verify_strict(message, &signature).is_ok()
            }
        }
    }
}

/// Returns the sr25519 key with these bytes, if it is valid and not zero: the zero point has the
/// known secret 0.
pub(crate) fn sr25519_key(bytes: &[u8; 32]) -> Option<schnorrkel::PublicKey> {
    if *bytes == [0; 32] { None } else { schnorrkel::PublicKey::from_bytes(bytes).ok() }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address_on(Ss58Prefix::BITTENSOR).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self}, {})", self.crypto_type)
    }
}

/// Why a text does not parse as a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// The text is not a Bittensor address.
    #[error(transparent)]
    Address(#[from] taonet_primitives::Ss58Error),
    /// The text begins with `0x`, but the rest is not 64 hex digits.
    #[error(transparent)]
    Hex(#[from] KeyError),
}
