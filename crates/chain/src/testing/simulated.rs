//! The client's nonces and its tracking of submissions, over nodes that a simulation implements.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::IgnoredAny;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash};

use crate::client::tracking::{
    self, BlockSearch, NodeApi, PoolResponse, Status, StatusStream, TrackingTimeouts,
};
use crate::nonce::Nonces;
use crate::rpc::{BlockTiming, RpcError};
use crate::{
    Block, ChainError, Follow, Inclusion, NonceLease, Outcome, RefusalReason, SignedExtrinsic,
};

/// The responses of a simulated node, from which the client's code derives the outcome of a
/// submission.
#[async_trait]
pub trait SimulatedNode: Sync {
    /// Returns the newest finalized block.
    async fn finalized(&self) -> Result<Block, ChainError>;

    /// Returns the newest block.
    async fn newest(&self) -> Result<Block, ChainError>;

    /// Looks for an extrinsic in one block. Returns the block's height and parent, and the
    /// inclusion.
    async fn search_block(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<(BlockNumber, BlockHash, Option<Inclusion>), ChainError>;

    /// Returns the next nonce of an account after a block.
    async fn next_nonce(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError>;

    /// Offers an extrinsic to the pool. Returns the JSON-RPC error of a refusal: its code, and its
    /// details.
    async fn offer(
        &self,
        extrinsic: &SignedExtrinsic,
    ) -> Result<Result<(), (i32, String)>, ChainError>;

    /// Waits until the pool reports that a block includes an extrinsic.
    async fn included(&self, extrinsic: ExtrinsicHash);
}

/// The nonces of a client, and its tracking of submissions.
pub struct Tracker {
    timing: BlockTiming,
    nonces: Nonces,
}

impl Tracker {
    /// Creates a tracker for a chain with this block time.
    pub fn new(block_time: Duration) -> Self {
        Self { timing: BlockTiming::new(block_time), nonces: Nonces::default() }
    }

    /// Leases an account's next nonce, like [`Chain::lease_nonce`](crate::Chain::lease_nonce) of a
    /// client. `next` reads the node's next nonce, counting its pool.
    ///
    /// # Errors
    /// [`ChainError::Busy`] if another caller holds the lease for too long, or an error of `next`.
    pub async fn lease_nonce(
        &self,
        account: AccountId,
        next: impl Future<Output = Result<u32, ChainError>>,
    ) -> Result<NonceLease, ChainError> {
        self.nonces
            .lease(account, self.timing.timeout_block_time(), self.timing.skip_duration(), next)
            .await
    }

    /// Submits an extrinsic to a node and tracks it, like
    /// [`Chain::submit_leased`](crate::Chain::submit_leased) of a client.
    pub async fn submit(
        &self,
        node: &dyn SimulatedNode,
        extrinsic: &SignedExtrinsic,
        follow: Follow,
        lease: Option<NonceLease>,
    ) -> Outcome {
        tracking::submit_and_track(
            &SimulatedSubmission { node, extrinsic },
            extrinsic,
            follow,
            lease,
            TrackingTimeouts::new(&self.timing, follow),
        )
        .await
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker").field("timing", &self.timing).finish_non_exhaustive()
    }
}

/// A node, and the extrinsic that it is offered.
struct SimulatedSubmission<'a> {
    node: &'a dyn SimulatedNode,
    extrinsic: &'a SignedExtrinsic,
}

/// A pool's notifications about an extrinsic.
struct Inclusions<'a> {
    node: &'a dyn SimulatedNode,
    extrinsic: ExtrinsicHash,
}

#[async_trait]
impl StatusStream for Inclusions<'_> {
    async fn next(&mut self) -> Option<Status> {
        self.node.included(self.extrinsic).await;
        Some(Status::InBlock(IgnoredAny))
    }
}

#[async_trait]
impl<'a> NodeApi for SimulatedSubmission<'a> {
    type Statuses = Inclusions<'a>;

    async fn final_block(&self) -> Result<Block, ChainError> {
        self.node.finalized().await
    }

    async fn newest_block(&self) -> Result<Block, ChainError> {
        self.node.newest().await
    }

    async fn search_block(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<BlockSearch, ChainError> {
        let (number, parent, inclusion) = self.node.search_block(extrinsic, block).await?;
        Ok(BlockSearch { number, parent, inclusion })
    }

    async fn next_nonce(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError> {
        self.node.next_nonce(account, block).await
    }

    async fn submit_to_pool(&self, _: &[u8]) -> Result<PoolResponse<Inclusions<'a>>, ChainError> {
        let result = match self.node.offer(self.extrinsic).await? {
            Ok(()) => Ok(Inclusions { node: self.node, extrinsic: self.extrinsic.hash }),
            Err((code, data)) => {
                Err(RpcError { code, message: "refused".to_owned(), data: Some(data) })
            }
        };
        Ok(PoolResponse { result, other_pools_may_hold_it: false })
    }

    async fn refusal_reason(
        &self,
        _: &SignedExtrinsic,
    ) -> Result<Option<RefusalReason>, ChainError> {
        Ok(None)
    }
}
