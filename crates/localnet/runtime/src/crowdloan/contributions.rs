//! Contributions: deposit, withdrawal, refund and payout.

use frame_support::ensure;
use frame_support::traits::fungible::{Inspect, Mutate};
use frame_support::traits::tokens::Preservation;
use frame_support::traits::{Get, QueryPreimage};
use frame_system::pallet_prelude::OriginFor;
use sp_runtime::traits::Dispatchable;
use sp_runtime::{DispatchError, DispatchResult};

use super::{
    Config, Contributions, CrowdloanInfo, Crowdloans, CurrentCrowdloanId, Error, Event,
    MaxContributions, Pallet,
};
use crate::subtensor::{self, FinalizingCrowdloan};
use crate::types::TaoBalance;

impl<T: Config> subtensor::Crowdloans<T::AccountId> for Pallet<T> {
    fn finalizing_crowdloan() -> Result<FinalizingCrowdloan<T::AccountId>, DispatchError> {
        let crowdloan_id = CurrentCrowdloanId::<T>::get().ok_or(Error::<T>::InvalidCrowdloanId)?;
        let CrowdloanInfo { creator, funds_account, raised, .. } = Self::crowdloan(crowdloan_id)?;
        let contributions = Contributions::<T>::iter_prefix(crowdloan_id).collect();
        Ok(FinalizingCrowdloan { creator, funds_account, raised, contributions })
    }
}

impl<T: Config> Pallet<T> {
    pub(super) fn do_contribute(
        contributor: T::AccountId,
        crowdloan_id: u32,
        amount: TaoBalance,
    ) -> DispatchResult {
        let mut crowdloan = Self::crowdloan(crowdloan_id)?;
        let now = frame_system::Pallet::<T>::block_number();
        ensure!(now < crowdloan.end, Error::<T>::ContributionPeriodEnded);
        ensure!(crowdloan.raised < crowdloan.cap, Error::<T>::CapRaised);
        ensure!(amount >= crowdloan.min_contribution, Error::<T>::ContributionTooLow);
        ensure!(
            crowdloan.contributors_count < T::MaxContributors::get(),
            Error::<T>::MaxContributorsReached
        );

        // Less than the minimum is accepted if no more fits under the cap or the maximum.
        let previous = Contributions::<T>::get(crowdloan_id, &contributor);
        let mut accepted = amount.min(crowdloan.cap.saturating_sub(crowdloan.raised));
        if let Some(max) = MaxContributions::<T>::get(crowdloan_id) {
            let remaining = max.saturating_sub(previous.unwrap_or(TaoBalance::ZERO));
            ensure!(remaining > TaoBalance::ZERO, Error::<T>::MaxContributionReached);
            accepted = accepted.min(remaining);
        }
        if previous.is_none() {
            crowdloan.contributors_count = crowdloan.contributors_count.saturating_add(1);
        }
        crowdloan.raised = crowdloan.raised.saturating_add(accepted);
        Self::transfer_in(&contributor, &crowdloan.funds_account, accepted)?;
        let total_contribution = previous.unwrap_or(TaoBalance::ZERO).saturating_add(accepted);
        Contributions::<T>::insert(crowdloan_id, &contributor, total_contribution);
        Crowdloans::<T>::insert(crowdloan_id, crowdloan);
        Self::deposit_event(Event::Contributed { crowdloan_id, contributor, amount: accepted });
        Ok(())
    }

    pub(super) fn do_withdraw(who: T::AccountId, crowdloan_id: u32) -> DispatchResult {
        let mut crowdloan = Self::crowdloan(crowdloan_id)?;
        ensure!(!crowdloan.finalized, Error::<T>::AlreadyFinalized);
        let contributed =
            Contributions::<T>::get(crowdloan_id, &who).ok_or(Error::<T>::NoContribution)?;
        let amount = if who == crowdloan.creator {
            let withdrawable = contributed.saturating_sub(crowdloan.deposit);
            ensure!(withdrawable > TaoBalance::ZERO, Error::<T>::DepositCannotBeWithdrawn);
            Contributions::<T>::insert(crowdloan_id, &who, crowdloan.deposit);
            withdrawable
        } else {
            Contributions::<T>::remove(crowdloan_id, &who);
            crowdloan.contributors_count = crowdloan.contributors_count.saturating_sub(1);
            contributed
        };
        Self::transfer(&crowdloan.funds_account, &who, amount)?;
        crowdloan.raised = crowdloan.raised.saturating_sub(amount);
        Crowdloans::<T>::insert(crowdloan_id, crowdloan);
        Self::deposit_event(Event::Withdrew { crowdloan_id, contributor: who, amount });
        Ok(())
    }

    pub(super) fn do_finalize(
        origin: OriginFor<T>,
        who: &T::AccountId,
        crowdloan_id: u32,
    ) -> DispatchResult {
        let mut crowdloan = Self::crowdloan(crowdloan_id)?;
        ensure!(*who == crowdloan.creator, Error::<T>::InvalidOrigin);
        ensure!(crowdloan.raised == crowdloan.cap, Error::<T>::CapNotRaised);
        ensure!(!crowdloan.finalized, Error::<T>::AlreadyFinalized);
        ensure!(CurrentCrowdloanId::<T>::get().is_none(), Error::<T>::AlreadyFinalizing);
        // The call itself must not find the crowdloan open.
        crowdloan.finalized = true;
        Crowdloans::<T>::insert(crowdloan_id, &crowdloan);

        match (&crowdloan.call, &crowdloan.target_address) {
            (Some(call), None) => {
                let (call, _) =
                    T::Preimages::peek(call).map_err(|_| Error::<T>::CallUnavailable)?;
                let balance_before = T::Currency::balance(&crowdloan.funds_account);
                CurrentCrowdloanId::<T>::put(crowdloan_id);
                // The origin keeps the restrictions of the caller, such as those of a proxy type.
                call.dispatch(origin).map_err(|failure| failure.error)?;
                CurrentCrowdloanId::<T>::kill();
                let spent =
                    balance_before.saturating_sub(T::Currency::balance(&crowdloan.funds_account));
                ensure!(spent >= crowdloan.raised.0, Error::<T>::FundsNotSettled);
            }
            (None, Some(target)) => {
                Self::transfer(&crowdloan.funds_account, target, crowdloan.raised)?;
            }
            _ => return Err(Error::<T>::InvalidFinalizationConfig.into()),
        }
        Self::deposit_event(Event::Finalized { crowdloan_id });
        Ok(())
    }

    /// Refunds contributors of a crowdloan, as many as one call may, and returns their number.
    pub(super) fn do_refund(who: &T::AccountId, crowdloan_id: u32) -> Result<u32, DispatchError> {
        let mut crowdloan = Self::open_crowdloan_of(who, crowdloan_id)?;
        let limit = T::RefundContributorsLimit::get() as usize;
        let other_contributions =
            || Contributions::<T>::iter_prefix(crowdloan_id).filter(|(other, _)| other != who);
        // One more than are refunded shows whether any remain.
        let mut refunds: Vec<_> = other_contributions().take(limit.saturating_add(1)).collect();
        let has_more = refunds.len() > limit;
        refunds.truncate(limit);
        let count = refunds.len() as u32;
        for (contributor, amount) in refunds {
            Self::transfer(&crowdloan.funds_account, &contributor, amount)?;
            Contributions::<T>::remove(crowdloan_id, &contributor);
            crowdloan.raised = crowdloan.raised.saturating_sub(amount);
            crowdloan.contributors_count = crowdloan.contributors_count.saturating_sub(1);
        }
        Crowdloans::<T>::insert(crowdloan_id, crowdloan);
        Self::deposit_event(if has_more {
            Event::PartiallyRefunded { crowdloan_id }
        } else {
            Event::AllRefunded { crowdloan_id }
        });
        Ok(count)
    }

    pub(super) fn do_dissolve(who: &T::AccountId, crowdloan_id: u32) -> DispatchResult {
        let crowdloan = Self::open_crowdloan_of(who, crowdloan_id)?;
        let contribution =
            Contributions::<T>::get(crowdloan_id, who).ok_or(Error::<T>::NoContribution)?;
        ensure!(contribution == crowdloan.raised, Error::<T>::NotReadyToDissolve);
        Self::transfer(&crowdloan.funds_account, who, contribution)?;
        Contributions::<T>::remove(crowdloan_id, who);
        if let Some(call) = &crowdloan.call {
            T::Preimages::drop(call);
        }
        // The account is empty now: if this fails, an empty account remains.
        let _ = frame_system::Pallet::<T>::dec_providers(&crowdloan.funds_account);
        Crowdloans::<T>::remove(crowdloan_id);
        MaxContributions::<T>::remove(crowdloan_id);
        Self::deposit_event(Event::Dissolved { crowdloan_id });
        Ok(())
    }

    /// Transfers a contribution to the account of a crowdloan.
    pub(super) fn transfer_in(
        from: &T::AccountId,
        to: &T::AccountId,
        amount: TaoBalance,
    ) -> DispatchResult {
        ensure!(T::Currency::balance(from) >= amount.0, Error::<T>::InsufficientBalance);
        Self::transfer(from, to, amount)
    }

    fn transfer(
        from: &T::AccountId,
        to: &T::AccountId,
        amount: TaoBalance,
    ) -> Result<(), DispatchError> {
        T::Currency::transfer(from, to, amount.0, Preservation::Expendable).map(|_| ())
    }
}
