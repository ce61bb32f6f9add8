//! Collateral: alpha that a miner locks on its hotkey, and that it recovers only by earning
//! emission.
//!
//! A subnet with a lock share splits the registration price: one part buys alpha that is recycled,
//! the other part buys alpha that is staked on the hotkey and locked ([`registration`]). Each alpha
//! of emission that the hotkey earns releases `drain_ratio` alpha. A miner may add collateral, and
//! may set a minimum, below which emission is locked instead.
//!
//! Collateral belongs to one stake: that of a coldkey on its hotkey. It outlasts the registration
//! of the hotkey, and counts for the next one. Stake on other hotkeys, or of other coldkeys, is
//! never locked by it.

use frame_support::ensure;
use frame_support::pallet_prelude::DispatchResult;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use super::types::MinerCollateralState;
use super::{
    ColdkeyCollateralHotkeys, ColdkeyMinerCollateral, CollateralDrainRatio, Config, Error, Event,
    MinerCollateral, Pallet,
};
use crate::types::{AlphaBalance, NetUid};

mod deposit;
mod moves;
mod registration;
#[cfg(test)]
mod tests;

/// Maximum number of hotkeys on which a coldkey has collateral on a subnet.
pub const MAX_COLLATERAL_HOTKEYS: u32 = 32;

impl<T: Config> Pallet<T> {
    /// Returns the locked collateral of a coldkey on a hotkey in a subnet.
    pub fn collateral_of(
        netuid: NetUid,
        hotkey: &AccountId32,
        coldkey: &AccountId32,
    ) -> AlphaBalance {
        MinerCollateral::<T>::get((netuid, hotkey, coldkey))
            .map_or(AlphaBalance::ZERO, |state| state.locked)
    }

    /// Checks that a coldkey has this much stake on a hotkey besides its collateral.
    ///
    /// # Errors
    /// `StakeUnavailable`.
    pub(super) fn ensure_stake_beyond_collateral(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
    ) -> Result<(), Error<T>> {
        let locked = Self::collateral_of(netuid, hotkey, coldkey);
        if locked == AlphaBalance::ZERO {
            return Ok(());
        }
        let unlocked = Self::stake_of(hotkey, coldkey, netuid).saturating_sub(locked);
        ensure!(amount <= unlocked, Error::<T>::StakeUnavailable);
        Ok(())
    }

    /// Sets the minimum collateral of a coldkey on its hotkey; 0 removes it.
    ///
    /// # Errors
    /// In this order: `RegistrationNotPermittedOnRootSubnet`, `SubnetNotExists`,
    /// `HotKeyAccountNotExists`, `NonAssociatedColdKey`, `ColdkeyCollateralPositionsFull`.
    pub(crate) fn do_set_min_collateral(
        who: &AccountId32,
        netuid: NetUid,
        hotkey: AccountId32,
        min_locked: AlphaBalance,
    ) -> DispatchResult {
        Self::ensure_supports_collateral(netuid)?;
        Self::ensure_owns_existing_hotkey(who, &hotkey)?;
        Self::change_collateral(netuid, &hotkey, who, |state| state.min_locked = min_locked)?;
        Self::deposit_event(Event::MinCollateralSet { netuid, hotkey, min_locked });
        Ok(())
    }

    /// Settles the collateral of a hotkey's owner with emission that the hotkey earned. Of the
    /// emission, `capturable` belongs to the owner. Returns the part of `capturable` that is now
    /// locked; the caller must stake it on the hotkey.
    pub(super) fn settle_collateral(
        netuid: NetUid,
        hotkey: &AccountId32,
        owner: &AccountId32,
        emission: AlphaBalance,
        capturable: AlphaBalance,
    ) -> AlphaBalance {
        if emission == AlphaBalance::ZERO
            || !MinerCollateral::<T>::contains_key((netuid, hotkey, owner))
        {
            return AlphaBalance::ZERO;
        }
        // This cannot fail: the hotkey of an existing collateral is already listed.
        Self::change_collateral(netuid, hotkey, owner, |state| settle(state, emission, capturable))
            .unwrap_or_default()
    }

    /// Removes all collateral on a subnet.
    pub(super) fn remove_collateral(netuid: NetUid) {
        let _ = MinerCollateral::<T>::clear_prefix((netuid,), u32::MAX, None);
        let _ = ColdkeyMinerCollateral::<T>::clear_prefix(netuid, u32::MAX, None);
        let _ = ColdkeyCollateralHotkeys::<T>::clear_prefix(netuid, u32::MAX, None);
    }

    /// Changes the collateral of a coldkey on a hotkey, with the coldkey's total and its list of
    /// hotkeys. Collateral without locked alpha and without a minimum is removed.
    ///
    /// # Errors
    /// `ColdkeyCollateralPositionsFull`; nothing is changed then.
    fn change_collateral<R>(
        netuid: NetUid,
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        change: impl FnOnce(&mut MinerCollateralState) -> R,
    ) -> Result<R, Error<T>> {
        let key = (netuid, hotkey, coldkey);
        let stored = MinerCollateral::<T>::get(key);
        let locked_before = stored.as_ref().map_or(AlphaBalance::ZERO, |state| state.locked);
        let mut state = stored.unwrap_or_else(|| MinerCollateralState {
            locked: AlphaBalance::ZERO,
            drain_ratio: CollateralDrainRatio::<T>::get(netuid),
            min_locked: AlphaBalance::ZERO,
            earned: AlphaBalance::ZERO,
        });
        let result = change(&mut state);
        let locked = state.locked;
        let is_nonempty = locked != AlphaBalance::ZERO || state.min_locked != AlphaBalance::ZERO;
        Self::set_collateral_hotkey_listed(netuid, coldkey, hotkey, is_nonempty)?;
        MinerCollateral::<T>::set(key, is_nonempty.then_some(state));
        if locked != locked_before {
            let coldkey_total = ColdkeyMinerCollateral::<T>::get(netuid, coldkey)
                .saturating_sub(locked_before)
                .saturating_add(locked);
            if coldkey_total == AlphaBalance::ZERO {
                ColdkeyMinerCollateral::<T>::remove(netuid, coldkey);
            } else {
                ColdkeyMinerCollateral::<T>::insert(netuid, coldkey, coldkey_total);
            }
        }
        Ok(result)
    }

    /// Adds a hotkey to those on which a coldkey has collateral, or removes it.
    ///
    /// # Errors
    /// `ColdkeyCollateralPositionsFull`.
    fn set_collateral_hotkey_listed(
        netuid: NetUid,
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        is_listed: bool,
    ) -> Result<(), Error<T>> {
        let mut hotkeys = ColdkeyCollateralHotkeys::<T>::get(netuid, coldkey);
        if hotkeys.contains(hotkey) == is_listed {
            return Ok(());
        }
        if is_listed {
            hotkeys
                .try_push(hotkey.clone())
                .map_err(|_| Error::<T>::ColdkeyCollateralPositionsFull)?;
        } else {
            hotkeys.retain(|listed| listed != hotkey);
        }
        if hotkeys.is_empty() {
            ColdkeyCollateralHotkeys::<T>::remove(netuid, coldkey);
        } else {
            ColdkeyCollateralHotkeys::<T>::insert(netuid, coldkey, hotkeys);
        }
        Ok(())
    }

    fn ensure_supports_collateral(netuid: NetUid) -> Result<(), Error<T>> {
        ensure!(netuid != NetUid::ROOT, Error::<T>::RegistrationNotPermittedOnRootSubnet);
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        Ok(())
    }

    fn ensure_owns_existing_hotkey(
        who: &AccountId32,
        hotkey: &AccountId32,
    ) -> Result<(), Error<T>> {
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        ensure!(Self::owns(who, hotkey), Error::<T>::NonAssociatedColdKey);
        Ok(())
    }
}

/// Settles a collateral with emission: locks up to `capturable` below the minimum, or otherwise
/// releases alpha down to the minimum. Returns the locked part.
fn settle(
    state: &mut MinerCollateralState,
    emission: AlphaBalance,
    capturable: AlphaBalance,
) -> AlphaBalance {
    state.earned = state.earned.saturating_add(emission);
    let shortfall = state.min_locked.saturating_sub(state.locked);
    if shortfall != AlphaBalance::ZERO {
        let captured = capturable.min(shortfall);
        state.locked = state.locked.saturating_add(captured);
        return captured;
    }
    let released = AlphaBalance(
        U64F64::from_num(emission.0).saturating_mul(state.drain_ratio).saturating_to_num(),
    );
    let surplus = state.locked.saturating_sub(state.min_locked);
    state.locked = state.locked.saturating_sub(released.min(surplus));
    AlphaBalance::ZERO
}
