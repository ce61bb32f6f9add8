//! Ownership of hotkeys.

use frame_support::PalletId;
use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;
use sp_runtime::traits::AccountIdConversion;

use super::{Config, Error, OwnedHotkeys, Owner, PALLET_ID, Pallet};

impl<T: Config> Pallet<T> {
    /// Returns the number of the current block as a `u64`, the type in the pallet's storage.
    pub fn current_block() -> u64 {
        u64::from(Self::block_number())
    }

    /// Returns the number of the current block.
    pub(super) fn block_number() -> u32 {
        frame_system::Pallet::<T>::block_number().try_into().unwrap_or(u32::MAX)
    }

    /// Whether the hotkey has an owner.
    pub fn hotkey_exists(hotkey: &AccountId32) -> bool {
        Owner::<T>::contains_key(hotkey)
    }

    /// Whether this coldkey owns this hotkey.
    pub fn owns(coldkey: &AccountId32, hotkey: &AccountId32) -> bool {
        Owner::<T>::contains_key(hotkey) && Owner::<T>::get(hotkey) == *coldkey
    }

    /// Makes the coldkey the owner of a hotkey without an owner.
    ///
    /// # Errors
    /// `CannotUseSystemAccount` if the hotkey is the account of a subnet, `NonAssociatedColdKey` if
    /// another coldkey owns the hotkey.
    pub fn own_hotkey(coldkey: &AccountId32, hotkey: &AccountId32) -> DispatchResult {
        Self::ensure_not_subnet_account(hotkey)?;
        if Self::hotkey_exists(hotkey) {
            ensure!(Self::owns(coldkey, hotkey), Error::<T>::NonAssociatedColdKey);
            return Ok(());
        }
        Owner::<T>::insert(hotkey, coldkey);
        OwnedHotkeys::<T>::mutate(coldkey, |hotkeys| hotkeys.push(hotkey.clone()));
        Ok(())
    }

    /// Checks that an account is not that of a subnet.
    ///
    /// # Errors
    /// `CannotUseSystemAccount`.
    pub(super) fn ensure_not_subnet_account(account: &AccountId32) -> Result<(), Error<T>> {
        let sub_account: Option<(PalletId, u16)> = PalletId::try_from_sub_account(account);
        ensure!(
            sub_account.is_none_or(|(pallet, _)| pallet != PALLET_ID),
            Error::<T>::CannotUseSystemAccount
        );
        Ok(())
    }

    /// Makes the coldkey the owner of a hotkey; an existing owner stays.
    ///
    /// # Errors
    /// `CannotUseSystemAccount`.
    pub(crate) fn do_try_associate_hotkey(
        who: &AccountId32,
        hotkey: &AccountId32,
    ) -> DispatchResult {
        if Self::hotkey_exists(hotkey) { Ok(()) } else { Self::own_hotkey(who, hotkey) }
    }
}
