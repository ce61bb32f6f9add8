use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use taonet_primitives::Hotkey;

use crate::{CryptoType, PublicKey};

/// Why a text does not parse as a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The text does not have 128 hex digits.
    #[error("signature has {0} hex digits, expected 128")]
    Length(usize),
    /// The text has a character that is not a hex digit.
    #[error("signature is not hexadecimal")]
    Hex,
}

/// An sr25519 or ed25519 signature of 64 bytes, written as `0x` and 128 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature([u8; 64]);

impl Signature {
    /// Creates a signature from its 64 bytes, without verifying it; see [`verify`].
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Returns the 64 bytes of the signature.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Returns the signature as 128 lower-case hex digits without the `0x` of `Display`: the form
    /// used by signing services.
    pub fn to_bare_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    /// Parses 128 hex digits, with or without `0x`.
    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() != 128 {
            return Err(SignatureError::Length(digits.len()));
        }
        let mut bytes = [0; 64];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| SignatureError::Hex)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", self.to_bare_hex())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl TryFrom<String> for Signature {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        text.parse()
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        signature.to_string()
    }
}

/// Whether `signer` signed exactly `message` with its sr25519 key.
pub fn verify(signer: &Hotkey, message: &[u8], signature: &Signature) -> bool {
    PublicKey::new(*signer.as_bytes(), CryptoType::Sr25519).verify(message, signature)
}

/// Whether `signer` signed `message`, either plain or wrapped in `<Bytes>…</Bytes>` as browser
/// wallets do.
///
/// Use it for messages that people sign; verify requests between neurons with [`verify`].
pub fn verify_wrapped(signer: &Hotkey, message: &[u8], signature: &Signature) -> bool {
    PublicKey::new(*signer.as_bytes(), CryptoType::Sr25519).verify_wrapped(message, signature)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Keypair;

    #[test]
    fn malformed_signatures_have_distinct_errors() {
        assert_eq!("".parse::<Signature>(), Err(SignatureError::Length(0)));
        assert_eq!("0x".parse::<Signature>(), Err(SignatureError::Length(0)));
        assert_eq!("ab".repeat(63).parse::<Signature>(), Err(SignatureError::Length(126)));
        assert_eq!("zz".repeat(64).parse::<Signature>(), Err(SignatureError::Hex));
        // 128 bytes, but not 128 characters.
        assert_eq!("é".repeat(64).parse::<Signature>(), Err(SignatureError::Hex));
    }

    #[test]
    fn wrapped_bytes_are_accepted_only_on_request() {
        let alice = Keypair::from_uri("//Alice").unwrap();
        let signature = alice.sign(b"<Bytes>hello</Bytes>");
        assert!(!verify(&alice.hotkey(), b"hello", &signature));
        assert!(verify_wrapped(&alice.hotkey(), b"hello", &signature));
        assert!(!verify_wrapped(&alice.hotkey(), b"hullo", &signature));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let alice = Keypair::from_uri("//Alice").unwrap();
        let signature = alice.sign(b"hello");
        for bit in 0..512 {
            let mut bytes = *signature.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&alice.hotkey(), b"hello", &Signature::from_bytes(bytes)), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn every_signature_round_trips(low: [u8; 32], high: [u8; 32]) {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&low);
            bytes[32..].copy_from_slice(&high);
            let signature = Signature::from_bytes(bytes);
            prop_assert_eq!(signature.to_string().parse(), Ok(signature));
            prop_assert_eq!(signature.to_bare_hex().parse(), Ok(signature));
        }

        #[test]
        fn random_text_never_panics(text in ".{0,140}") {
            let _ = text.parse::<Signature>();
        }
    }
}
