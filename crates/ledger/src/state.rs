//! The state machine of a signed extrinsic.

use std::fmt;
use std::str::FromStr;

use taonet_chain::Outcome;

use crate::LedgerError;

/// The state of a signed extrinsic: the chain's [`Outcome`], combined with what this side has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Stored, but never sent.
    Signed,
    /// Sent, or the process ended just before sending.
    Sent,
    /// Sent; the outcome was not known before the timeout.
    Unknown,
    /// Dropped by the pool; another node's pool may still submit it.
    Dropped,
    /// In a block, which a fork may still revert.
    Included,
    /// In a finalized block, and the call succeeded.
    Finalized,
    /// In a finalized block, and the call failed.
    Failed,
    /// Another extrinsic with the same nonce is in a finalized block.
    Superseded,
    /// The era ended without inclusion.
    Expired,
    /// Refused by every pool.
    Invalid,
    /// Never sent, and now too late.
    Withdrawn,
    /// The era ended, and the nodes have pruned the blocks to search.
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

    /// Whether the bytes may still enter a block, sent now or before.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Signed | Self::Sent | Self::Unknown | Self::Dropped)
    }

    /// Whether the bytes certainly have no effect and never will, so that others may be signed in their place.
    pub const fn is_void(self) -> bool {
        matches!(self, Self::Failed | Self::Superseded | Self::Expired | Self::Withdrawn)
    }

    /// Whether the state is final.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Finalized | Self::Lost) || self.is_void()
    }

    /// The next state after an outcome on the chain.
    pub(crate) fn after(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Included(_) => Self::Included,
            Outcome::Finalized(inclusion) if inclusion.result.is_ok() => Self::Finalized,
            Outcome::Finalized(_) => Self::Failed,
            Outcome::Superseded => Self::Superseded,
            Outcome::Expired { .. } => Self::Expired,
            Outcome::Invalid(_) => Self::Invalid,
            Outcome::Dropped => Self::Dropped,
            // An unknown outcome does not change what is known about a block.
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
