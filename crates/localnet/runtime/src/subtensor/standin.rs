//! stand-in
use super::{Config, Pallet, NetworksAdded};
use crate::types::{MechId, NetUid};
impl<T: Config> Pallet<T> {
    pub fn all_netuids() -> Vec<NetUid> {
        let mut netuids: Vec<NetUid> =
            NetworksAdded::<T>::iter().filter_map(|(netuid, added)| added.then_some(netuid)).collect();
        netuids.sort_unstable();
        netuids
    }
    pub fn begin_registrations() {}
    pub fn reveal_timelocked() {}
    pub fn commit_blocks(_netuid: NetUid, _mecid: MechId) -> Option<Vec<Option<u64>>> { None }
}
