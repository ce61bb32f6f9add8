//! Staking: buys alpha for TAO and stakes it.

use frame_support::ensure;
use frame_support::traits::fungible::Inspect;
use frame_support::traits::tokens::{Fortitude, Preservation};
use sp_runtime::{AccountId32, DispatchError, DispatchResult};

use super::super::pool::Fee;
use super::super::{Config, Error, Pallet};
use super::{MIN_STAKE, PriceLimit};
use crate::swap;
use crate::types::{AlphaBalance, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_add_stake(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount_staked: TaoBalance,
    ) -> DispatchResult {
        Self::buy_stake(who, hotkey, netuid, amount_staked, None).map(|_| ())
    }

    pub(crate) fn do_add_stake_limit(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount_staked: TaoBalance,
        limit_price: TaoBalance,
        allow_partial: bool,
    ) -> DispatchResult {
        let limit = PriceLimit { price: limit_price, allow_partial };
        Self::buy_stake(who, hotkey, netuid, amount_staked, Some(limit)).map(|_| ())
    }

    /// Buys alpha of a subnet and stakes it on a hotkey.
    ///
    /// # Errors
    /// `InsufficientLiquidity` if `amount` exceeds 1 000 times the pool's TAO, and the errors of
    /// [`Self::max_buy_below_price`], `validate_add` and [`Self::buy_into`].
    pub(super) fn buy_stake(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: TaoBalance,
        limit: Option<PriceLimit>,
    ) -> Result<AlphaBalance, DispatchError> {
        ensure!(
            Self::is_tradable(netuid, amount.0, Self::pool_of(netuid).tao.0),
            Error::<T>::InsufficientLiquidity
        );
        let (max, allow_partial) = match limit {
            Some(limit) => (Self::max_buy_below_price(netuid, limit.price)?, limit.allow_partial),
            None => (amount, false),
        };
        Self::validate_add(coldkey, hotkey, netuid, amount, max, allow_partial)?;
        if limit.is_some() {
            Self::make_delegate(hotkey, coldkey);
        }
        Self::buy_into(hotkey, coldkey, netuid, amount.min(max), Fee::Charged)
    }

    /// Validates a purchase, without writing.
    ///
    /// # Errors
    /// In this order: `SubnetNotExists`, `SubtokenDisabled`, `AmountTooLow`, `SlippageTooHigh`
    /// (unless partial execution is allowed), `NotEnoughBalanceToStake`, `HotKeyAccountNotExists`,
    /// `InsufficientLiquidity`, `AmountTooLow` for the partial amount.
    pub(in crate::subtensor) fn validate_add(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: TaoBalance,
        max: TaoBalance,
        allow_partial: bool,
    ) -> Result<(), Error<T>> {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        Self::ensure_subtoken_enabled(netuid)?;
        let min_fee =
            if Self::has_pool(netuid) { swap::Pallet::<T>::fee(netuid, MIN_STAKE.0) } else { 0 };
        ensure!(amount >= MIN_STAKE.saturating_add(TaoBalance(min_fee)), Error::<T>::AmountTooLow);
        ensure!(allow_partial || amount <= max, Error::<T>::SlippageTooHigh);
        let amount = amount.min(max);
        let balance =
            T::Currency::reducible_balance(coldkey, Preservation::Preserve, Fortitude::Polite);
        ensure!(amount.0 <= balance, Error::<T>::NotEnoughBalanceToStake);
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        let trade = Self::quote_buy(netuid, amount, Fee::Charged)
            .map_err(|_| Error::<T>::InsufficientLiquidity)?;
        ensure!(trade.traded() >= MIN_STAKE.0, Error::<T>::AmountTooLow);
        ensure!(trade.received > 0, Error::<T>::InsufficientLiquidity);
        Ok(())
    }
}
