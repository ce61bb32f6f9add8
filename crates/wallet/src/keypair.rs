use std::fmt;

use schnorrkel::{ExpansionMode, MiniSecretKey};
use taonet_primitives::Hotkey;

use crate::Signature;
use crate::derive::{KeyError, SecretUri};

/// The signing context that every Substrate chain uses.
pub(crate) const CONTEXT: &[u8] = b"substrate";

/// An sr25519 key pair. Wiped from memory when dropped; `Debug` shows the address only.
#[derive(Clone)]
pub struct Keypair(schnorrkel::Keypair);

impl Keypair {
    /// Reads a derivation URI: `phrase[//hard][/soft]…[///password]`.
    ///
    /// The phrase is a mnemonic of 12, 15, 18, 21 or 24 English words, or a seed as `0x` and 64 hex digits; left out,
    /// it is the public development phrase [`crate::DEV_PHRASE`], so that `//Alice` is everyone's Alice.
    ///
    /// # Errors
    /// [`KeyError`], which says what is wrong without repeating the text.
    pub fn from_uri(uri: &str) -> Result<Self, KeyError> {
        SecretUri::parse(uri)?.derive().map(Self)
    }

    /// Expands a 32-byte seed (the "mini secret").
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "32 bytes are the only thing that a mini secret asks for"
    )]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mini = MiniSecretKey::from_bytes(seed).expect("a mini secret has 32 bytes");
        Self(mini.expand_to_keypair(ExpansionMode::Ed25519))
    }

    /// Takes the 64-byte form of keyfiles: canonical scalar and nonce.
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`] when the scalar is not canonical.
    pub fn from_private_key(key: &[u8; 64]) -> Result<Self, KeyError> {
        schnorrkel::SecretKey::from_bytes(key).map(|secret| Self(secret.into())).map_err(|_| KeyError::PrivateKey)
    }

    /// The public half.
    pub fn hotkey(&self) -> Hotkey {
        Hotkey::from_bytes(self.0.public.to_bytes())
    }

    /// Signs the bytes as they are. Two signatures of one message differ: sr25519 is randomised.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(self.0.sign_simple(CONTEXT, message).to_bytes())
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.hotkey())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify;

    #[test]
    fn signs_what_it_verifies() {
        let (alice, bob) = (Keypair::from_uri("//Alice").unwrap(), Keypair::from_uri("//Bob").unwrap());
        let signature = alice.sign(b"hello");
        assert!(verify(&alice.hotkey(), b"hello", &signature));
        assert!(!verify(&alice.hotkey(), b"hullo", &signature));
        assert!(!verify(&bob.hotkey(), b"hello", &signature));
        assert!(!verify(&Hotkey::from_bytes([0xff; 32]), b"hello", &signature), "not a point of the curve");
    }

    #[test]
    fn debug_shows_the_address_only() {
        let alice = Keypair::from_uri("//Alice").unwrap();
        assert_eq!(format!("{alice:?}"), "Keypair(5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY)");
    }
}
