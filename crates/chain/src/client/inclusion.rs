use serde_json::json;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash};

use super::blocks::Header;
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
    /// Where in a block an extrinsic stands, and what it did there.
    pub(super) async fn inclusion(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<Option<Inclusion>, ChainError> {
        let body: Option<BlockAnswer> = self.at_block("chain_getBlock", json!([block]), block).await?;
        let BlockBody { header, extrinsics } = body.ok_or(ChainError::NoSuchBlock(At::Hash(block)))?.block;
        let place = extrinsics.iter().position(|bytes| blake2_256(&bytes.0) == *extrinsic.as_bytes());
        let Some(index) = place.and_then(|place| u32::try_from(place).ok()) else { return Ok(None) };
        let mut events = self.events_after(header.parent_hash, block).await?;
        events.retain(|event| event.phase == Phase::ApplyExtrinsic(index));
        let runtime = self.runtime(header.parent_hash).await?;
        let result = runtime
            .verdict(&events)
            .ok_or_else(|| ChainError::decode(format!("the events of {extrinsic}"), NoVerdict))?;
        let block = Block { number: header.number, hash: block };
        Ok(Some(Inclusion { block, index, fee: fee_of(&events), result, events }))
    }

    /// Searches blocks, both ends included.
    pub(super) async fn search(
        &self,
        extrinsic: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Inclusion>, ChainError> {
        for number in from.get()..=to.get() {
            let number = BlockNumber::new(number);
            let hash = self.block_hash(number).await?.ok_or(ChainError::NoSuchBlock(At::Number(number)))?;
            if let Some(inclusion) = self.inclusion(extrinsic, hash).await? {
                return Ok(Some(inclusion));
            }
        }
        Ok(None)
    }

    /// Whether the block can still be undone.
    pub(super) async fn settled(&self, inclusion: Inclusion) -> Result<Outcome, ChainError> {
        let finalized = self.finalized().await?;
        let is_final = finalized.number >= inclusion.block.number
            && self.block_hash(inclusion.block.number).await? == Some(inclusion.block.hash);
        Ok(if is_final { Outcome::Finalized(inclusion) } else { Outcome::Included(inclusion) })
    }

    /// The next nonce that is not used in a block.
    pub(super) async fn nonce_in_blocks(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError> {
        let account = subxt::ext::scale_value::Value::from_bytes(account.as_bytes());
        self.api("AccountNonceApi", "account_nonce", &[account], block).await
    }
}

/// Every extrinsic of a block ends in success or failure.
#[derive(Debug, thiserror::Error)]
#[error("neither success nor failure is recorded")]
struct NoVerdict;
