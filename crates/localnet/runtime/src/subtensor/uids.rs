//! Uids of neurons.

use sp_runtime::{AccountId32, PerU16};

use super::{
    Active, Axons, BlockAtRegistration, Bonds, Config, Consensus, ConsensusByMechanism, Dividends,
    Emission, ImmuneOwnerUidsLimit, Incentive, IsNetworkMember, Keys, LastUpdate,
    MechanismCountCurrent, NeuronCertificates, OwnedHotkeys, Pallet, Prometheus, StakeWeight,
    SubnetOwner, SubnetOwnerHotkey, SubnetworkN, Uids, ValidatorPermit, ValidatorTrust, Weights,
};
use crate::types::{AlphaBalance, MechId, NetUid, NetUidStorageIndex};

impl<T: Config> Pallet<T> {
    /// Returns the uid of a hotkey in a subnet; `None` if it is not registered.
    pub fn uid_of(netuid: NetUid, hotkey: &AccountId32) -> Option<u16> {
        Uids::<T>::get(netuid, hotkey)
    }

    /// Returns the hotkey of a uid; the zero account if the uid is unused.
    pub fn hotkey_at(netuid: NetUid, uid: u16) -> AccountId32 {
        Keys::<T>::get(netuid, uid)
    }

    /// Returns the number of neurons of a subnet.
    pub fn neuron_count(netuid: NetUid) -> u16 {
        SubnetworkN::<T>::get(netuid)
    }

    /// Whether a hotkey is registered in any subnet, root included.
    pub fn is_registered_anywhere(hotkey: &AccountId32) -> bool {
        IsNetworkMember::<T>::iter_prefix(hotkey).any(|(_, member)| member)
    }

    /// Returns the storage indices of a subnet's mechanisms.
    pub fn mechanisms(netuid: NetUid) -> impl Iterator<Item = NetUidStorageIndex> {
        (0..MechanismCountCurrent::<T>::get(netuid).0)
            .map(move |mecid| netuid.mechanism(MechId(mecid)))
    }

    /// Returns the uid of a subnet's owner hotkey; `None` if it is not registered.
    pub fn owner_uid(netuid: NetUid) -> Option<u16> {
        Self::uid_of(netuid, &SubnetOwnerHotkey::<T>::try_get(netuid).ok()?)
    }

    /// Returns the uids of all hotkeys of a subnet's owner, unordered.
    pub fn owner_uids(netuid: NetUid) -> Vec<u16> {
        let mut uids: Vec<u16> = OwnedHotkeys::<T>::get(SubnetOwner::<T>::get(netuid))
            .iter()
            .filter_map(|hotkey| Self::uid_of(netuid, hotkey))
            .collect();
        uids.extend(Self::owner_uid(netuid).filter(|uid| !uids.contains(uid)));
        uids
    }

    /// Returns the uids of the owner's immune hotkeys: the owner hotkey and the owner's oldest
    /// other hotkeys, at most `ImmuneOwnerUidsLimit` in total.
    pub fn immune_owner_uids(netuid: NetUid) -> Vec<u16> {
        let limit = usize::from(ImmuneOwnerUidsLimit::<T>::get(netuid));
        let mut uids = Self::owner_uids(netuid);
        uids.sort_unstable_by_key(|&uid| (BlockAtRegistration::<T>::get(netuid, uid), uid));
        uids.truncate(limit);
        if let Some(owner) = Self::owner_uid(netuid)
            && !uids.contains(&owner)
        {
            uids.insert(0, owner);
            uids.truncate(limit);
        }
        uids
    }

    /// Assigns the next uid of a subnet to a hotkey.
    pub(crate) fn append_neuron(netuid: NetUid, hotkey: &AccountId32) -> u16 {
        let uid = Self::neuron_count(netuid);
        SubnetworkN::<T>::insert(netuid, uid.saturating_add(1));
        Active::<T>::mutate(netuid, |column| column.push(true));
        Emission::<T>::mutate(netuid, |column| column.push(AlphaBalance::ZERO));
        Consensus::<T>::mutate(netuid, |column| column.push(PerU16::zero()));
        Dividends::<T>::mutate(netuid, |column| column.push(PerU16::zero()));
        StakeWeight::<T>::mutate(netuid, |column| column.push(0));
        ValidatorTrust::<T>::mutate(netuid, |column| column.push(PerU16::zero()));
        ValidatorPermit::<T>::mutate(netuid, |column| column.push(false));
        for index in Self::mechanisms(netuid) {
            Incentive::<T>::mutate(index, |column| column.push(PerU16::zero()));
            LastUpdate::<T>::mutate(index, |column| column.push(Self::current_block()));
        }
        Self::assign_uid(netuid, uid, hotkey);
        uid
    }

    /// Reassigns the uid of a neuron to another hotkey, and clears the old neuron's results,
    /// weights and endpoints.
    pub(crate) fn replace_neuron(netuid: NetUid, uid: u16, hotkey: &AccountId32) {
        Self::remove_hotkey(netuid, &Self::hotkey_at(netuid, uid));
        Self::clear_neuron(netuid, uid);
        Self::remove_evm_address(netuid, uid);
        Active::<T>::mutate(netuid, |column| set_entry(column, uid, true));
        Self::assign_uid(netuid, uid, hotkey);
    }

    /// Assigns a uid to a hotkey from this block on.
    fn assign_uid(netuid: NetUid, uid: u16, hotkey: &AccountId32) {
        Keys::<T>::insert(netuid, uid, hotkey);
        Uids::<T>::insert(netuid, hotkey, uid);
        BlockAtRegistration::<T>::insert(netuid, uid, Self::current_block());
        IsNetworkMember::<T>::insert(hotkey, netuid, true);
    }

    /// Removes the storage of a hotkey on a subnet; the storage of its uid remains.
    pub(crate) fn remove_hotkey(netuid: NetUid, hotkey: &AccountId32) {
        Uids::<T>::remove(netuid, hotkey);
        IsNetworkMember::<T>::remove(hotkey, netuid);
        Axons::<T>::remove(netuid, hotkey);
        Prometheus::<T>::remove(netuid, hotkey);
        NeuronCertificates::<T>::remove(netuid, hotkey);
    }

    /// Clears the results, weights and bonds of a uid, and the weights that other neurons set on
    /// it. Other neurons' bonds to the uid remain: the next epoch drops them because they are older
    /// than the new neuron.
    fn clear_neuron(netuid: NetUid, uid: u16) {
        Emission::<T>::mutate(netuid, |column| set_entry(column, uid, AlphaBalance::ZERO));
        Consensus::<T>::mutate(netuid, |column| set_entry(column, uid, PerU16::zero()));
        Dividends::<T>::mutate(netuid, |column| set_entry(column, uid, PerU16::zero()));
        StakeWeight::<T>::mutate(netuid, |column| set_entry(column, uid, 0));
        ValidatorTrust::<T>::mutate(netuid, |column| set_entry(column, uid, PerU16::zero()));
        ValidatorPermit::<T>::mutate(netuid, |column| set_entry(column, uid, false));
        for index in Self::mechanisms(netuid) {
            Incentive::<T>::mutate(index, |column| set_entry(column, uid, PerU16::zero()));
            if ConsensusByMechanism::<T>::contains_key(index) {
                ConsensusByMechanism::<T>::mutate(index, |column| {
                    set_entry(column, uid, PerU16::zero());
                });
            }
            Weights::<T>::remove(index, uid);
            Bonds::<T>::remove(index, uid);
            let validators: Vec<u16> = Weights::<T>::iter_prefix(index)
                .filter(|(_, row)| {
                    row.iter().any(|&(target_uid, weight)| target_uid == uid && weight != 0)
                })
                .map(|(validator, _)| validator)
                .collect();
            for validator in validators {
                Weights::<T>::mutate(index, validator, |row| {
                    row.iter_mut()
                        .filter(|(target_uid, _)| *target_uid == uid)
                        .for_each(|(_, weight)| *weight = 0);
                });
            }
        }
    }
}

/// Sets the entry of a uid in a column, if the column is long enough.
fn set_entry<V>(column: &mut [V], uid: u16, value: V) {
    if let Some(entry) = column.get_mut(usize::from(uid)) {
        *entry = value;
    }
}

#[cfg(test)]
mod tests;
