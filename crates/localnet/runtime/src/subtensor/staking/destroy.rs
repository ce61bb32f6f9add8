//! Recycling and burning of alpha.

use frame_support::ensure;
use sp_runtime::{AccountId32, DispatchResult};

use super::super::{Config, Error, Event, Pallet, SubnetAlphaOut};
use super::PriceLimit;
use crate::alpha_assets;
use crate::types::{AlphaBalance, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    /// Recycles staked alpha, up to the complete stake.
    ///
    /// # Errors
    /// The errors of `remove_staked_alpha`.
    pub(crate) fn do_recycle_alpha(
        who: &AccountId32,
        hotkey: &AccountId32,
        amount: AlphaBalance,
        netuid: NetUid,
    ) -> DispatchResult {
        let amount = Self::remove_staked_alpha(who, hotkey, amount, netuid)?;
        Self::recycle_issued(netuid, amount);
        Self::deposit_event(Event::AlphaRecycled(who.clone(), hotkey.clone(), amount, netuid));
        Ok(())
    }

    /// Burns staked alpha, up to the complete stake. Burned alpha still counts as issued.
    ///
    /// # Errors
    /// The errors of `remove_staked_alpha`.
    pub(crate) fn do_burn_alpha(
        who: &AccountId32,
        hotkey: &AccountId32,
        amount: AlphaBalance,
        netuid: NetUid,
    ) -> DispatchResult {
        let amount = Self::remove_staked_alpha(who, hotkey, amount, netuid)?;
        alpha_assets::Pallet::<T>::burn(netuid, amount);
        Self::deposit_event(Event::AlphaBurned(who.clone(), hotkey.clone(), amount, netuid));
        Ok(())
    }

    /// Buys alpha, at or below an optional price limit, and burns it.
    ///
    /// # Errors
    /// The errors of `buy_stake` and `remove_staked_alpha`.
    pub(crate) fn do_add_stake_burn(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: TaoBalance,
        limit: Option<TaoBalance>,
    ) -> DispatchResult {
        let limit = limit.map(|price| PriceLimit { price, allow_partial: false });
        let alpha = Self::buy_stake(who, hotkey, netuid, amount, limit)?;
        Self::do_burn_alpha(who, hotkey, alpha, netuid)?;
        Self::deposit_event(Event::AddStakeBurn { netuid, hotkey: hotkey.clone(), amount, alpha });
        Ok(())
    }

    /// Removes alpha from a stake.
    ///
    /// # Errors
    /// In this order: `SubnetNotExists`, `CannotBurnOrRecycleOnRootSubnet`, `SubtokenDisabled`,
    /// `HotKeyAccountNotExists`, `InsufficientLiquidity` if the amount exceeds the issued alpha,
    /// `StakeUnavailable` if too much is locked or is collateral.
    fn remove_staked_alpha(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        amount: AlphaBalance,
        netuid: NetUid,
    ) -> Result<AlphaBalance, Error<T>> {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(netuid != NetUid::ROOT, Error::<T>::CannotBurnOrRecycleOnRootSubnet);
        Self::ensure_subtoken_enabled(netuid)?;
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        let amount = amount.min(Self::stake_of(hotkey, coldkey, netuid));
        ensure!(SubnetAlphaOut::<T>::get(netuid) >= amount, Error::<T>::InsufficientLiquidity);
        Self::ensure_unlocked(coldkey, netuid, amount)?;
        Self::ensure_stake_beyond_collateral(coldkey, hotkey, netuid, amount)?;
        Self::decrease_stake(hotkey, coldkey, netuid, amount);
        Self::on_stake_decrease(hotkey);
        Ok(amount)
    }
}
