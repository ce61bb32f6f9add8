//! Announcements of calls by delegates with a delay.

use frame_support::ensure;
use frame_support::traits::Get;
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::traits::Saturating;
use sp_runtime::{DispatchError, DispatchResult};

use super::{Announced, Announcement, Announcements, Config, DepositKind, Error, Event, Pallet};
use crate::types::TaoBalance;

impl<T: Config> Pallet<T> {
    pub(super) fn do_announce(
        who: T::AccountId,
        real: T::AccountId,
        call_hash: T::Hash,
    ) -> DispatchResult {
        Self::find_proxy(&real, &who, None)?;
        let height = frame_system::Pallet::<T>::block_number();
        Announcements::<T>::try_mutate(&who, |(pending, deposit)| {
            let announcement = Announcement { real: real.clone(), call_hash, height };
            pending.try_push(announcement).map_err(|_| Error::<T>::TooMany)?;
            *deposit =
                Self::adjust_deposit(&who, *deposit, Self::announcement_deposit(pending.len()))?;
            Ok::<(), DispatchError>(())
        })?;
        Self::deposit_event(Event::Announced { real, proxy: who, call_hash });
        Ok(())
    }

    /// Removes the announcements of a call that are at least `delay` blocks old.
    pub(super) fn consume_announcement(
        delegate: &T::AccountId,
        real: &T::AccountId,
        call_hash: T::Hash,
        delay: BlockNumberFor<T>,
    ) -> DispatchResult {
        let now = frame_system::Pallet::<T>::block_number();
        let result = Self::remove_announcements(delegate, |announcement| {
            announcement.real == *real
                && announcement.call_hash == call_hash
                && now.saturating_sub(announcement.height) >= delay
        });
        Ok(result.map_err(|_| Error::<T>::Unannounced)?)
    }

    /// Removes the announcements of a delegate for which `is_removed` holds, and returns their
    /// deposits.
    pub(super) fn remove_announcements(
        delegate: &T::AccountId,
        is_removed: impl Fn(&Announced<T>) -> bool,
    ) -> DispatchResult {
        Announcements::<T>::try_mutate_exists(delegate, |entry| {
            let (mut pending, deposit) = entry.take().ok_or(Error::<T>::NotFound)?;
            let count_before = pending.len();
            pending.retain(|announcement| !is_removed(announcement));
            ensure!(pending.len() < count_before, Error::<T>::NotFound);
            let deposit =
                Self::adjust_deposit(delegate, deposit, Self::announcement_deposit(pending.len()))?;
            *entry = (!pending.is_empty()).then_some((pending, deposit));
            Ok(())
        })
    }

    /// Adjusts the deposit for a delegate's announcements, and returns whether it changed.
    pub(super) fn poke_announcements(who: &T::AccountId) -> Result<bool, DispatchError> {
        let (pending, old) = Announcements::<T>::get(who);
        let new = Self::adjust_deposit(who, old, Self::announcement_deposit(pending.len()))?;
        if pending.is_empty() {
            Announcements::<T>::remove(who);
        } else if new != old {
            Announcements::<T>::insert(who, (pending, new));
        }
        Ok(Self::report_deposit_change(who, DepositKind::Announcements, old, new))
    }

    fn announcement_deposit(count: usize) -> TaoBalance {
        Self::deposit_for(
            count,
            T::AnnouncementDepositBase::get(),
            T::AnnouncementDepositFactor::get(),
        )
    }
}
