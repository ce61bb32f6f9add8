use std::time::Duration;

use taonet_primitives::{AccountId, BlockHash, BlockNumber, NetUid};

use crate::At;

/// A source error of any type.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a chain query failed, or a call could not be built or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No endpoint responded.
    #[error(
        "no node responded, last tried {endpoint}; hint: check the network name and that a node is up"
    )]
    Unreachable {
        /// The address of the last endpoint tried, without credentials.
        endpoint: String,
        /// The last endpoint's error.
        source: TransportError,
    },
    /// The node returned a JSON-RPC error.
    #[error("the node refused {method}: {message} (code {code})")]
    Refused {
        /// The JSON-RPC method.
        method: String,
        /// The JSON-RPC error code.
        code: i32,
        /// The JSON-RPC error message, with its details.
        message: String,
    },
    /// The block does not exist, perhaps not yet, or the node has pruned it.
    #[error(
        "the node does not have {0}; hint: query an archive node for an old block; a future one does not exist yet"
    )]
    NoSuchBlock(At),
    /// The node returned no events of a block, although each block after the genesis block has
    /// some.
    #[error("the node has no events of block {0}; hint: query another node")]
    NoEvents(BlockHash),
    /// The subnet does not exist.
    #[error("subnet {0} does not exist")]
    NoSuchSubnet(NetUid),
    /// The runtime has no item of this name.
    #[error("the chain's runtime (version {spec_version}) has no {subject}")]
    NotInRuntime {
        /// The item, e.g. `call SubtensorModule.set_weights`.
        subject: String,
        /// The runtime version.
        spec_version: u32,
    },
    /// The arguments do not match the types of the runtime's metadata.
    #[error("cannot encode {subject} for the chain")]
    Encode {
        /// The item that could not be encoded.
        subject: String,
        /// Why encoding failed.
        source: BoxError,
    },
    /// Bytes from the chain do not match the types of the runtime's metadata.
    #[error("cannot decode {subject} from the chain")]
    Decode {
        /// The item that could not be decoded.
        subject: String,
        /// Why decoding failed.
        source: BoxError,
    },
    /// The bytes are neither an extrinsic nor a call of the runtime.
    #[error(
        "the bytes are not an extrinsic ({as_extrinsic}) and not a call ({as_call}) of the chain's runtime (version \
        {spec_version}); hint: include the length prefix of an extrinsic, and select its network"
    )]
    Undecodable {
        /// The runtime version.
        spec_version: u32,
        /// Why the bytes do not decode as an extrinsic.
        as_extrinsic: BoxError,
        /// Why the bytes do not decode as a call.
        as_call: BoxError,
    },
    /// The era of the extrinsic ends before any block could include it.
    #[error(
        "the era ends at block {0}, too early for an extrinsic signed now; hint: use a longer era"
    )]
    TooLate(BlockNumber),
    /// The wait for a nonce lease timed out: other callers in this process hold the account's
    /// lease.
    #[error(
        "timed out waiting for a nonce of {0}: other extrinsics of this account are being submitted; hint: try again"
    )]
    Busy(AccountId),
}

impl ChainError {
    /// Whether the same request may succeed later, or with another node.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy(_))
    }

    pub(crate) fn decode(subject: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Decode { subject: subject.into(), source: source.into() }
    }

    pub(crate) fn encode(subject: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Encode { subject: subject.into(), source: source.into() }
    }
}

/// Why a request to a node failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The request timed out.
    #[error("{method} timed out after {} ms", .after.as_millis())]
    TimedOut {
        /// The JSON-RPC method.
        method: String,
        /// Timeout of the request.
        after: Duration,
    },
    /// The connection could not be opened, or was lost.
    #[error("connection failed")]
    Connection(#[source] BoxError),
    /// The response does not have the type of the method's result.
    #[error("malformed response")]
    Malformed(#[source] BoxError),
    /// The node serves a different chain from the other endpoints.
    #[error("the node serves a different chain, with genesis {0}")]
    AnotherChain(BlockHash),
}

#[cfg(test)]
mod tests {
    use taonet_primitives::{split_hint, with_causes};

    use super::*;

    #[test]
    fn each_cause_is_printed_once() {
        let source = TransportError::Connection("it was reset".into());
        let error = ChainError::Unreachable { endpoint: "ws://node".to_owned(), source };
        let text = with_causes(&error);
        assert!(text.ends_with(": connection failed: it was reset"), "{text}");
        assert_eq!(text.matches("reset").count(), 1, "{text}");
    }

    /// The error does not know the newest block, so its hint is for both cases.
    #[test]
    fn hint_for_missing_block_covers_old_and_future_ones() {
        let text = ChainError::NoSuchBlock(At::Number(BlockNumber::new(99_999_999))).to_string();
        let (message, hint) = split_hint(&text);
        assert_eq!(message, "the node does not have block 99999999");
        let hint = hint.unwrap_or_default();
        assert!(hint.contains("archive node") && hint.contains("not exist yet"), "{hint}");
    }
}
