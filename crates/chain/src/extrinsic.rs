use serde::{Deserialize, Serialize};
use taonet_primitives::{AccountId, BlockNumber, ExtrinsicHash, Rao};

use crate::{Block, ChainError};

/// For how many blocks an extrinsic stays valid, where nothing else is asked for.
pub const DEFAULT_ERA_BLOCKS: u32 = 128;

/// When an extrinsic may be in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// In one of so many blocks from the newest final one on: rounded down to a power of two, from 4 to 2048 (the chain
    /// forgets the hashes of older blocks).
    Blocks(u32),
    /// In no block after this one: the longest era from the newest final block on that ends no later. Where there is none,
    /// or it is over already, nothing is signed: [`ChainError::TooLate`].
    Until(BlockNumber),
    /// At any time. Its fate stays open until the account's nonce is used otherwise.
    Immortal,
}

impl Default for Era {
    fn default() -> Self {
        Self::Blocks(DEFAULT_ERA_BLOCKS)
    }
}

/// The shortest era.
const MIN_PERIOD: u32 = 4;
/// The longest era that the chain can still check: it forgets the hashes of blocks older than 2400.
const MAX_PERIOD: u32 = 2048;

impl Era {
    /// How many blocks an era has that begins with the block `birth`.
    pub(crate) fn period(self, birth: BlockNumber) -> Option<u32> {
        let blocks = match self {
            Self::Blocks(blocks) => blocks,
            Self::Until(last) => last.plus(1).since(birth),
            Self::Immortal => return None,
        };
        // The largest power of two that is no larger.
        Some(1_u32 << blocks.clamp(MIN_PERIOD, MAX_PERIOD).ilog2())
    }

    /// The last block of an era that begins with the block `birth`, which itself cannot hold the extrinsic; `None` for one
    /// without end.
    pub fn last_block(self, birth: BlockNumber) -> Option<BlockNumber> {
        self.period(birth).map(|period| birth.plus(period.saturating_sub(1)))
    }

    /// As [`Self::last_block`], where a block after `head` can hold the extrinsic.
    pub(crate) fn usable(self, birth: BlockNumber, head: BlockNumber) -> Result<Option<BlockNumber>, ChainError> {
        match (self.last_block(birth), self) {
            (Some(last), Self::Until(latest)) if last > latest || last <= head => Err(ChainError::TooLate(latest)),
            (Some(last), _) if last <= head => Err(ChainError::TooLate(last)),
            (last, _) => Ok(last),
        }
    }
}

/// What an extrinsic has beside the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignOptions {
    /// The account's counter; see [`crate::Chain::lease_nonce`].
    pub nonce: u32,
    /// When it may be in a block.
    pub era: Era,
    /// What is paid for being taken earlier.
    pub tip: Rao,
}

/// An extrinsic that can be sent, stored, and sent again: the same bytes are at most once in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedExtrinsic {
    /// The bytes, their length in front.
    #[serde(with = "hex_bytes")]
    pub bytes: Vec<u8>,
    /// Their hash.
    pub hash: ExtrinsicHash,
    /// Who signed and pays.
    pub signer: AccountId,
    /// The signer's counter.
    pub nonce: u32,
    /// The first block after which it may be in one: the era's birth for a mortal extrinsic, the block it was signed
    /// at for an immortal one.
    pub birth: Block,
    /// The last block that it may be in; `None` for an immortal one.
    pub last_block: Option<BlockNumber>,
    /// The version of the runtime that it was signed for: no other one takes it. 0 where that was not noted.
    #[serde(default)]
    pub spec_version: u32,
}

/// Whether a pool would take an extrinsic, and its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// What is wrong with it, if anything.
    pub validity: Result<(), crate::RefusedBecause>,
    /// The fee, the tip not included.
    pub fee: Rao,
}

mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_era_is_longer_than_asked_for() {
        let (birth, head) = (BlockNumber::new(100), BlockNumber::new(102));
        for (era, last) in [
            (Era::Blocks(1), 103),
            (Era::Blocks(7), 103),
            (Era::Blocks(8), 107),
            (Era::Blocks(127), 163),
            (Era::Blocks(128), 227),
            (Era::Blocks(u32::MAX), 2147),
            (Era::Until(BlockNumber::new(103)), 103),
            (Era::Until(BlockNumber::new(170)), 163),
            (Era::Until(BlockNumber::new(u32::MAX)), 2147),
        ] {
            assert_eq!(era.usable(birth, head).unwrap(), Some(BlockNumber::new(last)), "{era:?}");
        }
        assert_eq!(Era::Immortal.usable(birth, head).unwrap(), None);
        for (era, head) in [
            (Era::Until(BlockNumber::new(102)), 100),
            (Era::Until(BlockNumber::new(90)), 100),
            (Era::Until(BlockNumber::new(106)), 103),
            (Era::Blocks(4), 103),
        ] {
            assert!(matches!(era.usable(birth, BlockNumber::new(head)), Err(ChainError::TooLate(_))), "{era:?} {head}");
        }
    }
}
