//! Ownership of hotkeys.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::{Config, Error, OwnedHotkeys, Owner, Pallet};

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
    /// `NonAssociatedColdKey` if another coldkey owns the hotkey.
    pub fn own_hotkey(coldkey: &AccountId32, hotkey: &AccountId32) -> DispatchResult {
        if Self::hotkey_exists(hotkey) {
            ensure!(Self::owns(coldkey, hotkey), Error::<T>::NonAssociatedColdKey);
            return Ok(());
        }
        Owner::<T>::insert(hotkey, coldkey);
        OwnedHotkeys::<T>::mutate(coldkey, |hotkeys| hotkeys.push(hotkey.clone()));
        Ok(())
    }

    /// Makes the coldkey the owner of a hotkey; an existing owner stays.
    pub(crate) fn do_try_associate_hotkey(who: &AccountId32, hotkey: &AccountId32) -> DispatchResult {
        if Self::hotkey_exists(hotkey) { Ok(()) } else { Self::own_hotkey(who, hotkey) }
    }
}
