//! Unstaking: sells staked alpha for TAO.

use frame_support::ensure;
use sp_runtime::{AccountId32, DispatchResult};

use super::super::pool::Fee;
use super::super::{AlphaV2, Config, Error, NominatorMinRequiredStake, Pallet, SubtokenEnabled};
use super::{MIN_STAKE, PriceLimit};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    /// Sells staked alpha, up to the complete stake.
    ///
    /// # Errors
    /// `SubtokenDisabled`, then the errors of [`Self::sell_stake`].
    pub(crate) fn do_remove_stake(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount_unstaked: AlphaBalance,
    ) -> DispatchResult {
        Self::ensure_subtoken_enabled(netuid)?;
        let amount = amount_unstaked.min(Self::stake_of(hotkey, who, netuid));
        Self::sell_stake(who, hotkey, netuid, amount, None)
    }

    pub(crate) fn do_remove_stake_limit(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount_unstaked: AlphaBalance,
        limit_price: TaoBalance,
        allow_partial: bool,
    ) -> DispatchResult {
        let limit = PriceLimit { price: limit_price, allow_partial };
        Self::sell_stake(who, hotkey, netuid, amount_unstaked, Some(limit))
    }

    pub(crate) fn do_remove_stake_full_limit(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        limit_price: Option<TaoBalance>,
    ) -> DispatchResult {
        let stake = Self::stake_of(hotkey, who, netuid);
        match limit_price {
            Some(limit_price) => {
                Self::do_remove_stake_limit(who, hotkey, netuid, stake, limit_price, false)
            }
            None => Self::do_remove_stake(who, hotkey, netuid, stake),
        }
    }

    /// Sells all stake of a coldkey on a hotkey. Subnets where the sale fails are skipped.
    ///
    /// # Errors
    /// `HotKeyAccountNotExists`, `StakeUnavailable` if too much is locked on a subnet.
    pub(crate) fn do_unstake_all(who: &AccountId32, hotkey: &AccountId32) -> DispatchResult {
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        let netuids = Self::all_netuids();
        Self::ensure_all_unlocked(who, hotkey, &netuids)?;
        for netuid in netuids {
            Self::sell_all(who, hotkey, netuid)?;
        }
        Ok(())
    }

    /// Sells all alpha of a coldkey on a hotkey, and stakes the TAO on root.
    ///
    /// # Errors
    /// `HotKeyAccountNotExists`; `StakeUnavailable` if too much is locked on a subnet;
    /// `AmountTooLow` if nothing could be sold.
    pub(crate) fn do_unstake_all_alpha(who: &AccountId32, hotkey: &AccountId32) -> DispatchResult {
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        let mut total_received = TaoBalance::ZERO;
        let mut netuids = Self::all_netuids();
        netuids.retain(|netuid| *netuid != NetUid::ROOT);
        Self::ensure_all_unlocked(who, hotkey, &netuids)?;
        for netuid in netuids {
            total_received = total_received.saturating_add(Self::sell_all(who, hotkey, netuid)?);
        }
        Self::buy_into(hotkey, who, NetUid::ROOT, total_received, Fee::Charged)?;
        Ok(())
    }

    fn ensure_all_unlocked(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuids: &[NetUid],
    ) -> Result<(), Error<T>> {
        let mut stakes =
            netuids.iter().map(|netuid| (*netuid, Self::stake_of(hotkey, who, *netuid)));
        stakes.try_for_each(|(netuid, stake)| Self::ensure_unlocked(who, netuid, stake))
    }

    /// Sells all stake in one subnet if allowed; returns the TAO received.
    fn sell_all(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
    ) -> Result<TaoBalance, sp_runtime::DispatchError> {
        let stake = Self::stake_of(hotkey, who, netuid);
        let is_refused =
            || Self::validate_remove(who, hotkey, netuid, stake, stake, false).is_err();
        if !SubtokenEnabled::<T>::get(netuid) || is_refused() {
            return Ok(TaoBalance::ZERO);
        }
        let received = Self::sell_from(hotkey, who, netuid, stake, Fee::Charged)?;
        Self::clear_small_nomination(hotkey, who, netuid);
        Ok(received)
    }

    /// Sells stake, at or above an optional price limit.
    ///
    /// # Errors
    /// `InsufficientLiquidity` if `amount` exceeds 1 000 times the pool's alpha, and the errors of
    /// [`Self::max_sell_above_price`], [`Self::validate_remove`] and [`Self::sell_from`].
    fn sell_stake(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
        limit: Option<PriceLimit>,
    ) -> DispatchResult {
        ensure!(
            Self::is_tradable(netuid, amount.0, Self::pool_of(netuid).alpha.0),
            Error::<T>::InsufficientLiquidity
        );
        let (max, allow_partial) = match limit {
            Some(limit) => (Self::max_sell_above_price(netuid, limit.price)?, limit.allow_partial),
            None => (amount, false),
        };
        Self::validate_remove(coldkey, hotkey, netuid, amount, max, allow_partial)?;
        Self::sell_from(hotkey, coldkey, netuid, amount.min(max), Fee::Charged)?;
        Self::clear_small_nomination(hotkey, coldkey, netuid);
        Ok(())
    }

    /// Validates a sale, without writing.
    ///
    /// # Errors
    /// In this order: `SubnetNotExists`, `AmountTooLow` for 0, `NotEnoughStakeToWithdraw`,
    /// `InsufficientLiquidity`, `AmountTooLow` below the minimum unless all stake is sold,
    /// `SlippageTooHigh` (unless partial execution is allowed), `HotKeyAccountNotExists`,
    /// `StakeUnavailable` if too much is locked.
    fn validate_remove(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
        max: AlphaBalance,
        allow_partial: bool,
    ) -> Result<(), Error<T>> {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(amount != AlphaBalance::ZERO, Error::<T>::AmountTooLow);
        let stake = Self::stake_of(hotkey, coldkey, netuid);
        ensure!(amount <= stake, Error::<T>::NotEnoughStakeToWithdraw);
        let trade = Self::quote_sell(netuid, amount, Fee::Charged)
            .map_err(|_| Error::<T>::InsufficientLiquidity)?;
        ensure!(amount == stake || trade.received >= MIN_STAKE.0, Error::<T>::AmountTooLow);
        ensure!(allow_partial || amount <= max, Error::<T>::SlippageTooHigh);
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        Self::ensure_unlocked(coldkey, netuid, amount)?;
        Self::ensure_stake_beyond_collateral(coldkey, hotkey, netuid, amount)
    }

    /// Sets the minimum stake of a nominator. If it rises, sells all stakes below it, of the
    /// nominators of all hotkeys.
    pub(crate) fn set_nominator_min_required_stake(rao: u64) {
        let previous = NominatorMinRequiredStake::<T>::get();
        NominatorMinRequiredStake::<T>::put(rao);
        if rao <= previous {
            return;
        }
        // Collected first: sales remove entries.
        let stakes: Vec<_> = AlphaV2::<T>::iter_keys().collect();
        for (hotkey, coldkey, netuid) in stakes {
            Self::clear_small_nomination(&hotkey, &coldkey, netuid);
        }
    }

    /// Sells a nominator's remaining stake if it is below `NominatorMinRequiredStake`; stake that
    /// cannot be sold is removed.
    fn clear_small_nomination(hotkey: &AccountId32, coldkey: &AccountId32, netuid: NetUid) {
        let min_stake = TaoBalance(NominatorMinRequiredStake::<T>::get());
        let stake = Self::stake_of(hotkey, coldkey, netuid);
        if stake == AlphaBalance::ZERO
            || min_stake == TaoBalance::ZERO
            || Self::owns(coldkey, hotkey)
        {
            return;
        }
        if stake >= Self::alpha_for_tao(netuid, min_stake) {
            return;
        }
        if Self::sell_from(hotkey, coldkey, netuid, stake, Fee::Charged).is_err() {
            Self::on_root_stake_decrease(hotkey, coldkey, netuid, stake);
            Self::decrease_stake(hotkey, coldkey, netuid, stake);
        }
        Self::reduce_lock(coldkey, netuid, stake);
    }
}
