//! Authority required for an administrative call.

use frame_support::pallet_prelude::*;
use frame_system::{ensure_root, ensure_signed_or_root, pallet_prelude::OriginFor};

use super::{Config, Error};
use crate::subtensor::rate_limits::LimitedAction;
use crate::subtensor::{self, NetworksAdded, SubnetOwner};
use crate::types::NetUid;

/// Authority required for an administrative call.
pub(super) enum Authority {
    /// The sudo key.
    Root,
    /// The sudo key, for an existing subnet.
    RootOf(NetUid),
    /// The sudo key at any time; the subnet's owner outside the freeze window and within the rate limit of the action.
    Owner { netuid: NetUid, action: LimitedAction, refused_to_owners: Option<DispatchError> },
}

/// Requires the sudo key.
pub(super) fn root() -> Authority {
    Authority::Root
}

/// Requires the sudo key and an existing subnet.
pub(super) fn root_of(netuid: NetUid) -> Authority {
    Authority::RootOf(netuid)
}

/// Requires the sudo key or the subnet's owner.
pub(super) fn owner(netuid: NetUid, action: impl Into<LimitedAction>) -> Authority {
    Authority::Owner { netuid, action: action.into(), refused_to_owners: None }
}

/// Requires the sudo key, or the subnet's owner if `condition` holds.
pub(super) fn owner_if(
    condition: bool,
    otherwise: impl Into<DispatchError>,
    netuid: NetUid,
    action: impl Into<LimitedAction>,
) -> Authority {
    let refused_to_owners = (!condition).then(|| otherwise.into());
    Authority::Owner { netuid, action: action.into(), refused_to_owners }
}

impl Authority {
    /// Applies `change` if `origin` has this authority. Records the block of an owner's action, for its rate limit.
    ///
    /// # Errors
    /// `BadOrigin`, `SubnetDoesNotExist`, the errors of [`subtensor::Pallet::ensure_owner_may`], and the errors of
    /// `change`.
    pub(super) fn carry_out<T: Config>(
        self,
        origin: OriginFor<T>,
        change: impl FnOnce() -> DispatchResult,
    ) -> DispatchResult {
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
                    return Err(error);
                }
                subtensor::Pallet::<T>::wake(netuid);
                change()?;
                subtensor::Pallet::<T>::record_action(&who, netuid, action);
                Ok(())
            }
        }
    }
}

fn ensure_exists<T: Config>(netuid: NetUid) -> DispatchResult {
    ensure!(NetworksAdded::<T>::get(netuid), Error::<T>::SubnetDoesNotExist);
    Ok(())
}
