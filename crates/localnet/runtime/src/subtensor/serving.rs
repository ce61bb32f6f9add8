//! Announcing endpoints.

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_runtime::{AccountId32, PerU16};

use super::types::SubnetIdentityV3;
use super::{Config, Error, MAX_COMMIT_LEN, Pallet};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

impl<T: Config> Pallet<T> {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn do_serve_axon(
        who: &AccountId32,
        _netuid: NetUid,
        _version: u32,
        _ip: u128,
        _port: u16,
        _ip_type: u8,
        _protocol: u8,
        _placeholder1: u8,
        _placeholder2: u8,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    pub(crate) fn do_serve_prometheus(
        who: &AccountId32,
        _netuid: NetUid,
        _version: u32,
        _ip: u128,
        _port: u16,
        _ip_type: u8,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn do_serve_axon_tls(
        who: &AccountId32,
        _netuid: NetUid,
        _version: u32,
        _ip: u128,
        _port: u16,
        _ip_type: u8,
        _protocol: u8,
        _placeholder1: u8,
        _placeholder2: u8,
        _certificate: Vec<u8>,
    ) -> DispatchResult {
        let _ = who;
        Err(DispatchError::Other("unfinished"))
    }
}
