//! Subnet summaries for the older methods of `SubnetInfoRuntimeApi`, and reads that need only the
//! netuid.

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use sp_runtime::traits::AccountIdConversion;

use crate::subtensor::types::SubnetIdentityV3;
use crate::subtensor::{
    Burn, Config, Difficulty, ImmunityPeriod, Kappa, MaxAllowedUids, MaxAllowedValidators,
    MaxWeightsLimit, MinAllowedWeights, NetworksAdded, PALLET_ID, Pallet, Rho, ScalingLawPower,
    SubnetIdentitiesV3, SubnetOwner, SubnetworkN, Tempo,
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
            /// Netuid of the subnet.
            pub netuid: Compact<NetUid>,
            /// Rho, the steepness of an older consensus formula; unused, stored for clients.
            pub rho: Compact<u16>,
            /// Kappa: the share of stake that must support a weight, in parts of 65 535.
            pub kappa: Compact<u16>,
            /// Proof-of-work difficulty; unused, stored for clients.
            pub difficulty: Compact<u64>,
            /// Immunity period of new neurons, in blocks.
            pub immunity_period: Compact<u16>,
            /// Maximum number of validator permits.
            pub max_allowed_validators: Compact<u16>,
            /// Minimum number of weights that a validator must set.
            pub min_allowed_weights: Compact<u16>,
            /// Maximum weight after normalisation, in parts of 65 535.
            pub max_weights_limit: Compact<u16>,
            /// Scaling law power; unused, stored for clients.
            pub scaling_law_power: Compact<u16>,
            /// Number of neurons.
            pub subnetwork_n: Compact<u16>,
            /// Maximum number of neurons.
            pub max_allowed_uids: Compact<u16>,
            /// Number of blocks since the subnet's last epoch.
            pub blocks_since_last_step: Compact<u64>,
            /// Tempo of the subnet: the number of blocks per epoch.
            pub tempo: Compact<u16>,
            /// Network modality; always 0, because the chain no longer uses it.
            pub network_modality: Compact<u16>,
            /// Network connections; always empty, because the chain no longer uses them.
            pub network_connect: Vec<[u16; 2]>,
            /// Emission; always 0, because the chain no longer uses it.
            pub $emission: Compact<u64>,
            /// Current registration price, in rao.
            pub burn: Compact<TaoBalance>,
            /// Coldkey of the subnet's owner.
            pub owner: AccountId32,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// Reads the summary of a subnet; `None` if the subnet does not exist.
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
                    blocks_since_last_step: Compact(Pallet::<T>::schedule(netuid).blocks_since_epoch),
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
    /// Summary of a subnet.
    SubnetInfo, emission_values, {}
}

subnet_info! {
    /// Summary of a subnet, with its identity.
    SubnetInfov2, emission_value, {
        /// The subnet's identity.
        identity: Option<SubnetIdentityV3> = SubnetIdentitiesV3,
    }
}

/// Reads a value of every subnet up to the highest netuid; `None` for unused netuids.
pub fn read_by_netuid<T: Config, Info>(read: impl Fn(NetUid) -> Option<Info>) -> Vec<Option<Info>> {
    let subnets = NetworksAdded::<T>::iter().filter(|(_, exists)| *exists);
    let end = subnets.map(|(netuid, _)| netuid.0.saturating_add(1)).max().unwrap_or_default();
    (0..end).map(|number| read(NetUid(number))).collect()
}

/// Returns the account that holds a subnet's own TAO; `None` if the subnet does not exist.
pub fn account<T: Config>(netuid: NetUid) -> Option<AccountId32> {
    NetworksAdded::<T>::get(netuid).then(|| PALLET_ID.into_sub_account_truncating(netuid.0))
}
