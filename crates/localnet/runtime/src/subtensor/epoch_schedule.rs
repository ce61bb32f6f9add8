//! When the epochs of a subnet run.

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_runtime::{AccountId32, PerU16};

use super::types::SubnetIdentityV3;
use super::{Config, Error, MAX_COMMIT_LEN, Pallet};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_set_tempo(who: &AccountId32, _netuid: NetUid, _tempo: u16) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_set_activity_cutoff_factor(
        who: &AccountId32,
        _netuid: NetUid,
        _factor_milli: u32,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_trigger_epoch(who: &AccountId32, _netuid: NetUid) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }
}
