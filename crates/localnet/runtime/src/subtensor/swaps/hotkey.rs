//! Swaps of hotkeys, on one subnet or on all of them.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::{MIN_HOTKEY_SWAP_INTERVAL, SUBNET_SWAP_COST, SWAP_COST};
use crate::subtensor::types::RateLimitKey;
use crate::subtensor::{
    AlphaDividendsPerSubnet, AlphaV2, AutoParentDelegationEnabled, AutoStakeDestination,
    AutoStakeDestinationColdkeys, Axons, BasketRate, BasketShares, ChildKeys, Config, Delegates,
    Error, Event, HotkeyRoot, HotkeySuccessor, IsNetworkMember, Keys, LastHotkeySwapOnNetuid,
    LastRateLimitedBlock, NeuronCertificates, OwnedHotkeys, Owner, Pallet, Prometheus,
    RootClaimable, RootClaimed, SubnetOwnerHotkey, TotalHotkeyAlphaLastEpoch, TxRateLimit, Uids,
    WeightCommits,
};
use crate::types::NetUid;

impl<T: Config> Pallet<T> {
    /// Swaps a hotkey on `netuid`, or on all subnets if it is `None`. With `keep_stake`, the stake
    /// stays on the old hotkey. Returns the number of subnets on which the hotkey is used.
    ///
    /// # Errors
    /// The errors of `check_hotkey_swap`, `NotEnoughBalanceToPaySwapHotKey`, `InvalidChild` if the
    /// hotkeys are parent and child.
    pub(crate) fn do_swap_hotkey(
        who: &AccountId32,
        old: &AccountId32,
        new: &AccountId32,
        netuid: Option<NetUid>,
        keep_stake: bool,
    ) -> Result<u64, DispatchError> {
        Self::check_hotkey_swap(who, old, new, netuid, keep_stake)?;
        let cost = if netuid.is_some() { SUBNET_SWAP_COST } else { SWAP_COST };
        ensure!(Self::can_pay(who, cost), Error::<T>::NotEnoughBalanceToPaySwapHotKey);
        Self::recycle_tao(who, cost)?;
        let limit_keys: [fn(AccountId32) -> RateLimitKey<AccountId32>; 3] = [
            RateLimitKey::LastTxBlock,
            RateLimitKey::LastTxBlockDelegateTake,
            RateLimitKey::LastTxBlockChildKeyTake,
        ];
        for limit_key in limit_keys {
            Self::copy_rate_limit(
                limit_key(old.clone()),
                &limit_key(new.clone()),
                netuid.is_none(),
            );
        }
        let subnets = match netuid {
            Some(netuid) => vec![netuid],
            None => Self::all_netuids(),
        };
        let swapped_netuids: Vec<NetUid> = match netuid {
            Some(netuid) => vec![netuid],
            None => {
                subnets.iter().copied().filter(|netuid| Self::is_used_on(old, *netuid)).collect()
            }
        };
        let is_retired = netuid.is_none() && !keep_stake;
        Self::transfer_hotkey_ownership(who, old, new, is_retired);
        for &netuid in &subnets {
            Self::swap_hotkey_on(netuid, old, new, keep_stake)?;
        }
        // With `keep_stake`, the new hotkey has the children, but not the stake.
        Self::on_stake_decrease(new);
        Self::on_stake_decrease(old);
        if netuid.is_none() && Delegates::<T>::contains_key(old) {
            Delegates::<T>::insert(new, Delegates::<T>::take(old));
        }
        for &netuid in &swapped_netuids {
            LastHotkeySwapOnNetuid::<T>::insert(netuid, who, Self::current_block());
            Self::record_hotkey_successor(netuid, old, new);
        }
        Self::record_rate_limited(&RateLimitKey::LastTxBlock(who.clone()));
        let (coldkey, old_hotkey, new_hotkey) = (who.clone(), old.clone(), new.clone());
        Self::deposit_event(match netuid {
            Some(netuid) => {
                Event::HotkeySwappedOnSubnet { coldkey, old_hotkey, new_hotkey, netuid }
            }
            None => Event::HotkeySwapped { coldkey, old_hotkey, new_hotkey },
        });
        Ok(swapped_netuids.len() as u64)
    }

    /// Checks a swap of a hotkey, without its cost.
    ///
    /// # Errors
    /// In this order: `SubnetNotExists`, `NonAssociatedColdKey` unless the coldkey owns the old
    /// hotkey, and the new one if it has an owner, `NewHotKeyIsSameWithOld`,
    /// `KeepStakeBlockedByCollateral`, `HotKeySetTxRateLimitExceeded` within `TxRateLimit` blocks
    /// of the coldkey's last swap, `HotKeyAlreadyRegisteredInSubNet`,
    /// `NewHotKeyNotCleanForRootSwap` if root is swapped and the new hotkey has stake or claims
    /// there, `HotKeySwapOnSubnetIntervalNotPassed`, `CannotUseSystemAccount` if the new hotkey is
    /// the account of a subnet.
    fn check_hotkey_swap(
        who: &AccountId32,
        old: &AccountId32,
        new: &AccountId32,
        netuid: Option<NetUid>,
        keep_stake: bool,
    ) -> Result<(), Error<T>> {
        ensure!(netuid.is_none_or(Self::subnet_exists), Error::<T>::SubnetNotExists);
        ensure!(Self::owns(who, old), Error::<T>::NonAssociatedColdKey);
        ensure!(
            !Self::hotkey_exists(new) || Self::owns(who, new),
            Error::<T>::NonAssociatedColdKey
        );
        ensure!(old != new, Error::<T>::NewHotKeyIsSameWithOld);
        let keeps_collateral = keep_stake && Self::has_collateral(old, who, netuid);
        ensure!(!keeps_collateral, Error::<T>::KeepStakeBlockedByCollateral);
        let (last_swap_block, limit) = (
            LastRateLimitedBlock::<T>::get(RateLimitKey::LastTxBlock(who.clone())),
            TxRateLimit::<T>::get(),
        );
        // Unlike other rate limits, this one still holds at its last block.
        let is_limited = limit > 0
            && last_swap_block > 0
            && Self::current_block().saturating_sub(last_swap_block) <= limit;
        ensure!(!is_limited, Error::<T>::HotKeySetTxRateLimitExceeded);
        let is_registered = match netuid {
            Some(netuid) => Self::uid_of(netuid, new).is_some(),
            None => Self::is_registered_anywhere(new),
        };
        ensure!(!is_registered, Error::<T>::HotKeyAlreadyRegisteredInSubNet);
        ensure!(
            netuid.is_some_and(|netuid| netuid != NetUid::ROOT) || Self::is_clean_on_root(new),
            Error::<T>::NewHotKeyNotCleanForRootSwap
        );
        let have_intervals_passed = match netuid {
            Some(netuid) => Self::has_swap_interval_passed(who, netuid),
            None => Self::all_netuids()
                .into_iter()
                .filter(|netuid| Self::is_used_on(old, *netuid))
                .all(|netuid| Self::has_swap_interval_passed(who, netuid)),
        };
        ensure!(have_intervals_passed, Error::<T>::HotKeySwapOnSubnetIntervalNotPassed);
        Self::ensure_not_subnet_account(new)
    }

    /// Returns whether a hotkey has neither stake nor claims on root.
    fn is_clean_on_root(hotkey: &AccountId32) -> bool {
        RootClaimable::<T>::get(hotkey).is_empty()
            && !BasketRate::<T>::contains_key(hotkey)
            && !BasketShares::<T>::contains_key(hotkey)
            && Self::total_alpha(hotkey, NetUid::ROOT).0 == 0
            && RootClaimed::<T>::iter_prefix((NetUid::ROOT, hotkey)).next().is_none()
    }

    /// Returns whether a coldkey may again swap a hotkey on a subnet.
    fn has_swap_interval_passed(coldkey: &AccountId32, netuid: NetUid) -> bool {
        let last_swap_block = LastHotkeySwapOnNetuid::<T>::get(netuid, coldkey);
        last_swap_block == 0
            || last_swap_block.saturating_add(MIN_HOTKEY_SWAP_INTERVAL) < Self::current_block()
    }

    /// Whether a hotkey is a neuron of a subnet, or a parent of child hotkeys on it.
    fn is_used_on(hotkey: &AccountId32, netuid: NetUid) -> bool {
        IsNetworkMember::<T>::get(hotkey, netuid) || ChildKeys::<T>::contains_key(hotkey, netuid)
    }

    /// Copies the block of a rate-limited action from one key to another; moves it if `is_moved`.
    fn copy_rate_limit(
        from: RateLimitKey<AccountId32>,
        to: &RateLimitKey<AccountId32>,
        is_moved: bool,
    ) {
        if LastRateLimitedBlock::<T>::contains_key(&from) {
            LastRateLimitedBlock::<T>::insert(to, LastRateLimitedBlock::<T>::get(&from));
        }
        if is_moved {
            LastRateLimitedBlock::<T>::remove(from);
        }
    }

    /// Makes the coldkey the owner of the new hotkey; the old one loses its owner if it
    /// `is_retired`.
    fn transfer_hotkey_ownership(
        who: &AccountId32,
        old: &AccountId32,
        new: &AccountId32,
        is_retired: bool,
    ) {
        Owner::<T>::insert(new, who);
        OwnedHotkeys::<T>::mutate(who, |owned| {
            if !owned.contains(new) {
                owned.push(new.clone());
            }
            if is_retired {
                owned.retain(|hotkey| hotkey != old);
            }
        });
        if is_retired {
            Owner::<T>::remove(old);
        }
    }

    /// Moves everything that a subnet stores for a hotkey to another hotkey.
    fn swap_hotkey_on(
        netuid: NetUid,
        old: &AccountId32,
        new: &AccountId32,
        keep_stake: bool,
    ) -> DispatchResult {
        Self::swap_hotkey_of_locks(netuid, old, new);
        if IsNetworkMember::<T>::take(old, netuid) {
            Self::wake(netuid);
            Self::swap_neuron(netuid, old, new);
        }
        Self::move_relations(netuid, old, new)?;
        let auto_stakers = AutoStakeDestinationColdkeys::<T>::take(old, netuid);
        if !auto_stakers.is_empty() {
            for coldkey in &auto_stakers {
                AutoStakeDestination::<T>::insert(coldkey, netuid, new);
            }
            AutoStakeDestinationColdkeys::<T>::insert(new, netuid, auto_stakers);
        }
        if SubnetOwnerHotkey::<T>::try_get(netuid).is_ok_and(|owner| owner == *old) {
            SubnetOwnerHotkey::<T>::insert(netuid, new);
            Self::deposit_event(Event::SubnetOwnerHotkeySet(netuid, new.clone()));
        }
        if !keep_stake {
            Self::move_stake_of_hotkey(netuid, old, new);
            Self::swap_hotkey_of_collateral(netuid, old, new, &Owner::<T>::get(new))?;
        }
        Ok(())
    }

    fn swap_neuron(netuid: NetUid, old: &AccountId32, new: &AccountId32) {
        IsNetworkMember::<T>::insert(new, netuid, true);
        if let Some(uid) = Uids::<T>::take(netuid, old) {
            Uids::<T>::insert(netuid, new, uid);
            Keys::<T>::insert(netuid, uid, new);
        }
        if let Some(axon) = Axons::<T>::take(netuid, old) {
            Axons::<T>::insert(netuid, new, axon);
        }
        if let Some(endpoint) = Prometheus::<T>::take(netuid, old) {
            Prometheus::<T>::insert(netuid, new, endpoint);
        }
        if let Some(certificate) = NeuronCertificates::<T>::take(netuid, old) {
            NeuronCertificates::<T>::insert(netuid, new, certificate);
        }
        for index in Self::mechanisms(netuid) {
            if let Some(commits) = WeightCommits::<T>::take(index, old) {
                WeightCommits::<T>::insert(index, new, commits);
            }
        }
    }

    /// Moves the stakes of all coldkeys, and their accrued dividends, to another hotkey.
    fn move_stake_of_hotkey(netuid: NetUid, old: &AccountId32, new: &AccountId32) {
        if netuid == NetUid::ROOT {
            Self::swap_hotkey_of_basket(old, new);
        }
        let last_epoch_alpha = TotalHotkeyAlphaLastEpoch::<T>::take(old, netuid);
        if last_epoch_alpha.0 > 0 {
            TotalHotkeyAlphaLastEpoch::<T>::mutate(new, netuid, |alpha| {
                *alpha = alpha.saturating_add(last_epoch_alpha);
            });
        }
        let dividends = AlphaDividendsPerSubnet::<T>::take(netuid, old);
        if dividends.0 > 0 {
            AlphaDividendsPerSubnet::<T>::mutate(netuid, new, |alpha| {
                *alpha = alpha.saturating_add(dividends);
            });
        }
        Self::move_voting_power(netuid, old, new);
        let stakers: Vec<AccountId32> = AlphaV2::<T>::iter_key_prefix((old,))
            .filter(|(_, key_netuid)| *key_netuid == netuid)
            .map(|(coldkey, _)| coldkey)
            .collect();
        for coldkey in stakers {
            let stake = Self::stake_of(old, &coldkey, netuid);
            Self::decrease_stake(old, &coldkey, netuid, stake);
            Self::increase_stake(new, &coldkey, netuid, stake);
        }
        if netuid != NetUid::ROOT {
            return;
        }
        // The new hotkey has neither claims nor root stake: the claims are moved, not merged.
        let claimable = RootClaimable::<T>::take(old);
        if !claimable.is_empty() {
            RootClaimable::<T>::insert(new, claimable);
        }
        if AutoParentDelegationEnabled::<T>::contains_key(old) {
            AutoParentDelegationEnabled::<T>::insert(
                new,
                AutoParentDelegationEnabled::<T>::take(old),
            );
        }
    }

    /// Records the successor of a hotkey, and the first hotkey of the lineage.
    fn record_hotkey_successor(netuid: NetUid, old: &AccountId32, new: &AccountId32) {
        let first_hotkey = HotkeyRoot::<T>::get(netuid, old).unwrap_or_else(|| old.clone());
        HotkeySuccessor::<T>::remove(netuid, new);
        HotkeySuccessor::<T>::insert(netuid, old, new);
        HotkeyRoot::<T>::insert(netuid, new, first_hotkey);
    }
}
