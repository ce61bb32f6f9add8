//! Moves of locks: to another hotkey, with transferred stake to another coldkey, or with a swapped
//! key.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use super::conviction::LockKind;
use crate::subtensor::types::LockState;
use crate::subtensor::{
    AccountFlags, Config, DecayingHotkeyLock, DecayingLock, DecayingOwnerLock, Error, Event,
    HotkeyLock, Lock, LockingColdkeys, OwnerLock, Pallet, SubnetOwnerHotkey,
};
use crate::types::{AlphaBalance, NetUid};

impl<T: Config> Pallet<T> {
    /// Moves the lock of a coldkey on a subnet to another hotkey. Conviction is lost unless both
    /// hotkeys have the same owner.
    ///
    /// # Errors
    /// `SubnetNotExists`, `HotKeyAccountNotExists`, `NoExistingLock`.
    pub(crate) fn do_move_lock(
        coldkey: &AccountId32,
        destination_hotkey: &AccountId32,
        netuid: NetUid,
    ) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(Self::hotkey_exists(destination_hotkey), Error::<T>::HotKeyAccountNotExists);
        let (origin_hotkey, lock) =
            Self::lock_of(coldkey, netuid).ok_or(Error::<T>::NoExistingLock)?;
        let mut moved = lock;
        if !Self::have_same_owner(&origin_hotkey, destination_hotkey) {
            moved.conviction = U64F64::default();
        }
        let origin_kind = Self::kind_of_lock(coldkey, netuid, &origin_hotkey);
        let destination_kind = Self::kind_of_lock(coldkey, netuid, destination_hotkey);
        let moved = destination_kind.roll_forward(moved, Self::timescales());
        Self::remove_lock(coldkey, netuid, &origin_hotkey);
        Self::subtract_from_total_lock(netuid, &origin_hotkey, origin_kind, lock);
        Self::store_lock(coldkey, netuid, destination_hotkey, moved);
        Self::add_to_total_lock(netuid, destination_hotkey, destination_kind, moved);
        let (coldkey, destination_hotkey) = (coldkey.clone(), destination_hotkey.clone());
        Self::deposit_event(Event::LockMoved {
            coldkey,
            origin_hotkey,
            destination_hotkey,
            netuid,
        });
        Ok(())
    }

    /// Moves the locked part of stake that is transferred to another coldkey within a subnet. Stake
    /// that is not locked moves first; as on the real chain, this includes collateral.
    ///
    /// # Errors
    /// `LockHotkeyMismatch` if the receiver has locked stake to another hotkey,
    /// `AccountRejectsLockedAlpha`.
    pub(in crate::subtensor) fn move_lock_with_stake(
        from: &AccountId32,
        to: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
    ) -> DispatchResult {
        let Some((hotkey, lock)) = Self::lock_of(from, netuid).filter(|_| from != to) else {
            return Ok(());
        };
        let unlocked_stake = Self::total_stake_of(from, netuid).saturating_sub(lock.locked_mass);
        let locked_mass = amount.saturating_sub(unlocked_stake).min(lock.locked_mass);
        if locked_mass == AlphaBalance::ZERO {
            return Ok(());
        }
        let receiver_lock = Self::lock_of(to, netuid);
        let is_same_hotkey =
            receiver_lock.as_ref().is_none_or(|(locked_to, _)| *locked_to == hotkey);
        ensure!(is_same_hotkey, Error::<T>::LockHotkeyMismatch);
        ensure!(Self::accepts_locked_alpha(to), Error::<T>::AccountRejectsLockedAlpha);
        let conviction = lock.conviction.saturating_mul(share_of(locked_mass, lock.locked_mass));
        let moved = LockState { locked_mass, conviction, ..Self::empty_lock() };
        Self::store_lock(from, netuid, &hotkey, reduce(lock, moved));
        Self::subtract_from_total_lock(
            netuid,
            &hotkey,
            Self::kind_of_lock(from, netuid, &hotkey),
            moved,
        );
        let mut receiver_lock = receiver_lock.map_or_else(Self::empty_lock, |(_, lock)| lock);
        receiver_lock.locked_mass = receiver_lock.locked_mass.saturating_add(moved.locked_mass);
        receiver_lock.conviction = receiver_lock.conviction.saturating_add(moved.conviction);
        let kind = Self::kind_of_lock(to, netuid, &hotkey);
        Self::store_lock(to, netuid, &hotkey, kind.roll_forward(receiver_lock, Self::timescales()));
        Self::add_to_total_lock(netuid, &hotkey, kind, moved);
        Ok(())
    }

    /// Reduces the lock of a coldkey whose stake on a subnet was removed, by the removed amount.
    pub(in crate::subtensor) fn reduce_lock(
        coldkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
    ) {
        let Some((hotkey, lock)) = Self::lock_of(coldkey, netuid) else { return };
        let locked_mass = amount.min(lock.locked_mass);
        let conviction = lock.conviction.saturating_mul(share_of(locked_mass, lock.locked_mass));
        let removed = LockState { locked_mass, conviction, ..lock };
        Self::store_lock(coldkey, netuid, &hotkey, reduce(lock, removed));
        Self::subtract_from_total_lock(
            netuid,
            &hotkey,
            Self::kind_of_lock(coldkey, netuid, &hotkey),
            removed,
        );
    }

    /// Moves the locks on a hotkey to its successor on a subnet.
    pub(in crate::subtensor) fn swap_hotkey_of_locks(
        netuid: NetUid,
        old: &AccountId32,
        new: &AccountId32,
    ) {
        let coldkeys: Vec<AccountId32> =
            LockingColdkeys::<T>::iter_key_prefix((netuid, old)).collect();
        let is_owner_lock =
            Self::is_owner_hotkey(netuid, old) || Self::is_owner_hotkey(netuid, new);
        for coldkey in coldkeys {
            let Some((hotkey, lock)) =
                Self::lock_of(&coldkey, netuid).filter(|(hotkey, _)| hotkey == old)
            else {
                continue;
            };
            let old_kind = Self::kind_of_lock(&coldkey, netuid, &hotkey);
            let new_kind = LockKind { is_owner_lock, ..old_kind };
            let moved = new_kind.roll_forward(lock, Self::timescales());
            Self::remove_lock(&coldkey, netuid, old);
            Self::subtract_from_total_lock(netuid, old, old_kind, lock);
            Self::store_lock(&coldkey, netuid, new, moved);
            Self::add_to_total_lock(netuid, new, new_kind, moved);
        }
    }

    /// Changes the kind of the locks on the old and the new owner hotkey of a subnet.
    pub(in crate::subtensor) fn change_owner_hotkey_of_locks(netuid: NetUid, new: &AccountId32) {
        let Ok(old) = SubnetOwnerHotkey::<T>::try_get(netuid) else { return };
        if old == *new {
            return;
        }
        for is_perpetual in [true, false] {
            let [owner_kind, other_kind] =
                [true, false].map(|is_owner_lock| LockKind { is_owner_lock, is_perpetual });
            let old_total = Self::total_lock(netuid, &old, owner_kind);
            let new_total = Self::total_lock(netuid, new, other_kind);
            Self::store_total_lock(
                netuid,
                &old,
                other_kind,
                other_kind.roll_forward(old_total, Self::timescales()),
            );
            Self::store_total_lock(netuid, new, other_kind, Self::empty_lock());
            Self::store_total_lock(
                netuid,
                new,
                owner_kind,
                owner_kind.roll_forward(new_total, Self::timescales()),
            );
        }
    }

    /// Moves the locks and flags of a coldkey to its successor.
    ///
    /// # Errors
    /// `ActiveLockExists` if the new coldkey has locked stake.
    pub(in crate::subtensor) fn swap_coldkey_of_locks(
        old: &AccountId32,
        new: &AccountId32,
    ) -> DispatchResult {
        let has_lock = Self::netuids_with_locks(new)
            .iter()
            .any(|netuid| Self::locked_alpha(new, *netuid) > AlphaBalance::ZERO);
        ensure!(!has_lock, Error::<T>::ActiveLockExists);
        let moved: Vec<(NetUid, AccountId32, LockState, LockKind)> = Self::netuids_with_locks(old)
            .into_iter()
            .filter_map(|netuid| {
                let (hotkey, lock) = Self::lock_of(old, netuid)?;
                let kind = Self::kind_of_lock(old, netuid, &hotkey);
                Some((netuid, hotkey, lock, kind))
            })
            .collect();
        for (netuid, hotkey, lock, kind) in &moved {
            Self::remove_lock(old, *netuid, hotkey);
            Self::subtract_from_total_lock(*netuid, hotkey, *kind, *lock);
        }
        for (netuid, decays) in DecayingLock::<T>::drain_prefix(old).collect::<Vec<_>>() {
            DecayingLock::<T>::insert(new, netuid, decays);
        }
        Self::set_flags(new, AccountFlags::<T>::take(old));
        for (netuid, hotkey, lock, kind) in moved {
            Self::store_lock(new, netuid, &hotkey, lock);
            Self::add_to_total_lock(netuid, &hotkey, kind, lock);
        }
        Ok(())
    }

    fn netuids_with_locks(coldkey: &AccountId32) -> Vec<NetUid> {
        let mut netuids: Vec<NetUid> =
            Lock::<T>::iter_key_prefix((coldkey,)).map(|(netuid, _)| netuid).collect();
        netuids.dedup();
        netuids
    }

    /// Removes all locks on a subnet.
    pub(in crate::subtensor) fn remove_locks(netuid: NetUid) {
        for (hotkey, coldkey) in
            LockingColdkeys::<T>::iter_key_prefix((netuid,)).collect::<Vec<_>>()
        {
            Self::remove_lock(&coldkey, netuid, &hotkey);
        }
        let _ = HotkeyLock::<T>::clear_prefix(netuid, u32::MAX, None);
        let _ = DecayingHotkeyLock::<T>::clear_prefix(netuid, u32::MAX, None);
        OwnerLock::<T>::remove(netuid);
        DecayingOwnerLock::<T>::remove(netuid);
        let decay_settings =
            DecayingLock::<T>::iter_keys().filter(|(_, key_netuid)| *key_netuid == netuid);
        for (coldkey, _) in decay_settings.collect::<Vec<_>>() {
            DecayingLock::<T>::remove(coldkey, netuid);
        }
    }
}

/// Returns the ratio of a part to a total amount.
fn share_of(part: AlphaBalance, total: AlphaBalance) -> U64F64 {
    U64F64::from_num(part.0).checked_div(U64F64::from_num(total.0)).unwrap_or_default()
}

/// Returns a lock reduced by an amount.
fn reduce(lock: LockState, removed: LockState) -> LockState {
    LockState {
        locked_mass: lock.locked_mass.saturating_sub(removed.locked_mass),
        conviction: lock.conviction.saturating_sub(removed.conviction),
        ..lock
    }
}
