use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The height of a block; the genesis block has height 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BlockNumber(u32);

impl BlockNumber {
    /// Creates a block number from a height.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the height as an integer.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the block `blocks` later, saturating at the largest block number.
    #[must_use]
    pub const fn plus(self, blocks: u32) -> Self {
        Self(self.0.saturating_add(blocks))
    }

    /// Returns the block `blocks` earlier, saturating at genesis.
    #[must_use]
    pub const fn minus(self, blocks: u32) -> Self {
        Self(self.0.saturating_sub(blocks))
    }

    /// Returns the number of blocks since `earlier`; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for BlockNumber {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The error for a text that does not parse as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed hash, expected 0x and 64 hex digits")]
pub struct HashError;

/// Defines a 32-byte hash; written as `0x` and 64 hex digits.
macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// Creates a hash from its 32 bytes.
            pub const fn from_bytes(hash: [u8; 32]) -> Self {
                Self(hash)
            }

            /// Returns the 32 bytes of the hash.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = HashError;

            fn from_str(text: &str) -> Result<Self, HashError> {
                let mut hash = [0; 32];
                hex::decode_to_slice(text.strip_prefix("0x").ok_or(HashError)?, &mut hash).map_err(|_| HashError)?;
                Ok(Self(hash))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = HashError;

            fn try_from(text: String) -> Result<Self, HashError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(hash: $name) -> Self {
                hash.to_string()
            }
        }
    };
}

hash! {
    /// The BLAKE2b-256 hash of a block's header.
    BlockHash
}

hash! {
    /// The BLAKE2b-256 hash of an extrinsic's bytes, including its length prefix.
    ExtrinsicHash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn block_number_arithmetic_saturates() {
        assert_eq!(BlockNumber::new(5).minus(7), BlockNumber::new(0));
        assert_eq!(BlockNumber::new(u32::MAX).plus(1), BlockNumber::new(u32::MAX));
        assert_eq!(BlockNumber::new(9).since(BlockNumber::new(7)), 2);
        assert_eq!(BlockNumber::new(7).since(BlockNumber::new(9)), 0);
    }

    #[test]
    fn malformed_hash_is_refused() {
        for text in [
            "",
            "0x",
            "0x00",
            &"0".repeat(64),
            &format!("0x{}", "g".repeat(64)),
            &format!("0x{}", "é".repeat(32)),
        ] {
            assert_eq!(text.parse::<BlockHash>(), Err(HashError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_hash_round_trips(bytes: [u8; 32]) {
            let hash = BlockHash::from_bytes(bytes);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        }
    }
}
