//! Setting, committing and revealing weights.

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_runtime::{AccountId32, PerU16};

use super::types::SubnetIdentityV3;
use super::{Config, Error, MAX_COMMIT_LEN, Pallet};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_set_weights(
        who: &AccountId32,
        _netuid: NetUid,
        _dests: Vec<u16>,
        _weights: Vec<u16>,
        _version_key: u64,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_commit_weights(who: &AccountId32, _netuid: NetUid, _commit_hash: H256) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_reveal_weights(
        who: &AccountId32,
        _netuid: NetUid,
        _uids: Vec<u16>,
        _values: Vec<u16>,
        _salt: Vec<u16>,
        _version_key: u64,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_commit_timelocked_weights(
        who: &AccountId32,
        _netuid: NetUid,
        _commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
        _reveal_round: u64,
        _commit_reveal_version: u16,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_commit_mechanism_weights(
        who: &AccountId32,
        _netuid: NetUid,
        _mecid: MechId,
        _commit_hash: H256,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_reveal_mechanism_weights(
        who: &AccountId32,
        _netuid: NetUid,
        _mecid: MechId,
        _uids: Vec<u16>,
        _values: Vec<u16>,
        _salt: Vec<u16>,
        _version_key: u64,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_commit_timelocked_mechanism_weights(
        who: &AccountId32,
        _netuid: NetUid,
        _mecid: MechId,
        _commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
        _reveal_round: u64,
        _commit_reveal_version: u16,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_set_mechanism_weights(
        who: &AccountId32,
        _netuid: NetUid,
        _mecid: MechId,
        _dests: Vec<u16>,
        _weights: Vec<u16>,
        _version_key: u64,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }
}
