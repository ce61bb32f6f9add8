//! Delegate take: the share of nominators' dividends that a validator keeps.

use frame_support::pallet_prelude::*;
use sp_runtime::{AccountId32, PerU16};

use super::types::RateLimitKey;
use super::{
    Config, Delegates, Error, Event, MaxDelegateTake, MinDelegateTake, Pallet,
    TxDelegateTakeRateLimit,
};

impl<T: Config> Pallet<T> {
    /// Validates the change of a take at the pool, without writing. A change in the wrong
    /// direction, or within the rate limit, passes, and fails when a block executes it.
    ///
    /// # Errors
    /// In this order: `DelegateTakeTooLow` below the minimum, `DelegateTakeTooHigh` above the
    /// maximum, `HotKeyAccountNotExists`, `NonAssociatedColdKey`.
    pub fn precheck_take(
        who: &AccountId32,
        hotkey: &AccountId32,
        take: PerU16,
    ) -> Result<(), Error<T>> {
        ensure!(take >= MinDelegateTake::<T>::get(), Error::<T>::DelegateTakeTooLow);
        ensure!(take <= MaxDelegateTake::<T>::get(), Error::<T>::DelegateTakeTooHigh);
        Self::ensure_owns_hotkey(who, hotkey)
    }

    pub(crate) fn do_decrease_take(
        who: &AccountId32,
        hotkey: AccountId32,
        take: PerU16,
    ) -> DispatchResult {
        Self::ensure_owns_hotkey(who, &hotkey)?;
        if let Ok(current_take) = Delegates::<T>::try_get(&hotkey) {
            ensure!(take < current_take, Error::<T>::DelegateTakeTooLow);
        }
        ensure!(take >= MinDelegateTake::<T>::get(), Error::<T>::DelegateTakeTooLow);
        Self::record_rate_limited(&RateLimitKey::LastTxBlockDelegateTake(hotkey.clone()));
        Delegates::<T>::insert(&hotkey, take);
        Self::deposit_event(Event::TakeDecreased(who.clone(), hotkey, take));
        Ok(())
    }

    pub(crate) fn do_increase_take(
        who: &AccountId32,
        hotkey: AccountId32,
        take: PerU16,
    ) -> DispatchResult {
        Self::ensure_owns_hotkey(who, &hotkey)?;
        if let Ok(current_take) = Delegates::<T>::try_get(&hotkey) {
            ensure!(take > current_take, Error::<T>::DelegateTakeTooLow);
        }
        ensure!(take <= MaxDelegateTake::<T>::get(), Error::<T>::DelegateTakeTooHigh);
        let key = RateLimitKey::LastTxBlockDelegateTake(hotkey.clone());
        ensure!(
            Self::key_rate_allows(&key, TxDelegateTakeRateLimit::<T>::get()),
            Error::<T>::DelegateTxRateLimitExceeded
        );
        Self::record_rate_limited(&key);
        Delegates::<T>::insert(&hotkey, take);
        Self::deposit_event(Event::TakeIncreased(who.clone(), hotkey, take));
        Ok(())
    }

    fn ensure_owns_hotkey(who: &AccountId32, hotkey: &AccountId32) -> Result<(), Error<T>> {
        ensure!(Self::hotkey_exists(hotkey), Error::<T>::HotKeyAccountNotExists);
        ensure!(Self::owns(who, hotkey), Error::<T>::NonAssociatedColdKey);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
