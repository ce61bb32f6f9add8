//! Subnets with their pools, as lists of subnets show them.

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use substrate_fixed::types::I96F32;

use super::text;
use crate::subtensor::types::SubnetIdentityV3;
use crate::subtensor::{
    Config, LastMechansimStepBlock, NetworkRegisteredAt, NetworksAdded, Pallet, PendingServerEmission,
    PendingValidatorEmission, SubnetAlphaIn, SubnetAlphaInEmission, SubnetAlphaOut, SubnetAlphaOutEmission,
    SubnetIdentitiesV3, SubnetMovingPrice, SubnetOwner, SubnetOwnerHotkey, SubnetTAO, SubnetTaoInEmission,
    SubnetVolume, Tempo, TokenSymbol,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// A subnet and its pool.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct DynamicInfo {
    /// Its number.
    pub netuid: Compact<NetUid>,
    /// The hotkey that stands for its owner.
    pub owner_hotkey: AccountId32,
    /// Its owner.
    pub owner_coldkey: AccountId32,
    /// Its name, UTF-8.
    pub subnet_name: Vec<Compact<u8>>,
    /// The symbol of its alpha, UTF-8.
    pub token_symbol: Vec<Compact<u8>>,
    /// Blocks of an epoch.
    pub tempo: Compact<u16>,
    /// The block of the last epoch.
    pub last_step: Compact<u64>,
    /// Blocks since then.
    pub blocks_since_last_step: Compact<u64>,
    /// 0: no longer used.
    pub emission: Compact<u64>,
    /// Alpha in the pool.
    pub alpha_in: Compact<AlphaBalance>,
    /// Alpha outside the pool.
    pub alpha_out: Compact<AlphaBalance>,
    /// TAO in the pool.
    pub tao_in: Compact<TaoBalance>,
    /// Alpha that the last block gave to participants.
    pub alpha_out_emission: Compact<AlphaBalance>,
    /// Alpha that the last block put into the pool.
    pub alpha_in_emission: Compact<AlphaBalance>,
    /// TAO that the last block put into the pool.
    pub tao_in_emission: Compact<TaoBalance>,
    /// Alpha that the next epoch shares out.
    pub pending_alpha_emission: Compact<AlphaBalance>,
    /// 0: root is paid in alpha.
    pub pending_root_emission: Compact<TaoBalance>,
    /// TAO ever traded.
    pub subnet_volume: Compact<u128>,
    /// The block of its creation.
    pub network_registered_at: Compact<u64>,
    /// What its owner says about it.
    pub subnet_identity: Option<SubnetIdentityV3>,
    /// Moving average of the alpha price.
    pub moving_price: I96F32,
}

impl DynamicInfo {
    /// Reads it; none where there is no such subnet.
    pub fn read<T: Config>(netuid: NetUid) -> Option<Self> {
        NetworksAdded::<T>::get(netuid).then(|| Self {
            netuid: Compact(netuid),
            owner_hotkey: SubnetOwnerHotkey::<T>::get(netuid),
            owner_coldkey: SubnetOwner::<T>::get(netuid),
            subnet_name: text(&name::<T>(netuid)),
            token_symbol: text(&TokenSymbol::<T>::get(netuid)),
            tempo: Compact(Tempo::<T>::get(netuid)),
            last_step: Compact(LastMechansimStepBlock::<T>::get(netuid)),
            blocks_since_last_step: Compact(Pallet::<T>::schedule(netuid).waited),
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

/// The name of a subnet: the one that its owner gave it, else `root` or `unknown`.
pub(super) fn name<T: Config>(netuid: NetUid) -> Vec<u8> {
    let given = SubnetIdentitiesV3::<T>::get(netuid).map(|identity| identity.subnet_name);
    given
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| if netuid == NetUid::ROOT { b"root".to_vec() } else { b"unknown".to_vec() })
}

/// Alpha that the next epoch gives to miners and validators.
pub(super) fn pending_alpha<T: Config>(netuid: NetUid) -> AlphaBalance {
    PendingServerEmission::<T>::get(netuid).saturating_add(PendingValidatorEmission::<T>::get(netuid))
}
