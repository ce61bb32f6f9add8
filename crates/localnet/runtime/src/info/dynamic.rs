//! Dynamic info: subnets with their pools.

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use substrate_fixed::types::I96F32;

use super::compact_text;
use crate::subtensor::types::SubnetIdentityV3;
use crate::subtensor::{
    Config, LastMechansimStepBlock, NetworkRegisteredAt, NetworksAdded, Pallet,
    PendingServerEmission, PendingValidatorEmission, SubnetAlphaIn, SubnetAlphaInEmission,
    SubnetAlphaOut, SubnetAlphaOutEmission, SubnetIdentitiesV3, SubnetMovingPrice, SubnetOwner,
    SubnetOwnerHotkey, SubnetTAO, SubnetTaoInEmission, SubnetVolume, Tempo, TokenSymbol,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Dynamic info of a subnet: the subnet and its pool.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct DynamicInfo {
    /// Netuid of the subnet.
    pub netuid: Compact<NetUid>,
    /// Hotkey of the subnet's owner.
    pub owner_hotkey: AccountId32,
    /// Coldkey of the subnet's owner.
    pub owner_coldkey: AccountId32,
    /// The subnet's name, in UTF-8.
    pub subnet_name: Vec<Compact<u8>>,
    /// The symbol of the subnet's alpha, in UTF-8.
    pub token_symbol: Vec<Compact<u8>>,
    /// Tempo of the subnet: the number of blocks per epoch.
    pub tempo: Compact<u16>,
    /// Block of the subnet's last epoch.
    pub last_step: Compact<u64>,
    /// Number of blocks since the subnet's last epoch.
    pub blocks_since_last_step: Compact<u64>,
    /// Emission; always 0, because the chain no longer uses it.
    pub emission: Compact<u64>,
    /// Alpha in the subnet's pool.
    pub alpha_in: Compact<AlphaBalance>,
    /// Issued alpha outside the subnet's pool.
    pub alpha_out: Compact<AlphaBalance>,
    /// TAO in the subnet's pool.
    pub tao_in: Compact<TaoBalance>,
    /// Alpha emitted to the subnet's participants in the last block.
    pub alpha_out_emission: Compact<AlphaBalance>,
    /// Alpha added to the subnet's pool by the last block's emission.
    pub alpha_in_emission: Compact<AlphaBalance>,
    /// TAO added to the subnet's pool by the last block's emission.
    pub tao_in_emission: Compact<TaoBalance>,
    /// Alpha that the next epoch distributes to miners and validators.
    pub pending_alpha_emission: Compact<AlphaBalance>,
    /// Pending root emission; always 0, since root is paid in alpha.
    pub pending_root_emission: Compact<TaoBalance>,
    /// Total volume traded in the subnet's pool, in rao.
    pub subnet_volume: Compact<u128>,
    /// The block of the subnet's creation.
    pub network_registered_at: Compact<u64>,
    /// The subnet's identity.
    pub subnet_identity: Option<SubnetIdentityV3>,
    /// Moving average of the alpha price, in TAO.
    pub moving_price: I96F32,
}

impl DynamicInfo {
    /// Reads the dynamic info of a subnet; `None` if the subnet does not exist.
    pub fn read<T: Config>(netuid: NetUid) -> Option<Self> {
        NetworksAdded::<T>::get(netuid).then(|| Self {
            netuid: Compact(netuid),
            owner_hotkey: SubnetOwnerHotkey::<T>::get(netuid),
            owner_coldkey: SubnetOwner::<T>::get(netuid),
            subnet_name: compact_text(&subnet_name::<T>(netuid)),
            token_symbol: compact_text(&TokenSymbol::<T>::get(netuid)),
            tempo: Compact(Tempo::<T>::get(netuid)),
            last_step: Compact(LastMechansimStepBlock::<T>::get(netuid)),
            blocks_since_last_step: Compact(Pallet::<T>::schedule(netuid).blocks_since_epoch),
            emission: Compact(0),
            alpha_in: Compact(SubnetAlphaIn::<T>::get(netuid)),
            alpha_out: Compact(SubnetAlphaOut::<T>::get(netuid)),
            tao_in: Compact(SubnetTAO::<T>::get(netuid)),
            alpha_out_emission: Compact(SubnetAlphaOutEmission::<T>::get(netuid)),
            alpha_in_emission: Compact(SubnetAlphaInEmission::<T>::get(netuid)),
            tao_in_emission: Compact(SubnetTaoInEmission::<T>::get(netuid)),
            pending_alpha_emission: Compact(pending_alpha::<T>(netuid)),
            pending_root_emission: Compact(TaoBalance::ZERO),
            subnet_volume: Compact(SubnetVolume::<T>::get(netuid)),
            network_registered_at: Compact(NetworkRegisteredAt::<T>::get(netuid)),
            subnet_identity: SubnetIdentitiesV3::<T>::get(netuid),
            moving_price: SubnetMovingPrice::<T>::get(netuid),
        })
    }
}

/// Returns the name of a subnet: that of its identity, otherwise `root` or `unknown`.
pub(super) fn subnet_name<T: Config>(netuid: NetUid) -> Vec<u8> {
    let name = SubnetIdentitiesV3::<T>::get(netuid).map(|identity| identity.subnet_name);
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| {
        if netuid == NetUid::ROOT { b"root".to_vec() } else { b"unknown".to_vec() }
    })
}

/// Returns the alpha that the next epoch distributes to miners and validators.
pub(super) fn pending_alpha<T: Config>(netuid: NetUid) -> AlphaBalance {
    PendingServerEmission::<T>::get(netuid)
        .saturating_add(PendingValidatorEmission::<T>::get(netuid))
}
