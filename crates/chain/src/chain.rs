use std::time::Duration;

use async_trait::async_trait;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Uid};
use taonet_wallet::Keypair;
use tokio::sync::watch;

use crate::{
    At, Block, Call, ChainError, Detail, DryRun, Event, Metagraph, NonceLease, Outcome, SignOptions, SignedExtrinsic,
    WeightRow, WeightRules,
};

/// Target state and timeout for following a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follow {
    /// The state that ends following: in a block, or in a finalized block.
    pub until: Until,
    /// The timeout, in blocks.
    pub patience_blocks: u32,
    /// Whether the same bytes may have been sent before. Another pool may then hold them, so a refusal gives
    /// [`Outcome::Unknown`] instead of [`Outcome::Invalid`].
    pub sent_before: bool,
}

/// The state at which following a submission ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// In a block, which a fork may still revert.
    Included,
    /// In a finalized block.
    Finalized,
}

impl Default for Follow {
    /// Until inclusion, for at most 8 blocks.
    fn default() -> Self {
        Self { until: Until::Included, patience_blocks: 8, sent_before: false }
    }
}

/// The chain interface of daemons: the newest blocks, the state of a subnet, and submissions with a known outcome.
///
/// [`Client`](crate::Client) talks to a real chain and reads much more;
/// [`testing::MockChain`](crate::testing::MockChain) is scripted by tests. Every method returns within a bounded time:
/// reads within two block times, [`Chain::lookup`] within two for each 64 blocks, [`Chain::submit`] within the blocks
/// that [`Follow`] names and one more.
#[async_trait]
pub trait Chain: Send + Sync {
    /// The expected time between two blocks.
    fn block_time(&self) -> Duration;

    /// The newest block.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    async fn head(&self) -> Result<Block, ChainError>;

    /// The newest finalized block.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    async fn finalized_head(&self) -> Result<Block, ChainError>;

    /// A channel with the newest block. It may skip blocks, and may repeat a height with another hash after a fork.
    fn heads(&self) -> watch::Receiver<Option<Block>>;

    /// The hash of the block with this height; `None` beyond the newest one.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    async fn block_hash(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError>;

    /// The rules and the schedule for setting weights on a subnet.
    ///
    /// # Errors
    /// [`ChainError::NoSuchSubnet`]; [`ChainError`] as for any read.
    async fn weight_rules(&self, netuid: NetUid, at: At) -> Result<WeightRules, ChainError>;

    /// The uid of a hotkey; `None` if it is not registered on the subnet.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    async fn uid(&self, netuid: NetUid, hotkey: &Hotkey, at: At) -> Result<Option<Uid>, ChainError>;

    /// A subnet and its neurons.
    ///
    /// # Errors
    /// [`ChainError::NoSuchSubnet`]; [`ChainError`] as for any read.
    async fn metagraph(&self, netuid: NetUid, mech: MechId, detail: Detail, at: At) -> Result<Metagraph, ChainError>;

    /// The weights that a neuron has set; empty if it has set none.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    async fn weights_of(&self, netuid: NetUid, mech: MechId, uid: Uid, at: At) -> Result<WeightRow, ChainError>;

    /// The events of a block.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`]; [`ChainError`] as for any read.
    async fn events(&self, at: At) -> Result<Vec<Event>, ChainError>;

    /// The runtime version (`spec_version`) of the newest block.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    async fn spec_version(&self) -> Result<u32, ChainError>;

    /// Leases the account's next nonce, counting the extrinsics in the pool.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`]; [`ChainError::Busy`] if no lease becomes free in time.
    async fn lease_nonce(&self, account: AccountId) -> Result<NonceLease, ChainError>;

    /// Signs a call for the newest block's runtime. Nothing is sent.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] and [`ChainError::Encode`] if the runtime has no such call;
    /// [`ChainError::TooLate`] if no block is left in the era.
    async fn sign(&self, call: &Call, signer: &Keypair, options: SignOptions) -> Result<SignedExtrinsic, ChainError>;

    /// Validates an extrinsic against the transaction pool's rules and queries its fee, without submitting it.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError>;

    /// Submits the bytes and follows them into a block. Submitting is idempotent: any process may send the same bytes
    /// again, and an extrinsic that is already in a block gives that block.
    async fn submit(&self, extrinsic: &SignedExtrinsic, follow: Follow) -> Outcome {
        self.submit_leased(extrinsic, follow, None).await
    }

    /// Submits as [`Chain::submit`] does, under a lease of the nonce. The lease ends as soon as a pool has the bytes,
    /// so that the account's next caller need not wait for their block. If no pool accepts them, the nonce is reused.
    async fn submit_leased(&self, extrinsic: &SignedExtrinsic, follow: Follow, lease: Option<NonceLease>) -> Outcome;

    /// Searches the blocks `from..=to` for an extrinsic; `None` if none of them has it.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`] if the node no longer has one of the blocks, or does not have it yet.
    async fn lookup(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError>;

    /// Signs a call with the next nonce, submits it and follows it, for callers that need not store the bytes.
    ///
    /// # Errors
    /// As [`Chain::lease_nonce`] and [`Chain::sign`]; every later failure is an [`Outcome`].
    async fn send(&self, call: &Call, signer: &Keypair, follow: Follow) -> Result<Outcome, ChainError> {
        let lease = self.lease_nonce(signer.public().coldkey().into()).await?;
        let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
        let extrinsic = self.sign(call, signer, options).await?;
        Ok(self.submit_leased(&extrinsic, follow, Some(lease)).await)
    }
}
