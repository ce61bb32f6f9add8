use std::time::Duration;

use async_trait::async_trait;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Uid};
use taonet_wallet::Keypair;
use tokio::sync::watch;

use crate::{
    At, Block, Call, ChainError, Detail, DryRun, Event, Metagraph, NonceLease, Outcome, SignOptions, SignedExtrinsic,
    WeightRow, WeightRules,
};

/// How long a submission is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follow {
    /// Until it is in a block, or in a final one.
    pub until: Until,
    /// At most so many blocks.
    pub patience_blocks: u32,
    /// Whether the very bytes may have been sent before. A pool may have them then, so that the refusal of another one is
    /// no verdict: [`Outcome::Unknown`] instead of [`Outcome::Invalid`].
    pub sent_before: bool,
}

/// What a submission is followed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A block that may still be undone.
    Included,
    /// A block that cannot.
    Finalized,
}

impl Default for Follow {
    /// To the block that it is in, for at most 8 blocks.
    fn default() -> Self {
        Self { until: Until::Included, patience_blocks: 8, sent_before: false }
    }
}

/// What daemons need of a chain: the newest blocks, the state of a subnet, and submitting calls with a known outcome.
///
/// [`Client`](crate::Client) is the real one and reads much more; [`testing::MockChain`](crate::testing::MockChain)
/// is one that tests script. Every method comes back within a bounded time: reads within two block times, [`Chain::lookup`] within two
/// for each 64 blocks, [`Chain::submit`] within the blocks that [`Follow`] names and one more.
#[async_trait]
pub trait Chain: Send + Sync {
    /// The usual time between two blocks.
    fn block_time(&self) -> Duration;

    /// The newest block.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    async fn head(&self) -> Result<Block, ChainError>;

    /// The newest block that cannot be undone.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    async fn finalized_head(&self) -> Result<Block, ChainError>;

    /// The newest block, as it changes. Blocks may be left out, and the same height may come again with another hash.
    fn heads(&self) -> watch::Receiver<Option<Block>>;

    /// The hash of the block with this height; `None` beyond the newest one.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`].
    async fn block_hash(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError>;

    /// What decides how and when weights may be set.
    ///
    /// # Errors
    /// [`ChainError::NoSuchSubnet`]; [`ChainError`] as for any read.
    async fn weight_rules(&self, netuid: NetUid, at: At) -> Result<WeightRules, ChainError>;

    /// The slot of a neuron; `None` where the hotkey is not registered on the subnet.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    async fn uid(&self, netuid: NetUid, hotkey: &Hotkey, at: At) -> Result<Option<Uid>, ChainError>;

    /// A subnet and its neurons.
    ///
    /// # Errors
    /// [`ChainError::NoSuchSubnet`]; [`ChainError`] as for any read.
    async fn metagraph(&self, netuid: NetUid, mech: MechId, detail: Detail, at: At) -> Result<Metagraph, ChainError>;

    /// The weights that one neuron has set; empty where it has set none.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    async fn weights_of(&self, netuid: NetUid, mech: MechId, uid: Uid, at: At) -> Result<WeightRow, ChainError>;

    /// What a block recorded.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`]; [`ChainError`] as for any read.
    async fn events(&self, at: At) -> Result<Vec<Event>, ChainError>;

    /// The version of the newest block's runtime.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    async fn spec_version(&self) -> Result<u32, ChainError>;

    /// The next nonce of an account, the pool's extrinsics counted, and the turn to use it.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`]; [`ChainError::Busy`] where the turn does not come.
    async fn lease_nonce(&self, account: AccountId) -> Result<NonceLease, ChainError>;

    /// Signs a call for the newest block's runtime. Nothing is sent.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] and [`ChainError::Encode`] where the runtime has no such call;
    /// [`ChainError::TooLate`] where no block is left in the era.
    async fn sign(&self, call: &Call, signer: &Keypair, options: SignOptions) -> Result<SignedExtrinsic, ChainError>;

    /// Asks whether the pool would take it, and for the fee. Nothing is sent to the pool.
    ///
    /// # Errors
    /// [`ChainError`] as for any read.
    async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError>;

    /// Sends the bytes and follows them into a block. The same bytes may be sent again, by this or by another process,
    /// and are in the chain at most once: an extrinsic that is in a block already gives that block.
    async fn submit(&self, extrinsic: &SignedExtrinsic, follow: Follow) -> Outcome {
        self.submit_leased(extrinsic, follow, None).await
    }

    /// As [`Chain::submit`], under the lease of the nonce: it is given back as soon as a pool has the bytes, so that the
    /// account's next caller need not wait for their block. The nonce of what no pool takes is given out again.
    async fn submit_leased(&self, extrinsic: &SignedExtrinsic, follow: Follow, lease: Option<NonceLease>) -> Outcome;

    /// Searches the blocks from `from` to `to`, both included, for an extrinsic. `None`: it is in none of them.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`] where the node no longer has one of the blocks, or does not have it yet.
    async fn lookup(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError>;

    /// Signs with the next nonce, sends, and follows: what a caller does who need not remember the bytes.
    ///
    /// # Errors
    /// As [`Chain::lease_nonce`] and [`Chain::sign`]; from then on everything is an [`Outcome`].
    async fn send(&self, call: &Call, signer: &Keypair, follow: Follow) -> Result<Outcome, ChainError> {
        let lease = self.lease_nonce(signer.public().coldkey().into()).await?;
        let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
        let extrinsic = self.sign(call, signer, options).await?;
        Ok(self.submit_leased(&extrinsic, follow, Some(lease)).await)
    }
}
