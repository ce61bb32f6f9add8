//! A process's view of the chain: a node that may be slow, unreachable, behind, or lie.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use taonet_chain::testing::{SimulatedNode, Tracker};
use taonet_chain::{
    At, Block, Call, Chain, ChainError, Detail, DryRun, Event, Extrinsic, Follow, HotkeyState,
    Inclusion, Metagraph, NonceLease, Outcome, SignOptions, SignedExtrinsic, TransportError,
    WeightRow, WeightRules,
};
use taonet_primitives::{
    AccountId, BlockHash, BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Uid,
};
use taonet_wallet::Keypair;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::chain::{BLOCK_TIME, SimulatedChain};

/// The client's timeout of a read: two block times.
const READ_TIMEOUT: Duration = Duration::from_secs(24);

/// A fault of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeFault {
    /// No response.
    Unreachable,
    /// Each response takes this many seconds.
    Slow(u64),
    /// The node is this many blocks behind.
    Behind(u32),
    /// The node announces blocks in the wrong order.
    Reordered,
    /// The node announces no blocks.
    Silent,
    /// The pool refuses valid extrinsics.
    RejectsExtrinsics,
    /// The pool refuses valid extrinsics, and passes them on.
    RejectsButPropagates,
    /// The pool accepts extrinsics, and passes none on.
    DropsExtrinsics,
    /// The node names a nonce that is too high.
    HighNonce,
    /// The node's clock is this many seconds ahead.
    Ahead(u64),
}

/// The node of a process, and its faults.
#[derive(Clone)]
pub(crate) struct Node {
    chain: SimulatedChain,
    faults: Arc<Mutex<Vec<NodeFault>>>,
    heads: Arc<watch::Sender<Option<Block>>>,
}

impl Node {
    pub(crate) fn new(chain: SimulatedChain) -> Self {
        let (heads, _) = watch::channel(Some(chain.head()));
        Self { chain, faults: Arc::default(), heads: Arc::new(heads) }
    }

    fn faults(&self) -> MutexGuard<'_, Vec<NodeFault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, fault: NodeFault) {
        self.faults().push(fault);
    }

    pub(crate) fn remove(&self, fault: NodeFault) {
        let mut faults = self.faults();
        if let Some(index) = faults.iter().position(|other| *other == fault) {
            faults.remove(index);
        }
    }

    fn has(&self, fault: NodeFault) -> bool {
        self.faults().contains(&fault)
    }

    fn lag(&self) -> u32 {
        self.faults()
            .iter()
            .map(|fault| if let NodeFault::Behind(blocks) = fault { *blocks } else { 0 })
            .sum()
    }

    fn delay(&self) -> Duration {
        let seconds =
            |fault: &NodeFault| if let NodeFault::Slow(seconds) = fault { *seconds } else { 0 };
        Duration::from_millis(50) + Duration::from_secs(self.faults().iter().map(seconds).sum())
    }

    /// Announces the newest block.
    pub(crate) fn announce(&self) {
        if self.has(NodeFault::Unreachable) || self.has(NodeFault::Silent) {
            return;
        }
        let newest = self.newest();
        if self.has(NodeFault::Reordered) {
            let number = newest.number.minus(1);
            let hash =
                poll_once(self.chain.mock().block_hash(number)).and_then(Result::ok).flatten();
            self.heads.send_replace(Some(newest));
            self.heads.send_replace(hash.map(|hash| Block { number, hash }));
            return;
        }
        self.heads.send_replace(Some(newest));
    }

    /// The newest block that the node knows.
    fn newest(&self) -> Block {
        let head = self.chain.head();
        let number = head.number.minus(self.lag());
        let hash = poll_once(self.chain.mock().block_hash(number)).and_then(Result::ok).flatten();
        hash.map_or(head, |hash| Block { number, hash })
    }
}

/// Returns the result of a future that does not wait.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// The client of one run of a process.
pub(crate) struct Endpoint {
    node: Node,
    tracker: Tracker,
}

impl Endpoint {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, tracker: Tracker::new(BLOCK_TIME) }
    }

    /// Waits for a response of the node.
    async fn respond(&self) -> Result<(), ChainError> {
        let unreachable = || {
            let source = TransportError::Connection("the node does not respond".into());
            ChainError::Unreachable { endpoint: "simulated".into(), source }
        };
        // A process that died in a change of a file makes no more calls.
        if crate::disk::is_dead() {
            std::future::pending::<()>().await;
        }
        if self.node.has(NodeFault::Unreachable) {
            sleep(READ_TIMEOUT).await;
            return Err(unreachable());
        }
        timeout(READ_TIMEOUT, sleep(self.node.delay())).await.map_err(|_| unreachable())
    }

    /// Resolves a reference to a block as this node does.
    fn at(&self, at: At) -> At {
        match at {
            At::Head => self.node.newest().into(),
            at => at,
        }
    }

    async fn read<T>(
        &self,
        read: impl Future<Output = Result<T, ChainError>>,
    ) -> Result<T, ChainError> {
        self.respond().await?;
        read.await
    }

    fn mock(&self) -> &taonet_chain::testing::MockChain {
        self.node.chain.mock()
    }
}

#[async_trait]
impl SimulatedNode for Endpoint {
    async fn finalized(&self) -> Result<Block, ChainError> {
        self.respond().await?;
        let (finalized, newest) = (self.mock().finalized_head().await?, self.node.newest());
        Ok(if newest.number < finalized.number { newest } else { finalized })
    }

    async fn newest(&self) -> Result<Block, ChainError> {
        self.respond().await?;
        Ok(self.node.newest())
    }

    async fn search_block(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<(BlockNumber, BlockHash, Option<Inclusion>), ChainError> {
        self.respond().await?;
        // The mock's hashes begin with the height.
        let height = block.as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let number = BlockNumber::new(height);
        if self.mock().block_hash(number).await? != Some(block) {
            return Err(ChainError::NoSuchBlock(block.into()));
        }
        let parent = self.mock().block_hash(number.minus(1)).await?.unwrap_or(block);
        let outcome = self.mock().lookup(extrinsic, number, number).await?;
        Ok((number, parent, outcome.and_then(|outcome| outcome.inclusion().cloned())))
    }

    async fn next_nonce(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError> {
        let hotkey = Hotkey::from_bytes(*account.as_bytes());
        let state = self.read(self.mock().hotkey_state(
            crate::chain::NETUID,
            MechId(0),
            &hotkey,
            At::Hash(block),
        ));
        Ok(state.await?.nonce)
    }

    async fn offer(
        &self,
        extrinsic: &SignedExtrinsic,
    ) -> Result<Result<(), (i32, String)>, ChainError> {
        self.respond().await?;
        let refused = || Err((1010, "Transaction has a bad signature".to_owned()));
        if self.node.has(NodeFault::RejectsExtrinsics) {
            return Ok(refused());
        }
        if self.node.has(NodeFault::DropsExtrinsics) {
            return Ok(Ok(()));
        }
        let outcome = self.node.chain.offer(extrinsic).await;
        Ok(if self.node.has(NodeFault::RejectsButPropagates) { refused() } else { outcome })
    }

    async fn included(&self, extrinsic: ExtrinsicHash) {
        let mut heads = self.node.heads.subscribe();
        while heads.changed().await.is_ok() {
            if self.node.chain.includes(extrinsic) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl Chain for Endpoint {
    fn block_time(&self) -> Duration {
        BLOCK_TIME
    }

    async fn head(&self) -> Result<Block, ChainError> {
        SimulatedNode::newest(self).await
    }

    async fn finalized_head(&self) -> Result<Block, ChainError> {
        SimulatedNode::finalized(self).await
    }

    fn heads(&self) -> watch::Receiver<Option<Block>> {
        self.node.heads.subscribe()
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError> {
        self.respond().await?;
        if number > self.node.newest().number {
            Ok(None)
        } else {
            self.mock().block_hash(number).await
        }
    }

    async fn weight_rules(&self, netuid: NetUid, at: At) -> Result<WeightRules, ChainError> {
        self.respond().await?;
        self.mock().weight_rules(netuid, self.at(at)).await
    }

    async fn uid(
        &self,
        netuid: NetUid,
        hotkey: &Hotkey,
        at: At,
    ) -> Result<Option<Uid>, ChainError> {
        self.respond().await?;
        self.mock().uid(netuid, hotkey, self.at(at)).await
    }

    async fn hotkey_state(
        &self,
        netuid: NetUid,
        mech: MechId,
        hotkey: &Hotkey,
        at: At,
    ) -> Result<HotkeyState, ChainError> {
        self.respond().await?;
        let mut state = self.mock().hotkey_state(netuid, mech, hotkey, self.at(at)).await?;
        for fault in self.node.faults().iter() {
            if let NodeFault::Ahead(seconds) = fault {
                state.time += Duration::from_secs(*seconds);
            }
        }
        Ok(state)
    }

    async fn metagraph(
        &self,
        netuid: NetUid,
        mech: MechId,
        detail: Detail,
        at: At,
    ) -> Result<Metagraph, ChainError> {
        self.respond().await?;
        self.mock().metagraph(netuid, mech, detail, self.at(at)).await
    }

    async fn weights_of(
        &self,
        netuid: NetUid,
        mech: MechId,
        uid: Uid,
        at: At,
    ) -> Result<WeightRow, ChainError> {
        self.respond().await?;
        self.mock().weights_of(netuid, mech, uid, self.at(at)).await
    }

    async fn events(&self, at: At) -> Result<Vec<Event>, ChainError> {
        self.respond().await?;
        self.mock().events(self.at(at)).await
    }

    async fn extrinsics(&self, at: At) -> Result<Vec<Extrinsic>, ChainError> {
        self.respond().await?;
        self.mock().extrinsics(self.at(at)).await
    }

    async fn spec_version(&self) -> Result<u32, ChainError> {
        self.read(self.mock().spec_version()).await
    }

    async fn lease_nonce(&self, account: AccountId) -> Result<NonceLease, ChainError> {
        let next = async {
            let head = SimulatedNode::newest(self).await?;
            let next = SimulatedNode::next_nonce(self, account, head.hash).await?;
            let extra = u32::from(self.node.has(NodeFault::HighNonce));
            Ok(next + self.node.chain.pool_count(account) + extra)
        };
        self.tracker.lease_nonce(account, next).await
    }

    async fn sign(
        &self,
        call: &Call,
        signer: &Keypair,
        options: SignOptions,
    ) -> Result<SignedExtrinsic, ChainError> {
        self.read(self.mock().sign(call, signer, options)).await
    }

    async fn call_hash(&self, call: &Call) -> Result<[u8; 32], ChainError> {
        self.read(self.mock().call_hash(call)).await
    }

    async fn shield_key(&self) -> Result<Option<Vec<u8>>, ChainError> {
        self.read(self.mock().shield_key()).await
    }

    async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError> {
        self.read(self.mock().dry_run(extrinsic)).await
    }

    async fn submit_leased(
        &self,
        extrinsic: &SignedExtrinsic,
        follow: Follow,
        lease: Option<NonceLease>,
    ) -> Outcome {
        self.tracker.submit(self, extrinsic, follow, lease).await
    }

    async fn lookup(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError> {
        self.respond().await?;
        if to > self.node.newest().number {
            return Err(ChainError::NoSuchBlock(to.into()));
        }
        self.mock().lookup(hash, from, to).await
    }
}
