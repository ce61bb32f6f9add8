use serde::{Deserialize, Serialize};
use taonet_primitives::{AccountId, BlockNumber, ExtrinsicHash, Rao};

use crate::Block;

/// For how many blocks an extrinsic stays valid, where nothing else is asked for.
pub const DEFAULT_ERA_BLOCKS: u32 = 128;

/// When an extrinsic may be in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// In one of so many blocks from the newest final one on: rounded up to a power of two, from 4 to 2048 (the chain
    /// forgets the hashes of older blocks).
    Blocks(u32),
    /// At any time. Its fate stays open until the account's nonce is used otherwise.
    Immortal,
}

impl Default for Era {
    fn default() -> Self {
        Self::Blocks(DEFAULT_ERA_BLOCKS)
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
