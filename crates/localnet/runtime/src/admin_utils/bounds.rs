//! Validation of interdependent settings.

use frame_support::pallet_prelude::*;
use sp_runtime::PerU16;

use super::{Config, Error, Pallet};
use crate::subtensor::{
    self, AlphaValues, LiquidAlphaOn, MaxAllowedUids, MaxBurn, MaxChildkeyTake, MaxMechanismCount,
    MechanismCountCurrent, MechanismEmissionSplit, MinAllowedUids, MinBurn, MinChildkeyTake,
    NetworksAdded, SubnetworkN,
};
use crate::types::{MechId, NetUid, TaoBalance};

/// Maximum number of neurons of a subnet, summed over its mechanisms.
const MAX_UIDS: u16 = 256;
/// Exclusive upper bound of the minimum registration price: 1 TAO.
const MIN_BURN_UPPER_BOUND: TaoBalance = TaoBalance(1_000_000_000);
/// Exclusive lower bound of the maximum registration price: 0.1 TAO.
const MAX_BURN_LOWER_BOUND: TaoBalance = TaoBalance(100_000_000);
/// Maximum half-life of the registration price, in blocks.
const MAX_BURN_HALF_LIFE: u16 = 36_100;
/// Allowed values of the maximum number of mechanisms of a subnet.
const MAX_MECHANISMS: core::ops::RangeInclusive<u8> = 1..=16;
/// Minimum of the liquid alpha bounds, in parts of 65 535: 0.025.
const MIN_ALPHA: u16 = 1_638;

impl<T: Config> Pallet<T> {
    pub(super) fn check_min_burn(netuid: NetUid, min: TaoBalance) -> DispatchResult {
        ensure!(
            min < MIN_BURN_UPPER_BOUND && min < MaxBurn::<T>::get(netuid),
            Error::<T>::ValueNotInBounds
        );
        Ok(())
    }

    pub(super) fn check_max_burn(netuid: NetUid, max: TaoBalance) -> DispatchResult {
        ensure!(
            max > MAX_BURN_LOWER_BOUND && max > MinBurn::<T>::get(netuid),
            Error::<T>::ValueNotInBounds
        );
        Ok(())
    }

    pub(super) fn check_burn_half_life(netuid: NetUid, half_life: u16) -> DispatchResult {
        Self::ensure_not_root(netuid)?;
        ensure!((1..=MAX_BURN_HALF_LIFE).contains(&half_life), Error::<T>::InvalidValue);
        Ok(())
    }

    pub(super) fn check_childkey_take(min: PerU16) -> DispatchResult {
        let allowed = MinChildkeyTake::<T>::get()..=MaxChildkeyTake::<T>::get();
        ensure!(allowed.contains(&min), Error::<T>::InvalidValue);
        Ok(())
    }

    pub(super) fn check_max_allowed_uids(netuid: NetUid, max: u16) -> DispatchResult {
        ensure!(
            max >= MinAllowedUids::<T>::get(netuid),
            Error::<T>::MaxAllowedUidsLessThanMinAllowedUids
        );
        ensure!(
            max >= SubnetworkN::<T>::get(netuid),
            Error::<T>::MaxAllowedUIdsLessThanCurrentUIds
        );
        ensure!(max <= MAX_UIDS, Error::<T>::MaxAllowedUidsGreaterThanDefaultMaxAllowedUids);
        Self::check_uids_of_mechanisms(max, MechanismCountCurrent::<T>::get(netuid))
    }

    pub(super) fn check_min_allowed_uids(netuid: NetUid, min: u16) -> DispatchResult {
        ensure!(
            min < MaxAllowedUids::<T>::get(netuid),
            Error::<T>::MinAllowedUidsGreaterThanMaxAllowedUids
        );
        ensure!(
            min < SubnetworkN::<T>::get(netuid),
            Error::<T>::MinAllowedUidsGreaterThanCurrentUids
        );
        Ok(())
    }

    pub(super) fn check_max_mechanism_count(max: MechId) -> DispatchResult {
        ensure!(MAX_MECHANISMS.contains(&max.0), subtensor::Error::<T>::InvalidValue);
        Ok(())
    }

    pub(super) fn check_mechanism_count(netuid: NetUid, count: MechId) -> DispatchResult {
        Self::ensure_has_mechanisms(netuid)?;
        let is_allowed = count.0 > 0 && count <= MaxMechanismCount::<T>::get();
        ensure!(is_allowed, subtensor::Error::<T>::InvalidValue);
        Self::check_uids_of_mechanisms(MaxAllowedUids::<T>::get(netuid), count)
    }

    /// Checks that the subnet exists: every subnet has mechanisms.
    fn ensure_has_mechanisms(netuid: NetUid) -> DispatchResult {
        ensure!(NetworksAdded::<T>::get(netuid), subtensor::Error::<T>::MechanismDoesNotExist);
        Ok(())
    }

    fn check_uids_of_mechanisms(uids: u16, mechanisms: MechId) -> DispatchResult {
        let total = uids.saturating_mul(mechanisms.0.into());
        ensure!(total <= MAX_UIDS, subtensor::Error::<T>::TooManyUIDsPerMechanism);
        Ok(())
    }

    /// Sets the split of a subnet's emission among its mechanisms, in parts that must add up to
    /// 65 535; `None` splits it equally. With fewer parts than mechanisms, the remaining mechanisms
    /// receive no emission, as on the real chain.
    pub(super) fn set_emission_split(netuid: NetUid, split: Option<Vec<u16>>) -> DispatchResult {
        Self::ensure_has_mechanisms(netuid)?;
        let Some(split) = split else {
            MechanismEmissionSplit::<T>::remove(netuid);
            return Ok(());
        };
        let has_valid_length =
            split.len() <= usize::from(MechanismCountCurrent::<T>::get(netuid).0);
        let sum: u64 = split.iter().copied().map(u64::from).sum();
        ensure!(
            has_valid_length && sum == u64::from(u16::MAX),
            subtensor::Error::<T>::InvalidValue
        );
        MechanismEmissionSplit::<T>::insert(netuid, split);
        Ok(())
    }

    pub(super) fn set_alpha_values(netuid: NetUid, low: u16, high: u16) -> DispatchResult {
        ensure!(LiquidAlphaOn::<T>::get(netuid), subtensor::Error::<T>::LiquidAlphaDisabled);
        ensure!(high >= MIN_ALPHA, subtensor::Error::<T>::AlphaHighTooLow);
        ensure!((MIN_ALPHA..=high).contains(&low), subtensor::Error::<T>::AlphaLowOutOfRange);
        AlphaValues::<T>::insert(netuid, (low, high));
        Ok(())
    }

    /// Refuses every value of a deprecated setting.
    pub(super) fn refuse<V>(_value: V, error: Error<T>) -> DispatchResult {
        Err(error.into())
    }

    pub(super) fn ensure_not_root(netuid: NetUid) -> DispatchResult {
        ensure!(netuid != NetUid::ROOT, Error::<T>::NotPermittedOnRootSubnet);
        Ok(())
    }
}
