//! Who may make a call.

use frame_support::pallet_prelude::*;
use frame_system::{ensure_root, ensure_signed_or_root, pallet_prelude::OriginFor};

use super::{Config, Error};
use crate::subtensor::rate_limits::OwnerAction;
use crate::subtensor::{self, NetworksAdded, SubnetOwner};
use crate::types::NetUid;

/// Who may make a call.
pub(super) enum Authority<T> {
    /// The sudo key.
    Root,
    /// The sudo key, about a subnet that exists.
    RootOf(NetUid),
    /// The sudo key at any time; the subnet's owner when no epoch is near and its last such action is long enough ago.
    Owner { netuid: NetUid, action: OwnerAction, refused_to_owners: Option<Error<T>> },
}

/// The sudo key alone.
pub(super) fn root<T>() -> Authority<T> {
    Authority::Root
}

/// The sudo key alone, about a subnet.
pub(super) fn root_of<T>(netuid: NetUid) -> Authority<T> {
    Authority::RootOf(netuid)
}

/// The sudo key and the subnet's owner.
pub(super) fn owner<T>(netuid: NetUid, action: impl Into<OwnerAction>) -> Authority<T> {
    Authority::Owner { netuid, action: action.into(), refused_to_owners: None }
}

/// The sudo key, and where `condition` holds the subnet's owner.
pub(super) fn owner_if<T>(
    condition: bool,
    otherwise: Error<T>,
    netuid: NetUid,
    action: impl Into<OwnerAction>,
) -> Authority<T> {
    Authority::Owner { netuid, action: action.into(), refused_to_owners: (!condition).then_some(otherwise) }
}

impl<T: Config> Authority<T> {
    /// Makes the change if `origin` has this authority, and remembers when an owner made it.
    ///
    /// # Errors
    /// `BadOrigin`, `SubnetDoesNotExist`, those of [`subtensor::Pallet::ensure_owner_may`], and those of the change.
    pub(super) fn carry_out(self, origin: OriginFor<T>, change: impl FnOnce() -> DispatchResult) -> DispatchResult {
        match self {
            Self::Root => {
                ensure_root(origin)?;
                change()
            }
            Self::RootOf(netuid) => {
                ensure_root(origin)?;
                ensure_exists::<T>(netuid)?;
                subtensor::Pallet::<T>::wake(netuid);
                change()
            }
            Self::Owner { netuid, action, refused_to_owners } => {
                let Some(who) = ensure_signed_or_root(origin)? else {
                    ensure_exists::<T>(netuid)?;
                    subtensor::Pallet::<T>::wake(netuid);
                    return change();
                };
                ensure!(
                    NetworksAdded::<T>::get(netuid) && SubnetOwner::<T>::get(netuid) == who,
                    DispatchError::BadOrigin
                );
                subtensor::Pallet::<T>::ensure_owner_may(&who, netuid, action)?;
                if let Some(error) = refused_to_owners {
                    return Err(error.into());
                }
                subtensor::Pallet::<T>::wake(netuid);
                change()?;
                subtensor::Pallet::<T>::record_owner_action(&who, netuid, action);
                Ok(())
            }
        }
    }
}

fn ensure_exists<T: Config>(netuid: NetUid) -> DispatchResult {
    ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetDoesNotExist);
    Ok(())
}
