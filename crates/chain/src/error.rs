use std::time::Duration;

use taonet_primitives::{AccountId, BlockNumber, NetUid};

use crate::At;

/// What another crate said was wrong.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the chain could not be read, or a call not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// None of the endpoints answered.
    #[error("no node answered; the last one tried was {endpoint}. Check the network's name and that a node is up")]
    Unreachable {
        /// The address of the last one, without credentials.
        endpoint: String,
        /// What it failed with.
        source: TransportError,
    },
    /// The node answered that it will not.
    #[error("the node refused {method}: {message} (code {code})")]
    Refused {
        /// The JSON-RPC method.
        method: String,
        /// The JSON-RPC error's code.
        code: i32,
        /// What the node says, its details included.
        message: String,
    },
    /// There is no such block, or the node no longer has it.
    #[error("the node does not have {0}: older blocks are with archive nodes")]
    NoSuchBlock(At),
    /// There is no such subnet.
    #[error("there is no subnet {0}")]
    NoSuchSubnet(NetUid),
    /// The runtime has no such item.
    #[error("the chain's runtime (version {spec_version}) has no {what}")]
    NotInRuntime {
        /// The item, e.g. `call SubtensorModule.set_weights`.
        what: String,
        /// The runtime's version.
        spec_version: u32,
    },
    /// Arguments do not fit what the runtime's metadata asks for.
    #[error("cannot write {what} for the chain")]
    Encode {
        /// The item.
        what: String,
        /// What does not fit.
        source: Source,
    },
    /// Bytes from the chain are not what the runtime's metadata says.
    #[error("cannot read {what} from the chain")]
    Decode {
        /// The item.
        what: String,
        /// What does not fit.
        source: Source,
    },
    /// The era of the extrinsic would be over before it is in a block.
    #[error("an extrinsic signed now could be in no block up to {0}: sign it with a later end")]
    TooLate(BlockNumber),
    /// Others of this process sign with the account, and none has come to an end.
    #[error("other calls of {0} are on their way to a pool: try again")]
    Busy(AccountId),
}

impl ChainError {
    /// Whether the same request may succeed later, or with another node.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy(_))
    }

    pub(crate) fn decode(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Decode { what: what.into(), source: source.into() }
    }

    pub(crate) fn encode(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Encode { what: what.into(), source: source.into() }
    }
}

/// Why a node could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// It did not answer in time.
    #[error("no answer to {method} within {} ms", .after.as_millis())]
    TimedOut {
        /// The JSON-RPC method.
        method: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection could not be made, or broke.
    #[error("the connection failed")]
    Connection(#[source] Source),
    /// What it answered is not what the method gives.
    #[error("its answer cannot be read")]
    Garbage(#[source] Source),
    /// It answers for another chain than the endpoints before it.
    #[error("it is a node of another chain: its genesis is {0}")]
    AnotherChain(taonet_primitives::BlockHash),
}

/// An error and what led to it, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let source = TransportError::Connection("it was reset".into());
        let error = ChainError::Unreachable { endpoint: "ws://node".to_owned(), source };
        let text = with_causes(&error);
        assert!(text.ends_with(": the connection failed: it was reset"), "{text}");
        assert_eq!(text.matches("reset").count(), 1, "{text}");
    }
}
