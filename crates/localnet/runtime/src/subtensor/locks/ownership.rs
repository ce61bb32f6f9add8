//! Change of a subnet's owner, to that of the hotkey with the highest conviction.
//!
//! The conditions are those of the real chain's published source
//! (`pallets/subtensor/src/staking/lock.rs` of opentensor/subtensor at 14bc6f9f). Later source
//! counts the conviction of this hotkey only.

use substrate_fixed::types::U64F64;

use crate::subtensor::{
    Config, Event, MaxAllowedUids, NetworkRegisteredAt, Owner, Pallet, SubnetAlphaOut, SubnetOwner,
    SubnetOwnerHotkey,
};
use crate::types::{AlphaBalance, NetUid};

/// Age from which a subnet can change its owner, in blocks: a year on the main network.
pub(super) const MIN_AGE: u64 = 7_200 * 365 + 1_800;
/// The owner changes only if the total conviction is at least the alpha outside the pool divided by
/// this constant.
const CONVICTION_QUOTIENT: u64 = 10;

impl<T: Config> Pallet<T> {
    /// Makes the hotkey with the highest conviction the owner hotkey of a subnet, and its coldkey
    /// the owner. The subnet must be a year old, and the sum of all convictions at least a tenth of
    /// the alpha outside the pool. If the subnet has no slot for the hotkey, the owner remains.
    pub(in crate::subtensor) fn change_owner_by_conviction(netuid: NetUid) {
        if Self::current_block() < NetworkRegisteredAt::<T>::get(netuid).saturating_add(MIN_AGE) {
            return;
        }
        let alpha_out = SubnetAlphaOut::<T>::get(netuid);
        let total_conviction =
            Self::convictions(netuid).into_values().fold(U64F64::default(), U64F64::saturating_add);
        let min_scaled_conviction = U64F64::from_num(alpha_out.0);
        if alpha_out == AlphaBalance::ZERO
            || total_conviction.saturating_mul(U64F64::from_num(CONVICTION_QUOTIENT))
                < min_scaled_conviction
        {
            return;
        }
        let Some(hotkey) = Self::most_convicted_hotkey(netuid).filter(Self::hotkey_exists) else {
            return;
        };
        let (old_coldkey, new_coldkey) = (SubnetOwner::<T>::get(netuid), Owner::<T>::get(&hotkey));
        if new_coldkey == old_coldkey {
            return;
        }
        if Self::uid_of(netuid, &hotkey).is_none() {
            let is_full = Self::neuron_count(netuid) >= MaxAllowedUids::<T>::get(netuid);
            let pruned_uid = if is_full { Self::neuron_to_prune(netuid) } else { None };
            if is_full && pruned_uid.is_none() {
                return;
            }
            Self::assign_slot(netuid, pruned_uid, &hotkey);
        }
        Self::change_owner_hotkey_of_locks(netuid, &hotkey);
        SubnetOwner::<T>::insert(netuid, &new_coldkey);
        SubnetOwnerHotkey::<T>::insert(netuid, &hotkey);
        Self::deposit_event(Event::SubnetOwnerChanged { netuid, old_coldkey, new_coldkey });
    }
}
