use std::fmt;
use std::str::FromStr;

use blake2::{Blake2b512, Digest};
use serde::{Deserialize, Serialize};

use crate::base58;

/// Why a text does not parse as an SS58 address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ss58Error {
    /// The text has a character outside the base-58 alphabet.
    #[error("address is not base58")]
    Base58,
    /// The decoded bytes do not consist of a prefix, a 32-byte key and a 2-byte checksum.
    #[error("address has {}, expected 35 (36 with a two-byte prefix)", crate::counted(.0, "byte"))]
    Length(usize),
    /// The address belongs to another network.
    #[error("address prefix is {actual}, expected {expected}")]
    Prefix {
        /// The prefix of the address.
        actual: Ss58Prefix,
        /// The expected prefix.
        expected: Ss58Prefix,
    },
    /// The prefix is reserved (46, 47), too large, or not in its shortest form.
    #[error("invalid address prefix, expected 0 to 16383 except 46 and 47")]
    UnknownPrefix,
    /// The checksum does not match, for example because a character was mistyped.
    #[error("address checksum does not match")]
    Checksum,
}

/// The prefix that identifies an address's network: `0..=16383`, without the reserved 46 and 47.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ss58Prefix(u16);

impl Ss58Prefix {
    /// The prefix of generic Substrate, used by Bittensor: addresses begin with 5.
    pub const BITTENSOR: Self = Self(42);

    /// Creates a prefix from its number.
    ///
    /// # Errors
    /// [`Ss58Error::UnknownPrefix`] for 46, 47 and numbers above 16 383.
    pub const fn new(number: u16) -> Result<Self, Ss58Error> {
        match number {
            46 | 47 | 16_384.. => Err(Ss58Error::UnknownPrefix),
            _ => Ok(Self(number)),
        }
    }

    /// Returns the prefix as an integer.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Encodes the prefix: below 64 as one byte, otherwise as two. The first has the marker `01`
    /// and bits 7 to 2, the second bits 1 to 0 and 13 to 8.
    fn encode(self) -> Vec<u8> {
        let [high, low] = self.0.to_be_bytes();
        if self.0 < 64 { vec![low] } else { vec![0b0100_0000 | low >> 2, low << 6 | high] }
    }

    /// Decodes a prefix and returns it with its length in bytes.
    fn decode(bytes: &[u8]) -> Result<(Self, usize), Ss58Error> {
        let (number, length) = match bytes {
            [first @ 0..64, ..] => (u16::from(*first), 1),
            [first @ 64..128, second, ..] => {
                let low = (first & 0b0011_1111) << 2 | second >> 6;
                (u16::from_be_bytes([second & 0b0011_1111, low]), 2)
            }
            _ => return Err(Ss58Error::UnknownPrefix),
        };
        let prefix = Self::new(number)?;
        // Only the shortest form is valid: small numbers in two bytes would give every address a
        // second spelling.
        if prefix.encode().len() == length {
            Ok((prefix, length))
        } else {
            Err(Ss58Error::UnknownPrefix)
        }
    }
}

impl fmt::Display for Ss58Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An SS58 address: a 32-byte public key with the prefix of a Substrate network.
///
/// [`crate::Hotkey`] and [`crate::Coldkey`] are Bittensor addresses; this type converts between
/// networks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ss58 {
    prefix: Ss58Prefix,
    key: [u8; 32],
}

impl Ss58 {
    /// Creates the address of a public key on a network.
    pub const fn new(key: [u8; 32], prefix: Ss58Prefix) -> Self {
        Self { prefix, key }
    }

    /// Returns the 32 bytes of the public key.
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Returns the prefix of the network.
    pub const fn prefix(&self) -> Ss58Prefix {
        self.prefix
    }

    /// Returns the address on another network.
    #[must_use]
    pub const fn with_prefix(self, prefix: Ss58Prefix) -> Self {
        Self { prefix, ..self }
    }

    /// Returns the public key if the address has the expected prefix.
    ///
    /// # Errors
    /// [`Ss58Error::Prefix`] for an address of another network.
    pub fn key_with_prefix(&self, expected: Ss58Prefix) -> Result<[u8; 32], Ss58Error> {
        if self.prefix == expected {
            Ok(self.key)
        } else {
            Err(Ss58Error::Prefix { actual: self.prefix, expected })
        }
    }
}

fn checksum(payload: &[u8]) -> [u8; 2] {
    let hash: [u8; 64] =
        Blake2b512::new().chain_update(b"SS58PRE").chain_update(payload).finalize().into();
    let [a, b, ..] = hash;
    [a, b]
}

impl FromStr for Ss58 {
    type Err = Ss58Error;

    fn from_str(text: &str) -> Result<Self, Ss58Error> {
        // An address is at most 50 characters; longer input would cost quadratic decoding time.
        if text.len() > 64 {
            return Err(Ss58Error::Length(text.len()));
        }
        let bytes = base58::decode(text).ok_or(Ss58Error::Base58)?;
        let length_error = Ss58Error::Length(bytes.len());
        let (payload, sum) = match bytes.len() {
            35 | 36 => bytes.split_last_chunk::<2>().ok_or_else(|| length_error.clone())?,
            _ => return Err(length_error),
        };
        if checksum(payload) != *sum {
            return Err(Ss58Error::Checksum);
        }
        let (prefix, length) = Ss58Prefix::decode(payload)?;
        let key = payload.get(length..).and_then(|key| key.try_into().ok()).ok_or(length_error)?;
        Ok(Self { prefix, key })
    }
}

impl fmt::Display for Ss58 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.prefix.encode();
        bytes.extend_from_slice(&self.key);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        f.write_str(&base58::encode(&bytes))
    }
}

impl fmt::Debug for Ss58 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ss58({self})")
    }
}

impl TryFrom<String> for Ss58 {
    type Error = Ss58Error;

    fn try_from(text: String) -> Result<Self, Ss58Error> {
        text.parse()
    }
}

impl From<Ss58> for String {
    fn from(address: Ss58) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Alice's key on several networks, as the Substrate tools write it.
    const ALICE: [(u16, &str); 6] = [
        (0, "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"),
        (2, "HNZata7iMYWmk5RvZRTiAsSDhV8366zq2YGb3tLH5Upf74F"),
        (42, "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
        (64, "cEaNSpz4PxFcZ7nT1VEKrKewH67rfx6MfcM6yKojyyPz7qaqp"),
        (1284, "VdvKmYJfD4VXA9fzz1SbmCo2eYHSzUFbaDCZSuaNKJAe8YNg6"),
        (16383, "yNa8JpqfFB3q8A29rCwSgxvdU94ufJw2yKKxDgznS5m1PoFvn"),
    ];

    #[test]
    fn one_key_has_an_address_on_each_network() {
        let alice = *ALICE[2].1.parse::<Ss58>().unwrap().key();
        for (number, text) in ALICE {
            let prefix = Ss58Prefix::new(number).unwrap();
            assert_eq!(Ss58::new(alice, prefix).to_string(), text);
            assert_eq!(text.parse(), Ok(Ss58::new(alice, prefix)));
        }
    }

    #[test]
    fn malformed_addresses_have_distinct_errors() {
        let error = |bytes: &[u8]| {
            let text = bs58::encode([bytes, &checksum(bytes)].concat()).into_string();
            text.parse::<Ss58>().unwrap_err()
        };
        assert_eq!(error(&[&[46][..], &[1; 32]].concat()), Ss58Error::UnknownPrefix, "reserved");
        assert_eq!(
            error(&[&[0b0100_1010, 0b1000_0000][..], &[1; 32]].concat()),
            Ss58Error::UnknownPrefix,
            "42 in two"
        );
        assert_eq!(error(&[&[128, 0][..], &[1; 32]].concat()), Ss58Error::UnknownPrefix);
        assert_eq!(error(&[&[42][..], &[1; 33]].concat()), Ss58Error::Length(36));
        assert_eq!(error(&[&[64][..], &[1; 32]].concat()), Ss58Error::Length(35));
        assert_eq!(error(&[42; 3]), Ss58Error::Length(5));
        assert_eq!(Ss58Prefix::new(16_384), Err(Ss58Error::UnknownPrefix));
    }

    proptest! {
        #[test]
        fn every_address_round_trips(key: [u8; 32], number in 0_u16..16_384) {
            prop_assume!(number != 46 && number != 47);
            let address = Ss58::new(key, Ss58Prefix::new(number).unwrap());
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn changed_character_never_parses_to_the_same_key(key: [u8; 32], at in 0_usize..48) {
            let mut text = Ss58::new(key, Ss58Prefix::BITTENSOR).to_string();
            let other = if text.as_bytes()[at] == b'2' { "3" } else { "2" };
            text.replace_range(at..=at, other);
            // A two-byte checksum misses one change in 65 536, but the changed text must not give
            // the same key.
            prop_assert_ne!(text.parse::<Ss58>().ok().map(|address| *address.key()), Some(key));
        }

        #[test]
        fn random_text_never_panics(text in ".{0,70}") {
            let _ = text.parse::<Ss58>();
        }
    }
}
