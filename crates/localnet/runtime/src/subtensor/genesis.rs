//! The subnets that exist from the first block.

use sp_runtime::AccountId32;

use super::{Config, NetworksAdded, Pallet, TotalNetworks};
use crate::types::NetUid;

impl<T: Config> Pallet<T> {
    pub(crate) fn build_genesis(owner: &AccountId32) {
        let _ = owner;
        NetworksAdded::<T>::insert(NetUid::ROOT, true);
        TotalNetworks::<T>::put(1);
    }

    pub(crate) fn begin_block() {}
}
