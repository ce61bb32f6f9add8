//! Creating crowdloans and changing their terms.

use frame_support::ensure;
use frame_support::traits::{Get, StorePreimage};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::DispatchResult;
use sp_runtime::traits::{AccountIdConversion, Saturating};

use super::{
    Config, Contributions, CrowdloanInfo, CrowdloanInfoOf, Crowdloans, Error, Event,
    MaxContributions, NextCrowdloanId, Pallet,
};
use crate::types::TaoBalance;

impl<T: Config> Pallet<T> {
    #[allow(clippy::too_many_arguments, reason = "the call is the real chain's")]
    pub(super) fn do_create(
        creator: T::AccountId,
        deposit: TaoBalance,
        min_contribution: TaoBalance,
        cap: TaoBalance,
        end: BlockNumberFor<T>,
        call: Option<Box<<T as Config>::RuntimeCall>>,
        target_address: Option<T::AccountId>,
    ) -> DispatchResult {
        ensure!(deposit >= T::MinimumDeposit::get(), Error::<T>::DepositTooLow);
        ensure!(cap > deposit, Error::<T>::CapTooLow);
        Self::ensure_min_contribution(min_contribution)?;
        ensure!(call.is_some() != target_address.is_some(), Error::<T>::InvalidFinalizationConfig);
        Self::ensure_end(end)?;

        let crowdloan_id = NextCrowdloanId::<T>::get();
        NextCrowdloanId::<T>::put(crowdloan_id.checked_add(1).ok_or(Error::<T>::Overflow)?);
        let funds_account: T::AccountId =
            T::PalletId::get().into_sub_account_truncating(crowdloan_id);
        // Keeps the account alive while it is empty.
        frame_system::Pallet::<T>::inc_providers(&funds_account);
        Self::transfer_in(&creator, &funds_account, deposit)?;
        let call = call.map(|call| T::Preimages::bound(*call)).transpose()?;
        Contributions::<T>::insert(crowdloan_id, &creator, deposit);
        let crowdloan = CrowdloanInfo {
            creator: creator.clone(),
            deposit,
            min_contribution,
            end,
            cap,
            funds_account,
            raised: deposit,
            target_address,
            call,
            finalized: false,
            contributors_count: 1,
        };
        Crowdloans::<T>::insert(crowdloan_id, crowdloan);
        Self::deposit_event(Event::Created { crowdloan_id, creator, end, cap });
        Ok(())
    }

    pub(super) fn do_update_min_contribution(
        who: &T::AccountId,
        crowdloan_id: u32,
        new_min_contribution: TaoBalance,
    ) -> DispatchResult {
        let mut crowdloan = Self::open_crowdloan_of(who, crowdloan_id)?;
        Self::ensure_min_contribution(new_min_contribution)?;
        let is_within_max =
            MaxContributions::<T>::get(crowdloan_id).is_none_or(|max| new_min_contribution <= max);
        ensure!(is_within_max, Error::<T>::MinimumContributionTooHigh);
        crowdloan.min_contribution = new_min_contribution;
        Crowdloans::<T>::insert(crowdloan_id, crowdloan);
        Self::deposit_event(Event::MinContributionUpdated { crowdloan_id, new_min_contribution });
        Ok(())
    }

    pub(super) fn do_update_end(
        who: &T::AccountId,
        crowdloan_id: u32,
        new_end: BlockNumberFor<T>,
    ) -> DispatchResult {
        let mut crowdloan = Self::open_crowdloan_of(who, crowdloan_id)?;
        Self::ensure_end(new_end)?;
        crowdloan.end = new_end;
        Crowdloans::<T>::insert(crowdloan_id, crowdloan);
        Self::deposit_event(Event::EndUpdated { crowdloan_id, new_end });
        Ok(())
    }

    pub(super) fn do_update_cap(
        who: &T::AccountId,
        crowdloan_id: u32,
        new_cap: TaoBalance,
    ) -> DispatchResult {
        let mut crowdloan = Self::open_crowdloan_of(who, crowdloan_id)?;
        ensure!(new_cap >= crowdloan.raised, Error::<T>::CapTooLow);
        crowdloan.cap = new_cap;
        Crowdloans::<T>::insert(crowdloan_id, crowdloan);
        Self::deposit_event(Event::CapUpdated { crowdloan_id, new_cap });
        Ok(())
    }

    pub(super) fn do_set_max_contribution(
        who: &T::AccountId,
        crowdloan_id: u32,
        new_max_contribution: Option<TaoBalance>,
    ) -> DispatchResult {
        let crowdloan = Self::open_crowdloan_of(who, crowdloan_id)?;
        if let Some(max) = new_max_contribution {
            let creator_contribution =
                Contributions::<T>::get(crowdloan_id, who).unwrap_or(TaoBalance::ZERO);
            ensure!(
                max >= crowdloan.min_contribution && max >= creator_contribution,
                Error::<T>::MaximumContributionTooLow
            );
        }
        MaxContributions::<T>::set(crowdloan_id, new_max_contribution);
        Self::deposit_event(Event::MaxContributionUpdated { crowdloan_id, new_max_contribution });
        Ok(())
    }

    pub(super) fn crowdloan(crowdloan_id: u32) -> Result<CrowdloanInfoOf<T>, Error<T>> {
        Crowdloans::<T>::get(crowdloan_id).ok_or(Error::InvalidCrowdloanId)
    }

    /// Returns a crowdloan that this account created and that is not finalized.
    pub(super) fn open_crowdloan_of(
        who: &T::AccountId,
        crowdloan_id: u32,
    ) -> Result<CrowdloanInfoOf<T>, Error<T>> {
        let crowdloan = Self::crowdloan(crowdloan_id)?;
        ensure!(!crowdloan.finalized, Error::AlreadyFinalized);
        ensure!(*who == crowdloan.creator, Error::InvalidOrigin);
        Ok(crowdloan)
    }

    fn ensure_min_contribution(min: TaoBalance) -> Result<(), Error<T>> {
        ensure!(min >= T::AbsoluteMinimumContribution::get(), Error::MinimumContributionTooLow);
        Ok(())
    }

    fn ensure_end(end: BlockNumberFor<T>) -> Result<(), Error<T>> {
        let now = frame_system::Pallet::<T>::block_number();
        ensure!(now < end, Error::CannotEndInPast);
        let duration = end.saturating_sub(now);
        ensure!(duration >= T::MinimumBlockDuration::get(), Error::BlockDurationTooShort);
        ensure!(duration <= T::MaximumBlockDuration::get(), Error::BlockDurationTooLong);
        Ok(())
    }
}
