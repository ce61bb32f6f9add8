//! Shares in the alpha of a hotkey.
//!
//! All stakers of a hotkey in a subnet hold shares of one pool of alpha. A reward increases the
//! pool, and with it the value of every share; staking buys shares at their current value. A stake
//! is pool · share / all shares, rounded down. Rounding favours the pool: the sum of all stakes
//! never exceeds the pool.

use sp_runtime::AccountId32;

use super::safe_float::Rounding;
use super::types::SafeFloat;
use super::{
    AlphaV2, BasketClaimed, Config, Owner, Pallet, StakingHotkeys, TaoWeight, TotalAlphaStaked,
    TotalHotkeyAlpha, TotalHotkeySharesV2,
};
use crate::types::{AlphaBalance, NetUid};

impl<T: Config> Pallet<T> {
    /// Returns the stake of a coldkey on a hotkey in a subnet.
    pub fn stake_of(hotkey: &AccountId32, coldkey: &AccountId32, netuid: NetUid) -> AlphaBalance {
        let share = AlphaV2::<T>::get((hotkey, coldkey, netuid));
        if share.is_zero() {
            return AlphaBalance::ZERO;
        }
        let total_shares = TotalHotkeySharesV2::<T>::get(hotkey, netuid);
        AlphaBalance(share.part_of(total_shares, Self::total_alpha(hotkey, netuid).0))
    }

    /// Returns the total stake of all coldkeys on a hotkey in a subnet.
    pub fn total_alpha(hotkey: &AccountId32, netuid: NetUid) -> AlphaBalance {
        TotalHotkeyAlpha::<T>::get(hotkey, netuid)
    }

    /// Returns the stake with which a hotkey validates in a subnet: its alpha plus its weighted TAO
    /// on root, both minus the stake lent to its children and plus the stake lent by its parents.
    pub fn weighted_stake(hotkey: &AccountId32, netuid: NetUid) -> AlphaBalance {
        let alpha = Self::inherited_stake(hotkey, netuid, netuid);
        if netuid == NetUid::ROOT {
            return alpha;
        }
        alpha.saturating_add(weighted_root(
            Self::inherited_stake(hotkey, netuid, NetUid::ROOT),
            TaoWeight::<T>::get(),
        ))
    }

    /// Adds alpha to a coldkey's stake on a hotkey.
    pub fn increase_stake(
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
    ) {
        if amount == AlphaBalance::ZERO {
            return;
        }
        let total_alpha = Self::total_alpha(hotkey, netuid);
        let total_shares = TotalHotkeySharesV2::<T>::get(hotkey, netuid);
        // Shares without alpha are worth less than a rao and are ignored.
        let bought_shares = if total_shares.is_zero() || total_alpha == AlphaBalance::ZERO {
            SafeFloat::from_integer(amount.0)
        } else {
            total_shares.scaled(amount.0, total_alpha.0, Rounding::Down)
        };
        TotalHotkeyAlpha::<T>::insert(hotkey, netuid, total_alpha.saturating_add(amount));
        TotalAlphaStaked::<T>::mutate(netuid, |staked| *staked = staked.saturating_add(amount));
        TotalHotkeySharesV2::<T>::insert(
            hotkey,
            netuid,
            total_shares.plus(bought_shares, Rounding::Up),
        );
        let share = AlphaV2::<T>::get((hotkey, coldkey, netuid));
        AlphaV2::<T>::insert((hotkey, coldkey, netuid), share.plus(bought_shares, Rounding::Down));
        if share.is_zero() {
            Self::add_staking_hotkey(coldkey, hotkey);
        }
    }

    /// Removes alpha from a coldkey's stake on a hotkey, up to the complete stake.
    pub fn decrease_stake(
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
    ) {
        let stake = Self::stake_of(hotkey, coldkey, netuid);
        let amount = amount.min(stake);
        let total_alpha = Self::total_alpha(hotkey, netuid);
        let mut total_shares = TotalHotkeySharesV2::<T>::get(hotkey, netuid);
        let share = AlphaV2::<T>::get((hotkey, coldkey, netuid));
        let sold_shares = if amount == stake {
            share
        } else {
            total_shares.scaled(amount.0, total_alpha.0, Rounding::Up)
        };
        let share = share.minus(sold_shares, Rounding::Down);
        if share.is_zero() {
            AlphaV2::<T>::remove((hotkey, coldkey, netuid));
            Self::remove_hotkey_without_stake(hotkey, coldkey);
        } else {
            AlphaV2::<T>::insert((hotkey, coldkey, netuid), share);
        }
        let previous_total_shares = total_shares;
        total_shares = total_shares.minus(sold_shares, Rounding::Up);
        if total_shares.has_fewer_digits_than(previous_total_shares) {
            total_shares = Self::recompute_total_shares(hotkey, netuid);
        }
        let total_alpha = total_alpha.saturating_sub(amount);
        TotalAlphaStaked::<T>::mutate(netuid, |staked| *staked = staked.saturating_sub(amount));
        if total_shares.is_zero() {
            TotalHotkeySharesV2::<T>::remove(hotkey, netuid);
        } else {
            TotalHotkeySharesV2::<T>::insert(hotkey, netuid, total_shares);
        }
        if total_alpha == AlphaBalance::ZERO {
            TotalHotkeyAlpha::<T>::remove(hotkey, netuid);
        } else {
            TotalHotkeyAlpha::<T>::insert(hotkey, netuid, total_alpha);
        }
    }

    /// Recomputes the sum of all shares: a running sum would accumulate rounding errors.
    fn recompute_total_shares(hotkey: &AccountId32, netuid: NetUid) -> SafeFloat {
        AlphaV2::<T>::iter_prefix((hotkey,))
            .filter(|((_, subnet), _)| *subnet == netuid)
            .fold(SafeFloat::ZERO, |sum, (_, share)| sum.plus(share, Rounding::Up))
    }

    /// Distributes alpha among all stakers of a hotkey; without stakers, the hotkey's owner
    /// receives it.
    pub fn distribute_to_stakers(hotkey: &AccountId32, netuid: NetUid, amount: AlphaBalance) {
        if TotalHotkeySharesV2::<T>::get(hotkey, netuid).is_zero() {
            Self::increase_stake(hotkey, &Owner::<T>::get(hotkey), netuid, amount);
        } else if amount != AlphaBalance::ZERO {
            TotalHotkeyAlpha::<T>::mutate(hotkey, netuid, |total| {
                *total = total.saturating_add(amount);
            });
            TotalAlphaStaked::<T>::mutate(netuid, |staked| *staked = staked.saturating_add(amount));
        }
    }

    /// Adds a hotkey to those on which a coldkey has stake or shares of a basket.
    pub(super) fn add_staking_hotkey(coldkey: &AccountId32, hotkey: &AccountId32) {
        StakingHotkeys::<T>::mutate(coldkey, |hotkeys| {
            if !hotkeys.contains(hotkey) {
                hotkeys.push(hotkey.clone());
            }
        });
    }

    fn remove_hotkey_without_stake(hotkey: &AccountId32, coldkey: &AccountId32) {
        // Shares of a basket that outlast the stake can still be claimed.
        let has_shares = BasketClaimed::<T>::get(hotkey, coldkey) < 0;
        if has_shares || AlphaV2::<T>::iter_prefix_values((hotkey, coldkey)).next().is_some() {
            return;
        }
        let mut hotkeys = StakingHotkeys::<T>::get(coldkey);
        hotkeys.retain(|staked| staked != hotkey);
        if hotkeys.is_empty() {
            StakingHotkeys::<T>::remove(coldkey);
        } else {
            StakingHotkeys::<T>::insert(coldkey, hotkeys);
        }
    }
}

/// Converts TAO on root to alpha: ⌊`root` · `tao_weight` / 2⁶⁴⌋.
pub(super) fn weighted_root(root: AlphaBalance, tao_weight: u64) -> AlphaBalance {
    AlphaBalance(((u128::from(root.0) * u128::from(tao_weight)) >> 64) as u64)
}
