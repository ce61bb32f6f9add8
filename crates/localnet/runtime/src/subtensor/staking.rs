//! Buying and selling alpha.

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_runtime::{AccountId32, PerU16};

use super::types::SubnetIdentityV3;
use super::{Config, Error, MAX_COMMIT_LEN, Pallet};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_add_stake(
        who: &AccountId32,
        _hotkey: AccountId32,
        _netuid: NetUid,
        _amount_staked: TaoBalance,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_remove_stake(
        who: &AccountId32,
        _hotkey: AccountId32,
        _netuid: NetUid,
        _amount_unstaked: AlphaBalance,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_add_stake_limit(
        who: &AccountId32,
        _hotkey: AccountId32,
        _netuid: NetUid,
        _amount_staked: TaoBalance,
        _limit_price: TaoBalance,
        _allow_partial: bool,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_remove_stake_limit(
        who: &AccountId32,
        _hotkey: AccountId32,
        _netuid: NetUid,
        _amount_unstaked: AlphaBalance,
        _limit_price: TaoBalance,
        _allow_partial: bool,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }
}
