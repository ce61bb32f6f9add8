use serde_json::json;
use taonet_primitives::{BlockHash, BlockNumber, ExtrinsicHash};

use super::blocks::Header;
use super::fate::{Looked, Nodes as _};
use super::{HexBytes, Inner};
use crate::hash::blake2_256;
use crate::runtime::fee_of;
use crate::{At, Block, ChainError, Inclusion, Outcome, Phase};

#[derive(Debug, serde::Deserialize)]
struct BlockAnswer {
    block: BlockBody,
}

#[derive(Debug, serde::Deserialize)]
struct BlockBody {
    header: Header,
    extrinsics: Vec<HexBytes>,
}

impl Inner {
    /// Looks for an extrinsic in a block, and reads its index, result and events.
    pub(super) async fn inclusion(&self, extrinsic: ExtrinsicHash, block: BlockHash) -> Result<Looked, ChainError> {
        let body: Option<BlockAnswer> = self.at_block("chain_getBlock", json!([block]), block).await?;
        let BlockBody { header, extrinsics } = body.ok_or(ChainError::NoSuchBlock(At::Hash(block)))?.block;
        let (number, parent) = (header.number, header.parent_hash);
        let place = extrinsics.iter().position(|bytes| blake2_256(&bytes.0) == *extrinsic.as_bytes());
        let Some(index) = place.and_then(|place| u32::try_from(place).ok()) else {
            return Ok(Looked { number, parent, inclusion: None });
        };
        let mut events = self.events_after(parent, block).await?;
        events.retain(|event| event.phase == Phase::ApplyExtrinsic(index));
        let runtime = self.runtime(parent).await?;
        let result = runtime
            .verdict(&events)
            .ok_or_else(|| ChainError::decode(format!("the events of {extrinsic}"), NoVerdict))?;
        let block = Block { number, hash: block };
        let inclusion = Inclusion { block, index, fee: fee_of(&events), result, events };
        Ok(Looked { number, parent, inclusion: Some(inclusion) })
    }

    /// Searches the blocks `from..=to` backwards along parent hashes, so that all of them are on the same fork.
    pub(super) async fn lookup(
        &self,
        extrinsic: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError> {
        let last = self.block_hash(to).await?.ok_or(ChainError::NoSuchBlock(At::Number(to)))?;
        match self.find(extrinsic, last, from.minus(1)).await? {
            Some(inclusion) => self.settled(inclusion).await.map(Some),
            None => Ok(None),
        }
    }

    /// The outcome for an inclusion: included or finalized.
    async fn settled(&self, inclusion: Inclusion) -> Result<Outcome, ChainError> {
        let finalized = self.finalized().await?;
        let is_final = finalized.number >= inclusion.block.number
            && self.block_hash(inclusion.block.number).await? == Some(inclusion.block.hash);
        Ok(if is_final { Outcome::Finalized(inclusion) } else { Outcome::Included(inclusion) })
    }
}

/// The block has neither a success event nor a failure event for the extrinsic.
#[derive(Debug, thiserror::Error)]
#[error("the block records neither success nor failure")]
struct NoVerdict;
