//! Calls that come encrypted.

use codec::DecodeLimit;
use taonet_localnet_runtime::mev_shield::{Call, ShieldKey};
use taonet_localnet_runtime::{RuntimeCall, UncheckedExtrinsic};

/// Bytes that every ciphertext is longer than: those of the encapsulated secret.
const MIN_LENGTH: usize = 1_088;
/// How deep calls may nest.
const DEPTH: u32 = 8;

/// The signed call within an extrinsic that submits a ciphertext; `None` if there is none, or it cannot be opened.
pub(super) fn opened(extrinsic: &[u8], key: &ShieldKey) -> Option<Vec<u8>> {
    if extrinsic.len() <= MIN_LENGTH {
        return None;
    }
    let outer = UncheckedExtrinsic::decode_all_with_depth_limit(DEPTH, &mut &*extrinsic).ok()?;
    let RuntimeCall::MevShield(Call::submit_encrypted { ciphertext }) = outer.function else { return None };
    let inner = key.open(&ciphertext)?;
    UncheckedExtrinsic::decode_all_with_depth_limit(DEPTH, &mut inner.as_slice()).ok()?;
    Some(inner)
}
