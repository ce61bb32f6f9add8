//! Errors of the store.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

use sp_core::H256;
use taonet_localnet_runtime::VERSION;

use super::{FILE_NAME, FORMAT_VERSION};
use crate::execute::panic_text;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The chain is open in another process.
    #[error(
        "another process is using the chain in {0}; hint: stop it, or choose another directory"
    )]
    InUse(PathBuf),
    /// Creating or opening the file or its directory failed.
    #[error(
        "cannot open the chain at {path}: {source}; hint: check the owner and the permissions of the directory"
    )]
    Open {
        /// Path of the file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The directory contains no chain, and no genesis state was given.
    #[error("no chain in {0}; hint: create a chain with a genesis state")]
    Missing(PathBuf),
    /// The file has a different format version.
    #[error(
        "the chain in {path} has format {stored}, expected {FORMAT_VERSION}; hint: reset the chain with tao localnet reset"
    )]
    FormatVersion {
        /// Path of the directory.
        path: PathBuf,
        /// The format version found.
        stored: u64,
    },
    /// A different runtime version created the chain.
    #[error(
        "the chain has runtime version {stored}, expected {}; hint: reset the chain with tao localnet reset",
        VERSION.spec_version
    )]
    SpecVersion {
        /// The runtime version found.
        stored: u64,
    },
    /// The chain has a different genesis block.
    #[error(
        "the chain has genesis {stored:?}, but the configured accounts and subnets give {configured:?}; hint: start the node with the \
         original ones, or reset the chain with tao localnet reset"
    )]
    Genesis {
        /// The hash of the genesis block on disk.
        stored: H256,
        /// The hash of the genesis block of the configuration.
        configured: H256,
    },
    /// A record is malformed.
    #[error("the chain database is damaged: {0}; hint: reset the chain, or load a snapshot")]
    Damaged(&'static str),
    /// The file or a state is malformed.
    #[error("the chain database is damaged: {0}; hint: reset the chain, or load a snapshot")]
    Corrupt(String),
    /// A database operation failed, for instance on a full disk.
    #[error(
        "the chain database failed: {0}; hint: check the free disk space and the health of the disk, then start the \
         node again"
    )]
    Database(Box<redb::Error>),
    /// Opening the chain in this file failed.
    #[error("cannot open {path}: {reason}")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Why the chain cannot be opened.
        reason: Box<StoreError>,
    },
}

impl StoreError {
    pub(super) fn open(path: &Path, source: io::Error) -> Self {
        Self::Open { path: path.to_owned(), source }
    }

    /// Creates the error for a panic of the database in this directory.
    pub(crate) fn from_panic(panic: &(dyn Any + Send), directory: Option<&Path>) -> Self {
        Self::Corrupt(panic_text(panic))
            .with_path(directory.map(|directory| directory.join(FILE_NAME)).as_deref())
    }

    /// Adds the path to the errors of the database.
    pub(super) fn with_path(self, path: Option<&Path>) -> Self {
        match (self, path) {
            (reason @ (Self::Damaged(_) | Self::Corrupt(_) | Self::Database(_)), Some(path)) => {
                Self::Unreadable { path: path.to_owned(), reason: Box::new(reason) }
            }
            (error, _) => error,
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),+) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                match redb::Error::from(error) {
                    redb::Error::Corrupted(reason) => Self::Corrupt(reason),
                    error => Self::Database(Box::new(error)),
                }
            }
        }
    )+};
}
from_redb!(
    redb::CommitError,
    redb::DatabaseError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::SetDurabilityError
);
