use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use reqwest::StatusCode;
use semver::Version;

use crate::{KeyError, SelfTestError};

/// Separates a message from its hint.
const HINT: &str = "\nhint: ";

/// Why an update failed. The installed program is untouched, unless the error says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The address of the release server is invalid.
    #[error("`{0}` is neither an http or https URL nor a directory")]
    Address(String),
    /// The release key is invalid.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The HTTP client cannot be created.
    #[error("cannot create an HTTP client")]
    Client(#[source] reqwest::Error),
    /// A request failed.
    #[error("cannot read {place}: {source}")]
    Transport {
        /// URL of the file.
        place: String,
        /// The transport error.
        source: reqwest::Error,
    },
    /// The server returned an unexpected status.
    #[error("cannot read {place}: status {status}")]
    Status {
        /// URL of the file.
        place: String,
        /// The HTTP status.
        status: StatusCode,
    },
    /// No data arrived in time.
    #[error("cannot read {0}: timeout")]
    Timeout(String),
    /// A file of the release is too large.
    #[error("{place} is larger than {limit} bytes")]
    TooLarge {
        /// Path or URL of the file.
        place: String,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// A file of the release is malformed.
    #[error("{place} is malformed: {reason}")]
    Malformed {
        /// Path or URL of the file.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The signature of a release is not valid for the release key.
    #[error(
        "{place} is not signed with the release key: {source}\nhint: do not install this release; tell its provider"
    )]
    Signature {
        /// Path or URL of the signed file.
        place: String,
        /// The verification error.
        source: minisign_verify::Error,
    },
    /// There are no releases for this platform.
    #[error("there are no releases for this platform\nhint: build from source")]
    Platform,
    /// The signed list of a release does not contain the program for this platform.
    #[error("release {version} does not list {name}")]
    NotListed {
        /// Version in `latest.json`.
        version: Version,
        /// Name of the program.
        name: String,
    },
    /// The downloaded program has another digest than the signed list says.
    #[error("{place} does not have the SHA-256 in the signed list; it was deleted")]
    Checksum {
        /// Path or URL of the program.
        place: String,
    },
    /// The new program failed its self-test.
    #[error("the new program failed its self-test: {0}")]
    SelfTest(#[source] SelfTestError),
    /// The new program failed its self-test after the replacement; the previous one is back in place.
    #[error("the new program failed its self-test after the replacement, and the previous one was restored: {0}")]
    RolledBack(#[source] SelfTestError),
    /// Another process is updating the same program.
    #[error("another process is updating {}", .0.display())]
    Busy(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {source}{}", path.display(), hint(source))]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A file of a release directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "\nhint: update as the owner of that directory, or install into your own with `install.sh --prefix DIR`"
        }
        _ => "",
    }
}

impl UpdateError {
    /// Returns whether the release server could not be reached, so that a retry may succeed.
    pub fn is_network(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Timeout(_) => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            _ => false,
        }
    }

    /// Describes the error with its causes, and then its hint.
    pub fn with_causes(&self) -> String {
        let text = self.to_string();
        let (message, hint) = text.split_once(HINT).map_or((text.as_str(), None), |(text, hint)| (text, Some(hint)));
        let mut all = message.to_owned();
        let causes = std::iter::successors(self.source(), |cause| (*cause).source());
        for cause in causes.map(ToString::to_string) {
            // Some messages already contain their cause.
            if !all.contains(&cause) {
                all = format!("{all}: {cause}");
            }
        }
        match hint {
            Some(hint) => format!("{all}{HINT}{hint}"),
            None => all,
        }
    }

    /// Returns whether the signature of the release is not valid.
    pub fn is_authentication(&self) -> bool {
        matches!(self, Self::Signature { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_before_the_hint() {
        let source = SelfTestError::Start(io::ErrorKind::NotFound.into());
        let text = UpdateError::SelfTest(source).with_causes();
        assert_eq!(text, "the new program failed its self-test: it cannot be executed: entity not found");
        let source = io::ErrorKind::PermissionDenied.into();
        let error = UpdateError::File { path: "tao".into(), source };
        assert!(error.with_causes().starts_with("cannot write tao: permission denied\nhint: "), "{error}");
    }
}
