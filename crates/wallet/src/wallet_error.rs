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
    /// The first of several files is written, and then something failed. The new key is in place: what can restore it must
    /// be kept.
    #[error("the key is written, but not all that belongs to it; {} is there", list(.files))]
    PartlyWritten {
        /// The new files.
        files: Vec<PathBuf>,
        /// Copies of the old ones.
        backups: Vec<PathBuf>,
        /// What failed.
        source: Box<WalletError>,
    },
    /// The disk did not confirm that the directory is written.
    #[error("the disk does not confirm that the files of {path} will outlast a loss of power")]
    Sync {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not any more what was read.
    #[error("{0} changed since it was read; nothing was written, do it again")]
    Changed(PathBuf),
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

impl WalletError {
    /// Whether the new key was written all the same. Then its mnemonic must not be thrown away.
    pub const fn is_partly_written(&self) -> bool {
        matches!(self, Self::PartlyWritten { .. })
    }
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
