//! Subnets as the older questions of `SubnetInfoRuntimeApi` answer them, and what follows from a subnet's number alone.

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use sp_runtime::traits::AccountIdConversion;

use crate::subtensor::types::SubnetIdentityV3;
use crate::subtensor::{
    Burn, Config, Difficulty, ImmunityPeriod, Kappa, MaxAllowedUids, MaxAllowedValidators, MaxWeightsLimit,
    MinAllowedWeights, NetworksAdded, PALLET_ID, Pallet, Rho, ScalingLawPower, SubnetIdentitiesV3, SubnetOwner,
    SubnetworkN, Tempo,
};
use crate::types::{NetUid, TaoBalance};

macro_rules! subnet_info {
    (
        $(#[$doc:meta])* $name:ident,
        $emission:ident,
        { $($(#[$field_doc:meta])* $field:ident: $type:ty = $storage:ident,)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        pub struct $name {
            /// Its number.
            pub netuid: Compact<NetUid>,
            /// Stored for clients.
            pub rho: Compact<u16>,
            /// Stake that agrees on a weight before it counts, in parts of 65 535.
            pub kappa: Compact<u16>,
            /// Difficulty of registration by work.
            pub difficulty: Compact<u64>,
            /// Blocks for which a new neuron cannot be replaced.
            pub immunity_period: Compact<u16>,
            /// How many neurons may hold a permit.
            pub max_allowed_validators: Compact<u16>,
            /// How many weights a validator sets at least.
            pub min_allowed_weights: Compact<u16>,
            /// The largest weight, in parts of 65 535.
            pub max_weights_limit: Compact<u16>,
            /// Stored for clients.
            pub scaling_law_power: Compact<u16>,
            /// How many neurons it has.
            pub subnetwork_n: Compact<u16>,
            /// How many it has room for.
            pub max_allowed_uids: Compact<u16>,
            /// Blocks since the last epoch.
            pub blocks_since_last_step: Compact<u64>,
            /// Blocks of an epoch.
            pub tempo: Compact<u16>,
            /// 0: no longer used.
            pub network_modality: Compact<u16>,
            /// Empty: no longer used.
            pub network_connect: Vec<[u16; 2]>,
            /// 0: no longer used.
            pub $emission: Compact<u64>,
            /// What a registration costs.
            pub burn: Compact<TaoBalance>,
            /// Its owner.
            pub owner: AccountId32,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// Reads it; none where there is no such subnet.
            pub fn read<T: Config>(netuid: NetUid) -> Option<Self> {
                NetworksAdded::<T>::get(netuid).then(|| Self {
                    netuid: Compact(netuid),
                    rho: Compact(Rho::<T>::get(netuid)),
                    kappa: Compact(Kappa::<T>::get(netuid)),
                    difficulty: Compact(Difficulty::<T>::get(netuid)),
                    immunity_period: Compact(ImmunityPeriod::<T>::get(netuid)),
                    max_allowed_validators: Compact(MaxAllowedValidators::<T>::get(netuid)),
                    min_allowed_weights: Compact(MinAllowedWeights::<T>::get(netuid)),
                    max_weights_limit: Compact(MaxWeightsLimit::<T>::get(netuid)),
                    scaling_law_power: Compact(ScalingLawPower::<T>::get(netuid)),
                    subnetwork_n: Compact(SubnetworkN::<T>::get(netuid)),
                    max_allowed_uids: Compact(MaxAllowedUids::<T>::get(netuid)),
                    blocks_since_last_step: Compact(Pallet::<T>::schedule(netuid).waited),
                    tempo: Compact(Tempo::<T>::get(netuid)),
                    network_modality: Compact(0),
                    network_connect: Vec::new(),
                    $emission: Compact(0),
                    burn: Compact(Burn::<T>::get(netuid)),
                    owner: SubnetOwner::<T>::get(netuid),
                    $($field: $storage::<T>::get(netuid),)*
                })
            }
        }
    };
}

subnet_info! {
    /// A subnet in short.
    SubnetInfo, emission_values, {}
}

subnet_info! {
    /// A subnet in short, with its identity.
    SubnetInfov2, emission_value, {
        /// What its owner says about it.
        identity: Option<SubnetIdentityV3> = SubnetIdentitiesV3,
    }
}

/// Reads something of every subnet up to the largest number; none in the gaps.
pub fn up_to_the_last<T: Config, Info>(read: impl Fn(NetUid) -> Option<Info>) -> Vec<Option<Info>> {
    let subnets = NetworksAdded::<T>::iter().filter(|(_, exists)| *exists);
    let end = subnets.map(|(netuid, _)| netuid.0.saturating_add(1)).max().unwrap_or_default();
    (0..end).map(|number| read(NetUid(number))).collect()
}

/// The account that holds a subnet's own TAO; none where there is no such subnet.
pub fn account<T: Config>(netuid: NetUid) -> Option<AccountId32> {
    NetworksAdded::<T>::get(netuid).then(|| PALLET_ID.into_sub_account_truncating(netuid.0))
}
