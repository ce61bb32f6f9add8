use serde::{Deserialize, Serialize};
use taonet_primitives::{BlockNumber, Rao};

use crate::error::with_causes;
use crate::{Block, ChainError, Event, RefusedBecause};

/// What became of an extrinsic.
///
/// After [`Outcome::Unknown`], [`Outcome::Dropped`] and [`Outcome::Invalid`] the very same bytes may still enter a block
/// through another node: send them again, or look them up. Whoever must not do a thing twice signs nothing in their
/// place before [`SignedExtrinsic::last_block`](crate::SignedExtrinsic::last_block) is final.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It is in a block that may still be undone. Whether it did what it was meant to, [`Inclusion::result`] says.
    Included(Inclusion),
    /// It is in a block for good. Whether it did what it was meant to, [`Inclusion::result`] says.
    Finalized(Inclusion),
    /// The pool let go of it, for want of room. It may still come from another node's pool.
    Dropped,
    /// Another extrinsic with the same nonce is in a final block: this one can never be in one.
    Superseded,
    /// A pool will not have these bytes, no other one can have them, and they are in no block.
    Invalid(RefusedBecause),
    /// All blocks of its era are final and none has it: it can never be in one.
    Expired {
        /// The last block it could have been in.
        last_block: BlockNumber,
    },
    /// It was sent or may have been, and what became of it could not be learnt in time.
    Unknown(UnknownBecause),
}

impl Outcome {
    /// The place in the chain, where it has one.
    pub fn inclusion(&self) -> Option<&Inclusion> {
        match self {
            Self::Included(inclusion) | Self::Finalized(inclusion) => Some(inclusion),
            _ => None,
        }
    }

    /// Whether it is in a block and did what it was meant to.
    pub fn is_success(&self) -> bool {
        self.inclusion().is_some_and(|inclusion| inclusion.result.is_ok())
    }

    /// Whether nothing can change any more: the bytes are in a final block or can never be in one.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Finalized(_) | Self::Superseded | Self::Expired { .. })
    }
}

/// Where an extrinsic stands in the chain, and what it did there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inclusion {
    /// The block.
    pub block: Block,
    /// Its place within the block.
    pub index: u32,
    /// What it cost; `None` where the chain recorded no fee (weights and serving are free).
    pub fee: Option<Rao>,
    /// What the call came to.
    pub result: Result<(), DispatchError>,
    /// What the block recorded while it ran.
    pub events: Vec<Event>,
}

/// Why a call in a block did nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DispatchError {
    /// A pallet refused it.
    #[error("{pallet}.{name}: {docs}")]
    Module {
        /// The pallet.
        pallet: String,
        /// The error's name.
        name: String,
        /// What the runtime's metadata says about it.
        docs: String,
    },
    /// The framework refused it, e.g. `BadOrigin`, or `Token(FundsUnavailable)`.
    #[error("the runtime refused the call: {0}")]
    Other(String),
}

/// Why the fate of an extrinsic could not be learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnknownBecause {
    /// It stayed in the pool, or nowhere, for as long as the caller would wait.
    #[error("it was in no block up to {seen}")]
    NotYetIncluded {
        /// The last block that was searched.
        seen: BlockNumber,
    },
    /// No node answered.
    #[error("{error}")]
    Unreachable {
        /// What the last one failed with.
        error: String,
    },
    /// Nodes answered, and the answers did not tell: blocks that they no longer have, bytes that cannot be read.
    #[error("the chain does not tell: {error}")]
    Unreadable {
        /// What is wrong.
        error: String,
    },
    /// A pool would not have it, for a reason that may pass, or while another pool may have it.
    #[error("a node does not take it now: {0}")]
    Refused(RefusedBecause),
}

impl UnknownBecause {
    pub(crate) fn of_error(error: &ChainError) -> Self {
        let text = with_causes(error);
        match error {
            ChainError::Unreachable { .. } => Self::Unreachable { error: text },
            _ => Self::Unreadable { error: text },
        }
    }
}
