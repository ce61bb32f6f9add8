//! Collateral of swapped keys.

use frame_support::ensure;
use frame_support::pallet_prelude::DispatchResult;
use sp_runtime::AccountId32;

use crate::subtensor::types::MinerCollateralState;
use crate::subtensor::{
    ColdkeyCollateralHotkeys, ColdkeyMinerCollateral, Config, Error, MinerCollateral, Pallet,
};
use crate::types::{AlphaBalance, NetUid};

impl<T: Config> Pallet<T> {
    /// Whether a coldkey has collateral on a hotkey, on this subnet or on any if `netuid` is
    /// `None`.
    pub(in crate::subtensor) fn has_collateral(
        hotkey: &AccountId32,
        coldkey: &AccountId32,
        netuid: Option<NetUid>,
    ) -> bool {
        let mut subnets = netuid.map_or_else(Self::all_netuids, |netuid| vec![netuid]).into_iter();
        subnets.any(|netuid| MinerCollateral::<T>::contains_key((netuid, hotkey, coldkey)))
    }

    /// Moves the collateral of a coldkey on a hotkey to the hotkey's successor.
    ///
    /// # Errors
    /// `ColdkeyCollateralPositionsFull`.
    pub(in crate::subtensor) fn swap_hotkey_of_collateral(
        netuid: NetUid,
        old: &AccountId32,
        new: &AccountId32,
        coldkey: &AccountId32,
    ) -> Result<(), Error<T>> {
        Self::move_collateral(netuid, (old, coldkey), (new, coldkey))
    }

    /// Moves all collateral of a coldkey on a subnet to the coldkey's successor.
    ///
    /// # Errors
    /// `ColdkeyCollateralPositionsFull`; `ColdkeyCollateralIncomplete` if collateral remains.
    pub(in crate::subtensor) fn swap_coldkey_of_collateral(
        netuid: NetUid,
        old: &AccountId32,
        new: &AccountId32,
    ) -> DispatchResult {
        for hotkey in ColdkeyCollateralHotkeys::<T>::get(netuid, old) {
            Self::move_collateral(netuid, (&hotkey, old), (&hotkey, new))?;
        }
        let is_moved = ColdkeyMinerCollateral::<T>::get(netuid, old) == AlphaBalance::ZERO;
        ensure!(is_moved, Error::<T>::ColdkeyCollateralIncomplete);
        Ok(())
    }

    /// Moves collateral between two stakes, of a hotkey and a coldkey each. Amounts add up, and the
    /// slower drain ratio applies.
    fn move_collateral(
        netuid: NetUid,
        (old_hotkey, old_coldkey): (&AccountId32, &AccountId32),
        (new_hotkey, new_coldkey): (&AccountId32, &AccountId32),
    ) -> Result<(), Error<T>> {
        let Some(moved) = MinerCollateral::<T>::get((netuid, old_hotkey, old_coldkey)) else {
            return Ok(());
        };
        Self::change_collateral(netuid, old_hotkey, old_coldkey, |state| {
            state.locked = AlphaBalance::ZERO;
            state.min_locked = AlphaBalance::ZERO;
        })?;
        let is_merged = MinerCollateral::<T>::contains_key((netuid, new_hotkey, new_coldkey));
        Self::change_collateral(netuid, new_hotkey, new_coldkey, |state| {
            *state = if is_merged { merge(state, &moved) } else { moved };
        })
    }
}

/// Returns the sum of two collaterals, with the slower drain ratio.
fn merge(one: &MinerCollateralState, other: &MinerCollateralState) -> MinerCollateralState {
    MinerCollateralState {
        locked: one.locked.saturating_add(other.locked),
        drain_ratio: one.drain_ratio.min(other.drain_ratio),
        min_locked: one.min_locked.saturating_add(other.min_locked),
        earned: one.earned.saturating_add(other.earned),
    }
}
