//! Buying and selling alpha.

use frame_support::ensure;
use frame_support::traits::Get;
use frame_support::traits::fungible::Inspect;
use frame_support::traits::tokens::{Fortitude, Preservation};
use sp_runtime::{AccountId32, DispatchResult};

use super::{Config, Error, Event, LastColdkeyHotkeyStakeBlock, NetworksAdded, Pallet, SubtokenEnabled, TotalIssuance};
use crate::swap::{self, UNIT};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// The least TAO that is staked at once, or unstaked while some stake remains.
const MIN_STAKE: TaoBalance = TaoBalance(2_000_000);

/// A bound on the price of a trade, in rao for one alpha.
struct PriceLimit {
    price: TaoBalance,
    allow_partial: bool,
}

impl<T: Config> Pallet<T> {
    pub(crate) fn do_add_stake(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount_staked: TaoBalance,
    ) -> DispatchResult {
        Self::buy_stake(who, hotkey, netuid, amount_staked, None)
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
        Self::buy_stake(who, hotkey, netuid, amount_staked, Some(limit))
    }

    pub(crate) fn do_remove_stake(
        who: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount_unstaked: AlphaBalance,
    ) -> DispatchResult {
        Self::sell_stake(who, hotkey, netuid, amount_unstaked, None)
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

    fn buy_stake(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        mut amount: TaoBalance,
        limit: Option<PriceLimit>,
    ) -> DispatchResult {
        ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
        ensure!(SubtokenEnabled::<T>::get(netuid), Error::<T>::SubtokenDisabled);
        let least_fee = if Self::has_pool(netuid) { swap::Pallet::<T>::fee(netuid, MIN_STAKE.0) } else { 0 };
        ensure!(amount >= MIN_STAKE.saturating_add(TaoBalance(least_fee)), Error::<T>::AmountTooLow);
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        let balance = T::Currency::reducible_balance(coldkey, Preservation::Preserve, Fortitude::Polite);
        ensure!(amount.0 <= balance, Error::<T>::NotEnoughBalanceToStake);
        if let Some(limit) = limit {
            amount = TaoBalance(limit.apply::<T>(amount.0, Self::most_bought_below(netuid, limit.price).0)?);
        }
        let trade = Self::quote_buy(netuid, amount).ok_or(Error::<T>::InsufficientLiquidity)?;

        Self::charge(coldkey, trade.paid)?;
        Self::settle_buy(netuid, &trade);
        Self::pay_author(trade.fee);
        let bought = AlphaBalance(trade.received);
        Self::increase_stake(hotkey, coldkey, netuid, bought);
        LastColdkeyHotkeyStakeBlock::<T>::insert(coldkey, hotkey, Self::current_block());
        let (coldkey, hotkey) = (coldkey.clone(), hotkey.clone());
        Self::deposit_event(Event::StakeAdded(coldkey, hotkey, amount, bought, netuid, trade.fee));
        Ok(())
    }

    fn sell_stake(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        mut amount: AlphaBalance,
        limit: Option<PriceLimit>,
    ) -> DispatchResult {
        ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetNotExists);
        ensure!(amount != AlphaBalance::ZERO, Error::<T>::AmountTooLow);
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        let stake = Self::stake_of(hotkey, coldkey, netuid);
        ensure!(amount <= stake, Error::<T>::NotEnoughStakeToWithdraw);
        if let Some(limit) = limit {
            amount = AlphaBalance(limit.apply::<T>(amount.0, Self::most_sold_above(netuid, limit.price).0)?);
        }
        let trade = Self::quote_sell(netuid, amount).ok_or(Error::<T>::InsufficientLiquidity)?;
        ensure!(amount == stake || trade.received >= MIN_STAKE.0, Error::<T>::AmountTooLow);

        Self::decrease_stake(hotkey, coldkey, netuid, amount);
        Self::settle_sell(netuid, &trade);
        Self::credit(coldkey, trade.received);
        Self::stake_for_author(netuid, AlphaBalance(trade.fee));
        let (coldkey, hotkey) = (coldkey.clone(), hotkey.clone());
        let received = TaoBalance(trade.received);
        Self::deposit_event(Event::StakeRemoved(coldkey, hotkey, received, amount, netuid, trade.fee));
        Ok(())
    }

    /// TAO that can be spent, its fee included, until one alpha costs `limit` rao.
    fn most_bought_below(netuid: NetUid, limit: TaoBalance) -> TaoBalance {
        if Self::has_pool(netuid) {
            let traded = Self::pool_of(netuid).tao_until(limit).0;
            TaoBalance(swap::Pallet::<T>::with_fee(netuid, traded))
        } else {
            TaoBalance(if limit.0 >= UNIT { u64::MAX } else { 0 })
        }
    }

    /// Alpha that can be sold, its fee included, until one alpha brings `limit` rao.
    fn most_sold_above(netuid: NetUid, limit: TaoBalance) -> AlphaBalance {
        if Self::has_pool(netuid) {
            let traded = Self::pool_of(netuid).alpha_until(limit).0;
            AlphaBalance(swap::Pallet::<T>::with_fee(netuid, traded))
        } else {
            AlphaBalance(if limit.0 <= UNIT { u64::MAX } else { 0 })
        }
    }

    /// Gives TAO to whoever makes the block; without an author it is gone.
    fn pay_author(rao: u64) {
        match T::Author::get() {
            _ if rao == 0 => {}
            Some(author) => Self::credit(&author, rao),
            None => TotalIssuance::<T>::mutate(|total| *total = total.saturating_sub(TaoBalance(rao))),
        }
    }

    /// Stakes alpha of whoever makes the block on its own key; without an author it belongs to nobody.
    fn stake_for_author(netuid: NetUid, alpha: AlphaBalance) {
        if alpha == AlphaBalance::ZERO {
            return;
        }
        if let Some(author) = T::Author::get() {
            // Where another coldkey owns the author's key as a hotkey, the stake on it is the author's all the same.
            let _ = Self::own_hotkey(&author, &author);
            Self::increase_stake(&author, &author, netuid, alpha);
        }
    }
}

impl PriceLimit {
    /// The part of `amount` that may be traded when `most` may.
    fn apply<T: Config>(&self, amount: u64, most: u64) -> Result<u64, Error<T>> {
        ensure!(most > 0 && (self.allow_partial || amount <= most), Error::<T>::SlippageTooHigh);
        Ok(amount.min(most))
    }
}

#[cfg(test)]
mod tests;
