//! The price of a registration: a part that is recycled, and a part that is locked as collateral.

use frame_support::ensure;
use frame_support::pallet_prelude::DispatchResult;
use sp_runtime::{AccountId32, DispatchError};
use substrate_fixed::types::U64F64;

use crate::subtensor::pool::Fee;
use crate::subtensor::{
    Burn, CollateralDrainRatio, CollateralLockShare, Config, Error, Event,
    LastColdkeyHotkeyStakeBlock, MinerCollateral, Pallet,
};
use crate::swap::UNIT;
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// TAO that a registration costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::subtensor) struct RegistrationCharge {
    /// Part that buys alpha to recycle.
    pub(in crate::subtensor) recycled: TaoBalance,
    /// Part that buys alpha to lock.
    pub(in crate::subtensor) locked: TaoBalance,
}

impl RegistrationCharge {
    /// Returns the complete cost.
    pub(in crate::subtensor) const fn total(self) -> TaoBalance {
        self.recycled.saturating_add(self.locked)
    }

    /// Returns the part of an amount that belongs to the collateral, rounded down.
    pub(super) fn collateral_part(self, amount: u64) -> u64 {
        let part = u128::from(amount)
            .saturating_mul(u128::from(self.locked.0))
            .checked_div(self.total().0.into());
        part.and_then(|part| u64::try_from(part).ok()).unwrap_or_default()
    }
}

impl<T: Config> Pallet<T> {
    /// Returns the cost of a hotkey's registration. Collateral from an earlier registration counts,
    /// at the moving price: a trade in the same block cannot raise its value.
    pub(in crate::subtensor) fn registration_charge(
        netuid: NetUid,
        hotkey: &AccountId32,
        coldkey: &AccountId32,
    ) -> RegistrationCharge {
        let price = Burn::<T>::get(netuid);
        let share = U64F64::from_num(CollateralLockShare::<T>::get(netuid))
            .checked_div(U64F64::from_num(u16::MAX));
        let required = TaoBalance(
            U64F64::from_num(price.0).saturating_mul(share.unwrap_or_default()).saturating_to_num(),
        );
        let locked = U64F64::from_num(Self::collateral_of(netuid, hotkey, coldkey).0);
        let existing_collateral =
            TaoBalance(locked.saturating_mul(Self::moving_alpha_price(netuid)).saturating_to_num());
        RegistrationCharge {
            recycled: price.saturating_sub(required),
            locked: required.saturating_sub(existing_collateral),
        }
    }

    /// Pays the cost of a registration: buys alpha, recycles one part of it, and locks the other
    /// part as collateral. The collateral has the current drain ratio from now on.
    ///
    /// # Errors
    /// With collateral, the price must not rise by more than 5 %: `SlippageTooHigh`, and the errors
    /// of `max_buy_below_price`. The errors of `quote_buy`, `NotEnoughBalanceToStake`,
    /// `ColdkeyCollateralPositionsFull`.
    pub(in crate::subtensor) fn pay_registration(
        netuid: NetUid,
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        charge: RegistrationCharge,
    ) -> DispatchResult {
        let total = charge.total();
        if charge.locked != TaoBalance::ZERO {
            let limit = Self::collateral_price_limit(netuid)?;
            ensure!(
                total <= Self::max_buy_below_price(netuid, limit)?,
                Error::<T>::SlippageTooHigh
            );
        }
        let trade = Self::quote_buy(netuid, total, Fee::Charged)?;
        Self::charge(coldkey, total.0)?;
        Self::settle_buy(netuid, &trade);
        Self::record_tao_inflow(netuid, TaoBalance(trade.traded()));
        Self::pay_author(trade.fee);
        let locked = AlphaBalance(charge.collateral_part(trade.received));
        Self::recycle_issued(netuid, AlphaBalance(trade.received).saturating_sub(locked));
        if locked != AlphaBalance::ZERO {
            Self::increase_stake(hotkey, coldkey, netuid, locked);
            LastColdkeyHotkeyStakeBlock::<T>::insert(coldkey, hotkey, Self::current_block());
            let tao = TaoBalance(charge.collateral_part(total.0));
            let (staker, staked) = (coldkey.clone(), hotkey.clone());
            Self::deposit_event(Event::StakeAdded(staker, staked, tao, locked, netuid, trade.fee));
        }
        Self::lock_at_registration(netuid, hotkey, coldkey, locked)
    }

    /// Adds bought alpha to the collateral, which has the current drain ratio from now on.
    ///
    /// # Errors
    /// `ColdkeyCollateralPositionsFull`.
    fn lock_at_registration(
        netuid: NetUid,
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        locked: AlphaBalance,
    ) -> DispatchResult {
        if locked == AlphaBalance::ZERO
            && !MinerCollateral::<T>::contains_key((netuid, hotkey, coldkey))
        {
            return Ok(());
        }
        let total_locked = Self::change_collateral(netuid, hotkey, coldkey, |state| {
            state.locked = state.locked.saturating_add(locked);
            state.drain_ratio = CollateralDrainRatio::<T>::get(netuid);
            state.locked
        })?;
        if locked != AlphaBalance::ZERO {
            Self::deposit_event(Event::CollateralLocked {
                netuid,
                hotkey: hotkey.clone(),
                locked,
                total_locked,
            });
        }
        Ok(())
    }

    /// Returns the highest price of alpha at which collateral is bought: 5 % above the current
    /// price, in rao.
    ///
    /// # Errors
    /// `InsufficientLiquidity` if the pool has no price.
    fn collateral_price_limit(netuid: NetUid) -> Result<TaoBalance, DispatchError> {
        let raised = Self::alpha_price(netuid).saturating_mul(U64F64::from_num(105)) / 100;
        let limit = TaoBalance(raised.saturating_mul(U64F64::from_num(UNIT)).saturating_to_num());
        ensure!(limit != TaoBalance::ZERO, Error::<T>::InsufficientLiquidity);
        Ok(limit)
    }
}
