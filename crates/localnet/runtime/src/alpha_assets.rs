//! Accounting of each subnet's alpha: how much is issued, burned and recycled.

use frame_support::pallet_prelude::*;

pub use pallet::*;

use crate::types::{AlphaBalance, NetUid};

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::if_not_else,
    clippy::wildcard_imports
)]
#[frame_support::pallet]
pub mod pallet {
    use super::*;

    /// The AlphaAssets pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info] // Netuids have no maximum encoded length.
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config {}

    /// Issued alpha, in the pool and outside, burned alpha included.
    #[pallet::storage]
    pub type TotalAlphaIssuance<T> = StorageMap<_, Twox64Concat, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha burned since the subnet was registered. It still counts as issued.
    #[pallet::storage]
    pub type AlphaBurned<T> = StorageMap<_, Twox64Concat, NetUid, AlphaBalance, ValueQuery>;
    /// Alpha recycled since the subnet was registered: it can be issued again.
    #[pallet::storage]
    pub type AlphaRecycled<T> = StorageMap<_, Twox64Concat, NetUid, AlphaBalance, ValueQuery>;
}

impl<T: Config> Pallet<T> {
    /// Records newly issued alpha.
    pub(crate) fn issue(netuid: NetUid, alpha: AlphaBalance) {
        if alpha != AlphaBalance::ZERO {
            TotalAlphaIssuance::<T>::mutate(netuid, |issued| {
                *issued = issued.saturating_add(alpha);
            });
        }
    }

    /// Records burned alpha.
    pub(crate) fn burn(netuid: NetUid, alpha: AlphaBalance) {
        if alpha != AlphaBalance::ZERO {
            AlphaBurned::<T>::mutate(netuid, |burned| *burned = burned.saturating_add(alpha));
        }
    }

    /// Records recycled alpha, which is no longer issued.
    pub(crate) fn recycle(netuid: NetUid, alpha: AlphaBalance) {
        if alpha != AlphaBalance::ZERO {
            TotalAlphaIssuance::<T>::mutate(netuid, |issued| {
                *issued = issued.saturating_sub(alpha);
            });
            AlphaRecycled::<T>::mutate(netuid, |recycled| {
                *recycled = recycled.saturating_add(alpha);
            });
        }
    }

    /// Removes the records of a dissolved subnet.
    pub(crate) fn remove_subnet(netuid: NetUid) {
        TotalAlphaIssuance::<T>::remove(netuid);
        AlphaBurned::<T>::remove(netuid);
        AlphaRecycled::<T>::remove(netuid);
    }
}
