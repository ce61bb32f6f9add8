use std::fmt;
use std::str::FromStr;

use blake2::{Blake2b512, Digest};
use serde::{Deserialize, Serialize};

/// The address prefix that Bittensor uses (generic Substrate).
const PREFIX: u8 = 42;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ss58Error {
    /// The text holds a character outside the base-58 alphabet.
    #[error("address is not base-58 text")]
    Base58,
    /// The decoded bytes are not prefix, 32-byte key and 2-byte checksum.
    #[error("address has {0} bytes, expected 35")]
    Length(usize),
    /// The address belongs to another network.
    #[error("address prefix is {0}, expected {PREFIX}")]
    Prefix(u8),
    /// A character was mistyped.
    #[error("address checksum does not match")]
    Checksum,
}

/// The public key that signs a neuron's requests; written as an SS58 address with prefix 42.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hotkey([u8; 32]);

impl Hotkey {
    /// Wraps the 32 bytes of a public key.
    pub const fn from_bytes(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The 32 bytes of the public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn checksum(payload: &[u8]) -> [u8; 2] {
    let hash: [u8; 64] = Blake2b512::new().chain_update(b"SS58PRE").chain_update(payload).finalize().into();
    let [a, b, ..] = hash;
    [a, b]
}

impl FromStr for Hotkey {
    type Err = Ss58Error;

    fn from_str(text: &str) -> Result<Self, Ss58Error> {
        // An address is at most 50 characters; longer input would cost quadratic decoding time.
        if text.len() > 64 {
            return Err(Ss58Error::Length(text.len()));
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| Ss58Error::Base58)?;
        let Ok(bytes) = <[u8; 35]>::try_from(bytes.as_slice()) else { return Err(Ss58Error::Length(bytes.len())) };
        let [prefix, key @ .., a, b] = bytes;
        if prefix != PREFIX {
            return Err(Ss58Error::Prefix(prefix));
        }
        let [payload @ .., _, _] = &bytes;
        if checksum(payload) != [a, b] {
            return Err(Ss58Error::Checksum);
        }
        Ok(Self(key))
    }
}

impl fmt::Display for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 35];
        let [prefix, key @ .., a, b] = &mut bytes;
        *prefix = PREFIX;
        *key = self.0;
        let mut payload = vec![PREFIX];
        payload.extend_from_slice(&self.0);
        [*a, *b] = checksum(&payload);
        f.write_str(&bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hotkey({self})")
    }
}

impl TryFrom<String> for Hotkey {
    type Error = Ss58Error;

    fn try_from(text: String) -> Result<Self, Ss58Error> {
        text.parse()
    }
}

impl From<Hotkey> for String {
    fn from(hotkey: Hotkey) -> Self {
        hotkey.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    #[test]
    fn alice_reads_back() {
        let alice: Hotkey = ALICE.parse().unwrap();
        assert_eq!(alice.to_string(), ALICE);
        assert_eq!(serde_json::to_string(&alice).unwrap(), format!("\"{ALICE}\""));
    }

    #[test]
    fn each_mistake_is_named() {
        assert_eq!("0OIl".parse::<Hotkey>(), Err(Ss58Error::Base58));
        assert_eq!("".parse::<Hotkey>(), Err(Ss58Error::Length(0)));
        assert_eq!("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ".parse::<Hotkey>(), Err(Ss58Error::Checksum));
        // The same key under Polkadot's prefix 0.
        assert_eq!("15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5".parse::<Hotkey>(), Err(Ss58Error::Prefix(0)));
        assert!(matches!("5".repeat(10_000).parse::<Hotkey>(), Err(Ss58Error::Length(_))));
    }

    proptest! {
        #[test]
        fn every_key_reads_back(key: [u8; 32]) {
            let hotkey = Hotkey::from_bytes(key);
            prop_assert_eq!(hotkey.to_string().parse::<Hotkey>(), Ok(hotkey));
        }

        #[test]
        fn no_text_panics(text in ".{0,70}") {
            let _ = text.parse::<Hotkey>();
        }
    }
}
