//! Delegates, pure proxies and their deposits.

use codec::{Decode, Encode};
use frame_support::BoundedVec;
use frame_support::ensure;
use frame_support::traits::{Get, ReservableCurrency};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_io::hashing::blake2_256;
use sp_runtime::traits::TrailingZeroInput;
use sp_runtime::{DispatchError, DispatchResult};

use super::{
    Config, Delegate, DepositKind, Error, Event, Pallet, Proxies, ProxyDefinition,
    RealPaysFeeConsentV1,
};
use crate::types::TaoBalance;

impl<T: Config> Pallet<T> {
    /// Returns the first entry of a delegate of an account: of this type, or of any type if it is
    /// `None`.
    pub(super) fn find_proxy(
        real: &T::AccountId,
        delegate: &T::AccountId,
        proxy_type: Option<T::ProxyType>,
    ) -> Result<Delegate<T>, DispatchError> {
        let proxy = Proxies::<T>::get(real).0.into_iter().find(|proxy| {
            proxy.delegate == *delegate
                && proxy_type.is_none_or(|required_type| proxy.proxy_type == required_type)
        });
        Ok(proxy.ok_or(Error::<T>::NotProxy)?)
    }

    /// Adds a delegate to an account.
    pub(crate) fn add_proxy_delegate(
        delegator: &T::AccountId,
        delegatee: T::AccountId,
        proxy_type: T::ProxyType,
        delay: BlockNumberFor<T>,
    ) -> DispatchResult {
        ensure!(*delegator != delegatee, Error::<T>::NoSelfProxy);
        let definition = ProxyDefinition { delegate: delegatee.clone(), proxy_type, delay };
        Proxies::<T>::try_mutate(delegator, |(proxies, deposit)| {
            let Err(position) = proxies.binary_search(&definition) else {
                return Err(Error::<T>::Duplicate.into());
            };
            proxies.try_insert(position, definition).map_err(|_| Error::<T>::TooMany)?;
            *deposit =
                Self::adjust_deposit(delegator, *deposit, Self::proxy_deposit(proxies.len()))?;
            Ok::<(), DispatchError>(())
        })?;
        Self::deposit_event(Event::ProxyAdded {
            delegator: delegator.clone(),
            delegatee,
            proxy_type,
            delay,
        });
        Ok(())
    }

    /// Removes a delegate from an account.
    pub(crate) fn remove_proxy_delegate(
        delegator: &T::AccountId,
        delegatee: T::AccountId,
        proxy_type: T::ProxyType,
        delay: BlockNumberFor<T>,
    ) -> DispatchResult {
        let definition = ProxyDefinition { delegate: delegatee.clone(), proxy_type, delay };
        Proxies::<T>::try_mutate_exists(delegator, |entry| {
            let (mut proxies, deposit) = entry.take().ok_or(Error::<T>::NotFound)?;
            let position = proxies.binary_search(&definition).map_err(|_| Error::<T>::NotFound)?;
            proxies.remove(position);
            let deposit =
                Self::adjust_deposit(delegator, deposit, Self::proxy_deposit(proxies.len()))?;
            *entry = (!proxies.is_empty()).then_some((proxies, deposit));
            Ok::<(), DispatchError>(())
        })?;
        RealPaysFeeConsentV1::<T>::remove(delegator, &delegatee);
        Self::deposit_event(Event::ProxyRemoved {
            delegator: delegator.clone(),
            delegatee,
            proxy_type,
            delay,
        });
        Ok(())
    }

    /// Removes all delegates of an account.
    pub(crate) fn remove_all_proxy_delegates(delegator: &T::AccountId) {
        let (_, deposit) = Proxies::<T>::take(delegator);
        T::Currency::unreserve(delegator, deposit.0);
        // There are at most as many entries as delegates.
        let _ = RealPaysFeeConsentV1::<T>::clear_prefix(delegator, u32::MAX, None);
    }

    pub(super) fn do_create_pure(
        who: T::AccountId,
        proxy_type: T::ProxyType,
        delay: BlockNumberFor<T>,
        index: u16,
    ) -> DispatchResult {
        let extrinsic_index = frame_system::Pallet::<T>::extrinsic_index().unwrap_or_default();
        let created_at = (frame_system::Pallet::<T>::block_number(), extrinsic_index);
        let pure = Self::pure_account(&who, proxy_type, index, created_at)?;
        ensure!(!Proxies::<T>::contains_key(&pure), Error::<T>::Duplicate);
        let creator = ProxyDefinition { delegate: who.clone(), proxy_type, delay };
        let proxies = BoundedVec::try_from(vec![creator]).map_err(|_| Error::<T>::TooMany)?;
        let deposit = Self::adjust_deposit(&who, TaoBalance::ZERO, Self::proxy_deposit(1))?;
        Proxies::<T>::insert(&pure, (proxies, deposit));
        Self::deposit_event(Event::PureCreated {
            pure,
            who,
            proxy_type,
            disambiguation_index: index,
        });
        Ok(())
    }

    pub(super) fn do_kill_pure(
        who: &T::AccountId,
        spawner: T::AccountId,
        proxy_type: T::ProxyType,
        index: u16,
        created_at: (BlockNumberFor<T>, u32),
    ) -> DispatchResult {
        let pure = Self::pure_account(&spawner, proxy_type, index, created_at)?;
        ensure!(pure == *who, Error::<T>::NoPermission);
        let (_, deposit) = Proxies::<T>::take(&pure);
        T::Currency::unreserve(&spawner, deposit.0);
        Self::deposit_event(Event::PureKilled {
            pure,
            spawner,
            proxy_type,
            disambiguation_index: index,
        });
        Ok(())
    }

    /// Derives the account of a pure proxy from its creator, the block and the extrinsic of its
    /// creation.
    pub(super) fn pure_account(
        creator: &T::AccountId,
        proxy_type: T::ProxyType,
        index: u16,
        (height, extrinsic_index): (BlockNumberFor<T>, u32),
    ) -> Result<T::AccountId, DispatchError> {
        let seed = (b"modlpy/proxy____", creator, height, extrinsic_index, proxy_type, index)
            .using_encoded(blake2_256);
        let account = T::AccountId::decode(&mut TrailingZeroInput::new(&seed));
        Ok(account.map_err(|_| Error::<T>::InvalidDerivedAccountId)?)
    }

    /// Adjusts the deposit for an account's delegates, and returns whether it changed.
    pub(super) fn poke_proxies(who: &T::AccountId) -> Result<bool, DispatchError> {
        let (proxies, old) = Proxies::<T>::get(who);
        let new = Self::adjust_deposit(who, old, Self::proxy_deposit(proxies.len()))?;
        if proxies.is_empty() {
            Proxies::<T>::remove(who);
        } else if new != old {
            Proxies::<T>::insert(who, (proxies, new));
        }
        Ok(Self::report_deposit_change(who, DepositKind::Proxies, old, new))
    }

    /// Reports a changed deposit.
    pub(super) fn report_deposit_change(
        who: &T::AccountId,
        kind: DepositKind,
        old: TaoBalance,
        new: TaoBalance,
    ) -> bool {
        let changed = old != new;
        if changed {
            Self::deposit_event(Event::DepositPoked {
                who: who.clone(),
                kind,
                old_deposit: old,
                new_deposit: new,
            });
        }
        changed
    }

    /// Reserves or unreserves the difference between two deposits, and returns the new one.
    pub(super) fn adjust_deposit(
        who: &T::AccountId,
        old: TaoBalance,
        new: TaoBalance,
    ) -> Result<TaoBalance, DispatchError> {
        T::Currency::reserve(who, new.saturating_sub(old).0)?;
        T::Currency::unreserve(who, old.saturating_sub(new).0);
        Ok(new)
    }

    /// Returns the deposit for this number of delegates.
    pub(super) fn proxy_deposit(count: usize) -> TaoBalance {
        Self::deposit_for(count, T::ProxyDepositBase::get(), T::ProxyDepositFactor::get())
    }

    /// Returns the deposit for this number of items; 0 if there are none.
    pub(super) fn deposit_for(count: usize, base: TaoBalance, factor: TaoBalance) -> TaoBalance {
        if count == 0 {
            return TaoBalance::ZERO;
        }
        base.saturating_add(TaoBalance(factor.0.saturating_mul(count as u64)))
    }
}
