//! The state machine of a signed extrinsic.

use std::fmt;
use std::str::FromStr;

use taonet_chain::Outcome;

use crate::LedgerError;

/// The state of a signed extrinsic: the chain's [`Outcome`], combined with the submitter's own
/// actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The extrinsic is stored, but was never sent.
    Signed,
    /// The extrinsic was sent, or the process exited just before sending it.
    Sent,
    /// The extrinsic was sent, and its outcome was unknown at the timeout.
    Unknown,
    /// The pool dropped the extrinsic; another node's pool may still hold it.
    Dropped,
    /// The extrinsic is in a block, which a fork may still revert.
    Included,
    /// The extrinsic is in a finalized block, and its call succeeded.
    Finalized,
    /// The extrinsic is in a finalized block, and its call failed.
    Failed,
    /// Another extrinsic with the same nonce is in a finalized block.
    Superseded,
    /// The era of the extrinsic ended without inclusion.
    Expired,
    /// Every pool refuses the extrinsic.
    Invalid,
    /// The extrinsic was never sent, and its epoch is over.
    Withdrawn,
    /// The outcome can no longer be determined: the nodes have pruned the blocks that might contain
    /// the extrinsic.
    Lost,
}

impl State {
    const ALL: [Self; 12] = [
        Self::Signed,
        Self::Sent,
        Self::Unknown,
        Self::Dropped,
        Self::Included,
        Self::Finalized,
        Self::Failed,
        Self::Superseded,
        Self::Expired,
        Self::Invalid,
        Self::Withdrawn,
        Self::Lost,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Sent => "sent",
            Self::Unknown => "unknown",
            Self::Dropped => "dropped",
            Self::Included => "included",
            Self::Finalized => "finalized",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::Withdrawn => "withdrawn",
            Self::Lost => "lost",
        }
    }

    /// Whether the outcome is pending: the extrinsic may still be included in a block.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Signed | Self::Sent | Self::Unknown | Self::Dropped)
    }

    /// Whether the extrinsic can never take effect, so that another may be signed in its place.
    pub const fn is_void(self) -> bool {
        matches!(self, Self::Failed | Self::Superseded | Self::Expired | Self::Withdrawn)
    }

    /// Whether the state is final.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Finalized | Self::Lost) || self.is_void()
    }

    /// Returns the next state after an outcome on the chain.
    pub(crate) fn after(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Included(_) => Self::Included,
            Outcome::Finalized(inclusion) if inclusion.result.is_ok() => Self::Finalized,
            Outcome::Finalized(_) => Self::Failed,
            Outcome::Superseded => Self::Superseded,
            Outcome::Expired { .. } => Self::Expired,
            Outcome::Invalid(_) => Self::Invalid,
            Outcome::Dropped => Self::Dropped,
            // An unknown outcome does not revoke a known inclusion.
            _ if self == Self::Included => Self::Included,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| LedgerError::Value { column: "state", value: text.to_owned() })
    }
}
