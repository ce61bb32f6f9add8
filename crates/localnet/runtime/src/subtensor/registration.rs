//! Registering neurons.

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_runtime::{AccountId32, PerU16};

use super::types::SubnetIdentityV3;
use super::{Config, Error, MAX_COMMIT_LEN, Pallet};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_burned_register(who: &AccountId32, _netuid: NetUid, _hotkey: AccountId32) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_root_register(who: &AccountId32, _hotkey: AccountId32) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_register_limit(
        who: &AccountId32,
        _netuid: NetUid,
        _hotkey: AccountId32,
        _limit_price: u64,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }
}
