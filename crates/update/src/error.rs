use std::io;
use std::path::PathBuf;

use semver::Version;
use taonet_http::Fault;

use crate::{KeyError, RestartError, SelfTestError};

/// Why an update failed. Unless a variant notes otherwise, the installed program is unchanged.
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
    /// An HTTP request failed.
    #[error("cannot read {location}: {source}")]
    Http {
        /// URL of the file.
        location: String,
        /// Why the request failed.
        source: Fault,
    },
    /// The complete file did not arrive within the timeout.
    #[error("cannot read {0}: timed out")]
    Timeout(String),
    /// A file of the release is too large.
    #[error("{location} is larger than {limit} bytes")]
    TooLarge {
        /// Path or URL of the file.
        location: String,
        /// Maximum size in bytes.
        limit: u64,
    },
    /// A file of the release is malformed.
    #[error("{location} is malformed: {reason}")]
    Malformed {
        /// Path or URL of the file.
        location: String,
        /// Why the file is malformed.
        reason: String,
    },
    /// The signature of a release is not valid for the release key.
    #[error(
        "{location} is not signed with the release key: {source}\nhint: do not install the release; report the problem \
         to its publisher"
    )]
    Signature {
        /// Path or URL of the signed file.
        location: String,
        /// Error of the signature verification.
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
    /// The downloaded program does not have the digest in the signed list.
    #[error("{location} does not match the SHA-256 in the signed list; the download was deleted")]
    Checksum {
        /// Path or URL of the program.
        location: String,
    },
    /// The new program failed its self-test.
    #[error("the new program failed its self-test: {0}")]
    SelfTest(#[source] SelfTestError),
    /// The new program failed its self-test after the replacement; the previous one was restored.
    #[error(
        "the new program failed its self-test after the replacement, and the previous one was restored: {0}"
    )]
    RolledBack(#[source] SelfTestError),
    /// The daemons did not become ready with the new program. The previous one was restored, if
    /// there was one.
    #[error("the daemons did not become ready with version {version}: {failure}; {outcome}")]
    NotReady {
        /// Version of the new program.
        version: Version,
        /// Why the daemons did not become ready.
        #[source]
        failure: RestartError,
        /// The state that the rollback left.
        outcome: &'static str,
    },
    /// Another process is updating the same program.
    #[error("another process is updating {}", .0.display())]
    Busy(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {}: {source}{}", path.display(), hint(source))]
    File {
        /// Path of the file.
        path: PathBuf,
        /// I/O error from the operating system.
        source: io::Error,
    },
    /// A file of a release directory cannot be read.
    #[error("cannot read {}: {source}{}", path.display(), read_hint(source))]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// I/O error from the operating system.
        source: io::Error,
    },
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "\nhint: update as the owner of that directory, or install into another one with `install.sh --prefix DIR`"
        }
        _ => "",
    }
}

fn read_hint(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::NotFound {
        "\nhint: --from is the URL of a release server, or a directory with its files, such as latest.json"
    } else {
        ""
    }
}

impl UpdateError {
    /// Returns whether the release server was unreachable, overloaded or failing, so that a retry
    /// may succeed.
    pub fn is_network(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.is_retryable(),
            Self::Timeout(_) => true,
            _ => false,
        }
    }

    /// Returns whether the signature of the release is not valid.
    pub fn is_authentication(&self) -> bool {
        matches!(self, Self::Signature { .. })
    }
}

#[cfg(test)]
mod tests {
    use taonet_primitives::with_causes;

    use super::*;

    #[test]
    fn causes_precede_the_hint() {
        let source = SelfTestError::Start(io::ErrorKind::NotFound.into());
        let text = with_causes(&UpdateError::SelfTest(source));
        assert_eq!(
            text,
            "the new program failed its self-test: cannot execute the program: entity not found"
        );
        let source = io::ErrorKind::PermissionDenied.into();
        let error = UpdateError::File { path: "tao".into(), source };
        assert!(
            with_causes(&error).starts_with("cannot write tao: permission denied\nhint: "),
            "{error}"
        );
        let source = io::ErrorKind::NotFound.into();
        let error = UpdateError::Read { path: "/none/latest.json".into(), source };
        assert!(
            with_causes(&error)
                .starts_with("cannot read /none/latest.json: entity not found\nhint: "),
            "{error}"
        );
    }
}
