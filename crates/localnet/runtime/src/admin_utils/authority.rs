//! Authority required for an administrative call.

use frame_support::pallet_prelude::*;
use frame_system::{ensure_root, ensure_signed_or_root, pallet_prelude::OriginFor};
use sp_runtime::AccountId32;

use super::{Config, Error};
use crate::subtensor::rate_limits::LimitedAction;
use crate::subtensor::types::Hyperparameter;
use crate::subtensor::{self, NetworksAdded, SubnetOwner};
use crate::types::NetUid;

/// Authority required for an administrative call. As on the real chain, some calls have their own
/// order of checks.
pub(super) enum Authority {
    /// Any origin, for calls that always fail.
    Anyone,
    /// The sudo key.
    Root,
    /// The sudo key, for an existing subnet.
    RootOf(NetUid),
    /// The sudo key, for a subnet that need not exist.
    RootOfAny(NetUid),
    /// The sudo key at any time; the subnet's owner outside the freeze window and within the rate
    /// limit of the action, if it has one. Owners are refused with `owner_error`, if there is one.
    /// Without `must_exist`, root may also make the call for a subnet that does not exist.
    Owner {
        netuid: NetUid,
        action: Option<LimitedAction>,
        owner_error: Option<DispatchError>,
        must_exist: bool,
    },
    /// As `Owner`, for the tempo, whose bounds apply to owners only and are checked before the rate
    /// limit.
    Tempo { netuid: NetUid, in_bounds: bool },
    /// As `Owner`, for the activity cutoff factor, whose bounds are checked first. The subnet need
    /// not exist.
    CutoffFactor { netuid: NetUid, in_bounds: bool },
    /// The sudo key and the subnet's owner, for the owner's hotkey: at any time, within the rate
    /// limit.
    OwnerHotkey(NetUid),
}

/// Requires nothing.
pub(super) fn anyone() -> Authority {
    Authority::Anyone
}

/// Requires the sudo key.
pub(super) fn root() -> Authority {
    Authority::Root
}

/// Requires the sudo key and an existing subnet.
pub(super) fn root_of(netuid: NetUid) -> Authority {
    Authority::RootOf(netuid)
}

/// Requires the sudo key, for a subnet that need not exist.
pub(super) fn root_of_any(netuid: NetUid) -> Authority {
    Authority::RootOfAny(netuid)
}

/// Requires the sudo key or the subnet's owner.
pub(super) fn owner(netuid: NetUid, action: impl Into<LimitedAction>) -> Authority {
    Authority::Owner { netuid, action: Some(action.into()), owner_error: None, must_exist: true }
}

/// Requires the sudo key or the subnet's owner. The subnet need not exist, or `change` checks that
/// it does.
pub(super) fn owner_of_any(netuid: NetUid, action: impl Into<LimitedAction>) -> Authority {
    Authority::Owner { netuid, action: Some(action.into()), owner_error: None, must_exist: false }
}

/// Requires the sudo key or the subnet's owner, without a rate limit.
pub(super) fn owner_unlimited(netuid: NetUid) -> Authority {
    Authority::Owner { netuid, action: None, owner_error: None, must_exist: true }
}

/// Requires the sudo key, or the subnet's owner if `condition` holds.
pub(super) fn owner_if(
    condition: bool,
    error: impl Into<DispatchError>,
    netuid: NetUid,
    action: impl Into<LimitedAction>,
) -> Authority {
    let owner_error = (!condition).then(|| error.into());
    Authority::Owner { netuid, action: Some(action.into()), owner_error, must_exist: true }
}

/// Requires the sudo key, or the subnet's owner and a tempo within the owner's bounds.
pub(super) fn for_tempo(netuid: NetUid, in_bounds: bool) -> Authority {
    Authority::Tempo { netuid, in_bounds }
}

/// Requires the sudo key or the subnet's owner, and a factor within bounds.
pub(super) fn for_cutoff_factor(netuid: NetUid, in_bounds: bool) -> Authority {
    Authority::CutoffFactor { netuid, in_bounds }
}

/// Requires the sudo key or the subnet's owner.
pub(super) fn for_owner_hotkey(netuid: NetUid) -> Authority {
    Authority::OwnerHotkey(netuid)
}

impl Authority {
    /// Applies `change` if `origin` has this authority. Records the block of an owner's action, for
    /// its rate limit.
    ///
    /// # Errors
    /// `BadOrigin`, `SubnetDoesNotExist`, `SubnetNotExists`, `TempoOutOfBounds`,
    /// `ActivityCutoffFactorMilliOutOfBounds`, the errors of
    /// [`subtensor::Pallet::ensure_action_allowed`], and the errors of `change`.
    pub(super) fn execute_change<T: Config>(
        self,
        origin: OriginFor<T>,
        change: impl FnOnce() -> DispatchResult,
    ) -> DispatchResult {
        match self {
            Self::Anyone => change(),
            Self::Root => {
                ensure_root(origin)?;
                change()
            }
            Self::RootOf(netuid) => {
                ensure_root(origin)?;
                ensure_exists::<T>(netuid, Error::<T>::SubnetDoesNotExist)?;
                apply::<T>(netuid, None, change)
            }
            Self::RootOfAny(netuid) => {
                ensure_root(origin)?;
                apply::<T>(netuid, None, change)
            }
            Self::Owner { netuid, action, owner_error, must_exist } => {
                let owner = ensure_owner_or_root::<T>(origin, netuid)?;
                if let Some(who) = &owner {
                    ensure_owner_action_allowed::<T>(who, netuid, action)?;
                    owner_error.map_or(Ok(()), Err)?;
                }
                if must_exist {
                    ensure_exists::<T>(netuid, Error::<T>::SubnetDoesNotExist)?;
                }
                apply::<T>(netuid, owner.zip(action), change)
            }
            Self::Tempo { netuid, in_bounds } => {
                let owner = ensure_owner_or_root::<T>(origin, netuid)?;
                ensure_exists::<T>(netuid, subtensor::Error::<T>::SubnetNotExists)?;
                if let Some(who) = &owner {
                    ensure!(in_bounds, subtensor::Error::<T>::TempoOutOfBounds);
                    subtensor::Pallet::<T>::ensure_action_allowed(
                        who,
                        netuid,
                        LimitedAction::Tempo,
                    )?;
                }
                apply::<T>(netuid, owner.map(|who| (who, LimitedAction::Tempo)), change)
            }
            Self::CutoffFactor { netuid, in_bounds } => {
                let action = LimitedAction::from(Hyperparameter::ActivityCutoffFactorMilli);
                let owner = ensure_owner_or_root::<T>(origin, netuid)?;
                ensure!(in_bounds, subtensor::Error::<T>::ActivityCutoffFactorMilliOutOfBounds);
                if let Some(who) = &owner {
                    subtensor::Pallet::<T>::ensure_action_allowed(who, netuid, action)?;
                }
                apply::<T>(netuid, owner.map(|who| (who, action)), change)
            }
            Self::OwnerHotkey(netuid) => {
                ensure_owner_or_root::<T>(origin, netuid)?;
                ensure_exists::<T>(netuid, subtensor::Error::<T>::SubnetNotExists)?;
                let owner = SubnetOwner::<T>::get(netuid);
                subtensor::Pallet::<T>::ensure_within_rate(
                    &owner,
                    netuid,
                    LimitedAction::OwnerHotkey,
                )?;
                apply::<T>(netuid, Some((owner, LimitedAction::OwnerHotkey)), change)
            }
        }
    }
}

/// Returns the subnet's owner if it is the origin, or `None` if root is.
fn ensure_owner_or_root<T: Config>(
    origin: OriginFor<T>,
    netuid: NetUid,
) -> Result<Option<AccountId32>, DispatchError> {
    let who = ensure_signed_or_root(origin)?;
    if let Some(who) = &who {
        let is_owner = NetworksAdded::<T>::get(netuid) && SubnetOwner::<T>::get(netuid) == *who;
        ensure!(is_owner, DispatchError::BadOrigin);
    }
    Ok(who)
}

/// Checks the rate limit of an owner's action, and then the freeze window.
fn ensure_owner_action_allowed<T: Config>(
    owner: &AccountId32,
    netuid: NetUid,
    action: Option<LimitedAction>,
) -> DispatchResult {
    if let Some(action) = action {
        subtensor::Pallet::<T>::ensure_within_rate(owner, netuid, action)?;
    }
    let is_frozen = subtensor::Pallet::<T>::is_in_freeze_window(netuid);
    ensure!(!is_frozen, subtensor::Error::<T>::AdminActionProhibitedDuringWeightsWindow);
    Ok(())
}

fn ensure_exists<T: Config>(netuid: NetUid, error: impl Into<DispatchError>) -> DispatchResult {
    ensure!(NetworksAdded::<T>::get(netuid), error);
    Ok(())
}

/// Wakes the subnet, applies `change`, and records the action that has a rate limit.
fn apply<T: Config>(
    netuid: NetUid,
    rate_limited_action: Option<(AccountId32, LimitedAction)>,
    change: impl FnOnce() -> DispatchResult,
) -> DispatchResult {
    if NetworksAdded::<T>::get(netuid) {
        subtensor::Pallet::<T>::wake(netuid);
    }
    change()?;
    if let Some((who, action)) = rate_limited_action {
        subtensor::Pallet::<T>::record_action(&who, netuid, action);
    }
    Ok(())
}
