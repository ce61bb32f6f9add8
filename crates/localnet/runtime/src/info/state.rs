//! Subnet state: the neurons of a subnet as columns, without endpoints.

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::{AccountId32, PerU16};

use super::columns::{Columns, Neurons};
use super::compact;
use crate::subtensor::{BlockAtRegistration, Config, NetworksAdded, SubnetworkN};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

/// State of a subnet's neurons. Each list is indexed by uid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct SubnetState {
    /// Netuid of the subnet.
    pub netuid: Compact<NetUid>,
    /// Hotkeys of the neurons.
    pub hotkeys: Vec<AccountId32>,
    /// Coldkeys that own the hotkeys.
    pub coldkeys: Vec<AccountId32>,
    /// Whether each neuron was active at the last epoch.
    pub active: Vec<bool>,
    /// Validator permits.
    pub validator_permit: Vec<bool>,
    /// Pruning scores; always empty, no longer computed.
    pub pruning_score: Vec<Compact<u16>>,
    /// Blocks of the last weight submissions.
    pub last_update: Vec<Compact<u64>>,
    /// Alpha earned at the last epoch.
    pub emission: Vec<Compact<AlphaBalance>>,
    /// Dividends: shares of validator emission.
    pub dividends: Vec<Compact<PerU16>>,
    /// Incentives: shares of miner emission.
    pub incentives: Vec<Compact<PerU16>>,
    /// Consensus weights.
    pub consensus: Vec<Compact<PerU16>>,
    /// Trust; always empty, no longer computed.
    pub trust: Vec<Compact<PerU16>>,
    /// Ranks; always empty, no longer computed.
    pub rank: Vec<Compact<u16>>,
    /// Registration blocks.
    pub block_at_registration: Vec<Compact<u64>>,
    /// Alpha stake.
    pub alpha_stake: Vec<Compact<AlphaBalance>>,
    /// TAO stake on root.
    pub tao_stake: Vec<Compact<TaoBalance>>,
    /// Total stake: alpha plus weighted TAO.
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
        let columns = Columns::read::<T>(netuid, MechId(0));
        let neurons = Neurons::of(netuid);
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
            block_at_registration: compact(registrations::<T>(netuid)),
            alpha_stake: compact(stakes.alpha.iter().copied()),
            tao_stake: compact(stakes.tao.iter().copied()),
            total_stake: compact(stakes.total.iter().copied()),
            emission_history: Vec::new(),
        })
    }
}

/// Returns the registration blocks of a subnet's neurons, by uid.
pub(super) fn registrations<T: Config>(netuid: NetUid) -> Vec<u64> {
    (0..SubnetworkN::<T>::get(netuid)).map(|uid| BlockAtRegistration::<T>::get(netuid, uid)).collect()
}
