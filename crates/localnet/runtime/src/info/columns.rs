//! Columns with one value per neuron of a subnet, read once for all neurons.

use std::cell::OnceCell;

use sp_runtime::{AccountId32, PerU16};

use crate::subtensor::{
    Active, Config, Consensus, Dividends, Emission, Incentive, Keys, LastUpdate, Owner, Pallet,
    SubnetworkN, ValidatorPermit, ValidatorTrust,
};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

/// Columns with one value per neuron of a subnet, indexed by uid.
pub(super) struct NeuronColumns {
    pub(super) active: Vec<bool>,
    pub(super) validator_permit: Vec<bool>,
    pub(super) last_update: Vec<u64>,
    pub(super) emission: Vec<AlphaBalance>,
    pub(super) incentive: Vec<PerU16>,
    pub(super) consensus: Vec<PerU16>,
    pub(super) validator_trust: Vec<PerU16>,
    pub(super) dividends: Vec<PerU16>,
}

impl NeuronColumns {
    /// Reads the columns; per-mechanism columns are those of mechanism `mecid`.
    pub(super) fn read<T: Config>(netuid: NetUid, mecid: MechId) -> Self {
        let index = netuid.mechanism(mecid);
        Self {
            active: Active::<T>::get(netuid),
            validator_permit: ValidatorPermit::<T>::get(netuid),
            last_update: LastUpdate::<T>::get(index),
            emission: Emission::<T>::get(netuid),
            incentive: Incentive::<T>::get(index),
            consensus: Consensus::<T>::get(netuid),
            validator_trust: ValidatorTrust::<T>::get(netuid),
            dividends: Dividends::<T>::get(netuid),
        }
    }
}

/// Returns a neuron's value in a column; the default if the column is shorter.
pub(super) fn value_at<Value: Copy + Default>(column: &[Value], uid: u16) -> Value {
    column.get(usize::from(uid)).copied().unwrap_or_default()
}

/// Stake of the neurons, by uid.
#[derive(Default)]
pub(super) struct StakeColumns {
    /// Alpha stake in the subnet.
    pub(super) alpha: Vec<AlphaBalance>,
    /// TAO stake on root.
    pub(super) tao: Vec<TaoBalance>,
    /// Total stake: alpha plus weighted TAO.
    pub(super) total: Vec<TaoBalance>,
}

/// Keys and stake of a subnet's neurons, read lazily.
pub(super) struct LazyNeurons {
    netuid: NetUid,
    hotkeys: OnceCell<Vec<AccountId32>>,
    coldkeys: OnceCell<Vec<AccountId32>>,
    stakes: OnceCell<StakeColumns>,
}

impl LazyNeurons {
    pub(super) const fn new(netuid: NetUid) -> Self {
        Self {
            netuid,
            hotkeys: OnceCell::new(),
            coldkeys: OnceCell::new(),
            stakes: OnceCell::new(),
        }
    }

    /// Returns the hotkeys by uid.
    pub(super) fn hotkeys<T: Config>(&self) -> &[AccountId32] {
        self.hotkeys.get_or_init(|| {
            (0..SubnetworkN::<T>::get(self.netuid))
                .map(|uid| Keys::<T>::get(self.netuid, uid))
                .collect()
        })
    }

    /// Returns the coldkeys that own the hotkeys, by uid.
    pub(super) fn coldkeys<T: Config>(&self) -> &[AccountId32] {
        self.coldkeys.get_or_init(|| self.hotkeys::<T>().iter().map(Owner::<T>::get).collect())
    }

    /// Returns the stakes by uid.
    pub(super) fn stakes<T: Config>(&self) -> &StakeColumns {
        self.stakes.get_or_init(|| {
            let mut stakes = StakeColumns::default();
            for hotkey in self.hotkeys::<T>() {
                let alpha = Pallet::<T>::inherited_stake(hotkey, self.netuid, self.netuid);
                let root = Pallet::<T>::inherited_stake(hotkey, self.netuid, NetUid::ROOT);
                stakes.alpha.push(alpha);
                stakes.tao.push(TaoBalance(root.0));
                stakes.total.push(TaoBalance(Pallet::<T>::weighted_stake(hotkey, self.netuid).0));
            }
            stakes
        })
    }
}
