//! Moves of stake to another hotkey, coldkey or subnet.

use frame_support::ensure;
use frame_support::traits::fungible::Mutate;
use frame_support::traits::tokens::Preservation;
use sp_runtime::{AccountId32, DispatchError, DispatchResult};
use substrate_fixed::types::U64F64;

use super::super::pool::Fee;
use super::super::{Config, Error, Event, LastColdkeyHotkeyStakeBlock, Pallet, TransferToggle};
use super::{MIN_STAKE, PriceLimit};
use crate::swap::UNIT;
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Minimum value of stake that is transferred to another coldkey, or moved within a subnet.
const MIN_TRANSFER: TaoBalance = TaoBalance(100_000);

/// Location of a stake: coldkey, hotkey and subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StakePosition<'a> {
    coldkey: &'a AccountId32,
    hotkey: &'a AccountId32,
    netuid: NetUid,
}

/// A move of stake.
struct Transition<'a> {
    from: StakePosition<'a>,
    to: StakePosition<'a>,
    limit: Option<PriceLimit>,
    /// Whether the subnets must allow transfers.
    is_transfer: bool,
}

impl Transition<'_> {
    /// Returns the minimum value of the stake if it changes its subnet.
    const fn min_value(&self) -> TaoBalance {
        if self.is_transfer { MIN_TRANSFER } else { MIN_STAKE }
    }
}

impl<T: Config> Pallet<T> {
    pub(crate) fn do_move_stake(
        who: &AccountId32,
        origin_hotkey: &AccountId32,
        destination_hotkey: &AccountId32,
        origin_netuid: NetUid,
        destination_netuid: NetUid,
        alpha_amount: AlphaBalance,
    ) -> DispatchResult {
        let from = StakePosition { coldkey: who, hotkey: origin_hotkey, netuid: origin_netuid };
        let to =
            StakePosition { coldkey: who, hotkey: destination_hotkey, netuid: destination_netuid };
        Self::move_stake_between(from, to, None, alpha_amount)
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn do_move_stake_limit(
        who: &AccountId32,
        origin_hotkey: &AccountId32,
        destination_hotkey: &AccountId32,
        origin_netuid: NetUid,
        destination_netuid: NetUid,
        alpha_amount: AlphaBalance,
        limit_price: TaoBalance,
        allow_partial: bool,
    ) -> DispatchResult {
        let from = StakePosition { coldkey: who, hotkey: origin_hotkey, netuid: origin_netuid };
        let to =
            StakePosition { coldkey: who, hotkey: destination_hotkey, netuid: destination_netuid };
        Self::move_stake_between(
            from,
            to,
            Some(PriceLimit { price: limit_price, allow_partial }),
            alpha_amount,
        )
    }

    fn move_stake_between(
        from: StakePosition<'_>,
        to: StakePosition<'_>,
        limit: Option<PriceLimit>,
        amount: AlphaBalance,
    ) -> DispatchResult {
        let moved_value =
            Self::apply_transition(&Transition { from, to, limit, is_transfer: false }, amount)?;
        let (coldkey, origin_hotkey, destination_hotkey) =
            (from.coldkey.clone(), from.hotkey.clone(), to.hotkey.clone());
        Self::deposit_event(Event::StakeMoved(
            coldkey,
            origin_hotkey,
            from.netuid,
            destination_hotkey,
            to.netuid,
            moved_value,
        ));
        Ok(())
    }

    pub(crate) fn do_swap_stake(
        who: &AccountId32,
        hotkey: &AccountId32,
        origin_netuid: NetUid,
        destination_netuid: NetUid,
        alpha_amount: AlphaBalance,
    ) -> DispatchResult {
        Self::swap_stake_between(
            who,
            hotkey,
            (origin_netuid, destination_netuid),
            None,
            alpha_amount,
        )
    }

    pub(crate) fn do_swap_stake_limit(
        who: &AccountId32,
        hotkey: &AccountId32,
        origin_netuid: NetUid,
        destination_netuid: NetUid,
        alpha_amount: AlphaBalance,
        limit_price: TaoBalance,
        allow_partial: bool,
    ) -> DispatchResult {
        let limit = PriceLimit { price: limit_price, allow_partial };
        Self::swap_stake_between(
            who,
            hotkey,
            (origin_netuid, destination_netuid),
            Some(limit),
            alpha_amount,
        )
    }

    fn swap_stake_between(
        who: &AccountId32,
        hotkey: &AccountId32,
        (origin_netuid, destination_netuid): (NetUid, NetUid),
        limit: Option<PriceLimit>,
        amount: AlphaBalance,
    ) -> DispatchResult {
        let transition = Transition {
            from: StakePosition { coldkey: who, hotkey, netuid: origin_netuid },
            to: StakePosition { coldkey: who, hotkey, netuid: destination_netuid },
            limit,
            is_transfer: false,
        };
        let moved_value = Self::apply_transition(&transition, amount)?;
        Self::deposit_event(Event::StakeSwapped(
            who.clone(),
            hotkey.clone(),
            origin_netuid,
            destination_netuid,
            moved_value,
        ));
        Ok(())
    }

    pub(crate) fn do_transfer_stake(
        who: &AccountId32,
        destination_coldkey: &AccountId32,
        hotkey: &AccountId32,
        origin_netuid: NetUid,
        destination_netuid: NetUid,
        alpha_amount: AlphaBalance,
    ) -> DispatchResult {
        let from = StakePosition { coldkey: who, hotkey, netuid: origin_netuid };
        let to = StakePosition { coldkey: destination_coldkey, hotkey, netuid: destination_netuid };
        let moved_value = Self::apply_transition(
            &Transition { from, to, limit: None, is_transfer: true },
            alpha_amount,
        )?;
        let (origin_coldkey, destination_coldkey) = (who.clone(), destination_coldkey.clone());
        let (origin, destination) = (origin_netuid, destination_netuid);
        Self::deposit_event(Event::StakeTransferred(
            origin_coldkey,
            destination_coldkey,
            hotkey.clone(),
            origin,
            destination,
            moved_value,
        ));
        Ok(())
    }

    pub(crate) fn do_transfer_stake_and_hotkey(
        who: &AccountId32,
        destination_coldkey: &AccountId32,
        origin_hotkey: &AccountId32,
        destination_hotkey: &AccountId32,
        origin_netuid: NetUid,
        destination_netuid: NetUid,
        alpha_amount: AlphaBalance,
    ) -> DispatchResult {
        let from = StakePosition { coldkey: who, hotkey: origin_hotkey, netuid: origin_netuid };
        let to = StakePosition {
            coldkey: destination_coldkey,
            hotkey: destination_hotkey,
            netuid: destination_netuid,
        };
        let amount = Self::apply_transition(
            &Transition { from, to, limit: None, is_transfer: true },
            alpha_amount,
        )?;
        Self::deposit_event(Event::StakeAndHotkeyTransferred {
            origin_coldkey: who.clone(),
            destination_coldkey: destination_coldkey.clone(),
            origin_hotkey: origin_hotkey.clone(),
            destination_hotkey: destination_hotkey.clone(),
            origin_netuid,
            destination_netuid,
            amount,
        });
        Ok(())
    }

    /// Moves stake, up to all of it. Returns the value of the moved stake in TAO.
    ///
    /// # Errors
    /// The errors of [`Self::max_moved_above_price_ratio`], of [`Self::validate_transition`] and of
    /// the trades.
    fn apply_transition(
        transition: &Transition<'_>,
        amount: AlphaBalance,
    ) -> Result<TaoBalance, DispatchError> {
        let Transition { from, to, limit, .. } = transition;
        let amount = amount.min(Self::stake_of(from.hotkey, from.coldkey, from.netuid));
        let max = match limit {
            Some(limit) if from.netuid != to.netuid => {
                Self::max_moved_above_price_ratio(from.netuid, to.netuid, limit.price)?
            }
            _ => amount,
        };
        Self::validate_transition(transition, amount, max)?;
        let amount = amount.min(max);
        if from.netuid == to.netuid {
            Self::move_within_subnet(*from, *to, amount)
        } else {
            Self::move_between_subnets(*from, *to, amount, transition.min_value())
        }
    }

    /// Sells the alpha of one subnet and buys that of the other. One of the two trades has no fee:
    /// the trade on root if there is one, otherwise the second trade. If the received TAO is less
    /// than `min_value`, it stays in the coldkey's balance.
    fn move_between_subnets(
        from: StakePosition<'_>,
        to: StakePosition<'_>,
        amount: AlphaBalance,
        min_value: TaoBalance,
    ) -> Result<TaoBalance, DispatchError> {
        let (sell_fee, buy_fee) = if from.netuid == NetUid::ROOT {
            (Fee::Waived, Fee::Charged)
        } else {
            (Fee::Charged, Fee::Waived)
        };
        let tao = Self::sell_from(from.hotkey, from.coldkey, from.netuid, amount, sell_fee)?;
        if from.coldkey != to.coldkey {
            T::Currency::transfer(from.coldkey, to.coldkey, tao.0, Preservation::Expendable)?;
        }
        if tao >= min_value {
            Self::make_delegate(to.hotkey, to.coldkey);
            Self::buy_into(to.hotkey, to.coldkey, to.netuid, tao, buy_fee)?;
        }
        Ok(tao)
    }

    /// Moves stake within one subnet, without a trade.
    ///
    /// # Errors
    /// `AmountTooLow` if the stake is worth less than `MIN_TRANSFER` at the current price, and the
    /// errors of [`Self::move_lock_with_stake`].
    fn move_within_subnet(
        from: StakePosition<'_>,
        to: StakePosition<'_>,
        amount: AlphaBalance,
    ) -> Result<TaoBalance, DispatchError> {
        let value = Self::alpha_price(from.netuid)
            .saturating_mul(U64F64::from_num(amount.0))
            .saturating_to_num();
        let value = TaoBalance(value);
        ensure!(value >= MIN_TRANSFER, Error::<T>::AmountTooLow);
        Self::move_lock_with_stake(from.coldkey, to.coldkey, from.netuid, amount)?;
        Self::on_root_stake_decrease(from.hotkey, from.coldkey, from.netuid, amount);
        Self::decrease_stake(from.hotkey, from.coldkey, from.netuid, amount);
        Self::on_stake_decrease(from.hotkey);
        Self::increase_stake(to.hotkey, to.coldkey, to.netuid, amount);
        Self::on_stake_increase(to.hotkey);
        Self::on_root_stake_increase(to.hotkey, to.coldkey, to.netuid, amount);
        LastColdkeyHotkeyStakeBlock::<T>::insert(to.coldkey, to.hotkey, Self::current_block());
        let netuid = from.netuid;
        let (coldkey, hotkey) = (from.coldkey.clone(), from.hotkey.clone());
        Self::deposit_event(Event::StakeRemoved(coldkey, hotkey, value, amount, netuid, 0));
        let (coldkey, hotkey) = (to.coldkey.clone(), to.hotkey.clone());
        Self::deposit_event(Event::StakeAdded(coldkey, hotkey, value, amount, netuid, 0));
        Ok(value)
    }

    /// Moves stake on a hotkey to another coldkey, without a call of its owner: at most the
    /// complete stake.
    ///
    /// # Errors
    /// The errors of [`Self::move_within_subnet`].
    pub(in crate::subtensor) fn reassign_stake(
        from: &AccountId32,
        to: &AccountId32,
        hotkey: &AccountId32,
        netuid: NetUid,
        amount: AlphaBalance,
    ) -> DispatchResult {
        let amount = amount.min(Self::stake_of(hotkey, from, netuid));
        let from = StakePosition { coldkey: from, hotkey, netuid };
        let to = StakePosition { coldkey: to, hotkey, netuid };
        Self::move_within_subnet(from, to, amount).map(|_| ())
    }

    /// Validates a move, without writing.
    ///
    /// # Errors
    /// In this order: `SameNetuid` if origin and destination are equal, `SubnetNotExists`,
    /// `SubtokenDisabled`, `HotKeyAccountNotExists`, `NotEnoughStakeToWithdraw`; between subnets
    /// `InsufficientLiquidity`, `AmountTooLow`, `SlippageTooHigh` (unless partial execution is
    /// allowed); for transfers `CannotUseSystemAccount` if they go to the account of the baskets,
    /// and `TransferDisallowed`; `StakeUnavailable` if too much is collateral or, between subnets,
    /// locked.
    fn validate_transition(
        transition: &Transition<'_>,
        amount: AlphaBalance,
        max: AlphaBalance,
    ) -> Result<(), Error<T>> {
        let Transition { from, to, limit, is_transfer } = transition;
        ensure!(from != to, Error::<T>::SameNetuid);
        let positions = [from, to];
        ensure!(
            positions.iter().all(|position| Self::subnet_exists(position.netuid)),
            Error::<T>::SubnetNotExists
        );
        for position in positions {
            Self::ensure_subtoken_enabled(position.netuid)?;
        }
        ensure!(
            positions.iter().all(|position| Self::hotkey_exists(position.hotkey)),
            Error::<T>::HotKeyAccountNotExists
        );
        let stake = Self::stake_of(from.hotkey, from.coldkey, from.netuid);
        ensure!(amount <= stake, Error::<T>::NotEnoughStakeToWithdraw);
        if from.netuid != to.netuid {
            let trade = Self::quote_sell(from.netuid, amount, Fee::Charged);
            let sale_value = trade.map_err(|_| Error::<T>::InsufficientLiquidity)?.received;
            ensure!(sale_value > transition.min_value().0, Error::<T>::AmountTooLow);
            ensure!(
                limit.is_none_or(|limit| limit.allow_partial) || amount <= max,
                Error::<T>::SlippageTooHigh
            );
        }
        if *is_transfer {
            ensure!(*to.coldkey != Self::basket_account(), Error::<T>::CannotUseSystemAccount);
            ensure!(
                positions.iter().all(|position| TransferToggle::<T>::get(position.netuid)),
                Error::<T>::TransferDisallowed
            );
        }
        if from.netuid != to.netuid {
            Self::ensure_unlocked(from.coldkey, from.netuid, amount)?;
        }
        // Collateral stays on its hotkey, even within a subnet, where locked stake may move.
        Self::ensure_stake_beyond_collateral(from.coldkey, from.hotkey, from.netuid, amount)
    }

    /// Returns the maximum alpha that can move between subnets until the ratio of their prices
    /// reaches `limit`, in parts of 10⁹. This is the real chain's estimate, which is exact for
    /// pools with equal weights.
    ///
    /// # Errors
    /// The errors of [`Self::max_buy_below_price`] or [`Self::max_sell_above_price`] if one of the
    /// subnets has no pool.
    fn max_moved_above_price_ratio(
        from: NetUid,
        to: NetUid,
        limit: TaoBalance,
    ) -> Result<AlphaBalance, DispatchError> {
        match (Self::has_pool(from), Self::has_pool(to)) {
            (false, false) => Ok(AlphaBalance(if limit.0 > UNIT { 0 } else { u64::MAX })),
            (false, true) if limit == TaoBalance::ZERO => Ok(AlphaBalance(u64::MAX)),
            (false, true) => {
                // The limit on the destination's price is the inverse of `limit`.
                let inverse_limit = (u128::from(UNIT) * u128::from(UNIT))
                    .checked_div(u128::from(limit.0))
                    .unwrap_or(0);
                let inverse_limit = TaoBalance(u64::try_from(inverse_limit).unwrap_or(u64::MAX));
                Ok(AlphaBalance(Self::max_buy_below_price(to, inverse_limit)?.0))
            }
            (true, false) => Ok(Self::max_sell_above_price(from, limit)?),
            (true, true) => Ok(AlphaBalance(Self::max_moved_between_pools(from, to, limit))),
        }
    }

    /// Returns the maximum alpha that can move between two pools: (α₂ T₁ / (T₁ + T₂)) / limit − α₁
    /// T₂ / (T₁ + T₂), for pools of αᵢ alpha and Tᵢ TAO.
    fn max_moved_between_pools(from: NetUid, to: NetUid, limit: TaoBalance) -> u64 {
        let (from_pool, to_pool) = (Self::pool_of(from), Self::pool_of(to));
        let reserves = [from_pool.tao.0, from_pool.alpha.0, to_pool.tao.0, to_pool.alpha.0];
        if reserves.contains(&0) {
            return 0;
        }
        let [tao_1, alpha_1, tao_2, alpha_2] = reserves.map(U64F64::from_num);
        let ratio =
            U64F64::from_num(limit.0).checked_div(U64F64::from_num(UNIT)).unwrap_or_default();
        let price = Self::alpha_price(from).checked_div(Self::alpha_price(to)).unwrap_or_default();
        if ratio > price {
            return 0;
        }
        if limit == TaoBalance::ZERO {
            return u64::MAX;
        }
        let total = tao_1.saturating_add(tao_2);
        let [share_1, share_2] =
            [tao_1, tao_2].map(|tao| tao.checked_div(total).unwrap_or_default());
        let alpha_at_limit =
            alpha_2.saturating_mul(share_1).checked_div(ratio).unwrap_or(U64F64::max_value());
        alpha_at_limit.saturating_sub(alpha_1.saturating_mul(share_2)).saturating_to_num()
    }
}
