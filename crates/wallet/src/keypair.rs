use std::fmt;

use ed25519_dalek::{Signer, SigningKey};
use schnorrkel::{ExpansionMode, MiniSecretKey, SecretKey};
use taonet_primitives::{Coldkey, Hotkey};
use zeroize::Zeroizing;

use crate::derive::SecretUri;
use crate::public_key::CONTEXT;
use crate::{CryptoType, KeyError, PublicKey, Signature};

/// An sr25519 or ed25519 key pair. Wiped from memory when dropped; `Debug` shows the address only.
///
/// The constructors create sr25519 pairs, which neurons sign with; variants whose names end in
/// `_with` take the scheme as an argument.
#[derive(Clone)]
pub struct Keypair(Pair);

/// A key pair by scheme. It is boxed, so that a move copies only a pointer and leaves no copy of
/// the secret behind.
#[derive(Clone)]
enum Pair {
    Sr25519(Box<schnorrkel::Keypair>),
    Ed25519(Box<SigningKey>),
}

impl Keypair {
    /// Parses a derivation URI: `phrase[//hard][/soft]…[///password]`.
    ///
    /// The phrase is a mnemonic of 12, 15, 18, 21 or 24 English words, or a seed as `0x` and 64 hex
    /// digits. The default is the public development phrase [`crate::DEV_PHRASE`], so that
    /// `//Alice` is the well-known Alice.
    ///
    /// # Errors
    /// [`KeyError`] if the URI is malformed. The message never contains the URI.
    pub fn from_uri(uri: &str) -> Result<Self, KeyError> {
        Self::from_uri_with(uri, CryptoType::Sr25519)
    }

    /// Parses a derivation URI for the given signature scheme. ed25519 supports hard junctions
    /// only.
    ///
    /// # Errors
    /// The errors of [`Self::from_uri`], and [`KeyError::SoftJunction`] for ed25519.
    pub fn from_uri_with(uri: &str, crypto_type: CryptoType) -> Result<Self, KeyError> {
        let uri = SecretUri::parse(uri)?;
        Ok(Self(match crypto_type {
            CryptoType::Sr25519 => Pair::Sr25519(uri.derive_sr25519()?.into()),
            CryptoType::Ed25519 => {
                Pair::Ed25519(SigningKey::from_bytes(&*uri.derive_ed25519()?).into())
            }
        }))
    }

    /// Creates an sr25519 pair from a 32-byte seed (the "mini secret").
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self::from_seed_with(seed, CryptoType::Sr25519)
    }

    /// Creates a pair of the given signature scheme from a 32-byte seed.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "a mini secret accepts any 32 bytes"
    )]
    pub fn from_seed_with(seed: &[u8; 32], crypto_type: CryptoType) -> Self {
        Self(match crypto_type {
            CryptoType::Sr25519 => {
                let mini = MiniSecretKey::from_bytes(seed).expect("a mini secret has 32 bytes");
                Pair::Sr25519(mini.expand_to_keypair(ExpansionMode::Ed25519).into())
            }
            CryptoType::Ed25519 => Pair::Ed25519(SigningKey::from_bytes(seed).into()),
        })
    }

    /// Creates an sr25519 pair from a 64-byte private key as in keyfiles: canonical scalar and
    /// nonce.
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`] when the scalar is not canonical.
    pub fn from_private_key(key: &[u8; 64]) -> Result<Self, KeyError> {
        Self::from_private_key_with(key, CryptoType::Sr25519)
    }

    /// Creates a pair of the given signature scheme from a private key. An ed25519 private key is
    /// its 32-byte seed.
    ///
    /// # Errors
    /// [`KeyError::PrivateKey`] when the length is wrong or the scalar is not canonical.
    pub fn from_private_key_with(key: &[u8], crypto_type: CryptoType) -> Result<Self, KeyError> {
        match crypto_type {
            CryptoType::Sr25519 => SecretKey::from_bytes(key)
                .map(|secret| secret.to_keypair().into())
                .map_err(|_| KeyError::PrivateKey),
            CryptoType::Ed25519 => {
                let seed = key.try_into().map_err(|_| KeyError::PrivateKey)?;
                Ok(Self::from_seed_with(seed, crypto_type))
            }
        }
    }

    /// Returns the signature scheme.
    pub const fn crypto_type(&self) -> CryptoType {
        match self.0 {
            Pair::Sr25519(_) => CryptoType::Sr25519,
            Pair::Ed25519(_) => CryptoType::Ed25519,
        }
    }

    /// Returns the public key.
    pub fn public(&self) -> PublicKey {
        let key = match &self.0 {
            Pair::Sr25519(pair) => pair.public.to_bytes(),
            Pair::Ed25519(pair) => pair.verifying_key().to_bytes(),
        };
        PublicKey::new(key, self.crypto_type())
    }

    /// Returns the public key as a neuron's hotkey.
    pub fn hotkey(&self) -> Hotkey {
        self.public().hotkey()
    }

    /// Returns the public key as an owner's coldkey.
    pub fn coldkey(&self) -> Coldkey {
        self.public().coldkey()
    }

    /// Returns the private key as in keyfiles: 64 bytes (canonical scalar and nonce) for sr25519,
    /// the 32-byte seed for ed25519.
    pub fn to_private_key(&self) -> Zeroizing<Vec<u8>> {
        match &self.0 {
            Pair::Sr25519(pair) => Zeroizing::new(Zeroizing::new(pair.secret.to_bytes()).to_vec()),
            Pair::Ed25519(pair) => Zeroizing::new(pair.as_bytes().to_vec()),
        }
    }

    /// Returns the sr25519 pair; `None` for ed25519.
    pub(crate) fn sr25519(&self) -> Option<&schnorrkel::Keypair> {
        match &self.0 {
            Pair::Sr25519(pair) => Some(pair),
            Pair::Ed25519(_) => None,
        }
    }

    /// Signs a message of any length. sr25519 signatures are randomised: two signatures of one
    /// message differ.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature::from_bytes(match &self.0 {
            Pair::Sr25519(pair) => pair.sign_simple(CONTEXT, message).to_bytes(),
            Pair::Ed25519(pair) => pair.sign(message).to_bytes(),
        })
    }
}

impl From<schnorrkel::Keypair> for Keypair {
    fn from(pair: schnorrkel::Keypair) -> Self {
        Self(Pair::Sr25519(pair.into()))
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify;

    #[test]
    fn only_signatures_of_key_and_message_verify() {
        let (alice, bob) =
            (Keypair::from_uri("//Alice").unwrap(), Keypair::from_uri("//Bob").unwrap());
        let signature = alice.sign(b"hello");
        assert!(verify(&alice.hotkey(), b"hello", &signature));
        assert!(!verify(&alice.hotkey(), b"hullo", &signature));
        assert!(!verify(&bob.hotkey(), b"hello", &signature));
        assert!(
            !verify(&Hotkey::from_bytes([0xff; 32]), b"hello", &signature),
            "not a point of the curve"
        );
    }

    #[test]
    fn signatures_do_not_verify_under_another_scheme() {
        let (sr25519, ed25519) = (CryptoType::Sr25519, CryptoType::Ed25519);
        for (crypto_type, other) in [(sr25519, ed25519), (ed25519, sr25519)] {
            let alice = Keypair::from_uri_with("//Alice", crypto_type).unwrap();
            let signature = alice.sign(b"hello");
            assert!(alice.public().verify(b"hello", &signature));
            assert!(
                !PublicKey::new(*alice.public().as_bytes(), other).verify(b"hello", &signature)
            );
            let restored =
                Keypair::from_private_key_with(&alice.to_private_key(), crypto_type).unwrap();
            assert_eq!(restored.public(), alice.public());
        }
    }

    #[test]
    fn key_of_small_order_verifies_no_signature() {
        // With the neutral point as key and nonce, the equation holds for any message.
        let mut neutral_element = [0; 64];
        neutral_element[0] = 1;
        let key = PublicKey::new(neutral_element[..32].try_into().unwrap(), CryptoType::Ed25519);
        assert!(!key.verify(b"anything", &Signature::from_bytes(neutral_element)));
    }

    #[test]
    fn debug_shows_the_address_only() {
        let alice = Keypair::from_uri("//Alice").unwrap();
        assert_eq!(
            format!("{alice:?}"),
            "Keypair(5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY)"
        );
    }
}
