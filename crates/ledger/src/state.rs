//! How far an extrinsic has come, and what may be done next.

use std::fmt;
use std::str::FromStr;

use taonet_chain::Outcome;

use crate::LedgerError;

/// How far a signed extrinsic has come. Beside what [`Outcome`] says of the chain, it knows what this side has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Its bytes are stored; they were never sent.
    Signed,
    /// It was sent, or the process ended when it was about to be.
    Sent,
    /// It was sent; what became of it could not be learnt in time.
    Unknown,
    /// The pool let go of it; it may still come from another node's pool.
    Dropped,
    /// It is in a block that may be undone.
    Included,
    /// It is in the chain for good and did what it was meant to.
    Finalized,
    /// It is in the chain for good, and the call was refused there.
    Failed,
    /// Another extrinsic with its nonce took its place.
    Superseded,
    /// Its era ended without it.
    Expired,
    /// No pool takes it.
    Invalid,
    /// It was never sent, and now it is too late.
    Withdrawn,
    /// Its era is over, and the nodes no longer have the blocks to look for it in.
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

    /// Whether the bytes may enter a block when they are sent now, or have been.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Signed | Self::Sent | Self::Unknown | Self::Dropped)
    }

    /// Whether it is certain that the bytes have no effect and never will, so that others may be signed in their place.
    pub const fn is_void(self) -> bool {
        matches!(self, Self::Failed | Self::Superseded | Self::Expired | Self::Withdrawn)
    }

    /// Whether nothing can change any more.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Finalized | Self::Lost) || self.is_void()
    }

    /// What an extrinsic of this state is after the chain said this.
    pub(crate) fn after(self, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Included(_) => Self::Included,
            Outcome::Finalized(inclusion) if inclusion.result.is_ok() => Self::Finalized,
            Outcome::Finalized(_) => Self::Failed,
            Outcome::Superseded => Self::Superseded,
            Outcome::Expired { .. } => Self::Expired,
            Outcome::Invalid(_) => Self::Invalid,
            Outcome::Dropped => Self::Dropped,
            // Not to know is no news of what was in a block before.
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
