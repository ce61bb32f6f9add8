//! Baskets: funds that hold the dividends of the root stake on validators.
//!
//! The alpha that a validator's root stake earns is sold, and the TAO is staked on root, on the
//! validator, by the account of all baskets. Stakers own shares of the basket, all of equal value.
//! Every deposit raises the rate, the number of shares per rao of root stake; a staker owns rate ·
//! stake − `BasketClaimed` shares. When the stake changes, `BasketClaimed` is adjusted, so that the
//! number of shares is unchanged.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;
use sp_runtime::traits::AccountIdConversion;
use substrate_fixed::types::I96F32;

use super::pool::Fee;
use super::staking::MIN_STAKE;
use super::{
    BasketClaimed, BasketDepositedTao, BasketRate, BasketRedeemedTao, BasketShares, Config, Error,
    Event, PALLET_ID, Pallet, RootClaimableThreshold, StakingHotkeys, SubnetAlphaOut,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Maximum threshold of claims, in rao.
const MAX_THRESHOLD: u64 = 10_000_000;
/// The shares of a worthless basket count as rounding errors if their number is at most the
/// deposited rao divided by this constant.
const DUST_DIVISOR: u64 = 100;

impl<T: Config> Pallet<T> {
    /// Returns the account that holds the stake of all baskets. Nobody has its key.
    pub fn basket_account() -> AccountId32 {
        PALLET_ID.into_sub_account_truncating(b"beta/esc")
    }

    /// Returns the value of a validator's basket.
    pub fn basket_value(hotkey: &AccountId32) -> TaoBalance {
        TaoBalance(Self::stake_of(hotkey, &Self::basket_account(), NetUid::ROOT).0)
    }

    /// Returns the number of shares that a coldkey owns in a validator's basket.
    pub fn shares_of(hotkey: &AccountId32, coldkey: &AccountId32) -> u64 {
        let stake = I96F32::saturating_from_num(Self::stake_of(hotkey, coldkey, NetUid::ROOT).0);
        let earned = BasketRate::<T>::get(hotkey).saturating_mul(stake);
        let claimed = I96F32::saturating_from_num(BasketClaimed::<T>::get(hotkey, coldkey));
        let owned_shares: u64 =
            earned.saturating_sub(claimed).max(I96F32::default()).saturating_to_num();
        owned_shares.min(BasketShares::<T>::get(hotkey))
    }

    /// Returns the value of a number of shares of a validator's basket.
    pub fn value_of_shares(hotkey: &AccountId32, shares: u64) -> TaoBalance {
        let value = Self::basket_value(hotkey);
        TaoBalance(mul_div(value.0, shares, BasketShares::<T>::get(hotkey)).min(value.0))
    }

    /// Claims the shares of a coldkey in the baskets of all validators on which it stakes, and
    /// returns the number of baskets.
    pub(crate) fn do_claim_root(coldkey: AccountId32) -> u64 {
        let hotkeys = StakingHotkeys::<T>::get(&coldkey);
        Self::claim_baskets(coldkey, &hotkeys);
        hotkeys.len() as u64
    }

    /// Claims the shares of a coldkey in the basket of one validator.
    pub(crate) fn do_claim_root_with_hotkey(coldkey: AccountId32, hotkey: AccountId32) {
        Self::claim_baskets(coldkey, &[hotkey]);
    }

    fn claim_baskets(coldkey: AccountId32, hotkeys: &[AccountId32]) {
        let claims = hotkeys.iter().map(|hotkey| Self::claim_basket(hotkey, &coldkey));
        let tao = claims.fold(TaoBalance::ZERO, TaoBalance::saturating_add);
        Self::deposit_event(Event::RootClaimed { coldkey, tao });
    }

    /// Buys shares of a validator's basket for a coldkey.
    ///
    /// # Errors
    /// In this order: `HotKeyAccountNotExists`, `HotKeyNotRegisteredInSubNet` if it is not a member
    /// of root, `AmountTooLow`, `NotEnoughBalanceToStake`, and `AmountTooLow` if the amount buys no
    /// share.
    pub(crate) fn do_stake_into_basket(
        coldkey: &AccountId32,
        hotkey: &AccountId32,
        tao: TaoBalance,
    ) -> DispatchResult {
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        ensure!(
            Self::uid_of(NetUid::ROOT, hotkey).is_some(),
            Error::<T>::HotKeyNotRegisteredInSubNet
        );
        ensure!(tao >= MIN_STAKE, Error::<T>::AmountTooLow);
        ensure!(Self::can_pay(coldkey, tao), Error::<T>::NotEnoughBalanceToStake);
        let shares = Self::shares_for(hotkey, tao.0);
        ensure!(shares > 0, Error::<T>::AmountTooLow);
        Self::charge(coldkey, tao.0)?;
        Self::fill_basket(hotkey, tao, shares);
        let bought_shares = i128::from(shares);
        BasketClaimed::<T>::mutate(hotkey, coldkey, |claimed| {
            *claimed = claimed.saturating_sub(bought_shares);
        });
        Self::add_staking_hotkey(coldkey, hotkey);
        let (hotkey, coldkey) = (hotkey.clone(), coldkey.clone());
        Self::deposit_event(Event::BasketStakedIn { hotkey, coldkey, tao, value: tao, shares });
        Ok(())
    }

    /// Sets the minimum value of a claim, in rao. It is the same for all subnets, and stored for
    /// root.
    ///
    /// # Errors
    /// `InvalidRootClaimThreshold` above 10 000 000, and for other subnets than root.
    pub(crate) fn do_set_root_claim_threshold(netuid: NetUid, rao: u64) -> DispatchResult {
        ensure!(
            netuid == NetUid::ROOT && rao <= MAX_THRESHOLD,
            Error::<T>::InvalidRootClaimThreshold
        );
        RootClaimableThreshold::<T>::insert(netuid, I96F32::saturating_from_num(rao));
        Ok(())
    }

    /// Sells the alpha that the root stake on a validator has earned, and puts the TAO into the
    /// validator's basket. Alpha that cannot be sold, or for which no shares can be issued, is
    /// recycled.
    pub(super) fn fill_basket_with_dividends(
        hotkey: &AccountId32,
        netuid: NetUid,
        alpha: AlphaBalance,
    ) {
        if !Self::sell_into_basket(hotkey, netuid, alpha) {
            Self::recycle_issued(netuid, alpha);
        }
    }

    fn sell_into_basket(hotkey: &AccountId32, netuid: NetUid, alpha: AlphaBalance) -> bool {
        let Ok(trade) = Self::quote_sell(netuid, alpha, Fee::Waived) else { return false };
        // The basket's own stake has earned its part of the dividends: that part is deposited
        // without new shares.
        let (total_stake, basket_stake) =
            (Self::total_alpha(hotkey, NetUid::ROOT).0, Self::basket_value(hotkey).0);
        let staker_stake = total_stake.saturating_sub(basket_stake);
        let shares = Self::shares_for(hotkey, mul_div(trade.received, staker_stake, total_stake));
        let rate = I96F32::saturating_from_num(shares)
            .checked_div(I96F32::saturating_from_num(staker_stake));
        let Some(rate) = rate.filter(|rate| *rate > 0) else { return false };
        Self::settle_sell(netuid, &trade);
        let tao = TaoBalance(trade.received);
        Self::record_protocol_outflow(netuid, tao);
        Self::fill_basket(hotkey, tao, shares);
        BasketRate::<T>::mutate(hotkey, |sum| *sum = sum.saturating_add(rate));
        Self::deposit_event(Event::BasketDeposited { hotkey: hotkey.clone(), tao, shares });
        true
    }

    /// Returns the number of shares for a deposit, at the current value of a share. A worthless
    /// basket sells shares at one rao, unless existing shares exceed a rounding error.
    fn shares_for(hotkey: &AccountId32, rao: u64) -> u64 {
        let (value, shares) = (Self::basket_value(hotkey).0, BasketShares::<T>::get(hotkey));
        match (shares, value) {
            (0, _) => rao,
            (_, 0) if shares <= rao / DUST_DIVISOR => rao,
            _ => mul_div(rao, shares, value),
        }
    }

    /// Stakes TAO for a basket that has this number of shares.
    fn fill_basket(hotkey: &AccountId32, tao: TaoBalance, shares: u64) {
        let alpha = AlphaBalance(tao.0);
        Self::increase_stake(hotkey, &Self::basket_account(), NetUid::ROOT, alpha);
        Self::increase_pool_tao(NetUid::ROOT, tao);
        SubnetAlphaOut::<T>::mutate(NetUid::ROOT, |alpha_out| {
            *alpha_out = alpha_out.saturating_add(alpha);
        });
        BasketShares::<T>::mutate(hotkey, |sum| *sum = sum.saturating_add(shares));
        BasketDepositedTao::<T>::mutate(hotkey, |sum| *sum = sum.saturating_add(tao));
    }

    /// Converts the shares of a coldkey to root stake, unless they are worth less than the
    /// threshold. Returns their value.
    fn claim_basket(hotkey: &AccountId32, coldkey: &AccountId32) -> TaoBalance {
        let shares = Self::shares_of(hotkey, coldkey);
        let tao = Self::value_of_shares(hotkey, shares);
        let is_dust =
            I96F32::saturating_from_num(tao.0) < RootClaimableThreshold::<T>::get(NetUid::ROOT);
        if is_dust || tao == TaoBalance::ZERO {
            return TaoBalance::ZERO;
        }
        let alpha = AlphaBalance(tao.0);
        Self::decrease_stake(hotkey, &Self::basket_account(), NetUid::ROOT, alpha);
        Self::increase_stake(hotkey, coldkey, NetUid::ROOT, alpha);
        Self::on_root_stake_increase(hotkey, coldkey, NetUid::ROOT, alpha);
        let claimed = i128::from(shares);
        BasketClaimed::<T>::mutate(hotkey, coldkey, |sum| *sum = sum.saturating_add(claimed));
        BasketShares::<T>::mutate(hotkey, |sum| *sum = sum.saturating_sub(shares));
        BasketRedeemedTao::<T>::mutate(hotkey, |sum| *sum = sum.saturating_add(tao));
        let (hotkey, coldkey) = (hotkey.clone(), coldkey.clone());
        Self::deposit_event(Event::BasketClaimed { hotkey, coldkey, tao });
        tao
    }

    /// Raises `BasketClaimed` of a coldkey whose stake on `netuid` has grown, so that its number of
    /// shares is unchanged. Only root stake has shares.
    pub(super) fn on_root_stake_increase(
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        netuid: NetUid,
        increase: AlphaBalance,
    ) {
        Self::adjust_claimed(hotkey, coldkey, netuid, i128::from(increase.0));
    }

    /// Lowers `BasketClaimed` of a coldkey whose stake on `netuid` has shrunk, so that its number
    /// of shares is unchanged. Only root stake has shares.
    pub(super) fn on_root_stake_decrease(
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        netuid: NetUid,
        decrease: AlphaBalance,
    ) {
        Self::adjust_claimed(hotkey, coldkey, netuid, i128::from(decrease.0).saturating_neg());
    }

    fn adjust_claimed(hotkey: &AccountId32, coldkey: &AccountId32, netuid: NetUid, change: i128) {
        let rate = BasketRate::<T>::get(hotkey);
        if netuid == NetUid::ROOT && rate > 0 {
            let shares: i128 =
                rate.saturating_mul(I96F32::saturating_from_num(change)).saturating_to_num();
            BasketClaimed::<T>::mutate(hotkey, coldkey, |claimed| {
                *claimed = claimed.saturating_add(shares);
            });
        }
    }

    /// Moves the shares of a coldkey to its successor. Its root stake must be moved too.
    pub(super) fn swap_coldkey_of_basket(
        hotkey: &AccountId32,
        old: &AccountId32,
        new: &AccountId32,
    ) {
        let claimed = BasketClaimed::<T>::take(hotkey, old);
        if claimed != 0 {
            BasketClaimed::<T>::mutate(hotkey, new, |sum| *sum = sum.saturating_add(claimed));
        }
    }

    /// Moves the basket of a hotkey to its successor, which must have no basket. The root stake
    /// must be moved too.
    pub(super) fn swap_hotkey_of_basket(old: &AccountId32, new: &AccountId32) {
        if BasketShares::<T>::contains_key(old) {
            BasketShares::<T>::insert(new, BasketShares::<T>::take(old));
            BasketDepositedTao::<T>::insert(new, BasketDepositedTao::<T>::take(old));
        }
        if BasketRate::<T>::contains_key(old) {
            BasketRate::<T>::insert(new, BasketRate::<T>::take(old));
        }
        if BasketRedeemedTao::<T>::contains_key(old) {
            BasketRedeemedTao::<T>::insert(new, BasketRedeemedTao::<T>::take(old));
        }
        for (coldkey, claimed) in BasketClaimed::<T>::drain_prefix(old).collect::<Vec<_>>() {
            BasketClaimed::<T>::insert(new, &coldkey, claimed);
            Self::add_staking_hotkey(&coldkey, new);
        }
    }
}

/// Returns ⌊`amount` · `numerator` / `denominator`⌋, saturating; 0 if the denominator is 0.
fn mul_div(amount: u64, numerator: u64, denominator: u64) -> u64 {
    let product = u128::from(amount).saturating_mul(u128::from(numerator));
    product
        .checked_div(u128::from(denominator))
        .map_or(0, |share| u64::try_from(share).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
