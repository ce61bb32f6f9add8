//! Subnet state: the neurons of a subnet, as one list per property, without endpoints.

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::{AccountId32, PerU16};

use super::columns::{LazyNeurons, NeuronColumns};
use super::compact;
use crate::subtensor::{BlockAtRegistration, Config, NetworksAdded, SubnetworkN};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

/// State of a subnet's neurons. Each list is indexed by uid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SubnetState {
    /// Netuid of the subnet.
    pub netuid: Compact<NetUid>,
    /// Hotkey of each neuron, by uid.
    pub hotkeys: Vec<AccountId32>,
    /// Coldkey that owns each neuron's hotkey, by uid.
    pub coldkeys: Vec<AccountId32>,
    /// Whether each neuron was active at the last epoch, by uid.
    pub active: Vec<bool>,
    /// Whether each neuron has a validator permit, by uid.
    pub validator_permit: Vec<bool>,
    /// Pruning scores; always empty, because the chain no longer computes them.
    pub pruning_score: Vec<Compact<u16>>,
    /// Block of each neuron's last weight submission, by uid.
    pub last_update: Vec<Compact<u64>>,
    /// Alpha that each neuron earned at the last epoch, by uid.
    pub emission: Vec<Compact<AlphaBalance>>,
    /// Each neuron's share of the validators' emission (dividends), by uid.
    pub dividends: Vec<Compact<PerU16>>,
    /// Each neuron's share of the miners' emission (incentive), by uid.
    pub incentives: Vec<Compact<PerU16>>,
    /// Consensus weight of each neuron, by uid.
    pub consensus: Vec<Compact<PerU16>>,
    /// Trust; always empty, because the chain no longer computes it.
    pub trust: Vec<Compact<PerU16>>,
    /// Ranks; always empty, because the chain no longer computes them.
    pub rank: Vec<Compact<u16>>,
    /// Registration block of each neuron, by uid.
    pub block_at_registration: Vec<Compact<u64>>,
    /// Alpha stake of each neuron in the subnet, by uid.
    pub alpha_stake: Vec<Compact<AlphaBalance>>,
    /// TAO stake of each neuron on root, by uid.
    pub tao_stake: Vec<Compact<TaoBalance>>,
    /// Total stake of each neuron (alpha plus weighted TAO), by uid.
    pub total_stake: Vec<Compact<TaoBalance>>,
    /// Emission history; always empty, since this chain does not store it.
    pub emission_history: Vec<Vec<Compact<AlphaBalance>>>,
}

impl SubnetState {
    /// Reads the state of a subnet; `None` if the subnet does not exist.
    pub fn read<T: Config>(netuid: NetUid) -> Option<Self> {
        if !NetworksAdded::<T>::get(netuid) {
            return None;
        }
        let columns = NeuronColumns::read::<T>(netuid, MechId(0));
        let neurons = LazyNeurons::new(netuid);
        let stakes = neurons.stakes::<T>();
        Some(Self {
            netuid: Compact(netuid),
            hotkeys: neurons.hotkeys::<T>().to_vec(),
            coldkeys: neurons.coldkeys::<T>().to_vec(),
            active: columns.active,
            validator_permit: columns.validator_permit,
            pruning_score: Vec::new(),
            last_update: compact(columns.last_update),
            emission: compact(columns.emission),
            dividends: compact(columns.dividends),
            incentives: compact(columns.incentive),
            consensus: compact(columns.consensus),
            trust: Vec::new(),
            rank: Vec::new(),
            block_at_registration: compact(registration_blocks::<T>(netuid)),
            alpha_stake: compact(stakes.alpha.iter().copied()),
            tao_stake: compact(stakes.tao.iter().copied()),
            total_stake: compact(stakes.total.iter().copied()),
            emission_history: Vec::new(),
        })
    }
}

/// Returns the registration blocks of a subnet's neurons, by uid.
pub(super) fn registration_blocks<T: Config>(netuid: NetUid) -> Vec<u64> {
    (0..SubnetworkN::<T>::get(netuid))
        .map(|uid| BlockAtRegistration::<T>::get(netuid, uid))
        .collect()
}
