//! Collateral that a miner adds after its registration.

use frame_support::ensure;
use frame_support::pallet_prelude::DispatchResult;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use crate::subtensor::pool::Fee;
use crate::subtensor::{Config, Error, Event, Pallet};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    /// Locks alpha as collateral of a coldkey on its hotkey. Stake on the hotkey that is not
    /// collateral yet is locked first, even if it has a stake lock, as on the real chain; the TAO
    /// for the missing alpha is computed at the moving price, and buys alpha at or below
    /// `limit_price`.
    ///
    /// # Errors
    /// In this order: `RegistrationNotPermittedOnRootSubnet`, `SubnetNotExists`,
    /// `SubtokenDisabled`, `HotKeyAccountNotExists`, `NonAssociatedColdKey`, `AmountTooLow` for 0.
    /// For a purchase: `InsufficientLiquidity` without a moving price or above 1 000 times the
    /// pool's TAO, the errors of `validate_add` and `max_buy_below_price`, `SlippageTooHigh` above
    /// the limit. `ColdkeyCollateralPositionsFull`.
    pub(crate) fn do_add_collateral(
        who: &AccountId32,
        netuid: NetUid,
        hotkey: &AccountId32,
        alpha: AlphaBalance,
        limit_price: TaoBalance,
    ) -> DispatchResult {
        Self::ensure_supports_collateral(netuid)?;
        Self::ensure_subtoken_enabled(netuid)?;
        Self::ensure_owns_existing_hotkey(who, hotkey)?;
        ensure!(alpha != AlphaBalance::ZERO, Error::<T>::AmountTooLow);
        let unlocked_stake = Self::stake_of(hotkey, who, netuid)
            .saturating_sub(Self::collateral_of(netuid, hotkey, who));
        let mut locked_alpha = unlocked_stake.min(alpha);
        let tao = Self::cost_of_collateral(netuid, alpha.saturating_sub(locked_alpha))?;
        if tao != TaoBalance::ZERO {
            ensure!(
                Self::is_tradable(netuid, tao.0, Self::pool_of(netuid).tao.0),
                Error::<T>::InsufficientLiquidity
            );
            Self::validate_add(who, hotkey, netuid, tao, tao, false)?;
            ensure!(
                tao <= Self::max_buy_below_price(netuid, limit_price)?,
                Error::<T>::SlippageTooHigh
            );
            locked_alpha = locked_alpha.saturating_add(Self::buy_into(
                hotkey,
                who,
                netuid,
                tao,
                Fee::Charged,
            )?);
        }
        // The moving price may round the price of the missing alpha down to 0.
        ensure!(locked_alpha != AlphaBalance::ZERO, Error::<T>::AmountTooLow);
        let total_locked = Self::change_collateral(netuid, hotkey, who, |state| {
            state.locked = state.locked.saturating_add(locked_alpha);
            state.locked
        })?;
        Self::deposit_event(Event::CollateralLocked {
            netuid,
            hotkey: hotkey.clone(),
            locked: locked_alpha,
            total_locked,
        });
        Ok(())
    }

    /// Returns the TAO that the missing alpha costs at the moving price.
    ///
    /// # Errors
    /// `InsufficientLiquidity` without a moving price.
    fn cost_of_collateral(netuid: NetUid, missing: AlphaBalance) -> Result<TaoBalance, Error<T>> {
        if missing == AlphaBalance::ZERO {
            return Ok(TaoBalance::ZERO);
        }
        let price = Self::moving_alpha_price(netuid);
        ensure!(price > 0, Error::<T>::InsufficientLiquidity);
        Ok(TaoBalance(U64F64::from_num(missing.0).saturating_mul(price).saturating_to_num()))
    }
}
