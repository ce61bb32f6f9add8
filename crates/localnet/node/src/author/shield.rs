//! Decryption of extrinsics that were submitted encrypted.

use codec::DecodeLimit;
use taonet_localnet_runtime::mev_shield::{Call, ShieldKey};
use taonet_localnet_runtime::{RuntimeCall, UncheckedExtrinsic};

/// Minimum length of a ciphertext, in bytes: the length of the encapsulated secret.
const MIN_LENGTH: usize = 1_088;
/// Maximum nesting depth of calls.
const MAX_CALL_DEPTH: u32 = 8;

/// Decrypts the signed extrinsic in a `submit_encrypted` extrinsic; `None` for any other call, or
/// if it cannot be decrypted.
pub(super) fn decrypt(extrinsic: &[u8], key: &ShieldKey) -> Option<Vec<u8>> {
    if extrinsic.len() <= MIN_LENGTH {
        return None;
    }
    let outer =
        UncheckedExtrinsic::decode_all_with_depth_limit(MAX_CALL_DEPTH, &mut &*extrinsic).ok()?;
    let RuntimeCall::MevShield(Call::submit_encrypted { ciphertext }) = outer.function else {
        return None;
    };
    let inner = key.open(&ciphertext)?;
    UncheckedExtrinsic::decode_all_with_depth_limit(MAX_CALL_DEPTH, &mut inner.as_slice()).ok()?;
    Some(inner)
}
