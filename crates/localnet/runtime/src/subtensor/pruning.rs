//! Pruning: replacement of neurons in a full subnet, and trimming of subnets.

use std::collections::BTreeMap;

use frame_support::pallet_prelude::*;

use super::{
    Active, BlockAtRegistration, Bonds, Config, Consensus, ConsensusByMechanism, Dividends,
    Emission, Error, ImmunityPeriod, Incentive, Keys, LastUpdate, MaxAllowedUids, MinAllowedUids,
    MinNonImmuneUids, Pallet, StakeWeight, SubnetworkN, Uids, ValidatorPermit, ValidatorTrust,
    Weights,
};
use crate::types::{AlphaBalance, NetUid, NetUidStorageIndex};

/// Exclusive upper bound of the share of immune neurons after trimming, in percent.
const MAX_IMMUNE_PERCENT: usize = 80;

/// A row of weights or bonds: the uid of a neuron, and pairs of uid and value.
type Row = (u16, Vec<(u16, u16)>);

/// Replaces the uids in rows by those in `new_uids`; rows and values of other uids are dropped.
fn renumber(rows: impl Iterator<Item = Row>, new_uids: &BTreeMap<u16, u16>) -> Vec<Row> {
    rows.filter_map(|(source_uid, row)| {
        let row = row
            .iter()
            .filter_map(|&(target_uid, value)| Some((*new_uids.get(&target_uid)?, value)))
            .collect();
        Some((*new_uids.get(&source_uid)?, row))
    })
    .collect()
}

impl<T: Config> Pallet<T> {
    /// Whether a neuron is within its immunity period.
    pub fn is_immune(netuid: NetUid, uid: u16) -> bool {
        let age = Self::current_block().saturating_sub(BlockAtRegistration::<T>::get(netuid, uid));
        age < u64::from(ImmunityPeriod::<T>::get(netuid))
    }

    /// Returns the uid of the neuron that a new neuron replaces: the neuron with the lowest
    /// emission; on a tie, the oldest. Immune neurons are replaced only if too few other neurons
    /// remain; protected hotkeys of the owner are never replaced.
    pub fn neuron_to_prune(netuid: NetUid) -> Option<u16> {
        let emission = Emission::<T>::get(netuid);
        let protected = Self::immune_owner_uids(netuid);
        let (immune, non_immune): (Vec<_>, Vec<_>) = (0..Self::neuron_count(netuid))
            .filter(|uid| !protected.contains(uid))
            .map(|uid| {
                (emission_of(&emission, uid), BlockAtRegistration::<T>::get(netuid, uid), uid)
            })
            .partition(|&(_, _, uid)| Self::is_immune(netuid, uid));
        let candidates = if non_immune.len() > usize::from(MinNonImmuneUids::<T>::get(netuid)) {
            non_immune
        } else {
            immune
        };
        candidates.into_iter().min().map(|(_, _, uid)| uid)
    }

    /// Lowers the maximum number of neurons of a subnet. Surplus neurons with the lowest emission
    /// are removed, and the others are renumbered.
    ///
    /// # Errors
    /// `SubnetNotExists`; `InvalidValue` if the new maximum is below `MinAllowedUids` or above the
    /// current maximum; `TrimmingWouldExceedMaxImmunePercentage` if immune neurons would be 80 % or
    /// more.
    pub fn trim_to_max_allowed_uids(netuid: NetUid, max_uids: u16) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(max_uids >= MinAllowedUids::<T>::get(netuid), Error::<T>::InvalidValue);
        ensure!(max_uids <= MaxAllowedUids::<T>::get(netuid), Error::<T>::InvalidValue);
        let count = Self::neuron_count(netuid);
        if count > max_uids {
            let protected = Self::immune_owner_uids(netuid);
            let (kept, mut prunable): (Vec<u16>, Vec<u16>) = (0..count)
                .partition(|&uid| protected.contains(&uid) || Self::is_immune(netuid, uid));
            let immune_percent = kept.len().saturating_mul(100) / usize::from(max_uids);
            ensure!(
                immune_percent < MAX_IMMUNE_PERCENT,
                Error::<T>::TrimmingWouldExceedMaxImmunePercentage
            );
            let emission = Emission::<T>::get(netuid);
            prunable.sort_by_key(|&uid| emission_of(&emission, uid));
            prunable.truncate(usize::from(count.saturating_sub(max_uids)));
            Self::remove_neurons(netuid, &prunable);
        }
        MaxAllowedUids::<T>::insert(netuid, max_uids);
        Ok(())
    }

    /// Removes neurons and renumbers the following uids.
    fn remove_neurons(netuid: NetUid, removed: &[u16]) {
        let kept: Vec<u16> =
            (0..Self::neuron_count(netuid)).filter(|uid| !removed.contains(uid)).collect();
        for &uid in removed {
            Self::remove_hotkey(netuid, &Self::hotkey_at(netuid, uid));
            Keys::<T>::remove(netuid, uid);
            BlockAtRegistration::<T>::remove(netuid, uid);
            Self::remove_evm_address(netuid, uid);
        }
        for (&old, new) in kept.iter().zip(0_u16..) {
            if old != new {
                let hotkey = Keys::<T>::take(netuid, old);
                Uids::<T>::insert(netuid, &hotkey, new);
                Keys::<T>::insert(netuid, new, hotkey);
                BlockAtRegistration::<T>::insert(
                    netuid,
                    new,
                    BlockAtRegistration::<T>::take(netuid, old),
                );
                Self::move_evm_address(netuid, old, new);
            }
        }
        SubnetworkN::<T>::insert(netuid, u16::try_from(kept.len()).unwrap_or(u16::MAX));
        Active::<T>::mutate(netuid, |column| retain_uids(column, &kept));
        Emission::<T>::mutate(netuid, |column| retain_uids(column, &kept));
        Consensus::<T>::mutate(netuid, |column| retain_uids(column, &kept));
        Dividends::<T>::mutate(netuid, |column| retain_uids(column, &kept));
        StakeWeight::<T>::mutate(netuid, |column| retain_uids(column, &kept));
        ValidatorTrust::<T>::mutate(netuid, |column| retain_uids(column, &kept));
        ValidatorPermit::<T>::mutate(netuid, |column| retain_uids(column, &kept));
        for index in Self::mechanisms(netuid) {
            Incentive::<T>::mutate(index, |column| retain_uids(column, &kept));
            LastUpdate::<T>::mutate(index, |column| retain_uids(column, &kept));
            if ConsensusByMechanism::<T>::contains_key(index) {
                ConsensusByMechanism::<T>::mutate(index, |column| retain_uids(column, &kept));
            }
            Self::renumber_rows(index, &kept);
        }
    }

    /// Renumbers rows and columns of weights and bonds; those of removed neurons are dropped.
    fn renumber_rows(index: NetUidStorageIndex, kept: &[u16]) {
        let new_uids: BTreeMap<u16, u16> = kept.iter().copied().zip(0..).collect();
        let weights = renumber(Weights::<T>::drain_prefix(index), &new_uids);
        let bonds = renumber(Bonds::<T>::drain_prefix(index), &new_uids);
        for (uid, row) in weights {
            Weights::<T>::insert(index, uid, row);
        }
        for (uid, row) in bonds {
            Bonds::<T>::insert(index, uid, row);
        }
    }
}

/// Returns the emission of a neuron at the last epoch.
fn emission_of(emission: &[AlphaBalance], uid: u16) -> AlphaBalance {
    emission.get(usize::from(uid)).copied().unwrap_or_default()
}

/// Retains the entries of the given uids, in the order of `kept`.
fn retain_uids<V: Copy>(column: &mut Vec<V>, kept: &[u16]) {
    *column = kept.iter().filter_map(|&uid| column.get(usize::from(uid)).copied()).collect();
}

#[cfg(test)]
mod tests;
