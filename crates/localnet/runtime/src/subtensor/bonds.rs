//! Bonds outside epochs.

use sp_runtime::AccountId32;

use super::{Bonds, BondsResetOn, Config, MechanismCountCurrent, Pallet};
use crate::types::{MechId, NetUid};

impl<T: Config> Pallet<T> {
    /// Removes all bonds to a neuron, in every mechanism, where the subnet allows its neurons to ask for it.
    pub fn forget_bonds_of(netuid: NetUid, hotkey: &AccountId32) {
        if !BondsResetOn::<T>::get(netuid) {
            return;
        }
        let Some(uid) = Self::uid_of(netuid, hotkey) else { return };
        for mecid in 0..MechanismCountCurrent::<T>::get(netuid).0 {
            let index = netuid.mechanism(MechId(mecid));
            for validator in Bonds::<T>::iter_key_prefix(index).collect::<Vec<_>>() {
                Bonds::<T>::mutate(index, validator, |row| row.retain(|(to, _)| *to != uid));
            }
        }
    }
}
