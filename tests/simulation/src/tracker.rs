//! Tracking of a submitted extrinsic to its outcome, by the rules of the chain client.

use async_trait::async_trait;
use taonet_chain::{Block, ChainError, Follow, Inclusion, Outcome, RefusedBecause, SignedExtrinsic, UnknownBecause};
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash};
use tokio::time::timeout;

use crate::chain::BLOCK_TIME;

/// The responses of a simulated node, from which the outcome of a submission follows.
#[async_trait]
pub(crate) trait SimulatedNode: Sync {
    /// Returns the newest finalized block.
    async fn finalized(&self) -> Result<Block, ChainError>;

    /// Returns the newest block.
    async fn newest(&self) -> Result<Block, ChainError>;

    /// Looks for an extrinsic in one block. Returns the block's height and parent, and the inclusion.
    async fn look(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<(BlockNumber, BlockHash, Option<Inclusion>), ChainError>;

    /// Returns the next nonce of an account after a block.
    async fn next_nonce(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError>;

    /// Offers an extrinsic to the pool. Returns the JSON-RPC error of a refusal: its code, and its details.
    async fn offer(&self, extrinsic: &SignedExtrinsic) -> Result<Result<(), (i32, String)>, ChainError>;

    /// Waits until the node may have a new block.
    async fn changed(&self);
}

/// Submits an extrinsic to a node and tracks it.
pub(crate) async fn submit(node: &dyn SimulatedNode, extrinsic: &SignedExtrinsic, follow: Follow) -> Outcome {
    let track = async {
        let mut is_first = !follow.sent_before;
        loop {
            match round(node, extrinsic, is_first).await {
                Ok(Some(outcome)) => return outcome,
                // The pool may have the extrinsic from now on.
                Ok(None) | Err(_) => is_first = false,
            }
            // Without news, the node may have lost the extrinsic.
            let _ = timeout(BLOCK_TIME * 2, node.changed()).await;
        }
    };
    let patience = BLOCK_TIME * (follow.patience_blocks + 1);
    let unknown = UnknownBecause::NotYetIncluded { seen: extrinsic.birth.number };
    timeout(patience, track).await.unwrap_or(Outcome::Unknown(unknown))
}

async fn round(
    node: &dyn SimulatedNode,
    extrinsic: &SignedExtrinsic,
    is_first: bool,
) -> Result<Option<Outcome>, ChainError> {
    let finalized = node.finalized().await?;
    if let Some(inclusion) = find(node, extrinsic.hash, finalized, extrinsic.birth.number).await? {
        return Ok(Some(Outcome::Finalized(inclusion)));
    }
    if node.next_nonce(extrinsic.signer, finalized.hash).await? > extrinsic.nonce {
        return Ok(Some(Outcome::Superseded));
    }
    if let Some(last_block) = extrinsic.last_block.filter(|last| *last <= finalized.number) {
        return Ok(Some(Outcome::Expired { last_block }));
    }
    let newest = node.newest().await?;
    if let Some(inclusion) = find(node, extrinsic.hash, newest, finalized.number).await? {
        return Ok(Some(Outcome::Included(inclusion)));
    }
    let is_over = extrinsic.last_block.is_some_and(|last| last <= newest.number);
    if is_over || node.next_nonce(extrinsic.signer, newest.hash).await? > extrinsic.nonce {
        return Ok(None);
    }
    match node.offer(extrinsic).await? {
        Err((1010, data)) if is_first => {
            let because = RefusedBecause::of_rpc_error(1010, "refused", Some(&data));
            // A nonce that is used already may have been used by this extrinsic.
            Ok((because != RefusedBecause::Stale).then_some(Outcome::Invalid(because)))
        }
        _ => Ok(None),
    }
}

/// Looks for an extrinsic in a block and its ancestors above a height.
async fn find(
    node: &dyn SimulatedNode,
    extrinsic: ExtrinsicHash,
    last: Block,
    after: BlockNumber,
) -> Result<Option<Inclusion>, ChainError> {
    let mut block = last;
    while block.number > after {
        let (number, parent, inclusion) = node.look(extrinsic, block.hash).await?;
        if inclusion.is_some() {
            return Ok(inclusion);
        }
        block = Block { number: number.minus(1), hash: parent };
    }
    Ok(None)
}
