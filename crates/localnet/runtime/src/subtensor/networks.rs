//! Creating and starting subnets.

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_runtime::{AccountId32, PerU16};

use super::types::SubnetIdentityV3;
use super::{Config, Error, MAX_COMMIT_LEN, Pallet};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_register_network(who: &AccountId32, _hotkey: AccountId32) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn do_set_subnet_identity(
        who: &AccountId32,
        _netuid: NetUid,
        _subnet_name: Vec<u8>,
        _github_repo: Vec<u8>,
        _subnet_contact: Vec<u8>,
        _subnet_url: Vec<u8>,
        _discord: Vec<u8>,
        _description: Vec<u8>,
        _logo_url: Vec<u8>,
        _additional: Vec<u8>,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_register_network_with_identity(
        who: &AccountId32,
        _hotkey: AccountId32,
        _identity: Option<SubnetIdentityV3>,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_start_call(who: &AccountId32, _netuid: NetUid) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }
}
