//! The pool of a subnet: reserves, alpha price, and payments to and from accounts.

use frame_support::ensure;
use frame_support::traits::fungible::{Inspect, Mutate};
use frame_support::traits::tokens::{Fortitude, Precision, Preservation};
use sp_runtime::{AccountId32, DispatchResult};
use substrate_fixed::types::U64F64;

use super::{
    Config, Error, NetworksAdded, Pallet, SubnetAlphaIn, SubnetAlphaOut, SubnetMechanism,
    SubnetProtocolAlpha, SubnetTAO, SubnetVolume, TotalIssuance, TotalStake,
};
use crate::alpha_assets;
use crate::swap::{self, Pool, UNIT};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Maximum ratio of a trade's input to the pool's reserve of the same asset.
const MAX_TRADE_RATIO: u64 = 1_000;

/// A trade of TAO for alpha or of alpha for TAO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Input amount, including the fee.
    pub paid: u64,
    /// The fee, in units of the input.
    pub fee: u64,
    /// Output amount.
    pub received: u64,
}

impl Trade {
    /// Returns the input amount without the fee.
    pub const fn traded(&self) -> u64 {
        self.paid.saturating_sub(self.fee)
    }

    const fn without_conversion(amount: u64) -> Self {
        Self { paid: amount, fee: 0, received: amount }
    }

    const fn unfilled(paid: u64, fee: u64) -> Self {
        Self { paid, fee, received: 0 }
    }

    /// Computes the trade's output from a pool with these reserves.
    fn fill<T: swap::Config>(
        mut self,
        compute_output: impl FnOnce(u64) -> u64,
        input_reserve: u64,
        output_reserve: u64,
    ) -> Result<Self, swap::Error<T>> {
        ensure!(
            self.traded() <= input_reserve.saturating_mul(MAX_TRADE_RATIO),
            swap::Error::<T>::SwapInputTooLarge
        );
        ensure!(output_reserve >= swap::MIN_RESERVE, swap::Error::<T>::ReservesTooLow);
        if self.traded() > 0 {
            self.received = compute_output(self.traded());
            ensure!(self.received > 0, swap::Error::<T>::ReservesTooLow);
        }
        Ok(self)
    }
}

/// Whether a trade pays the pool's fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fee {
    /// The fee is charged.
    Charged,
    /// The fee is not charged: it was charged elsewhere, or none is due.
    Waived,
}

impl Fee {
    fn amount_on<T: swap::Config>(self, netuid: NetUid, amount: u64) -> u64 {
        match self {
            Self::Charged => swap::Pallet::<T>::fee(netuid, amount),
            Self::Waived => 0,
        }
    }
}

/// Converts a price of one alpha from rao to TAO.
fn price_in_tao(price: TaoBalance) -> U64F64 {
    U64F64::from_num(price.0).checked_div(U64F64::from_num(UNIT)).unwrap_or_default()
}

impl<T: Config> swap::Subnets for Pallet<T> {
    fn exists(netuid: NetUid) -> bool {
        NetworksAdded::<T>::get(netuid)
    }
}

impl<T: Config> Pallet<T> {
    /// Returns the price of one alpha in TAO: 1 on root and on subnets without a pool, 0 if the
    /// pool is empty.
    pub fn alpha_price(netuid: NetUid) -> U64F64 {
        if Self::has_pool(netuid) { Self::pool_of(netuid).price() } else { U64F64::from_num(1) }
    }

    /// Returns the alpha that `tao` is worth at the current price, without slippage; 0 if the pool
    /// is empty.
    pub fn alpha_for_tao(netuid: NetUid, tao: TaoBalance) -> AlphaBalance {
        let alpha = U64F64::from_num(tao.0).checked_div(Self::alpha_price(netuid));
        AlphaBalance(alpha.map_or(0, U64F64::saturating_to_num))
    }

    /// Fills the pool of a new subnet. The caller must already have charged an account for the TAO;
    /// see [`Self::charge`].
    pub fn init_pool(netuid: NetUid, tao: TaoBalance, alpha: AlphaBalance) {
        SubnetTAO::<T>::insert(netuid, tao);
        SubnetAlphaIn::<T>::insert(netuid, alpha);
        SubnetAlphaOut::<T>::insert(netuid, AlphaBalance::ZERO);
        alpha_assets::Pallet::<T>::issue(netuid, alpha);
        swap::SwapBalancer::<T>::remove(netuid);
        swap::PalSwapInitialized::<T>::insert(netuid, true);
        TotalStake::<T>::mutate(|total| *total = total.saturating_add(tao));
    }

    /// Removes what the swap and alpha pallets store about a dissolved subnet.
    pub(super) fn remove_pool(netuid: NetUid) {
        alpha_assets::Pallet::<T>::remove_subnet(netuid);
        swap::FeeRate::<T>::remove(netuid);
        swap::SwapBalancer::<T>::remove(netuid);
        swap::PalSwapInitialized::<T>::remove(netuid);
    }

    /// Quotes a purchase of alpha for `tao`, fee included.
    ///
    /// # Errors
    /// `ReservesTooLow` if the pool's alpha is below the minimum, or `tao` buys none;
    /// `SwapInputTooLarge` beyond 1 000 times the pool's TAO.
    pub fn quote_buy(netuid: NetUid, tao: TaoBalance, fee: Fee) -> Result<Trade, swap::Error<T>> {
        if !Self::has_pool(netuid) {
            return Ok(Trade::without_conversion(tao.0));
        }
        let pool = Self::pool_of(netuid);
        let trade = Trade::unfilled(tao.0, fee.amount_on::<T>(netuid, tao.0));
        trade.fill(|traded| pool.buy(TaoBalance(traded)).0, pool.tao.0, pool.alpha.0)
    }

    /// Quotes a sale of `alpha`, fee included.
    ///
    /// # Errors
    /// Same as [`Self::quote_buy`], with both sides exchanged.
    pub fn quote_sell(
        netuid: NetUid,
        alpha: AlphaBalance,
        fee: Fee,
    ) -> Result<Trade, swap::Error<T>> {
        if !Self::has_pool(netuid) {
            return Ok(Trade::without_conversion(alpha.0));
        }
        let pool = Self::pool_of(netuid);
        let trade = Trade::unfilled(alpha.0, fee.amount_on::<T>(netuid, alpha.0));
        trade.fill(|traded| pool.sell(AlphaBalance(traded)).0, pool.alpha.0, pool.tao.0)
    }

    /// Whether `amount` is within the maximum trade of a pool with this reserve.
    pub(super) fn is_tradable(netuid: NetUid, amount: u64, reserve: u64) -> bool {
        !Self::has_pool(netuid) || amount <= reserve.saturating_mul(MAX_TRADE_RATIO)
    }

    /// Returns the maximum TAO that can be spent, fee included, until one alpha costs `limit` rao.
    ///
    /// # Errors
    /// `ReservesTooLow`; `PriceLimitExceeded` if the price is already at or above the limit.
    pub(super) fn max_buy_below_price(
        netuid: NetUid,
        limit: TaoBalance,
    ) -> Result<TaoBalance, swap::Error<T>> {
        if !Self::has_pool(netuid) {
            return Ok(TaoBalance(if limit.0 >= UNIT { u64::MAX } else { 0 }));
        }
        let pool = Self::pool_of(netuid);
        ensure!(pool.alpha.0 >= swap::MIN_RESERVE, swap::Error::<T>::ReservesTooLow);
        ensure!(pool.price() < price_in_tao(limit), swap::Error::<T>::PriceLimitExceeded);
        let traded = pool.tao_to_reach(limit);
        ensure!(traded.0 == 0 || pool.buy(traded).0 > 0, swap::Error::<T>::ReservesTooLow);
        let max_input = pool.tao.0.saturating_mul(MAX_TRADE_RATIO);
        Ok(TaoBalance(swap::Pallet::<T>::input_with_fee(netuid, traded.0).min(max_input)))
    }

    /// Returns the maximum alpha that can be sold, fee included, until one alpha costs `limit` rao.
    ///
    /// # Errors
    /// `ReservesTooLow`; `PriceLimitExceeded` if the price is already at or below the limit.
    pub(super) fn max_sell_above_price(
        netuid: NetUid,
        limit: TaoBalance,
    ) -> Result<AlphaBalance, swap::Error<T>> {
        if !Self::has_pool(netuid) {
            return Ok(AlphaBalance(if limit.0 <= UNIT { u64::MAX } else { 0 }));
        }
        let pool = Self::pool_of(netuid);
        ensure!(pool.tao.0 >= swap::MIN_RESERVE, swap::Error::<T>::ReservesTooLow);
        ensure!(pool.price() > price_in_tao(limit), swap::Error::<T>::PriceLimitExceeded);
        let traded = pool.alpha_to_reach(limit);
        ensure!(traded.0 == 0 || pool.sell(traded).0 > 0, swap::Error::<T>::ReservesTooLow);
        let max_input = pool.alpha.0.saturating_mul(MAX_TRADE_RATIO);
        Ok(AlphaBalance(swap::Pallet::<T>::input_with_fee(netuid, traded.0).min(max_input)))
    }

    /// Buys alpha from the pool of a subnet without a fee. The alpha stays issued, but nobody can
    /// stake or sell it. Returns the TAO that entered the pool: none if the pool refuses the trade.
    pub(super) fn buy_for_protocol(netuid: NetUid, tao: TaoBalance) -> TaoBalance {
        let Ok(trade) = Self::quote_buy(netuid, tao, Fee::Waived) else { return TaoBalance::ZERO };
        Self::settle_buy(netuid, &trade);
        SubnetProtocolAlpha::<T>::mutate(netuid, |alpha| {
            *alpha = alpha.saturating_add(AlphaBalance(trade.received));
        });
        tao
    }

    /// Moves TAO into and alpha out of the pool; the fee does not enter the pool.
    pub(super) fn settle_buy(netuid: NetUid, trade: &Trade) {
        Self::increase_pool_tao(netuid, TaoBalance(trade.traded()));
        let bought = AlphaBalance(trade.received);
        if Self::has_pool(netuid) {
            SubnetAlphaIn::<T>::mutate(netuid, |alpha| *alpha = alpha.saturating_sub(bought));
        }
        SubnetAlphaOut::<T>::mutate(netuid, |alpha| *alpha = alpha.saturating_add(bought));
        SubnetVolume::<T>::mutate(netuid, |volume| {
            *volume = volume.saturating_add(trade.paid.into());
        });
    }

    /// Moves alpha into and TAO out of the pool; the fee does not enter the pool.
    pub(super) fn settle_sell(netuid: NetUid, trade: &Trade) {
        let sold = AlphaBalance(trade.traded());
        if Self::has_pool(netuid) {
            SubnetAlphaIn::<T>::mutate(netuid, |alpha| *alpha = alpha.saturating_add(sold));
        }
        SubnetAlphaOut::<T>::mutate(netuid, |alpha| *alpha = alpha.saturating_sub(sold));
        Self::decrease_pool_tao(netuid, TaoBalance(trade.received));
        SubnetVolume::<T>::mutate(netuid, |volume| {
            *volume = volume.saturating_add(trade.received.into());
        });
    }

    /// Charges an account, which must keep the existential deposit.
    ///
    /// # Errors
    /// `NotEnoughBalanceToStake` if the balance is too low.
    pub fn charge(coldkey: &AccountId32, rao: u64) -> DispatchResult {
        let available =
            T::Currency::reducible_balance(coldkey, Preservation::Preserve, Fortitude::Polite);
        ensure!(rao <= available, Error::<T>::NotEnoughBalanceToStake);
        T::Currency::burn_from(
            coldkey,
            rao,
            Preservation::Preserve,
            Precision::Exact,
            Fortitude::Polite,
        )
        .map_err(|_| Error::<T>::NotEnoughBalanceToStake)?;
        Ok(())
    }

    /// Charges an account, which must keep the existential deposit, and removes the TAO from the
    /// total issuance.
    ///
    /// # Errors
    /// `NotEnoughBalanceToStake` if the balance is too low.
    pub(super) fn recycle_tao(coldkey: &AccountId32, tao: TaoBalance) -> DispatchResult {
        Self::charge(coldkey, tao.0)?;
        TotalIssuance::<T>::mutate(|total| *total = total.saturating_sub(tao));
        Ok(())
    }

    /// Credits TAO to an account. An amount too small to open an account is lost.
    pub fn credit(coldkey: &AccountId32, rao: u64) {
        if T::Currency::mint_into(coldkey, rao).is_err() {
            TotalIssuance::<T>::mutate(|total| *total = total.saturating_sub(TaoBalance(rao)));
        }
    }

    /// Sets the total issuance to the TAO on accounts and in pools. Called at the end of genesis.
    pub fn recompute_total_issuance() {
        let account_balances = TaoBalance(T::Currency::total_issuance());
        TotalIssuance::<T>::put(account_balances.saturating_add(TotalStake::<T>::get()));
    }

    /// Whether a subnet's alpha is traded in a pool; otherwise one alpha is worth one TAO.
    pub fn has_pool(netuid: NetUid) -> bool {
        netuid != NetUid::ROOT && SubnetMechanism::<T>::get(netuid) == 1
    }

    /// Returns the current pool of a subnet.
    pub fn pool_of(netuid: NetUid) -> Pool {
        Pool {
            tao: SubnetTAO::<T>::get(netuid),
            alpha: SubnetAlphaIn::<T>::get(netuid),
            quote: swap::SwapBalancer::<T>::get(netuid).quote,
        }
    }

    pub(super) fn increase_pool_tao(netuid: NetUid, tao: TaoBalance) {
        SubnetTAO::<T>::mutate(netuid, |pool_tao| *pool_tao = pool_tao.saturating_add(tao));
        TotalStake::<T>::mutate(|total| *total = total.saturating_add(tao));
    }

    pub(super) fn decrease_pool_tao(netuid: NetUid, tao: TaoBalance) {
        SubnetTAO::<T>::mutate(netuid, |pool_tao| *pool_tao = pool_tao.saturating_sub(tao));
        TotalStake::<T>::mutate(|total| *total = total.saturating_sub(tao));
    }
}
