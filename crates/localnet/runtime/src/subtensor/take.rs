//! The part that a validator keeps of its stakers' dividends.

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_runtime::{AccountId32, PerU16};

use super::types::SubnetIdentityV3;
use super::{Config, Error, MAX_COMMIT_LEN, Pallet};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_decrease_take(who: &AccountId32, _hotkey: AccountId32, _take: PerU16) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_increase_take(who: &AccountId32, _hotkey: AccountId32, _take: PerU16) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }
}
