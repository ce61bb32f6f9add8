use std::io;
use std::path::{Path, PathBuf};
use taonet_primitives::counted;

use super::CATALOGUE;

/// Why a model is not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The catalogue has no model of this name.
    #[error("no model is called `{name}`; known are {}", known())]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The model has no files: it is part of the product.
    #[error("{model} is built in: it has no files to look for or to fetch")]
    BuiltIn {
        /// The model.
        model: &'static str,
    },
    /// The model is in none of the directories.
    #[error("{model} is not on this machine (looked in {}). Get it with `tao models pull {model}`, or from the \
             package index with `scripts/models`", listed(.searched))]
    Missing {
        /// The model.
        model: &'static str,
        /// The directories that were looked at.
        searched: Vec<PathBuf>,
    },
    /// A file is not the published one.
    #[error("{} is not the published file: expected SHA-256 {expected}, found {found}. Delete it and run \
             `tao models pull {model}`", .path.display())]
    Corrupt {
        /// The model.
        model: &'static str,
        /// The file.
        path: PathBuf,
        /// The published SHA-256.
        expected: &'static str,
        /// The SHA-256 of the file's content.
        found: String,
    },
    /// A downloaded file is not the published one. It has been deleted.
    #[error(
        "{url} gave another file than the published one: expected SHA-256 {expected}, found {found}. The \
             download was deleted. Try again, or check who answers for that address"
    )]
    WrongDownload {
        /// Where it came from.
        url: String,
        /// The published SHA-256.
        expected: &'static str,
        /// The SHA-256 of what came.
        found: String,
    },
    /// Neither a directory was given nor does the system name a cache directory.
    #[error("there is no directory for models: the system names no cache directory. Give one with `--models DIR`")]
    NoDirectory,
    /// A file could not be read or written.
    #[error("{} could not be read or written", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is fetching the same file.
    #[error("{} is being written by another process. Wait until it has finished", .path.display())]
    Busy {
        /// The unfinished file.
        path: PathBuf,
    },
    /// The hub could not be reached, or the connection broke.
    #[error("{url} could not be fetched; what has arrived is kept, try again to go on from there")]
    Connection {
        /// The address.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The hub answered with an error.
    #[error("{url} answered {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status code.
        status: u16,
    },
    /// The hub sent less or more than the file's size.
    #[error("{url} sent {received} of {}; try again", counted(.expected, "byte"))]
    Size {
        /// The address.
        url: String,
        /// The published size.
        expected: u64,
        /// Bytes on disk when the answer ended, or was cut off because it was too long.
        received: u64,
    },
}

impl ModelError {
    /// Whether trying again later may help: the network failed, not the file.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Busy { .. } | Self::Size { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

fn known() -> String {
    CATALOGUE.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ")
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
