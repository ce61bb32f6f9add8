use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::path::Path;

/// Subject area of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Check {
    /// Environment variables: invalid, unknown or without effect.
    Settings,
    /// Version of this program.
    Version,
    /// systemd units and containers.
    Host,
    /// Free disk space, and directories that can be written.
    Disk,
    /// Ports on which daemons listen.
    Ports,
    /// The clock against NTP and the chain.
    Clock,
    /// Keyfiles and other secret files.
    Keys,
    /// Installed models and their SHA-256 sums.
    Models,
    /// The daemons of this operator that other daemons call.
    Services,
    /// Connection to the chain.
    Network,
    /// The subnet on the chain.
    Subnet,
    /// Registration of the hotkey.
    Registration,
    /// The weight ledger against the chain.
    Ledger,
    /// The published endpoint.
    Reachability,
}

impl Check {
    /// All checks, in the order of a report.
    pub const ALL: [Self; 14] = [
        Self::Settings,
        Self::Version,
        Self::Host,
        Self::Disk,
        Self::Ports,
        Self::Clock,
        Self::Keys,
        Self::Models,
        Self::Services,
        Self::Network,
        Self::Subnet,
        Self::Registration,
        Self::Ledger,
        Self::Reachability,
    ];

    /// Returns the name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Version => "version",
            Self::Host => "host",
            Self::Disk => "disk",
            Self::Ports => "ports",
            Self::Clock => "clock",
            Self::Keys => "keys",
            Self::Models => "models",
            Self::Services => "services",
            Self::Network => "network",
            Self::Subnet => "subnet",
            Self::Registration => "registration",
            Self::Ledger => "ledger",
            Self::Reachability => "reachability",
        }
    }

    /// Returns the exit code of a fault, as all commands have it: 2 for settings, 3 for services
    /// and the network, 4 for keys, 5 for what the chain would reject, otherwise 1.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Settings => 2,
            Self::Services | Self::Network | Self::Reachability => 3,
            Self::Keys => 4,
            Self::Registration => 5,
            Self::Version
            | Self::Host
            | Self::Disk
            | Self::Ports
            | Self::Clock
            | Self::Models
            | Self::Subnet
            | Self::Ledger => 1,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but something should be changed.
    Warning,
    /// A daemon would fail, or lose scores or weights.
    Fault,
    /// Not checked, for the reason given.
    Skipped,
}

impl Status {
    /// Returns the name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::Skipped => "skipped",
        }
    }
}

/// Result of one check of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// The checked subject, such as a path, a port or a variable.
    pub subject: String,
    /// The result.
    pub status: Status,
    /// Observed value; for a skipped check, the reason.
    pub seen: String,
    /// Recommended action; `None` if none is needed.
    pub remedy: Option<String>,
}

impl Finding {
    /// Creates a finding that needs no action.
    pub fn ok(check: Check, subject: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, subject.into(), seen.into(), None)
    }

    /// Creates a finding of a check that was not carried out, with the reason.
    pub fn skipped(check: Check, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(check, Status::Skipped, subject.into(), reason.into(), None)
    }

    /// Creates a warning.
    pub fn warning(
        check: Check,
        subject: impl Into<String>,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, Status::Warning, subject.into(), seen.into(), Some(remedy.into()))
    }

    /// Creates a fault.
    pub fn fault(
        check: Check,
        subject: impl Into<String>,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, Status::Fault, subject.into(), seen.into(), Some(remedy.into()))
    }

    /// Makes a fault a warning, for a check that may not concern this machine.
    #[must_use]
    pub fn or_warning(mut self) -> Self {
        if self.status == Status::Fault {
            self.status = Status::Warning;
        }
        self
    }

    /// Creates a fault from an error with its causes. The hints in their texts are the remedy;
    /// `remedy` is for an error without one.
    pub fn error(
        check: Check,
        subject: impl Into<String>,
        error: &dyn Error,
        remedy: &str,
    ) -> Self {
        let (mut seen, mut hints) = (String::new(), Vec::new());
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            let (message, hint) = split_hint(&text);
            // Some messages already contain their cause.
            if !seen.contains(message) {
                seen =
                    if seen.is_empty() { message.to_owned() } else { format!("{seen}: {message}") };
            }
            hints.extend(hint.map(str::to_owned));
            cause = error.source();
        }
        let remedy = if hints.is_empty() { remedy.to_owned() } else { hints.join("; ") };
        Self::fault(check, subject, seen, remedy)
    }

    /// Returns the exit code of a fault, otherwise `None`.
    pub const fn exit_code(&self) -> Option<u8> {
        match self.status {
            Status::Fault => Some(self.check.exit_code()),
            Status::Ok | Status::Warning | Status::Skipped => None,
        }
    }

    const fn new(
        check: Check,
        status: Status,
        subject: String,
        seen: String,
        remedy: Option<String>,
    ) -> Self {
        Self { check, subject, status, seen, remedy }
    }
}

/// Splits a message at its hint.
pub(crate) fn split_hint(text: &str) -> (&str, Option<&str>) {
    match text.split_once("hint: ") {
        Some((seen, hint)) => (seen.trim_end().trim_end_matches(';'), Some(hint.trim())),
        None => (text, None),
    }
}

/// Returns a path as a word of a shell command: in quotes if it has spaces or other special
/// characters.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    // Only a NUL cannot be quoted, and no path has one.
    shlex::try_quote(&text).map_or_else(|_| text.to_string(), Cow::into_owned)
}

/// The findings of several checks.
#[derive(Debug, Clone, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds findings, and keeps the order of [`Check::ALL`].
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by_key(|finding| finding.check);
    }

    /// Returns all findings, in the order of [`Check::ALL`].
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns how many findings have this status.
    pub fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }

    /// Returns the first fault.
    pub fn first_fault(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.status == Status::Fault)
    }

    /// Returns the exit code: that of the first fault; 0 without faults.
    pub fn exit_code(&self) -> u8 {
        self.first_fault().and_then(Finding::exit_code).unwrap_or_default()
    }
}

/// Logs warnings and faults, one event each.
pub fn log_findings(findings: &[Finding]) {
    for Finding { check, subject, status, seen, remedy } in findings {
        let (check, remedy) = (check.name(), remedy.as_deref().unwrap_or_default());
        match status {
            Status::Fault => tracing::error!(check, subject, remedy, "pre-flight: {seen}"),
            Status::Warning => tracing::warn!(check, subject, remedy, "pre-flight: {seen}"),
            Status::Ok | Status::Skipped => tracing::debug!(check, subject, "pre-flight: {seen}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_is_that_of_first_fault() {
        let fault = |check| Finding::fault(check, "x", "broken", "mend it");
        for (findings, code) in [
            (vec![], 0),
            (
                vec![
                    Finding::warning(Check::Keys, "x", "odd", "mend it"),
                    Finding::ok(Check::Disk, "x", "fine"),
                ],
                0,
            ),
            (vec![Finding::skipped(Check::Clock, "x", "no network")], 0),
            // The order is that of the checks, not of their execution.
            (vec![fault(Check::Reachability), fault(Check::Keys)], 4),
            (vec![fault(Check::Registration), fault(Check::Settings)], 2),
        ] {
            let mut report = Report::default();
            report.extend(findings.clone());
            assert_eq!(report.exit_code(), code, "{findings:?}");
        }
    }

    #[test]
    fn checks_are_ordered_and_have_distinct_names() {
        assert!(Check::ALL.is_sorted());
        let names: std::collections::BTreeSet<_> =
            Check::ALL.iter().map(|check| check.name()).collect();
        assert_eq!(names.len(), Check::ALL.len());
        assert!(Check::ALL.iter().all(|check| (1..=5).contains(&check.exit_code())));
    }

    /// An error with a cause.
    #[derive(Debug)]
    struct ChainedError(&'static str, Option<Box<Self>>);

    impl fmt::Display for ChainedError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for ChainedError {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|cause| &**cause as &(dyn Error + 'static))
        }
    }

    #[test]
    fn error_hints_become_the_remedy() {
        for (text, cause, seen, remedy) in [
            ("no file; hint: create it", None, "no file", "create it"),
            ("no file\nhint: create it", None, "no file", "create it"),
            ("no file", None, "no file", "look"),
            ("no node; hint: wait", Some("refused"), "no node: refused", "wait"),
            (
                "no node: refused; hint: wait",
                Some("refused\nhint: start it"),
                "no node: refused",
                "wait; start it",
            ),
        ] {
            let error = ChainedError(text, cause.map(|cause| Box::new(ChainedError(cause, None))));
            let finding = Finding::error(Check::Network, "x", &error, "look");
            assert_eq!((finding.seen.as_str(), finding.remedy.as_deref()), (seen, Some(remedy)));
        }
    }
}
