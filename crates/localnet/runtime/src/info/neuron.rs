//! Neurons in the layouts of `NeuronInfoRuntimeApi`.

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::{AccountId32, PerU16};

use super::NO_PRUNING_SCORE;
use super::columns::{NeuronColumns, value_at};
use crate::subtensor::types::{AxonInfo, PrometheusInfo};
use crate::subtensor::{
    Axons, Bonds, Config, Keys, NetworksAdded, Owner, Pallet, Prometheus, SubnetworkN, Weights,
};
use crate::types::{AlphaBalance, MechId, NetUid, NetUidStorageIndex};

/// A row of weights or bonds: pairs of uid and value.
type Row = Vec<(Compact<u16>, Compact<u16>)>;

macro_rules! neuron_info {
    ($(#[$doc:meta])* $name:ident { $($(#[$row_doc:meta])* $row:ident: $storage:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        pub struct $name {
            /// Hotkey of the neuron.
            pub hotkey: AccountId32,
            /// Coldkey that owns the hotkey.
            pub coldkey: AccountId32,
            /// Uid of the neuron.
            pub uid: Compact<u16>,
            /// Netuid of the subnet.
            pub netuid: Compact<NetUid>,
            /// Whether the neuron was active at the last epoch.
            pub active: bool,
            /// Axon endpoint of the neuron.
            pub axon_info: AxonInfo,
            /// Metrics endpoint of the neuron.
            pub prometheus_info: PrometheusInfo,
            /// All alpha staked on the hotkey in the subnet, attributed to its owner.
            pub stake: Vec<(AccountId32, Compact<AlphaBalance>)>,
            /// Rank; always 0, because the chain no longer computes it.
            pub rank: Compact<u16>,
            /// Alpha that the neuron earned at the last epoch.
            pub emission: Compact<AlphaBalance>,
            /// Incentive: the neuron's share of the miners' emission.
            pub incentive: Compact<PerU16>,
            /// Consensus weight of the neuron.
            pub consensus: Compact<PerU16>,
            /// Trust; always 0, because the chain no longer computes it.
            pub trust: Compact<PerU16>,
            /// Validator trust: the share of the neuron's weights that is within consensus.
            pub validator_trust: Compact<PerU16>,
            /// Dividends: the neuron's share of the validators' emission.
            pub dividends: Compact<PerU16>,
            /// Block of the neuron's last weight submission.
            pub last_update: Compact<u64>,
            /// Whether the neuron has a validator permit.
            pub validator_permit: bool,
            $($(#[$row_doc])* pub $row: Row,)*
            /// Pruning score; always 65 535, because the chain no longer computes it.
            pub pruning_score: Compact<u16>,
        }

        impl $name {
            fn read<T: Config>(netuid: NetUid, columns: &NeuronColumns, uid: u16) -> Option<Self> {
                let hotkey = Keys::<T>::try_get(netuid, uid).ok()?;
                let coldkey = Owner::<T>::get(&hotkey);
                Some(Self {
                    uid: Compact(uid),
                    netuid: Compact(netuid),
                    active: value_at(&columns.active, uid),
                    axon_info: Axons::<T>::get(netuid, &hotkey).unwrap_or_default(),
                    prometheus_info: Prometheus::<T>::get(netuid, &hotkey).unwrap_or_default(),
                    stake: vec![(coldkey.clone(), Compact(Pallet::<T>::total_alpha(&hotkey, netuid)))],
                    rank: Compact(0),
                    emission: Compact(value_at(&columns.emission, uid)),
                    incentive: Compact(value_at(&columns.incentive, uid)),
                    consensus: Compact(value_at(&columns.consensus, uid)),
                    trust: Compact(PerU16::default()),
                    validator_trust: Compact(value_at(&columns.validator_trust, uid)),
                    dividends: Compact(value_at(&columns.dividends, uid)),
                    last_update: Compact(value_at(&columns.last_update, uid)),
                    validator_permit: value_at(&columns.validator_permit, uid),
                    $($row: encode_row($storage::<T>::get(NetUidStorageIndex(netuid.0), uid)),)*
                    pruning_score: NO_PRUNING_SCORE,
                    hotkey,
                    coldkey,
                })
            }

            /// Returns the neuron with this uid; `None` if the subnet or the uid does not exist.
            pub fn by_uid<T: Config>(netuid: NetUid, uid: u16) -> Option<Self> {
                let columns = NetworksAdded::<T>::get(netuid).then(|| NeuronColumns::read::<T>(netuid, MechId(0)))?;
                Self::read::<T>(netuid, &columns, uid)
            }

            /// Returns all neurons of a subnet, by uid; empty if the subnet does not exist.
            pub fn all<T: Config>(netuid: NetUid) -> Vec<Self> {
                if !NetworksAdded::<T>::get(netuid) {
                    return Vec::new();
                }
                let columns = NeuronColumns::read::<T>(netuid, MechId(0));
                (0..SubnetworkN::<T>::get(netuid)).map_while(|uid| Self::read::<T>(netuid, &columns, uid)).collect()
            }
        }
    };
}

neuron_info! {
    /// A neuron with its weights and bonds.
    NeuronInfo {
        /// Weights set by the neuron, zeros omitted.
        weights: Weights,
        /// Bonds of the neuron, zeros omitted.
        bonds: Bonds,
    }
}

neuron_info! {
    /// A neuron without its weights and bonds.
    NeuronInfoLite {}
}

fn encode_row(entries: Vec<(u16, u16)>) -> Row {
    entries
        .into_iter()
        .filter(|(_, value)| *value > 0)
        .map(|(uid, value)| (Compact(uid), Compact(value)))
        .collect()
}
