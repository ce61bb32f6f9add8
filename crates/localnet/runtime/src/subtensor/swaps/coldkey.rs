//! Swaps of coldkeys: announced by the owner, executed after a delay, and disputed by the owner if
//! somebody else announced them.

use codec::Encode;
use frame_support::pallet_prelude::*;
use frame_support::traits::fungible::{Inspect, Mutate};
use frame_support::traits::tokens::{Fortitude, Preservation};
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_runtime::AccountId32;

use super::SWAP_COST;
use crate::subtensor::types::RateLimitKey;
use crate::subtensor::{
    AutoStakeDestination, AutoStakeDestinationColdkeys, Call, ColdkeyRoot, ColdkeySuccessor,
    ColdkeySwapAnnouncementDelay, ColdkeySwapAnnouncements, ColdkeySwapDisputes,
    ColdkeySwapReannouncementDelay, Config, Error, Event, IdentitiesV2, OwnedHotkeys, Owner,
    Pallet, StakingHotkeys, SubnetOwner,
};
use crate::types::TaoBalance;

impl<T: Config> Pallet<T> {
    /// Announces a swap of a coldkey. The first announcement costs 0.1 TAO; a later one replaces
    /// it.
    ///
    /// # Errors
    /// `ColdkeySwapReannouncedTooEarly` until the reannouncement delay after the announced block
    /// has passed, `NotEnoughBalanceToPaySwapColdKey`.
    pub(crate) fn do_announce_coldkey_swap(
        who: &AccountId32,
        new_coldkey_hash: H256,
    ) -> DispatchResult {
        if let Some((earliest_swap_block, _)) = ColdkeySwapAnnouncements::<T>::get(who) {
            let reannouncement_block =
                earliest_swap_block.saturating_add(ColdkeySwapReannouncementDelay::<T>::get());
            ensure!(
                Self::block_number() >= reannouncement_block,
                Error::<T>::ColdkeySwapReannouncedTooEarly
            );
        } else {
            Self::charge_coldkey_swap(who, SWAP_COST)?;
        }
        let earliest_swap_block =
            Self::block_number().saturating_add(ColdkeySwapAnnouncementDelay::<T>::get());
        ColdkeySwapAnnouncements::<T>::insert(who, (earliest_swap_block, new_coldkey_hash));
        Self::deposit_event(Event::ColdkeySwapAnnounced { who: who.clone(), new_coldkey_hash });
        Ok(())
    }

    /// Executes the announced swap of a coldkey.
    ///
    /// # Errors
    /// `ColdkeySwapAnnouncementNotFound`, `AnnouncedColdkeyHashDoesNotMatch`,
    /// `ColdkeySwapTooEarly`, and the errors of [`Self::swap_coldkeys`].
    pub(crate) fn do_swap_coldkey_announced(
        who: &AccountId32,
        new_coldkey: &AccountId32,
    ) -> DispatchResult {
        let announcement = ColdkeySwapAnnouncements::<T>::take(who);
        let (earliest_swap_block, hash) =
            announcement.ok_or(Error::<T>::ColdkeySwapAnnouncementNotFound)?;
        let is_announced = hash == H256(blake2_256(&new_coldkey.encode()));
        ensure!(is_announced, Error::<T>::AnnouncedColdkeyHashDoesNotMatch);
        ensure!(Self::block_number() >= earliest_swap_block, Error::<T>::ColdkeySwapTooEarly);
        Self::swap_coldkeys(who, new_coldkey)
    }

    /// Swaps a coldkey on behalf of root, without an announcement.
    ///
    /// # Errors
    /// `NotEnoughBalanceToPaySwapColdKey`, and the errors of [`Self::swap_coldkeys`].
    pub(crate) fn do_swap_coldkey(
        old: &AccountId32,
        new: &AccountId32,
        cost: TaoBalance,
    ) -> DispatchResult {
        if cost != TaoBalance::ZERO {
            Self::charge_coldkey_swap(old, cost)?;
        }
        Self::swap_coldkeys(old, new)?;
        ColdkeySwapAnnouncements::<T>::remove(old);
        ColdkeySwapDisputes::<T>::remove(old);
        Ok(())
    }

    /// Disputes the announced swap of a coldkey: until root resets it, all calls of the coldkey are
    /// refused.
    ///
    /// # Errors
    /// `ColdkeySwapAnnouncementNotFound`, `ColdkeySwapAlreadyDisputed`.
    pub(crate) fn do_dispute_coldkey_swap(coldkey: AccountId32) -> DispatchResult {
        let is_announced = ColdkeySwapAnnouncements::<T>::contains_key(&coldkey);
        ensure!(is_announced, Error::<T>::ColdkeySwapAnnouncementNotFound);
        ensure!(
            !ColdkeySwapDisputes::<T>::contains_key(&coldkey),
            Error::<T>::ColdkeySwapAlreadyDisputed
        );
        ColdkeySwapDisputes::<T>::insert(&coldkey, Self::block_number());
        Self::deposit_event(Event::ColdkeySwapDisputed { coldkey });
        Ok(())
    }

    /// Removes the announcement and the dispute of a coldkey, on behalf of root.
    pub(crate) fn do_reset_coldkey_swap(coldkey: AccountId32) {
        ColdkeySwapAnnouncements::<T>::remove(&coldkey);
        ColdkeySwapDisputes::<T>::remove(&coldkey);
        Self::deposit_event(Event::ColdkeySwapReset { who: coldkey });
    }

    /// Withdraws the announcement of a coldkey.
    ///
    /// # Errors
    /// `ColdkeySwapAnnouncementNotFound`, `ColdkeySwapClearTooEarly` until the reannouncement delay
    /// after the announced block has passed.
    pub(crate) fn do_clear_coldkey_swap_announcement(who: AccountId32) -> DispatchResult {
        let announcement = ColdkeySwapAnnouncements::<T>::get(&who);
        let (earliest_swap_block, _) =
            announcement.ok_or(Error::<T>::ColdkeySwapAnnouncementNotFound)?;
        let earliest_clear_block =
            earliest_swap_block.saturating_add(ColdkeySwapReannouncementDelay::<T>::get());
        ensure!(Self::block_number() >= earliest_clear_block, Error::<T>::ColdkeySwapClearTooEarly);
        ColdkeySwapAnnouncements::<T>::remove(&who);
        Self::deposit_event(Event::ColdkeySwapCleared { who });
        Ok(())
    }

    /// Checks whether a coldkey with an announced swap may make this call of the pallet: only calls
    /// that concern the swap, and none at all once it is disputed. `None` is a call of another
    /// pallet.
    ///
    /// # Errors
    /// `ColdkeySwapDisputed`, `ColdkeySwapAnnounced`.
    pub(crate) fn check_coldkey_swap(
        who: &AccountId32,
        call: Option<&Call<T>>,
    ) -> Result<(), Error<T>> {
        if !ColdkeySwapAnnouncements::<T>::contains_key(who) {
            return Ok(());
        }
        ensure!(!ColdkeySwapDisputes::<T>::contains_key(who), Error::<T>::ColdkeySwapDisputed);
        let is_swap_call = matches!(
            call,
            Some(
                Call::announce_coldkey_swap { .. }
                    | Call::swap_coldkey_announced { .. }
                    | Call::dispute_coldkey_swap { .. }
                    | Call::clear_coldkey_swap_announcement { .. }
            )
        );
        ensure!(is_swap_call, Error::<T>::ColdkeySwapAnnounced);
        Ok(())
    }

    /// Moves everything that a coldkey owns to another coldkey: identity, subnets, stakes, hotkeys,
    /// balance.
    ///
    /// # Errors
    /// `ColdKeyAlreadyAssociated` if the new coldkey has stake or owns a hotkey,
    /// `NewColdKeyIsHotkey`, the errors of `swap_coldkey_of_collateral`, `ActiveLockExists`.
    fn swap_coldkeys(old: &AccountId32, new: &AccountId32) -> DispatchResult {
        // The real chain lists owned hotkeys among those with stake.
        let is_unused =
            StakingHotkeys::<T>::get(new).is_empty() && OwnedHotkeys::<T>::get(new).is_empty();
        ensure!(is_unused, Error::<T>::ColdKeyAlreadyAssociated);
        ensure!(!Self::hotkey_exists(new), Error::<T>::NewColdKeyIsHotkey);
        if !IdentitiesV2::<T>::contains_key(new)
            && let Some(identity) = IdentitiesV2::<T>::take(old)
        {
            IdentitiesV2::<T>::insert(new, identity);
        }
        let hotkeys = StakingHotkeys::<T>::get(old);
        for hotkey in &hotkeys {
            Self::swap_coldkey_of_basket(hotkey, old, new);
        }
        for netuid in Self::all_netuids() {
            if SubnetOwner::<T>::try_get(netuid).is_ok_and(|owner| owner == *old) {
                SubnetOwner::<T>::insert(netuid, new);
            }
            if let Some(hotkey) = AutoStakeDestination::<T>::take(old, netuid) {
                AutoStakeDestinationColdkeys::<T>::mutate(&hotkey, netuid, |coldkeys| {
                    coldkeys.retain(|coldkey| coldkey != old && coldkey != new);
                    coldkeys.push(new.clone());
                });
                AutoStakeDestination::<T>::insert(new, netuid, hotkey);
            }
            for hotkey in &hotkeys {
                let stake = Self::stake_of(hotkey, old, netuid);
                Self::decrease_stake(hotkey, old, netuid, stake);
                Self::increase_stake(hotkey, new, netuid, stake);
            }
            Self::swap_coldkey_of_collateral(netuid, old, new)?;
        }
        StakingHotkeys::<T>::remove(old);
        StakingHotkeys::<T>::mutate_exists(new, |entry| {
            let staking_hotkeys = entry.take().unwrap_or_default();
            let moved_hotkeys = hotkeys
                .into_iter()
                .filter(|hotkey| !staking_hotkeys.contains(hotkey))
                .collect::<Vec<_>>();
            let merged_hotkeys = [staking_hotkeys, moved_hotkeys].concat();
            *entry = (!merged_hotkeys.is_empty()).then_some(merged_hotkeys);
        });
        let owned_hotkeys = OwnedHotkeys::<T>::take(old);
        for hotkey in &owned_hotkeys {
            Owner::<T>::insert(hotkey, new);
        }
        OwnedHotkeys::<T>::mutate(new, |hotkeys| hotkeys.extend(owned_hotkeys));
        Self::swap_coldkey_of_locks(old, new)?;
        let balance =
            T::Currency::reducible_balance(old, Preservation::Expendable, Fortitude::Polite);
        if balance > 0 {
            T::Currency::transfer(old, new, balance, Preservation::Expendable)?;
        }
        Self::record_rate_limited(&RateLimitKey::LastTxBlock(new.clone()));
        let first_coldkey = ColdkeyRoot::<T>::get(old).unwrap_or_else(|| old.clone());
        ColdkeySuccessor::<T>::remove(new);
        ColdkeySuccessor::<T>::insert(old, new);
        ColdkeyRoot::<T>::insert(new, first_coldkey);
        Self::deposit_event(Event::ColdkeySwapped {
            old_coldkey: old.clone(),
            new_coldkey: new.clone(),
        });
        Ok(())
    }

    fn charge_coldkey_swap(coldkey: &AccountId32, cost: TaoBalance) -> DispatchResult {
        Self::recycle_tao(coldkey, cost)
            .map_err(|_| Error::<T>::NotEnoughBalanceToPaySwapColdKey.into())
    }
}
