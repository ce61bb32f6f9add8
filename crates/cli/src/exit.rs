use std::process::ExitCode;

use crate::printable::printable_lines;

/// Why a command ended without doing its work, where more is known than "it failed".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The arguments do not make sense together.
    Usage,
    /// Somebody else's machine did not answer.
    Network,
    /// A key or token was refused.
    Authentication,
}

impl Failure {
    const fn code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Network => 3,
            Self::Authentication => 4,
        }
    }
}

/// An error that decides the process's exit code.
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

/// Prints an error with its causes and gives the exit code.
pub(crate) fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let label = console::style("error:").for_stderr().red().bold();
    let mut above = error.to_string();
    eprintln!("{label} {}", printable_lines(&above));
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors tell their cause themselves.
        if !above.contains(&cause) {
            eprintln!("  because {}", printable_lines(&cause));
        }
        above = cause;
    }
    exit_code_of(&error).into()
}

fn exit_code_of(error: &anyhow::Error) -> u8 {
    let failure = error.chain().find_map(|cause| cause.downcast_ref::<Classified>());
    failure.map_or(1, |classified| classified.failure.code())
}

/// The code that a command with this result ends with.
#[cfg(test)]
pub(crate) fn exit_code(result: &anyhow::Result<()>) -> u8 {
    result.as_ref().err().map_or(0, exit_code_of)
}
