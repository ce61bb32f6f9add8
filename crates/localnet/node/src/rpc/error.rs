//! JSON-RPC errors, with the codes and texts of the real chain's node.

use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{
    INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE, OVERSIZED_RESPONSE_CODE, OVERSIZED_RESPONSE_MSG,
};

use crate::author::{AuthorError, BuildError};
use crate::chain::StateError;
use crate::pool::SubmitError;
use crate::store::{SnapshotError, StoreError};

/// Error code of a `state_` request for too many keys.
const TOO_MANY_KEYS_ERROR: i32 = 4002;
/// Error code of requests whose block or state is not stored.
pub(crate) const CLIENT_ERROR: i32 = 4003;
/// Error code of `payment_` methods.
const PAYMENT_ERROR: i32 = 1;
/// Error code of `dev_` methods.
const DEV_ERROR: i32 = 5001;

/// The result of a handler.
pub(crate) type RpcResult = Result<serde_json::Value, ErrorObjectOwned>;

fn error(code: i32, message: impl Into<String>, data: Option<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message, data)
}

pub(crate) fn invalid_params(reason: impl Into<String>) -> ErrorObjectOwned {
    error(INVALID_PARAMS_CODE, "Invalid params", Some(reason.into()))
}

pub(crate) fn internal(reason: impl Into<String>) -> ErrorObjectOwned {
    error(INTERNAL_ERROR_CODE, "Internal error", Some(reason.into()))
}

pub(crate) fn too_many_keys(count: u64, max: u64) -> ErrorObjectOwned {
    error(
        TOO_MANY_KEYS_ERROR,
        format!("count exceeds maximum value. value: {count}, max: {max}"),
        None,
    )
}

/// Returns the error for an oversized response, in the wording of the RPC server itself.
pub(crate) fn response_too_large(max: usize) -> ErrorObjectOwned {
    error(
        OVERSIZED_RESPONSE_CODE,
        OVERSIZED_RESPONSE_MSG,
        Some(format!("Exceeded max limit of {max}")),
    )
}

pub(crate) fn state_error(failure: &StateError) -> ErrorObjectOwned {
    error(CLIENT_ERROR, format!("Client error: {failure}"), None)
}

pub(crate) fn store_error(failure: &StoreError) -> ErrorObjectOwned {
    error(CLIENT_ERROR, format!("Client error: {failure}"), None)
}

pub(crate) fn submit_error(failure: &SubmitError) -> ErrorObjectOwned {
    error(failure.code(), failure.to_string(), failure.data())
}

pub(crate) fn payment_error(failure: &StateError) -> ErrorObjectOwned {
    error(PAYMENT_ERROR, "Unable to query dispatch info.", Some(failure.to_string()))
}

pub(crate) fn author_error(failure: &AuthorError) -> ErrorObjectOwned {
    match failure {
        AuthorError::Build(BuildError::Refused(refused)) => submit_error(refused),
        failure => error(DEV_ERROR, failure.to_string(), None),
    }
}

pub(crate) fn snapshot_error(failure: &SnapshotError) -> ErrorObjectOwned {
    error(DEV_ERROR, failure.to_string(), None)
}

/// Returns the error for a runtime call on a pruned state, which the real chain's node words
/// differently from a read.
pub(crate) fn discarded_state_error(hash: sp_core::H256) -> ErrorObjectOwned {
    let text = format!(
        "Client error: Api called for an unknown Block: State already discarded for {hash:?}"
    );
    error(CLIENT_ERROR, text, None)
}
