//! Errors of extrinsic submission, with the error codes of the real chain's node.

use codec::Encode;
use jsonrpsee::types::ErrorObjectOwned;
use sp_core::H256;
use sp_runtime::transaction_validity::{
    InvalidTransaction, TransactionValidityError, UnknownTransaction,
};

use crate::execute::CallError;
use crate::store::StoreError;

/// Why the pool refused an extrinsic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The bytes cannot be decoded as an extrinsic.
    #[error("Extrinsic has invalid format: {0}")]
    Format(codec::Error),
    /// The runtime call that validates the extrinsic failed.
    #[error("Verification Error: {0}")]
    Verification(#[from] CallError),
    /// The extrinsic is invalid.
    #[error("Invalid Transaction")]
    Invalid(InvalidTransaction),
    /// The validity of the extrinsic is unknown.
    #[error("Unknown Transaction Validity")]
    Unknown(UnknownTransaction),
    /// The same extrinsic recently proved invalid, or is already in a block.
    #[error("Transaction is temporarily banned")]
    Banned,
    /// The same extrinsic is already in the pool.
    #[error("Transaction Already Imported")]
    Known(H256),
    /// An extrinsic with the same account and nonce and at least the same priority is in the pool.
    #[error("Priority is too low: ({pooled} vs {new})")]
    Priority {
        /// The priority of the extrinsic in the pool.
        pooled: u64,
        /// The priority of the new extrinsic.
        new: u64,
    },
    /// The pool is full, or the account has reached its limit.
    #[error("Immediately Dropped")]
    Full,
    /// The extrinsic provides no tags to identify it in the pool.
    #[error("No tags provided")]
    NoTags,
    /// The chain's state cannot be read.
    #[error("cannot read the chain: {0}")]
    Store(#[from] StoreError),
    /// The followed node refused the extrinsic.
    #[error("{message}")]
    Forwarded {
        /// The JSON-RPC error code.
        code: i32,
        /// The text of the JSON-RPC error.
        message: String,
        /// The `data` text of the JSON-RPC error, if any.
        data: Option<String>,
    },
    /// The followed node does not respond.
    #[error(
        "the followed node at {0} does not respond; hint: submit the extrinsic again when it is back"
    )]
    Unreachable(String),
    /// The node is shutting down.
    #[error("the node is shutting down; hint: submit the extrinsic again after the restart")]
    Stopping,
}

impl From<TransactionValidityError> for SubmitError {
    fn from(error: TransactionValidityError) -> Self {
        match error {
            TransactionValidityError::Invalid(invalid) => Self::Invalid(invalid),
            TransactionValidityError::Unknown(unknown) => Self::Unknown(unknown),
        }
    }
}

impl SubmitError {
    /// Returns the refusal of the followed node.
    pub(crate) fn forwarded(error: &ErrorObjectOwned) -> Self {
        Self::Forwarded {
            code: error.code(),
            message: error.message().to_owned(),
            data: error.data().map(|data| {
                serde_json::from_str(data.get()).unwrap_or_else(|_| data.get().to_owned())
            }),
        }
    }

    /// Returns the JSON-RPC error code.
    pub fn code(&self) -> i32 {
        match self {
            Self::Format(_) => 1001,
            Self::Verification(_) => 1002,
            Self::Invalid(_) => 1010,
            Self::Unknown(_) => 1011,
            Self::Banned => 1012,
            Self::Known(_) => 1013,
            Self::Priority { .. } => 1014,
            Self::Full => 1016,
            Self::NoTags => 1019,
            Self::Forwarded { code, .. } => *code,
            Self::Store(_) | Self::Unreachable(_) | Self::Stopping => 1040,
        }
    }

    /// Returns the `data` text of the JSON-RPC error, if any.
    pub fn data(&self) -> Option<String> {
        match self {
            Self::Verification(error) => Some(error.to_string()),
            Self::Invalid(InvalidTransaction::Custom(number)) | Self::Unknown(UnknownTransaction::Custom(number)) => {
                Some(format!("Custom error: {number}"))
            }
            Self::Invalid(invalid) => Some(<&str>::from(*invalid).to_owned()),
            Self::Unknown(unknown) => Some(<&str>::from(*unknown).to_owned()),
            Self::Known(hash) => Some(format!("{hash:?}")),
            Self::Priority { .. } => Some(
                "The transaction has too low priority to replace another transaction already in the pool.".to_owned(),
            ),
            Self::Forwarded { data, .. } => data.clone(),
            Self::Full => Some("The transaction couldn't enter the pool because of the limit".to_owned()),
            Self::NoTags => Some("Transaction does not provide any tags, so the pool can't identify it".to_owned()),
            _ => None,
        }
    }

    /// Whether a retry of the same extrinsic would fail, so that it is banned for a while.
    pub(crate) fn causes_ban(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Verification(_))
    }
}

/// Returns the tag that an extrinsic of `account` with `nonce` provides in the pool.
pub(crate) fn nonce_tag(account: &taonet_localnet_runtime::AccountId, nonce: u32) -> Vec<u8> {
    (account, nonce).encode()
}
