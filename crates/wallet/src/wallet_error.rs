use std::io;
use std::path::PathBuf;

use crate::{KeyfileError, NameError};

/// Why a key could not be read from disk or written to it. Never repeats what a file holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The file or directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file or directory cannot be written. What stood there before still stands there.
    #[error("cannot write {path}; what stood there is unchanged")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The path, after following links, is a directory or a device.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// The path is a symbolic link, which keys are not written through.
    #[error("{0} is a symbolic link; keys are not written through links, remove it first")]
    Link(PathBuf),
    /// The file is far larger than any keyfile.
    #[error("{path} has {bytes} bytes, more than any keyfile")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// There is a key already, and overwriting was not asked for.
    #[error("{0} exists; keys are overwritten only on request, with a backup")]
    Exists(PathBuf),
    /// The file was read, but gives no key.
    #[error("{path} gives no key")]
    Keyfile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyfileError,
    },
    /// The key could not be encrypted.
    #[error("cannot encrypt the key")]
    Seal(#[source] KeyfileError),
    /// The name cannot be a wallet's or a hotkey's.
    #[error(transparent)]
    Name(#[from] NameError),
}
