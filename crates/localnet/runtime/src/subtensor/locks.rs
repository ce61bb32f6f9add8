//! Stake locks: a coldkey locks part of its stake on a subnet to a hotkey, which gains conviction
//! with time.
//!
//! A coldkey has at most one lock on a subnet. A lock decays unless its coldkey makes it perpetual.
//! The totals of a hotkey's locks are stored by [`LockKind`], because locks of different kinds
//! decay differently.

use std::collections::BTreeMap;

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use super::types::LockState;
use super::{
    AccountFlags, ColdkeyMinerCollateral, Config, DecayingHotkeyLock, DecayingLock,
    DecayingOwnerLock, Error, Event, HotkeyLock, Lock, LockingColdkeys, MaturityRate, Owner,
    OwnerCutAutoLockEnabled, OwnerLock, Pallet, StakingHotkeys, SubnetOwnerHotkey,
    SubnetUidToLeaseId, UnlockRate,
};
use crate::types::{AlphaBalance, NetUid};

mod conviction;
mod moves;
mod ownership;
#[cfg(test)]
mod tests;

use conviction::{LockKind, LockTimescales};

/// Flag of accounts that accept locked alpha.
const ACCEPTS_LOCKED_ALPHA: u128 = 1;

impl<T: Config> Pallet<T> {
    /// Locks stake of a coldkey on a subnet to a hotkey, in addition to the stake already locked to
    /// that hotkey. As on the real chain, the same stake may also be collateral.
    ///
    /// # Errors
    /// In this order: `SubnetNotExists`, `AmountTooLow` for 0, `HotKeyAccountNotExists`,
    /// `LockHotkeyMismatch` if the coldkey has locked stake to another hotkey,
    /// `InsufficientStakeForLock`.
    pub(crate) fn do_lock_stake(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
    ) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(amount != AlphaBalance::ZERO, Error::<T>::AmountTooLow);
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        let existing_lock = Self::lock_of(coldkey, netuid);
        let is_same_hotkey =
            existing_lock.as_ref().is_none_or(|(locked_to, _)| locked_to == hotkey);
        ensure!(is_same_hotkey, Error::<T>::LockHotkeyMismatch);
        let mut lock = existing_lock.map_or_else(Self::empty_lock, |(_, lock)| lock);
        lock.locked_mass = lock.locked_mass.saturating_add(amount);
        ensure!(
            Self::total_stake_of(coldkey, netuid) >= lock.locked_mass,
            Error::<T>::InsufficientStakeForLock
        );
        let kind = Self::kind_of_lock(coldkey, netuid, hotkey);
        Self::store_lock(coldkey, netuid, hotkey, kind.roll_forward(lock, Self::timescales()));
        Self::add_to_total_lock(
            netuid,
            hotkey,
            kind,
            LockState { locked_mass: amount, ..Self::empty_lock() },
        );
        let (coldkey, hotkey) = (coldkey.clone(), hotkey.clone());
        Self::deposit_event(Event::StakeLocked { coldkey, hotkey, netuid, amount });
        Ok(())
    }

    /// Makes the lock of a coldkey on a subnet perpetual, or lets it decay.
    ///
    /// # Errors
    /// `SubnetNotExists`.
    pub(crate) fn do_set_perpetual_lock(
        coldkey: AccountId32,
        netuid: NetUid,
        enabled: bool,
    ) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        let existing_lock = Self::lock_of(&coldkey, netuid);
        if let Some((hotkey, lock)) = &existing_lock {
            let kind = Self::kind_of_lock(&coldkey, netuid, hotkey);
            Self::subtract_from_total_lock(netuid, hotkey, kind, *lock);
        }
        if enabled {
            DecayingLock::<T>::insert(&coldkey, netuid, false);
        } else {
            DecayingLock::<T>::remove(&coldkey, netuid);
        }
        if let Some((hotkey, lock)) = existing_lock {
            let kind = Self::kind_of_lock(&coldkey, netuid, &hotkey);
            Self::store_lock(&coldkey, netuid, &hotkey, lock);
            Self::add_to_total_lock(netuid, &hotkey, kind, lock);
        }
        Self::deposit_event(Event::PerpetualLockUpdated { coldkey, netuid, enabled });
        Ok(())
    }

    /// Sets whether a coldkey refuses locked alpha that others transfer to it.
    pub(crate) fn do_set_reject_locked_alpha(coldkey: AccountId32, enabled: bool) {
        Self::set_accepts_locked_alpha(&coldkey, !enabled);
        Self::deposit_event(Event::RejectLockedAlphaUpdated { coldkey, enabled });
    }

    /// Locks the cut of a subnet's owner if the owner enabled this. A cut that cannot be locked
    /// remains unlocked, and so does that of a leased subnet: the contributors, who are paid with
    /// it, refuse locked alpha by default.
    pub(super) fn lock_owner_cut(netuid: NetUid, owner: &AccountId32, cut: AlphaBalance) {
        if OwnerCutAutoLockEnabled::<T>::get(netuid)
            && !SubnetUidToLeaseId::<T>::contains_key(netuid)
        {
            let locked_to = Lock::<T>::iter_key_prefix((owner, netuid)).next();
            let hotkey = locked_to.unwrap_or_else(|| SubnetOwnerHotkey::<T>::get(netuid));
            let _ = Self::do_lock_stake(owner, &hotkey, netuid, cut);
        }
    }

    /// Checks that a coldkey can withdraw this much of its stake on a subnet.
    ///
    /// # Errors
    /// `StakeUnavailable` if the stake without locked stake and collateral is lower than the
    /// amount.
    pub(super) fn ensure_unlocked(
        coldkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
    ) -> Result<(), Error<T>> {
        let unavailable = Self::unavailable_stake(coldkey, netuid);
        if unavailable == AlphaBalance::ZERO {
            return Ok(());
        }
        let available = Self::total_stake_of(coldkey, netuid).saturating_sub(unavailable);
        ensure!(available >= amount, Error::<T>::StakeUnavailable);
        Ok(())
    }

    /// Returns the stake of a coldkey on a subnet that it cannot withdraw now: locked stake and
    /// collateral.
    pub fn unavailable_stake(coldkey: &AccountId32, netuid: NetUid) -> AlphaBalance {
        Self::locked_alpha(coldkey, netuid)
            .saturating_add(ColdkeyMinerCollateral::<T>::get(netuid, coldkey))
    }

    /// Returns the stake of a coldkey on a subnet that is locked now.
    pub fn locked_alpha(coldkey: &AccountId32, netuid: NetUid) -> AlphaBalance {
        Self::lock_of(coldkey, netuid).map_or(AlphaBalance::ZERO, |(_, lock)| lock.locked_mass)
    }

    /// Returns the hotkey to which a coldkey has locked stake on a subnet, and the lock, rolled
    /// forward to the current block.
    pub fn lock_of(coldkey: &AccountId32, netuid: NetUid) -> Option<(AccountId32, LockState)> {
        let (hotkey, lock) = Lock::<T>::iter_prefix((coldkey, netuid)).next()?;
        let kind = Self::kind_of_lock(coldkey, netuid, &hotkey);
        Some((hotkey, kind.roll_forward(lock, Self::timescales())))
    }

    /// Returns the conviction of a hotkey on a subnet: that of all stake locked to it.
    pub fn conviction_of(hotkey: &AccountId32, netuid: NetUid) -> U64F64 {
        let is_owner = Self::is_owner_hotkey(netuid, hotkey);
        let kinds = LockKind::ALL.into_iter().filter(|kind| is_owner || !kind.is_owner_lock);
        kinds
            .map(|kind| Self::total_lock(netuid, hotkey, kind).conviction)
            .fold(U64F64::default(), U64F64::saturating_add)
    }

    /// Returns the hotkey with the highest conviction on a subnet; on a tie, the one with the
    /// highest account id.
    pub fn most_convicted_hotkey(netuid: NetUid) -> Option<AccountId32> {
        let (hotkey, _) = Self::convictions(netuid)
            .into_iter()
            .max_by_key(|(hotkey, conviction)| (*conviction, hotkey.clone()))?;
        Some(hotkey)
    }

    /// Returns the convictions of all hotkeys with locked stake on a subnet.
    fn convictions(netuid: NetUid) -> BTreeMap<AccountId32, U64F64> {
        let mut hotkeys: Vec<AccountId32> = HotkeyLock::<T>::iter_key_prefix(netuid).collect();
        hotkeys.extend(DecayingHotkeyLock::<T>::iter_key_prefix(netuid));
        if OwnerLock::<T>::contains_key(netuid) || DecayingOwnerLock::<T>::contains_key(netuid) {
            hotkeys.push(SubnetOwnerHotkey::<T>::get(netuid));
        }
        hotkeys
            .into_iter()
            .map(|hotkey| {
                let conviction = Self::conviction_of(&hotkey, netuid);
                (hotkey, conviction)
            })
            .collect()
    }

    /// Returns the stake of a coldkey on a subnet, on all hotkeys.
    pub fn total_stake_of(coldkey: &AccountId32, netuid: NetUid) -> AlphaBalance {
        let stakes = StakingHotkeys::<T>::get(coldkey).into_iter();
        stakes
            .map(|hotkey| Self::stake_of(&hotkey, coldkey, netuid))
            .fold(AlphaBalance::ZERO, AlphaBalance::saturating_add)
    }

    fn accepts_locked_alpha(coldkey: &AccountId32) -> bool {
        AccountFlags::<T>::get(coldkey) & ACCEPTS_LOCKED_ALPHA != 0
    }

    fn set_accepts_locked_alpha(coldkey: &AccountId32, accepts: bool) {
        let flags = AccountFlags::<T>::get(coldkey);
        let flags =
            if accepts { flags | ACCEPTS_LOCKED_ALPHA } else { flags & !ACCEPTS_LOCKED_ALPHA };
        Self::set_flags(coldkey, flags);
    }

    fn set_flags(coldkey: &AccountId32, flags: u128) {
        if flags == 0 {
            AccountFlags::<T>::remove(coldkey);
        } else {
            AccountFlags::<T>::insert(coldkey, flags);
        }
    }

    fn is_owner_hotkey(netuid: NetUid, hotkey: &AccountId32) -> bool {
        SubnetOwnerHotkey::<T>::try_get(netuid).is_ok_and(|owner| owner == *hotkey)
    }

    fn kind_of_lock(coldkey: &AccountId32, netuid: NetUid, hotkey: &AccountId32) -> LockKind {
        let is_perpetual = DecayingLock::<T>::get(coldkey, netuid) == Some(false);
        LockKind { is_owner_lock: Self::is_owner_hotkey(netuid, hotkey), is_perpetual }
    }

    fn timescales() -> LockTimescales {
        LockTimescales {
            now: Self::current_block(),
            unlock: UnlockRate::<T>::get(),
            maturity: MaturityRate::<T>::get(),
        }
    }

    fn empty_lock() -> LockState {
        LockState { last_update: Self::current_block(), ..LockState::default() }
    }

    /// Stores the lock of a coldkey; removes it once its amount and its conviction are negligible.
    fn store_lock(coldkey: &AccountId32, netuid: NetUid, hotkey: &AccountId32, lock: LockState) {
        if conviction::is_negligible(&lock) {
            Self::remove_lock(coldkey, netuid, hotkey);
        } else {
            Lock::<T>::insert((coldkey, netuid, hotkey), lock);
            LockingColdkeys::<T>::insert((netuid, hotkey, coldkey), ());
        }
    }

    fn remove_lock(coldkey: &AccountId32, netuid: NetUid, hotkey: &AccountId32) {
        Lock::<T>::remove((coldkey, netuid, hotkey));
        LockingColdkeys::<T>::remove((netuid, hotkey, coldkey));
    }

    /// Returns the total of a hotkey's locks of a kind, rolled forward to the current block.
    fn total_lock(netuid: NetUid, hotkey: &AccountId32, kind: LockKind) -> LockState {
        let stored = match kind {
            LockKind { is_owner_lock: true, is_perpetual: true } => OwnerLock::<T>::get(netuid),
            LockKind { is_owner_lock: true, is_perpetual: false } => {
                DecayingOwnerLock::<T>::get(netuid)
            }
            LockKind { is_owner_lock: false, is_perpetual: true } => {
                HotkeyLock::<T>::get(netuid, hotkey)
            }
            LockKind { is_owner_lock: false, is_perpetual: false } => {
                DecayingHotkeyLock::<T>::get(netuid, hotkey)
            }
        };
        kind.roll_forward(stored.unwrap_or_else(Self::empty_lock), Self::timescales())
    }

    fn store_total_lock(netuid: NetUid, hotkey: &AccountId32, kind: LockKind, total: LockState) {
        let is_nonempty = total.locked_mass != AlphaBalance::ZERO || total.conviction > 0;
        let total = is_nonempty.then_some(total);
        match kind {
            LockKind { is_owner_lock: true, is_perpetual: true } => {
                OwnerLock::<T>::set(netuid, total);
            }
            LockKind { is_owner_lock: true, is_perpetual: false } => {
                DecayingOwnerLock::<T>::set(netuid, total);
            }
            LockKind { is_owner_lock: false, is_perpetual: true } => {
                HotkeyLock::<T>::set(netuid, hotkey, total);
            }
            LockKind { is_owner_lock: false, is_perpetual: false } => {
                DecayingHotkeyLock::<T>::set(netuid, hotkey, total);
            }
        }
    }

    fn add_to_total_lock(netuid: NetUid, hotkey: &AccountId32, kind: LockKind, lock: LockState) {
        let mut total = Self::total_lock(netuid, hotkey, kind);
        total.locked_mass = total.locked_mass.saturating_add(lock.locked_mass);
        total.conviction = total.conviction.saturating_add(lock.conviction);
        Self::store_total_lock(netuid, hotkey, kind, kind.roll_forward(total, Self::timescales()));
    }

    fn subtract_from_total_lock(
        netuid: NetUid,
        hotkey: &AccountId32,
        kind: LockKind,
        lock: LockState,
    ) {
        let mut total = Self::total_lock(netuid, hotkey, kind);
        total.locked_mass = total.locked_mass.saturating_sub(lock.locked_mass);
        total.conviction = total.conviction.saturating_sub(lock.conviction);
        Self::store_total_lock(netuid, hotkey, kind, total);
    }

    /// Whether two hotkeys have the same owner.
    fn have_same_owner(one: &AccountId32, other: &AccountId32) -> bool {
        Owner::<T>::get(one) == Owner::<T>::get(other)
    }
}
