use serde::{Deserialize, Serialize};
use taonet_primitives::{AccountId, BlockNumber, ExtrinsicHash, Rao};

use crate::{Block, ChainError, DecodedCall, DispatchError, Event};

/// The default length of an extrinsic's era, in blocks.
pub const DEFAULT_ERA_BLOCKS: u32 = 128;

/// The validity period of an extrinsic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Valid for this many blocks from the newest finalized block, rounded down to a power of two
    /// in `4..=2048` (the chain discards the hashes of older blocks).
    Blocks(u32),
    /// Valid for the longest era that begins at the newest finalized block and ends at this block
    /// or earlier. If no such era exists, or it is over, signing fails with
    /// [`ChainError::TooLate`].
    Until(BlockNumber),
    /// Valid forever. The outcome is undetermined until the extrinsic is included or another one
    /// uses its nonce.
    Immortal,
}

impl Default for Era {
    fn default() -> Self {
        Self::Blocks(DEFAULT_ERA_BLOCKS)
    }
}

/// The shortest era, in blocks.
const MIN_PERIOD: u32 = 4;
/// The longest era, in blocks, that the chain can check: it discards the hashes of blocks older
/// than 2400 blocks.
const MAX_PERIOD: u32 = 2048;

impl Era {
    /// Returns the length in blocks of an era that begins at block `birth`.
    pub(crate) fn period(self, birth: BlockNumber) -> Option<u32> {
        let blocks = match self {
            Self::Blocks(blocks) => blocks,
            Self::Until(last) => last.plus(1).since(birth),
            Self::Immortal => return None,
        };
        // Rounds down to a power of two.
        Some(1_u32 << blocks.clamp(MIN_PERIOD, MAX_PERIOD).ilog2())
    }

    /// Returns the last block of an era that begins at block `birth`; `None` for an immortal era.
    /// The birth block itself cannot include the extrinsic.
    pub fn last_block(self, birth: BlockNumber) -> Option<BlockNumber> {
        self.period(birth).map(|period| birth.plus(period.saturating_sub(1)))
    }

    /// Returns the last block of an era that begins at block `birth`; an error if no block after
    /// `head` can include the extrinsic.
    pub(crate) fn check_last_block(
        self,
        birth: BlockNumber,
        head: BlockNumber,
    ) -> Result<Option<BlockNumber>, ChainError> {
        match (self.last_block(birth), self) {
            (Some(last), Self::Until(latest)) if last > latest || last <= head => {
                Err(ChainError::TooLate(latest))
            }
            (Some(last), _) if last <= head => Err(ChainError::TooLate(last)),
            (last, _) => Ok(last),
        }
    }
}

/// The signed extensions' parameters: nonce, era and tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignOptions {
    /// The account's nonce; see [`crate::Chain::lease_nonce`].
    pub nonce: u32,
    /// The validity period.
    pub era: Era,
    /// The tip, which raises the extrinsic's priority.
    pub tip: Rao,
}

/// A signed extrinsic. It may be stored and sent repeatedly: the chain includes the same bytes at
/// most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedExtrinsic {
    /// The encoded extrinsic with its length prefix.
    #[serde(with = "hex_bytes")]
    pub bytes: Vec<u8>,
    /// The hash of `bytes`.
    pub hash: ExtrinsicHash,
    /// The account that signs the extrinsic and pays the fee.
    pub signer: AccountId,
    /// The signer's nonce.
    pub nonce: u32,
    /// The block after which the extrinsic is valid: the era's birth for a mortal extrinsic, the
    /// newest block at signing for an immortal one.
    pub birth: Block,
    /// The last block that may include the extrinsic; `None` for an immortal one.
    pub last_block: Option<BlockNumber>,
    /// The runtime version that the extrinsic was signed for; no other version accepts it. 0 if
    /// unknown.
    #[serde(default)]
    pub spec_version: u32,
}

/// An extrinsic of a block, decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extrinsic {
    /// The extrinsic's index in the block.
    pub index: u32,
    /// The hash of the encoded extrinsic.
    pub hash: ExtrinsicHash,
    /// The account that signed the extrinsic; `None` if it is unsigned, or authorized by a
    /// transaction extension.
    pub signer: Option<AccountId>,
    /// The pallet of the call, e.g. `SubtensorModule`.
    pub pallet: String,
    /// The name of the call, e.g. `set_weights`.
    pub name: String,
    /// The arguments of the call, in the form of [`Event::fields`](crate::Event::fields).
    pub args: serde_json::Value,
    /// The fee; `None` if the chain recorded none.
    pub fee: Option<Rao>,
    /// The result of the call; `None` if the block's events do not contain it.
    pub result: Option<Result<(), DispatchError>>,
}

/// The validity of an extrinsic in the transaction pool, its fee and its call.
#[derive(Debug, Clone, PartialEq)]
pub struct DryRun {
    /// `Ok` if the pool would accept the extrinsic, otherwise the reason for the refusal.
    pub validity: Result<(), crate::RefusalReason>,
    /// The fee without the tip.
    pub fee: Rao,
    /// The call, decoded from the extrinsic.
    pub call: DecodedCall,
    /// The effect in the next block; `None` if the node does not simulate calls, as only
    /// development chains do, or if no block can include the extrinsic now.
    pub effect: Option<Effect>,
}

/// The simulated effect of an extrinsic in the next block.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The result of the call.
    pub result: Result<(), DispatchError>,
    /// The events that the extrinsic would emit.
    pub events: Vec<Event>,
}

pub(crate) mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("0x{}", hex::encode(bytes)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn era_is_at_most_the_requested_length() {
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
            assert_eq!(
                era.check_last_block(birth, head).unwrap(),
                Some(BlockNumber::new(last)),
                "{era:?}"
            );
        }
        assert_eq!(Era::Immortal.check_last_block(birth, head).unwrap(), None);
        for (era, head) in [
            (Era::Until(BlockNumber::new(102)), 100),
            (Era::Until(BlockNumber::new(90)), 100),
            (Era::Until(BlockNumber::new(106)), 103),
            (Era::Blocks(4), 103),
        ] {
            assert!(
                matches!(
                    era.check_last_block(birth, BlockNumber::new(head)),
                    Err(ChainError::TooLate(_))
                ),
                "{era:?} {head}"
            );
        }
    }
}
