use std::time::Duration;

use async_trait::async_trait;
use taonet_primitives::{
    AccountId, BlockHash, BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Uid,
};
use taonet_wallet::Keypair;
use tokio::sync::watch;

use crate::{
    At, Block, Call, ChainError, Detail, DryRun, Event, Extrinsic, HotkeyState, Metagraph,
    NonceLease, Outcome, SignOptions, SignedExtrinsic, WeightRow, WeightRules,
};

/// Target state and timeout for tracking a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Follow {
    /// The state at which tracking stops: included or finalized.
    pub until: Until,
    /// The timeout, in blocks.
    pub timeout_blocks: u32,
    /// Whether the extrinsic may have been sent before. Another pool may then hold it, so a refusal
    /// gives [`Outcome::Unknown`] instead of [`Outcome::Invalid`].
    pub sent_before: bool,
}

/// The state of a submission at which tracking stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The extrinsic is in a block, which a fork may still revert.
    Included,
    /// The extrinsic is in a finalized block.
    Finalized,
}

impl Default for Follow {
    /// Tracks until inclusion, for at most 8 blocks.
    fn default() -> Self {
        Self { until: Until::Included, timeout_blocks: 8, sent_before: false }
    }
}

/// The chain interface for daemons: new blocks, the state of a subnet, and extrinsics tracked to
/// their outcome.
///
/// [`Client`](crate::Client) connects to a real chain and has many more queries;
/// [`testing::MockChain`](crate::testing::MockChain) is scripted by tests. Every method has a
/// timeout: two block times for reads, two block times per 64 blocks for [`Chain::lookup`], and
/// [`Follow::timeout_blocks`] plus one block time for [`Chain::submit`], where a block time is at
/// least one second.
#[async_trait]
pub trait Chain: Send + Sync {
    /// Returns the expected time between two blocks.
    fn block_time(&self) -> Duration;

    /// Returns the newest block.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] if no node responds.
    async fn head(&self) -> Result<Block, ChainError>;

    /// Returns the newest finalized block.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] if no node responds.
    async fn finalized_head(&self) -> Result<Block, ChainError>;

    /// Subscribes to the newest block. The channel may skip blocks, and after a fork may repeat a
    /// height with a different hash.
    fn heads(&self) -> watch::Receiver<Option<Block>>;

    /// Returns the hash of the block with this height; `None` above the newest block.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] if no node responds.
    async fn block_hash(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError>;

    /// Returns the weight limits and the epoch schedule of a subnet.
    ///
    /// # Errors
    /// [`ChainError::NoSuchSubnet`], or another [`ChainError`] if the read fails.
    async fn weight_rules(&self, netuid: NetUid, at: At) -> Result<WeightRules, ChainError>;

    /// Returns the uid of a hotkey; `None` if the hotkey is not registered on the subnet.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    async fn uid(&self, netuid: NetUid, hotkey: &Hotkey, at: At)
    -> Result<Option<Uid>, ChainError>;

    /// Returns the state of a hotkey that decides whether to sign weights for a mechanism.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    async fn hotkey_state(
        &self,
        netuid: NetUid,
        mech: MechId,
        hotkey: &Hotkey,
        at: At,
    ) -> Result<HotkeyState, ChainError>;

    /// Returns a subnet and its neurons.
    ///
    /// # Errors
    /// [`ChainError::NoSuchSubnet`], or another [`ChainError`] if the read fails.
    async fn metagraph(
        &self,
        netuid: NetUid,
        mech: MechId,
        detail: Detail,
        at: At,
    ) -> Result<Metagraph, ChainError>;

    /// Returns the weights set by a neuron; empty if the neuron has set none.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    async fn weights_of(
        &self,
        netuid: NetUid,
        mech: MechId,
        uid: Uid,
        at: At,
    ) -> Result<WeightRow, ChainError>;

    /// Returns the events of a block.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`], or another [`ChainError`] if the read fails.
    async fn events(&self, at: At) -> Result<Vec<Event>, ChainError>;

    /// Returns the extrinsics of a block, with their results.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`], or another [`ChainError`] if the read fails.
    async fn extrinsics(&self, at: At) -> Result<Vec<Extrinsic>, ChainError>;

    /// Returns the runtime version (`spec_version`) of the newest block.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    async fn spec_version(&self) -> Result<u32, ChainError>;

    /// Leases the account's next nonce; nonces of extrinsics in the pool count as used.
    ///
    /// # Errors
    /// [`ChainError::Unreachable`] if no node responds; [`ChainError::Busy`] if another caller
    /// holds the lease for too long.
    async fn lease_nonce(&self, account: AccountId) -> Result<NonceLease, ChainError>;

    /// Signs a call for the newest block's runtime. Nothing is sent.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] and [`ChainError::Encode`] if the runtime has no such call;
    /// [`ChainError::TooLate`] if no later block can include the extrinsic.
    async fn sign(
        &self,
        call: &Call,
        signer: &Keypair,
        options: SignOptions,
    ) -> Result<SignedExtrinsic, ChainError>;

    /// Encodes a call for the newest block's runtime, and returns its BLAKE2b-256 hash, by which
    /// proxies announce it.
    ///
    /// # Errors
    /// [`ChainError::NotInRuntime`] and [`ChainError::Encode`] if the runtime has no such call.
    async fn call_hash(&self, call: &Call) -> Result<[u8; 32], ChainError>;

    /// Returns the newest public key of the MEV shield, to which an extrinsic is encrypted for
    /// [`calls::submit_encrypted`](crate::calls::submit_encrypted); `None` if the chain has none.
    /// The authors change the key with every block: submit the ciphertext for one of the next two
    /// blocks.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    async fn shield_key(&self) -> Result<Option<Vec<u8>>, ChainError>;

    /// Validates an extrinsic against the transaction pool's rules and queries its fee, without
    /// submitting it. A development chain also simulates its effect.
    ///
    /// # Errors
    /// [`ChainError`] if the read fails.
    async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError>;

    /// Submits an extrinsic and tracks it to its outcome. Submission is idempotent: any process may
    /// send the same bytes again, and an extrinsic that is already included is reported with its
    /// block.
    async fn submit(&self, extrinsic: &SignedExtrinsic, follow: Follow) -> Outcome {
        self.submit_leased(extrinsic, follow, None).await
    }

    /// Submits an extrinsic and releases its nonce lease as soon as a pool accepts the extrinsic,
    /// so that the account's next caller need not wait for a block. If no pool accepts the
    /// extrinsic, the nonce is reused.
    async fn submit_leased(
        &self,
        extrinsic: &SignedExtrinsic,
        follow: Follow,
        lease: Option<NonceLease>,
    ) -> Outcome;

    /// Searches the blocks `from..=to` for an extrinsic; `None` if none of them includes it.
    ///
    /// # Errors
    /// [`ChainError::NoSuchBlock`] if the node has pruned one of the blocks, or does not have it
    /// yet.
    async fn lookup(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError>;

    /// Signs a call with the account's next nonce, submits the extrinsic and tracks it, without
    /// storing the signed bytes.
    ///
    /// # Errors
    /// The errors of [`Chain::lease_nonce`] and [`Chain::sign`]; later failures are returned as an
    /// [`Outcome`].
    async fn send(
        &self,
        call: &Call,
        signer: &Keypair,
        follow: Follow,
    ) -> Result<Outcome, ChainError> {
        let lease = self.lease_nonce(signer.public().coldkey().into()).await?;
        let options = SignOptions { nonce: lease.nonce(), ..SignOptions::default() };
        let extrinsic = self.sign(call, signer, options).await?;
        Ok(self.submit_leased(&extrinsic, follow, Some(lease)).await)
    }
}
