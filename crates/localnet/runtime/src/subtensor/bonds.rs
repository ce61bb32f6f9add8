//! Bond resets.

use sp_runtime::AccountId32;

use super::{Bonds, BondsResetOn, Config, Pallet};
use crate::types::NetUid;

impl<T: Config> Pallet<T> {
    /// Removes all bonds to a neuron in every mechanism, if the subnet allows bond resets.
    pub fn remove_bonds_of(netuid: NetUid, hotkey: &AccountId32) {
        if !BondsResetOn::<T>::get(netuid) {
            return;
        }
        let Some(uid) = Self::uid_of(netuid, hotkey) else { return };
        for index in Self::mechanisms(netuid) {
            for validator in Bonds::<T>::iter_key_prefix(index).collect::<Vec<_>>() {
                Bonds::<T>::mutate(index, validator, |row| {
                    row.retain(|(bond_uid, _)| *bond_uid != uid);
                });
            }
        }
    }
}
