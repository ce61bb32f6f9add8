//! The simulated chain: blocks at fixed times, a transaction pool, finality, forks and the epochs
//! of one subnet.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_chain::testing::{MockChain, metagraph, neuron, weight_rules};
use taonet_chain::{
    Axon, Block, Chain as _, CommitReveal, Follow, Metagraph, Neuron, SignedExtrinsic, WeightRules,
};
use taonet_primitives::{BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Rao, Uid};
use taonet_wallet::Keypair;

use crate::process::EPOCH;
use crate::record;

/// The simulated subnet.
pub(crate) const NETUID: NetUid = NetUid(59);
/// Time between two blocks.
pub(crate) const BLOCK_TIME: Duration = Duration::from_secs(12);
/// Number of blocks of an epoch.
pub(crate) const TEMPO: u32 = 30;
/// Number of blocks after which a block is finalized.
const FINALITY_LAG: u32 = 3;

/// The chain, shared by all nodes.
#[derive(Clone)]
pub(crate) struct SimulatedChain(Arc<Inner>);

struct Inner {
    mock: MockChain,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Extrinsics that wait for a block.
    pool: Vec<SignedExtrinsic>,
    /// The extrinsics of each block.
    blocks: BTreeMap<u32, Vec<SignedExtrinsic>>,
    /// All extrinsics, in the order in which the pool took them. Their hashes are random.
    extrinsic_numbers: Vec<ExtrinsicHash>,
}

impl State {
    /// Returns the number of an extrinsic, in the order in which the pool took them.
    fn number(&mut self, hash: ExtrinsicHash) -> usize {
        if let Some(index) = self.extrinsic_numbers.iter().position(|other| *other == hash) {
            return index;
        }
        self.extrinsic_numbers.push(hash);
        self.extrinsic_numbers.len() - 1
    }
}

impl SimulatedChain {
    /// Creates a chain whose subnet has these neurons with their addresses. The first one is the
    /// validator.
    pub(crate) fn new(
        neurons: &[(Hotkey, Option<SocketAddr>)],
        commit_reveal: Option<CommitReveal>,
    ) -> Self {
        let mock = MockChain::new(BLOCK_TIME);
        mock.keep_history();
        mock.set_finality_lag(FINALITY_LAG);
        mock.set_time(EPOCH);
        mock.set_metagraph(subnet(neurons));
        let rules = WeightRules {
            neurons: neurons.len() as u16,
            ..weight_rules(TEMPO as u16, commit_reveal)
        };
        mock.set_weight_rules(NETUID, at_block(&rules, 0));
        Self(Arc::new(Inner { mock, state: Mutex::default() }))
    }

    /// The chain without faults.
    pub(crate) fn mock(&self) -> &MockChain {
        &self.0.mock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn head(&self) -> Block {
        let head = *self.0.mock.heads().borrow();
        head.unwrap_or_else(|| unreachable!("the mock has a genesis block"))
    }

    /// Produces a block with the next valid extrinsic of the pool.
    pub(crate) async fn produce(&self, now: Duration) {
        let mock = &self.0.mock;
        let number = self.head().number.plus(1);
        let next = self.next_valid(number).await;
        match &next {
            Some(extrinsic) => drop(mock.submit_leased(extrinsic, Follow::default(), None).await),
            None => mock.mine(1),
        }
        mock.set_time(EPOCH + now);
        let is_included = self.head().number == number;
        if let Some(extrinsic) = next.filter(|_| is_included) {
            let mut state = self.state();
            record::record_event(&format!(
                "block {number} includes extrinsic {}",
                state.number(extrinsic.hash)
            ));
            state.blocks.entry(number.get()).or_default().push(extrinsic);
        }
        if number.get().is_multiple_of(TEMPO)
            && let Ok(rules) = mock.weight_rules(NETUID, taonet_chain::At::Head).await
        {
            mock.set_weight_rules(NETUID, at_block(&rules, number.get()));
        }
    }

    /// Removes the extrinsics that no block can include any more, and takes the first that the next
    /// block can include.
    async fn next_valid(&self, number: BlockNumber) -> Option<SignedExtrinsic> {
        let pool = std::mem::take(&mut self.state().pool);
        let (mut next, mut remaining) = (None, Vec::new());
        for extrinsic in pool {
            let nonce = self.nonce(&extrinsic).await;
            if extrinsic.nonce < nonce || extrinsic.last_block.is_some_and(|last| last < number) {
                record::record_event(&format!(
                    "pool drops extrinsic {}",
                    self.state().number(extrinsic.hash)
                ));
            } else if next.is_none() && extrinsic.nonce == nonce {
                next = Some(extrinsic);
            } else {
                remaining.push(extrinsic);
            }
        }
        self.state().pool = remaining;
        next
    }

    async fn nonce(&self, extrinsic: &SignedExtrinsic) -> u32 {
        let signer = Hotkey::from_bytes(*extrinsic.signer.as_bytes());
        let state =
            self.0.mock.hotkey_state(NETUID, MechId(0), &signer, taonet_chain::At::Head).await;
        state.map_or(0, |state| state.nonce)
    }

    /// Reverts blocks that are not finalized. Their extrinsics return to the pool, unless they are
    /// lost.
    pub(crate) fn revert(&self, blocks: u32, is_lost: bool) {
        self.0.mock.revert(blocks);
        let head = self.head().number.get();
        let mut state = self.state();
        let reverted = state.blocks.split_off(&(head + 1));
        record::record_event(&format!("fork: the newest block is {head}"));
        if !is_lost {
            state.pool.extend(reverted.into_values().flatten());
        }
    }

    /// Empties the pool.
    pub(crate) fn lose_pool(&self) {
        self.state().pool.clear();
    }

    /// Adds an extrinsic to the pool. Returns the JSON-RPC error of a refusal.
    pub(crate) async fn offer(&self, extrinsic: &SignedExtrinsic) -> Result<(), (i32, String)> {
        let number = self.head().number.plus(1);
        let refused = |text: &str| Err((1010, text.to_owned()));
        if extrinsic.nonce < self.nonce(extrinsic).await {
            return refused("Transaction is outdated");
        }
        if extrinsic.last_block.is_some_and(|last| last < number) {
            return refused("Transaction has an ancient birth block");
        }
        let mut state = self.state();
        if state.pool.iter().any(|other| other.hash == extrinsic.hash) {
            return Err((1013, String::new()));
        }
        let has_same_nonce = |other: &SignedExtrinsic| {
            (other.signer, other.nonce) == (extrinsic.signer, extrinsic.nonce)
        };
        if state.pool.iter().any(has_same_nonce) {
            return Err((1014, String::new()));
        }
        record::record_event(&format!("pool takes extrinsic {}", state.number(extrinsic.hash)));
        state.pool.push(extrinsic.clone());
        Ok(())
    }

    /// Returns how many extrinsics of a signer are in the pool.
    pub(crate) fn pool_count(&self, signer: taonet_primitives::AccountId) -> u32 {
        self.state().pool.iter().filter(|extrinsic| extrinsic.signer == signer).count() as u32
    }

    /// Whether a block includes an extrinsic.
    pub(crate) fn includes(&self, extrinsic: ExtrinsicHash) -> bool {
        self.included().iter().any(|(_, hash)| *hash == extrinsic)
    }

    /// Returns the extrinsics in blocks, each with the height of its block.
    pub(crate) fn included(&self) -> Vec<(u32, ExtrinsicHash)> {
        let state = self.state();
        state
            .blocks
            .iter()
            .flat_map(|(number, all)| all.iter().map(|one| (*number, one.hash)))
            .collect()
    }
}

/// Returns the epoch in which a block's extrinsics are executed.
pub(crate) fn epoch_of(block: u32) -> u64 {
    u64::from(block / TEMPO)
}

fn at_block(rules: &WeightRules, block: u32) -> WeightRules {
    let schedule = taonet_chain::Schedule {
        tempo: TEMPO as u16,
        last_epoch: BlockNumber::new(block / TEMPO * TEMPO),
        pending_epoch: None,
        epoch_index: epoch_of(block),
    };
    WeightRules { schedule, ..rules.clone() }
}

fn subnet(neurons: &[(Hotkey, Option<SocketAddr>)]) -> Metagraph {
    let owner = Keypair::from_seed(&[7; 32]);
    let axon = |address| Axon { address, protocol: 4, version: 1, block: BlockNumber::new(0) };
    let neuron = |(uid, (hotkey, address)): (u16, &(Hotkey, Option<SocketAddr>))| Neuron {
        validator_permit: uid == 0,
        total_stake: Rao::new(1_000_000_000_000),
        axon: address.map(axon),
        ..neuron(Uid(uid), *hotkey, owner.public().coldkey())
    };
    Metagraph { neurons: (0..).zip(neurons).map(neuron).collect(), ..metagraph(NETUID, &owner) }
}
