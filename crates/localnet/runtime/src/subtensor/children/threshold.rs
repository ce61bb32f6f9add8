//! Suspension of parents: a parent whose stake falls below `StakeThreshold` keeps its children, but
//! lends them nothing until its stake reaches the threshold again. On the subnet that it owns, a
//! parent is never suspended.
//!
//! As on the real chain, a parent is checked only when its own stake changes: until then, a new
//! threshold or a new price of alpha has no effect on it. Checks run when a block is idle, so that
//! a block without room defers them.

use sp_runtime::AccountId32;

use super::Relatives;
use crate::subtensor::{
    ChildKeys, ChildkeyThresholdChecks, ChildkeyThresholdSuspended, Config, Pallet, ParentKeys,
    StakeThreshold, SubnetOwnerHotkey,
};
use crate::types::{NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    /// Returns the children of a hotkey on a subnet that receive its stake.
    pub(super) fn children_of(hotkey: &AccountId32, netuid: NetUid) -> Relatives {
        let children = ChildKeys::<T>::get(hotkey, netuid);
        if !children.is_empty() && Self::is_suspended(hotkey, netuid) {
            Relatives::new()
        } else {
            children
        }
    }

    /// Returns the parents of a hotkey on a subnet that lend it stake.
    pub(super) fn parents_of(hotkey: &AccountId32, netuid: NetUid) -> Relatives {
        let mut parents = ParentKeys::<T>::get(hotkey, netuid);
        parents.retain(|(_, parent)| !Self::is_suspended(parent, netuid));
        parents
    }

    /// Schedules a check of a parent at the end of this or a later block, because its stake shrank.
    pub(in crate::subtensor) fn on_stake_decrease(hotkey: &AccountId32) {
        if ChildkeyThresholdSuspended::<T>::contains_key(hotkey)
            || ChildKeys::<T>::iter_key_prefix(hotkey).next().is_some()
        {
            ChildkeyThresholdChecks::<T>::insert(hotkey, ());
        }
    }

    /// Schedules a check of a suspended parent at the end of this or a later block, because its
    /// stake grew.
    pub(in crate::subtensor) fn on_stake_increase(hotkey: &AccountId32) {
        if ChildkeyThresholdSuspended::<T>::contains_key(hotkey) {
            ChildkeyThresholdChecks::<T>::insert(hotkey, ());
        }
    }

    /// Runs the scheduled checks: suspends each parent whose stake is below the threshold, and
    /// resumes the others.
    pub(in crate::subtensor) fn run_threshold_checks() {
        let hotkeys: Vec<AccountId32> =
            ChildkeyThresholdChecks::<T>::drain().map(|(hotkey, ())| hotkey).collect();
        for hotkey in hotkeys {
            if Self::has_threshold_stake(&hotkey) {
                ChildkeyThresholdSuspended::<T>::remove(hotkey);
            } else {
                ChildkeyThresholdSuspended::<T>::insert(hotkey, ());
            }
        }
    }

    /// Whether the stake of a hotkey on all subnets is worth `StakeThreshold`.
    pub(super) fn has_threshold_stake(hotkey: &AccountId32) -> bool {
        let threshold = TaoBalance(StakeThreshold::<T>::get());
        threshold == TaoBalance::ZERO || Self::total_value_of(hotkey) >= threshold
    }

    fn is_suspended(parent: &AccountId32, netuid: NetUid) -> bool {
        ChildkeyThresholdSuspended::<T>::contains_key(parent)
            && !SubnetOwnerHotkey::<T>::try_get(netuid).is_ok_and(|owner| owner == *parent)
    }
}
