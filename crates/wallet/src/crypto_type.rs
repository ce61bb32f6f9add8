use std::fmt;
use std::str::FromStr;

use crate::KeyError;

/// A signature scheme, with the number that keyfiles use for it (`cryptoType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum CryptoType {
    /// The scheme ed25519, number 0 in keyfiles.
    Ed25519 = 0,
    /// The scheme sr25519 (Schnorr signatures on Ristretto), number 1 in keyfiles. Bittensor's keys
    /// use it.
    #[default]
    Sr25519 = 1,
}

impl CryptoType {
    /// Returns the scheme's number in keyfiles.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the scheme's name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Sr25519 => "sr25519",
        }
    }
}

impl TryFrom<u8> for CryptoType {
    type Error = KeyError;

    fn try_from(number: u8) -> Result<Self, KeyError> {
        match number {
            0 => Ok(Self::Ed25519),
            1 => Ok(Self::Sr25519),
            _ => Err(KeyError::CryptoType(number)),
        }
    }
}

impl FromStr for CryptoType {
    type Err = KeyError;

    /// Parses the scheme's name.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        [Self::Ed25519, Self::Sr25519]
            .into_iter()
            .find(|scheme| scheme.name() == text)
            .ok_or(KeyError::Scheme)
    }
}

impl fmt::Display for CryptoType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
