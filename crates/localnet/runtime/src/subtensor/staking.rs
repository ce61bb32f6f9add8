//! Stake: buying, selling, moving, recycling and burning alpha.
//!
//! Checks run in the order of the real chain (its published source, spec version 425), because
//! clients show the first error. [`add`] buys, [`remove`] sells, [`transition`] moves, [`destroy`]
//! recycles and burns alpha; all of them use [`Pallet::buy_into`] and [`Pallet::sell_from`] of this
//! module.

mod add;
mod destroy;
mod remove;
#[cfg(test)]
mod tests;
mod transition;

use frame_support::ensure;
use frame_support::traits::Get;
use frame_support::traits::fungible::Inspect;
use frame_support::traits::tokens::{Fortitude, Preservation};
use sp_runtime::{AccountId32, DispatchError};

use super::pool::Fee;
use super::{
    Config, Delegates, Error, Event, LastColdkeyHotkeyStakeBlock, Pallet, SubtokenEnabled,
    TotalIssuance,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Minimum value of a purchase of stake, of a sale unless all stake is sold, and of a move to
/// another subnet.
pub(super) const MIN_STAKE: TaoBalance = TaoBalance(2_000_000);

/// Price limit of a trade.
#[derive(Clone, Copy, Debug)]
pub(super) struct PriceLimit {
    /// Price of one alpha in rao; between two subnets, the ratio of their prices in parts of 10⁹.
    price: TaoBalance,
    /// Whether partial execution is allowed.
    allow_partial: bool,
}

impl<T: Config> Pallet<T> {
    /// Buys alpha for `tao` of a coldkey's balance and stakes it. The account keeps the existential
    /// deposit, even if `tao` is its complete balance.
    ///
    /// # Errors
    /// `NotEnoughBalanceToStake` when the coldkey can spend nothing, `AmountTooLow` when `tao` buys
    /// no alpha, and the errors of [`Self::quote_buy`].
    pub(super) fn buy_into(
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        netuid: NetUid,
        tao: TaoBalance,
        fee: Fee,
    ) -> Result<AlphaBalance, DispatchError> {
        let spendable =
            T::Currency::reducible_balance(coldkey, Preservation::Preserve, Fortitude::Polite);
        ensure!(tao == TaoBalance::ZERO || spendable > 0, Error::<T>::NotEnoughBalanceToStake);
        let tao = tao.min(TaoBalance(spendable));
        let trade = Self::quote_buy(netuid, tao, fee)?;
        ensure!(trade.received > 0, Error::<T>::AmountTooLow);
        Self::charge(coldkey, trade.paid)?;
        Self::settle_buy(netuid, &trade);
        Self::record_tao_inflow(netuid, TaoBalance(trade.traded()));
        Self::pay_author(trade.fee);
        let bought = AlphaBalance(trade.received);
        Self::increase_stake(hotkey, coldkey, netuid, bought);
        Self::on_root_stake_increase(hotkey, coldkey, netuid, bought);
        Self::on_stake_increase(hotkey);
        LastColdkeyHotkeyStakeBlock::<T>::insert(coldkey, hotkey, Self::current_block());
        let (coldkey, hotkey) = (coldkey.clone(), hotkey.clone());
        Self::deposit_event(Event::StakeAdded(coldkey, hotkey, tao, bought, netuid, trade.fee));
        Ok(bought)
    }

    /// Sells staked alpha. The coldkey receives the TAO, and the block's author receives the fee,
    /// which is also sold for TAO.
    ///
    /// # Errors
    /// The errors of [`Self::quote_sell`], for the alpha or for the fee.
    fn sell_from(
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        netuid: NetUid,
        alpha: AlphaBalance,
        fee: Fee,
    ) -> Result<TaoBalance, DispatchError> {
        Self::sell_for(coldkey, hotkey, coldkey, netuid, alpha, fee)
    }

    /// Same as [`Self::sell_from`]; `beneficiary` receives the TAO.
    pub(crate) fn sell_for(
        beneficiary: &AccountId32,
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        netuid: NetUid,
        alpha: AlphaBalance,
        fee: Fee,
    ) -> Result<TaoBalance, DispatchError> {
        let trade = Self::quote_sell(netuid, alpha, fee)?;
        Self::on_root_stake_decrease(hotkey, coldkey, netuid, alpha);
        Self::decrease_stake(hotkey, coldkey, netuid, alpha);
        Self::on_stake_decrease(hotkey);
        Self::settle_sell(netuid, &trade);
        Self::record_tao_outflow(netuid, TaoBalance(trade.received));
        Self::credit(beneficiary, trade.received);
        // Without an author, the fee's alpha stays issued without an owner.
        if let Some(author) = T::Author::get().filter(|_| trade.fee > 0) {
            let author_fee = Self::quote_sell(netuid, AlphaBalance(trade.fee), Fee::Waived)?;
            Self::settle_sell(netuid, &author_fee);
            Self::record_tao_outflow(netuid, TaoBalance(author_fee.received));
            Self::credit(&author, author_fee.received);
        }
        LastColdkeyHotkeyStakeBlock::<T>::insert(coldkey, hotkey, Self::current_block());
        let (received, sold) = (TaoBalance(trade.received), AlphaBalance(trade.traded()));
        let (coldkey, hotkey) = (coldkey.clone(), hotkey.clone());
        Self::deposit_event(Event::StakeRemoved(
            coldkey, hotkey, received, sold, netuid, trade.fee,
        ));
        Ok(received)
    }

    /// Pays TAO to the author of the block; without an author it is lost.
    pub(super) fn pay_author(rao: u64) {
        match T::Author::get() {
            _ if rao == 0 => {}
            Some(author) => Self::credit(&author, rao),
            None => {
                TotalIssuance::<T>::mutate(|total| *total = total.saturating_sub(TaoBalance(rao)));
            }
        }
    }

    pub(super) fn ensure_subtoken_enabled(netuid: NetUid) -> Result<(), Error<T>> {
        ensure!(SubtokenEnabled::<T>::get(netuid), Error::<T>::SubtokenDisabled);
        Ok(())
    }

    /// Makes a hotkey with nominators a delegate, with its current take.
    fn make_delegate(hotkey: &AccountId32, staker: &AccountId32) {
        if !Self::owns(staker, hotkey) && !Delegates::<T>::contains_key(hotkey) {
            Delegates::<T>::insert(hotkey, Delegates::<T>::get(hotkey));
        }
    }
}
