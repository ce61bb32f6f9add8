use std::io;
use std::path::PathBuf;

use crate::{KeyfileError, NameError};

/// Why a key could not be read from or written to disk. Messages never contain a file's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// Reading the file or directory failed.
    #[error("cannot read {path}")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Writing the file or directory failed. The previous content is unchanged.
    #[error("cannot write {path}; its previous content is unchanged")]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// An error occurred after some of the key's files were written. The new key is in place: keep
    /// the backups.
    #[error("the key is written, but some of its files are missing; written: {}", list(.files))]
    PartlyWritten {
        /// Paths of the written files.
        files: Vec<PathBuf>,
        /// Paths of the replaced files' backups.
        backups: Vec<PathBuf>,
        /// The error that occurred.
        source: Box<WalletError>,
    },
    /// The directory could not be synced to disk.
    #[error("cannot flush {path} to disk: its files may not survive a power failure")]
    Sync {
        /// Path of the directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file changed since it was read.
    #[error("{0} changed since it was read, nothing was written; hint: try again")]
    Changed(PathBuf),
    /// The path, after following links, is a directory or a device.
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
    /// The path is a symbolic link, and keys are not written through links.
    #[error("{0} is a symbolic link; hint: remove it first, keys are not written through links")]
    Link(PathBuf),
    /// The file is too large for a keyfile.
    #[error("{path} has {bytes} bytes, which is too large for a keyfile")]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
        /// The file size in bytes.
        bytes: u64,
    },
    /// A key already exists, and overwriting was not requested.
    #[error("{0} already exists; hint: overwrite it explicitly, a backup is kept")]
    Exists(PathBuf),
    /// The content of the file is malformed or cannot be decrypted.
    #[error("{path} contains no usable key")]
    Keyfile {
        /// Path of the file.
        path: PathBuf,
        /// Why the keyfile contains no usable key.
        source: KeyfileError,
    },
    /// Encrypting the key failed.
    #[error("cannot encrypt the key")]
    Seal(#[source] KeyfileError),
    /// The path begins with `~`, and the home directory is unknown.
    #[error(
        "{0} is relative to the home directory, which is unknown; hint: set HOME, or use an absolute path to the \
         wallets"
    )]
    NoHome(PathBuf),
    /// The name is invalid for a wallet or hotkey.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl WalletError {
    /// Whether the new key was written despite the error. If so, do not discard its mnemonic.
    pub const fn is_partly_written(&self) -> bool {
        matches!(self, Self::PartlyWritten { .. })
    }
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
