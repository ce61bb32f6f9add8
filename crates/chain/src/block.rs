use std::fmt;

use serde::{Deserialize, Serialize};
use taonet_primitives::{BlockHash, BlockNumber};

/// A block, identified by height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Block {
    /// The block height.
    pub number: BlockNumber,
    /// The hash of the block header.
    pub hash: BlockHash,
}

/// The header of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// The block's height and hash.
    pub block: Block,
    /// The hash of the parent block; zeros for the genesis block.
    pub parent: BlockHash,
    /// The root of the state after the block.
    pub state_root: BlockHash,
    /// The root of the block's extrinsics.
    pub extrinsics_root: BlockHash,
    /// The SCALE-encoded items of the digest, such as the author's slot.
    pub digest: Vec<Vec<u8>>,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.hash)
    }
}

/// The block whose state is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum At {
    /// The newest block that the node knows (best block).
    #[default]
    Head,
    /// The newest finalized block.
    Finalized,
    /// The block at this height.
    Number(BlockNumber),
    /// The block with this hash.
    Hash(BlockHash),
}

impl From<Block> for At {
    fn from(block: Block) -> Self {
        Self::Hash(block.hash)
    }
}

impl From<BlockHash> for At {
    fn from(hash: BlockHash) -> Self {
        Self::Hash(hash)
    }
}

impl From<BlockNumber> for At {
    fn from(number: BlockNumber) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("the newest block"),
            Self::Finalized => f.write_str("the newest finalized block"),
            Self::Number(number) => write!(f, "block {number}"),
            Self::Hash(hash) => write!(f, "block {hash}"),
        }
    }
}
