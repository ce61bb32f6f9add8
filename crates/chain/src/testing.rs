//! A mock chain for tests: the test decides when blocks are produced, and scripts the outcome of
//! each submission.

mod bytes;
mod chain;
mod hotkey;
mod metagraph;
mod rules;
mod simulated;
mod submission;
mod versions;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash, MechId, NetUid, Rao};
use tokio::sync::watch;

use crate::nonce::Nonces;
use crate::{
    At, Block, Call, ChainError, DispatchError, Effect, Event, Extrinsic, Inclusion, Metagraph,
    Outcome, RefusalReason, SignedExtrinsic, TransportError, WeightRules,
};

use versions::Versions;

pub use bytes::decode_node_data;
pub use metagraph::{metagraph, neuron};
pub use rules::weight_rules;
pub use simulated::{SimulatedNode, Tracker};

/// The scripted outcome of the next submission of an extrinsic that is not in a block yet.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Script {
    /// Includes the extrinsic in an immediately produced block. The default without a script.
    Include,
    /// Includes the extrinsic in an immediately produced block, in which its call fails.
    Fail(DispatchError),
    /// The pool refuses the extrinsic.
    Refuse(RefusalReason),
    /// The pool drops the extrinsic.
    Drop,
    /// The connection is lost after sending; an immediately produced block includes the extrinsic.
    LoseResponse,
    /// The connection is lost before sending.
    LoseRequest,
}

/// An extrinsic that reached the mock's pool.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmittedExtrinsic {
    /// The submitted extrinsic.
    pub extrinsic: SignedExtrinsic,
    /// The signed call; `None` if another [`MockChain`] signed it.
    pub call: Option<Call>,
}

/// A mock chain in memory, without a node. Clones share its state.
#[derive(Debug, Clone)]
pub struct MockChain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    block_time: Duration,
    nonces: Nonces,
    heads: watch::Sender<Option<Block>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The blocks by height.
    blocks: Vec<MockBlock>,
    /// The number of reverts.
    fork_count: u32,
    /// The extrinsics of reverted blocks.
    reverted_extrinsics: Vec<SignedExtrinsic>,
    finality_lag: u32,
    finalized: BlockNumber,
    /// The first block whose state is not pruned.
    first_unpruned: BlockNumber,
    spec_version: u32,
    unreachable: bool,
    /// The number of next requests that fail.
    lost_requests: u32,
    has_unknown_events: bool,
    rules: HashMap<NetUid, Versions<WeightRules>>,
    metagraphs: HashMap<(NetUid, MechId), Versions<Metagraph>>,
    keeps_history: bool,
    script: VecDeque<Script>,
    effect: Option<Effect>,
    shield_key: Option<Vec<u8>>,
    /// The time of the newest block, since the Unix epoch; `None` for the system clock's.
    time: Option<Duration>,
    signed_calls: HashMap<ExtrinsicHash, Call>,
    submitted: Vec<SubmittedExtrinsic>,
}

#[derive(Debug, Default)]
struct MockBlock {
    fork: u32,
    events: Vec<Event>,
    extrinsics: Vec<(SignedExtrinsic, Result<(), DispatchError>)>,
    /// The result of [`Chain::extrinsics`](crate::Chain::extrinsics).
    decoded_extrinsics: Vec<Extrinsic>,
}

impl Default for MockChain {
    fn default() -> Self {
        Self::new(Duration::from_secs(12))
    }
}

impl MockChain {
    /// Creates a chain with only a genesis block; every block is finalized immediately.
    pub fn new(block_time: Duration) -> Self {
        let state = State {
            blocks: vec![MockBlock::default()],
            fork_count: 0,
            reverted_extrinsics: Vec::new(),
            finality_lag: 0,
            finalized: BlockNumber::default(),
            first_unpruned: BlockNumber::default(),
            spec_version: 1,
            unreachable: false,
            lost_requests: 0,
            has_unknown_events: false,
            rules: HashMap::new(),
            metagraphs: HashMap::new(),
            keeps_history: false,
            script: VecDeque::new(),
            effect: None,
            shield_key: None,
            time: None,
            signed_calls: HashMap::new(),
            submitted: Vec::new(),
        };
        let (heads, _) = watch::channel(Some(state.head()));
        Self {
            inner: Arc::new(Inner {
                block_time,
                nonces: Nonces::default(),
                heads,
                state: Mutex::new(state),
            }),
        }
    }

    /// Mines blocks without extrinsics.
    pub fn mine(&self, blocks: u32) {
        let mut state = self.state();
        for _ in 0..blocks {
            state.push_block(Vec::new());
        }
        self.inner.heads.send_replace(Some(state.head()));
    }

    /// Reverts the newest blocks that are not finalized. Blocks mined later at the same height have
    /// different hashes. The extrinsics of reverted blocks are in no block until they are sent
    /// again, or until [`MockChain::include_reverted`].
    pub fn revert(&self, blocks: u32) {
        let mut state = self.state();
        state.fork_count = state.fork_count.saturating_add(1);
        let new_head = state.head().number.minus(blocks).max(state.finalized).get() as usize;
        let reverted_blocks = state.blocks.split_off(new_head.saturating_add(1));
        state.reverted_extrinsics.extend(
            reverted_blocks
                .into_iter()
                .flat_map(|block| block.extrinsics)
                .map(|(extrinsic, _)| extrinsic),
        );
        self.inner.heads.send_replace(Some(state.head()));
    }

    /// Mines a block with all extrinsics of reverted blocks, as pools do after a revert.
    pub fn include_reverted(&self) {
        let mut state = self.state();
        let next = state.head().number.plus(1);
        let mut reverted = std::mem::take(&mut state.reverted_extrinsics);
        reverted.retain(|extrinsic| {
            extrinsic.last_block.is_none_or(|last| next <= last)
                && state.extrinsic_with_nonce(extrinsic.signer, extrinsic.nonce, next).is_none()
        });
        state.push_block(reverted.into_iter().map(|extrinsic| (extrinsic, Ok(()))).collect());
        self.inner.heads.send_replace(Some(state.head()));
    }

    /// Prunes the state of blocks before this one; the node keeps their hashes.
    pub fn prune(&self, before: BlockNumber) {
        self.state().first_unpruned = before;
    }

    /// Sets the runtime version: extrinsics signed for another version become invalid.
    pub fn set_spec_version(&self, version: u32) {
        self.state().spec_version = version;
    }

    /// Adds an event to the newest block.
    pub fn record(&self, event: Event) {
        if let Some(block) = self.state().blocks.last_mut() {
            block.events.push(event);
        }
    }

    /// Adds an extrinsic to the result of [`Chain::extrinsics`](crate::Chain::extrinsics) for the
    /// newest block. Submitted extrinsics are not in that result: the mock cannot decode them.
    pub fn record_extrinsic(&self, extrinsic: Extrinsic) {
        if let Some(block) = self.state().blocks.last_mut() {
            block.decoded_extrinsics.push(extrinsic);
        }
    }

    /// Sets the number of blocks after which a block is finalized.
    pub fn set_finality_lag(&self, blocks: u32) {
        self.state().finality_lag = blocks;
    }

    /// Makes all nodes unreachable, or reachable again.
    pub fn set_unreachable(&self, unreachable: bool) {
        self.state().unreachable = unreachable;
    }

    /// Makes the next requests fail, as if the nodes were unreachable.
    pub fn lose_requests(&self, requests: u32) {
        self.state().lost_requests = requests;
    }

    /// Sets the effect that dry runs report; `None` for a node that does not simulate calls.
    pub fn simulate(&self, effect: Option<Effect>) {
        self.state().effect = effect;
    }

    /// Sets the result of [`Chain::shield_key`](crate::Chain::shield_key). The mock does not
    /// decrypt: no block includes a shielded extrinsic.
    pub fn set_shield_key(&self, key: Option<Vec<u8>>) {
        self.state().shield_key = key;
    }

    /// Sets the time of the newest block, since the Unix epoch. By default, it is the time of the
    /// system clock.
    pub fn set_time(&self, time: Duration) {
        self.state().time = Some(time);
    }

    /// Makes the events of all blocks undecodable, or decodable again.
    pub fn set_unknown_events(&self, unknown: bool) {
        self.state().has_unknown_events = unknown;
    }

    /// Sets the result of [`Chain::weight_rules`](crate::Chain::weight_rules) for the subnet.
    pub fn set_weight_rules(&self, netuid: NetUid, rules: WeightRules) {
        let mut state = self.state();
        let since = state.head().number;
        state.rules.entry(netuid).or_default().set(since, rules);
    }

    /// Sets the results of [`Chain::metagraph`](crate::Chain::metagraph),
    /// [`Chain::uid`](crate::Chain::uid) and [`Chain::weights_of`](crate::Chain::weights_of) for
    /// the subnet. The requested block replaces the metagraph's block.
    pub fn set_metagraph(&self, metagraph: Metagraph) {
        let mut state = self.state();
        let since = state.head().number;
        state
            .metagraphs
            .entry((metagraph.netuid, metagraph.mech))
            .or_default()
            .set(since, metagraph);
    }

    /// Makes each block keep the weight rules and metagraphs that were set when it was the newest.
    /// By default, all blocks have the latest ones.
    pub fn keep_history(&self) {
        self.state().keeps_history = true;
    }

    /// Appends scripted outcomes for the next submissions.
    pub fn script(&self, script: impl IntoIterator<Item = Script>) {
        self.state().script.extend(script);
    }

    /// Returns all submissions that reached the pool, with repetitions.
    pub fn submitted(&self) -> Vec<SubmittedExtrinsic> {
        self.state().submitted.clone()
    }

    /// Returns all extrinsics that are in a block.
    pub fn included(&self) -> Vec<SignedExtrinsic> {
        let state = self.state();
        state
            .blocks
            .iter()
            .flat_map(|block| &block.extrinsics)
            .map(|(extrinsic, _)| extrinsic.clone())
            .collect()
    }

    /// Returns the next nonce of an account after a block.
    #[cfg(test)]
    pub(crate) fn nonce_at(&self, account: AccountId, block: BlockNumber) -> u32 {
        let state = self.state();
        let unused = (0..u32::MAX)
            .find(|nonce| state.extrinsic_with_nonce(account, *nonce, block).is_none());
        unused.unwrap_or(u32::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reachable_state(&self) -> Result<MutexGuard<'_, State>, ChainError> {
        let mut state = self.state();
        let is_lost = state.unreachable || state.lost_requests > 0;
        state.lost_requests = state.lost_requests.saturating_sub(1);
        if is_lost { Err(unreachable_error()) } else { Ok(state) }
    }
}

impl State {
    fn head(&self) -> Block {
        self.block_at(
            BlockNumber::new(u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)).minus(1),
        )
    }

    /// Returns the block at a height. Its hash consists of the height, the number of the fork, and
    /// zeros.
    fn block_at(&self, number: BlockNumber) -> Block {
        let fork = self.blocks.get(number.get() as usize).map_or(0, |block| block.fork);
        let mut hash = [0; 32];
        for (byte, digit) in
            hash.iter_mut().zip(number.get().to_le_bytes().into_iter().chain(fork.to_le_bytes()))
        {
            *byte = digit;
        }
        Block { number, hash: BlockHash::from_bytes(hash) }
    }

    fn push_block(&mut self, extrinsics: Vec<(SignedExtrinsic, Result<(), DispatchError>)>) {
        self.blocks.push(MockBlock { fork: self.fork_count, extrinsics, ..MockBlock::default() });
        self.finalized = self.finalized.max(self.head().number.minus(self.finality_lag));
    }

    fn block(&self, at: At) -> Result<Block, ChainError> {
        let block = match at {
            At::Head => self.head(),
            At::Finalized => self.block_at(self.finalized),
            At::Number(number) => self.block_at(number),
            At::Hash(hash) => {
                let (number, _) =
                    hash.as_bytes().split_first_chunk().ok_or(ChainError::NoSuchBlock(at))?;
                let block = self.block_at(BlockNumber::new(u32::from_le_bytes(*number)));
                Some(block).filter(|block| block.hash == hash).ok_or(ChainError::NoSuchBlock(at))?
            }
        };
        if block.number > self.head().number { Err(ChainError::NoSuchBlock(at)) } else { Ok(block) }
    }

    /// Resolves a block reference; fails if the block's state is pruned.
    fn state_at(&self, at: At) -> Result<Block, ChainError> {
        let block = self.block(at)?;
        if block.number < self.first_unpruned {
            Err(ChainError::NoSuchBlock(at))
        } else {
            Ok(block)
        }
    }

    fn outcome_of(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Option<Outcome> {
        let blocks =
            (0..).zip(&self.blocks).skip(from.get() as usize).take(to.plus(1).since(from) as usize);
        for (number, MockBlock { events, extrinsics, .. }) in blocks {
            let Some((index, (_, result))) =
                (0..).zip(extrinsics).find(|(_, (extrinsic, _))| extrinsic.hash == hash)
            else {
                continue;
            };
            let block = self.block_at(BlockNumber::new(number));
            let inclusion = Inclusion {
                block,
                index,
                fee: Some(Rao::ZERO),
                result: result.clone(),
                events: events.clone(),
            };
            let is_final = block.number <= self.finalized;
            return Some(if is_final {
                Outcome::Finalized(inclusion)
            } else {
                Outcome::Included(inclusion)
            });
        }
        None
    }

    /// Returns the extrinsic with this signer and nonce in the blocks up to `to`.
    fn extrinsic_with_nonce(
        &self,
        signer: AccountId,
        nonce: u32,
        to: BlockNumber,
    ) -> Option<&SignedExtrinsic> {
        let blocks = self.blocks.iter().take(to.plus(1).get() as usize);
        let mut included =
            blocks.flat_map(|block| &block.extrinsics).map(|(extrinsic, _)| extrinsic);
        included.find(|extrinsic| extrinsic.signer == signer && extrinsic.nonce == nonce)
    }

    fn next_nonce(&self, account: AccountId) -> u32 {
        self.next_nonce_after(account, self.head().number)
    }

    /// Returns the next nonce of an account after a block.
    fn next_nonce_after(&self, account: AccountId, block: BlockNumber) -> u32 {
        let blocks = self.blocks.iter().take(block.plus(1).get() as usize);
        let included = blocks.flat_map(|block| &block.extrinsics);
        let last_nonce = included
            .filter(|(other, _)| other.signer == account)
            .map(|(other, _)| other.nonce)
            .max();
        last_nonce.map_or(0, |nonce| nonce.saturating_add(1))
    }

    fn include(&mut self, extrinsic: &SignedExtrinsic, result: Result<(), DispatchError>) {
        self.push_block(vec![(extrinsic.clone(), result)]);
    }

    fn metagraph(
        &self,
        netuid: NetUid,
        mech: MechId,
        block: Block,
    ) -> Result<&Metagraph, ChainError> {
        let block = self.keeps_history.then_some(block.number);
        let metagraph =
            self.metagraphs.get(&(netuid, mech)).and_then(|versions| versions.at(block));
        metagraph.ok_or(ChainError::NoSuchSubnet(netuid))
    }
}

fn unreachable_error() -> ChainError {
    let source = TransportError::Connection("the mock is set to be unreachable".into());
    ChainError::Unreachable { endpoint: "mock".into(), source }
}

#[cfg(test)]
mod tests;
