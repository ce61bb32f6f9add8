//! Errors of the block author.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BuildError, ImportError, MAX_COMMANDS};
use crate::execute::CallError;
use crate::store::{SnapshotError, StoreError};

/// Why the block author failed, or refused a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorError {
    /// Building a block failed.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A block of the followed node was refused.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The node follows the node at this URL, and cannot change the chain itself.
    #[error(
        "this node follows {0} and cannot change the chain itself; hint: send the request to that node"
    )]
    Following(String),
    /// Writing a block failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain cannot revert to a named snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A call to the runtime failed.
    #[error("the runtime call failed: {0}")]
    Call(#[from] CallError),
    /// The clock's block time differs from the chain's, which cannot change because clients rely on
    /// it.
    #[error(
        "the chain has a block time of {actual:?}, not {requested:?}; hint: use --block-time {}ms, instant, manual or fast, or \
         reset the chain with tao localnet reset",
        .actual.as_millis()
    )]
    BlockTime {
        /// The block time of the chain.
        actual: Duration,
        /// The block time of the clock.
        requested: Duration,
    },
    /// The subnet does not exist or has no epochs.
    #[error("subnet {0} has no next epoch; hint: create and start the subnet first")]
    NoEpoch(u16),
    /// The time would pass the year 9999.
    #[error("the chain's time cannot pass the year 9999; hint: advance it by less")]
    TimeLimitExceeded,
    /// The command queue is full.
    #[error(
        "the block author's queue is full ({MAX_COMMANDS} commands); hint: retry when they have finished"
    )]
    Busy,
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopping,
    /// The author's thread panicked: a bug in this crate, or damage in the database file that redb
    /// does not report.
    #[error("the block author panicked: {reason}; hint: {}", restart_hint(.database.as_deref()))]
    Panicked {
        /// The message of the panic.
        reason: String,
        /// The path of the database file; `None` for a chain in memory.
        database: Option<PathBuf>,
    },
}

/// Returns the hint after a panic of the author's thread.
fn restart_hint(database: Option<&Path>) -> String {
    let Some(database) = database else { return "start the node again".to_owned() };
    format!(
        "start the node again to resume after its newest block; if it fails again, the database {} is damaged: reset the \
         chain with tao localnet reset, or load a snapshot",
        database.display()
    )
}
