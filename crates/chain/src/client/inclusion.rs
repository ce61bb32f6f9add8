use serde_json::json;
use taonet_primitives::{BlockHash, BlockNumber, ExtrinsicHash};

use super::blocks::Header;
use super::tracking::{BlockSearch, NodeApi as _};
use super::{HexBytes, Inner};
use crate::hash::blake2_256;
use crate::runtime::fee_of;
use crate::{At, Block, ChainError, Extrinsic, Inclusion, Outcome, Phase};

#[derive(Debug, serde::Deserialize)]
struct BlockResponse {
    block: BlockBody,
}

#[derive(Debug, serde::Deserialize)]
struct BlockBody {
    header: Header,
    extrinsics: Vec<HexBytes>,
}

impl Inner {
    async fn fetch_body(&self, block: BlockHash) -> Result<BlockBody, ChainError> {
        let body: Option<BlockResponse> =
            self.request_at_block("chain_getBlock", json!([block]), block).await?;
        Ok(body.ok_or(ChainError::NoSuchBlock(At::Hash(block)))?.block)
    }

    /// Reads the extrinsics of a block, decoded with the runtime of its parent block, which
    /// executed them.
    pub(super) async fn extrinsics(&self, block: BlockHash) -> Result<Vec<Extrinsic>, ChainError> {
        let BlockBody { header, extrinsics } = self.fetch_body(block).await?;
        if extrinsics.is_empty() {
            // The genesis block, for instance, which has no parent.
            return Ok(Vec::new());
        }
        let (events, runtime) = tokio::try_join!(
            self.events_after(header.parent_hash, block),
            self.runtime(header.parent_hash)
        )?;
        (0..)
            .zip(&extrinsics)
            .map(|(index, bytes)| runtime.extrinsic(index, &bytes.0, &events))
            .collect()
    }

    /// Looks for an extrinsic in a block, and reads its index, result and events.
    pub(super) async fn inclusion(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<BlockSearch, ChainError> {
        let BlockBody { header, extrinsics } = self.fetch_body(block).await?;
        let (number, parent) = (header.number, header.parent_hash);
        let position =
            extrinsics.iter().position(|bytes| blake2_256(&bytes.0) == *extrinsic.as_bytes());
        let Some(index) = position.and_then(|position| u32::try_from(position).ok()) else {
            return Ok(BlockSearch { number, parent, inclusion: None });
        };
        let mut events = self.events_after(parent, block).await?;
        events.retain(|event| event.phase == Phase::ApplyExtrinsic(index));
        let runtime = self.runtime(parent).await?;
        let result = runtime.dispatch_result(&events).ok_or_else(|| {
            ChainError::decode(format!("the events of {extrinsic}"), MissingResultEvent)
        })?;
        let block = Block { number, hash: block };
        let inclusion = Inclusion { block, index, fee: fee_of(&events), result, events };
        Ok(BlockSearch { number, parent, inclusion: Some(inclusion) })
    }

    /// Searches the blocks `from..=to` backwards along parent hashes, so that all of them are on
    /// the same fork.
    pub(super) async fn lookup(
        &self,
        extrinsic: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError> {
        let last = self.block_hash(to).await?.ok_or(ChainError::NoSuchBlock(At::Number(to)))?;
        match self.find_inclusion(extrinsic, last, from.minus(1)).await? {
            Some(inclusion) => self.inclusion_outcome(inclusion).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the outcome for an inclusion: included or finalized.
    async fn inclusion_outcome(&self, inclusion: Inclusion) -> Result<Outcome, ChainError> {
        let finalized = self.finalized().await?;
        let is_final = finalized.number >= inclusion.block.number
            && self.block_hash(inclusion.block.number).await? == Some(inclusion.block.hash);
        Ok(if is_final { Outcome::Finalized(inclusion) } else { Outcome::Included(inclusion) })
    }
}

/// The block has neither a success event nor a failure event for the extrinsic.
#[derive(Debug, thiserror::Error)]
#[error("the block records neither success nor failure of the extrinsic")]
struct MissingResultEvent;
