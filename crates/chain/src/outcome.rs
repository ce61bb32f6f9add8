use serde::{Deserialize, Serialize};
use taonet_primitives::{BlockNumber, Rao, with_causes};

use crate::{Block, ChainError, Event, RefusalReason};

/// The outcome of submitting an extrinsic.
///
/// After [`Outcome::Unknown`], [`Outcome::Dropped`] and [`Outcome::Invalid`] the same bytes may
/// still enter a block through another node: send them again, or look them up. To have the call
/// executed at most once, sign no replacement before
/// [`SignedExtrinsic::last_block`](crate::SignedExtrinsic::last_block) is finalized.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The extrinsic is in a block, which a fork may still revert. [`Inclusion::result`] has the
    /// call's result.
    Included(Inclusion),
    /// The extrinsic is in a finalized block. [`Inclusion::result`] has the call's result.
    Finalized(Inclusion),
    /// The pool dropped the extrinsic because the pool was full. Another node's pool may still hold
    /// it.
    Dropped,
    /// Another extrinsic with the same nonce is in a finalized block, so this one can never be
    /// included.
    Superseded,
    /// A pool refused the extrinsic, no other pool can hold it, and no block includes it.
    Invalid(RefusalReason),
    /// All blocks of the extrinsic's era are finalized and none includes it, so it can never be
    /// included.
    Expired {
        /// The last block that could have included the extrinsic.
        last_block: BlockNumber,
    },
    /// The outcome was still unknown at the timeout; the extrinsic may have been sent.
    Unknown(UnknownReason),
}

impl Outcome {
    /// Returns the inclusion, if the extrinsic is in a block.
    pub fn inclusion(&self) -> Option<&Inclusion> {
        match self {
            Self::Included(inclusion) | Self::Finalized(inclusion) => Some(inclusion),
            _ => None,
        }
    }

    /// Whether the extrinsic is in a block and its call succeeded.
    pub fn is_success(&self) -> bool {
        self.inclusion().is_some_and(|inclusion| inclusion.result.is_ok())
    }

    /// Whether the outcome is final: the bytes are in a finalized block or can never be in one.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Finalized(_) | Self::Superseded | Self::Expired { .. })
    }
}

/// The inclusion of an extrinsic in a block, with its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inclusion {
    /// The block that includes the extrinsic.
    pub block: Block,
    /// The extrinsic's index in the block.
    pub index: u32,
    /// The fee; `None` if the chain recorded none (submitting weights and publishing an axon are
    /// free).
    pub fee: Option<Rao>,
    /// The result of the call.
    pub result: Result<(), DispatchError>,
    /// The events that the extrinsic emitted.
    pub events: Vec<Event>,
}

/// Why the call of an included extrinsic failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DispatchError {
    /// A pallet returned an error.
    #[error("{pallet}.{name}: {docs}")]
    Module {
        /// The name of the pallet.
        pallet: String,
        /// The name of the error.
        name: String,
        /// The error's documentation in the runtime's metadata.
        docs: String,
    },
    /// The error comes from Substrate rather than from a pallet, e.g. `BadOrigin` or
    /// `Token(FundsUnavailable)`.
    #[error("the runtime refused the call: {0}")]
    Other(String),
}

/// Why the outcome of an extrinsic is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnknownReason {
    /// The extrinsic was not included before the caller's timeout.
    #[error("not included in any block up to {seen}")]
    NotYetIncluded {
        /// The last block searched.
        seen: BlockNumber,
    },
    /// No node responded.
    #[error("{error}")]
    Unreachable {
        /// The last node's error.
        error: String,
    },
    /// The nodes' responses do not determine the outcome: pruned blocks, or malformed bytes.
    #[error("cannot determine the outcome from the chain: {error}")]
    Unreadable {
        /// Why the responses are inconclusive.
        error: String,
    },
    /// A pool refused the extrinsic for a temporary reason, or another pool may still hold it.
    #[error("the node does not accept the extrinsic now: {0}")]
    Refused(RefusalReason),
}

impl UnknownReason {
    pub(crate) fn from_error(error: &ChainError) -> Self {
        let text = with_causes(error);
        match error {
            ChainError::Unreachable { .. } => Self::Unreachable { error: text },
            _ => Self::Unreadable { error: text },
        }
    }
}
