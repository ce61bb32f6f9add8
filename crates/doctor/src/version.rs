use crate::{Check, Finding};

/// The latest release, as the release server reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Latest {
    /// No release server is configured.
    NoServer,
    /// The server did not respond, or its release cannot be verified.
    Unknown(String),
    /// This program is the latest release, or newer.
    Current,
    /// A newer release exists.
    Newer(String),
}

/// Compares the version of this program with the latest release.
pub fn version(installed: &str, latest: &Latest) -> Finding {
    let subject = format!("tao {installed}");
    match latest {
        Latest::NoServer => Finding::skipped(
            Check::Version,
            subject,
            "no release server is set: see TAO_UPDATE_URL",
        ),
        Latest::Unknown(reason) => Finding::skipped(Check::Version, subject, reason.as_str()),
        Latest::Current => Finding::ok(Check::Version, subject, "the latest release"),
        Latest::Newer(version) => Finding::warning(
            Check::Version,
            subject,
            format!("{version} is available"),
            "run `tao update`, and restart the daemons",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    #[test]
    fn stale_version_is_warning() {
        for (latest, status) in [
            (Latest::NoServer, Status::Skipped),
            (Latest::Unknown("timed out".to_owned()), Status::Skipped),
            (Latest::Current, Status::Ok),
            (Latest::Newer("9.0.0".to_owned()), Status::Warning),
        ] {
            assert_eq!(version("0.1.0", &latest).status, status, "{latest:?}");
        }
    }
}
