use std::io::ErrorKind;
use std::process::ExitCode;

use taonet_primitives::HINT;
use taonet_wallet::WalletError;

use crate::printable::printable_lines;

/// The remedy for a missing keyfile, for errors without a hint of their own.
const MISSING_KEY: &str = "`tao wallet list` lists your keys; `tao wallet create` makes a wallet, `tao wallet new-hotkey` \
    a hotkey";

/// Failure class of a command, which selects the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Invalid or contradictory arguments: exit code 2.
    Usage,
    /// A remote service did not respond: exit code 3.
    Network,
    /// A key, password or token was refused: exit code 4.
    Authentication,
    /// The chain rejected a call, or the call failed: exit code 5.
    Rejected,
    /// A call has no final outcome, or was not included: exit code 6.
    Undecided,
}

impl Failure {
    const ALL: [Self; 5] = [Self::Usage, Self::Network, Self::Authentication, Self::Rejected, Self::Undecided];

    /// Returns the class with this exit code; `None` for other codes, such as 1.
    pub(crate) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|failure| failure.code() == code)
    }

    const fn code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Network => 3,
            Self::Authentication => 4,
            Self::Rejected => 5,
            Self::Undecided => 6,
        }
    }
}

/// An error with a failure class.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Classified {
    failure: Failure,
    message: String,
}

impl Classified {
    pub(crate) fn error(failure: Failure, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { failure, message: message.into() })
    }
}

/// Prints an error with its causes, then their hints, and returns the exit code.
pub(crate) fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let label = console::style("error:").for_stderr().red().bold();
    let mut hints = Vec::new();
    let mut above = String::new();
    for (depth, cause) in error.chain().map(ToString::to_string).enumerate() {
        let (message, hint) = cause.split_once(HINT).map_or((cause.as_str(), None), |(text, hint)| (text, Some(hint)));
        if depth == 0 {
            eprintln!("{label} {}", printable_lines(message));
        } else if !above.contains(message) {
            // Some messages already contain their cause.
            eprintln!("  caused by: {}", printable_lines(message));
        }
        hints.extend(hint.map(str::to_owned));
        above = cause;
    }
    if hints.is_empty() && is_missing_key(&error) {
        hints.push(MISSING_KEY.to_owned());
    }
    let label = console::style("hint:").for_stderr().cyan().bold();
    for hint in hints {
        eprintln!("{label} {}", printable_lines(&hint));
    }
    exit_code_of(&error).into()
}

/// Whether the error is that of a keyfile that does not exist.
pub(crate) fn is_missing_key(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref() {
        Some(WalletError::Read { source, .. }) => source.kind() == ErrorKind::NotFound,
        _ => false,
    })
}

fn exit_code_of(error: &anyhow::Error) -> u8 {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Classified>());
    failure.map_or(1, |classified| classified.failure.code())
}

/// Returns the exit code of a command with this result.
#[cfg(test)]
pub(crate) fn exit_code(result: &anyhow::Result<()>) -> u8 {
    result.as_ref().err().map_or(0, exit_code_of)
}
