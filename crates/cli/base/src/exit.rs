//! Errors of commands: their failure classes, exit codes and report.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taonet_primitives::{HINT, INLINE_HINT, split_hint};
use taonet_wallet::WalletError;

use crate::printable::{printable, printable_json, printable_lines};

/// The remedy for a missing keyfile, for errors without their own hint.
const MISSING_KEY_HINT: &str = "`tao wallet list` lists your keys; `tao wallet create` makes a wallet, `tao wallet new-hotkey` \
    a hotkey";

/// Failure class of a command, which selects the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Invalid or contradictory arguments: exit code 2.
    Usage,
    /// A remote service did not respond: exit code 3.
    Network,
    /// A keyfile is missing, or a key, password or token was refused: exit code 4.
    Authentication,
    /// The chain rejected a call, or the call failed: exit code 5.
    Rejected,
    /// A call has no final outcome, or was not included: exit code 6.
    Undecided,
}

impl Failure {
    const ALL: [Self; 5] =
        [Self::Usage, Self::Network, Self::Authentication, Self::Rejected, Self::Undecided];

    /// Returns the class with this exit code; `None` for other codes, such as 1.
    pub fn from_code(code: u8) -> Option<Self> {
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
pub struct ClassifiedError {
    failure: Failure,
    message: String,
}

impl ClassifiedError {
    /// Creates an error of this class.
    pub fn error(failure: Failure, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { failure, message: message.into() })
    }

    /// Creates an error of this class with the messages of another error and its causes, and with
    /// their hints.
    pub fn with_causes(failure: Failure, error: &anyhow::Error) -> anyhow::Error {
        let Report { messages, hints, .. } = Report::new(error);
        Self::error(failure, with_hints(&messages.join(": "), &hints))
    }

    /// Creates an error about invalid or contradictory arguments.
    pub fn usage(message: impl Into<String>) -> anyhow::Error {
        Self::error(Failure::Usage, message)
    }
}

/// An error whose message ends with a peer's text. In the text form, control characters of this
/// text are escaped, also line breaks, which could otherwise pass for another error or for a hint.
/// The JSON form has the text itself.
#[derive(Debug, thiserror::Error)]
#[error("{escaped_message}")]
pub struct QuotingError {
    failure: Option<Failure>,
    /// The message with the escaped text, and the hint.
    escaped_message: String,
    /// The message with the text itself, without the hint.
    raw_message: String,
}

impl QuotingError {
    /// Creates an error with the message `prefix: text`. Without a failure class, the exit
    /// code is 1.
    pub fn error(
        failure: Option<Failure>,
        prefix: &str,
        text: &str,
        hint: Option<&str>,
    ) -> anyhow::Error {
        let hint = hint.map(|hint| format!("{HINT}{hint}")).unwrap_or_default();
        let escaped_message = format!("{prefix}: {}{hint}", printable(text));
        anyhow::Error::new(Self {
            failure,
            escaped_message,
            raw_message: format!("{prefix}: {text}"),
        })
    }

    /// Returns the message without this hint, if the message ends with it.
    fn raw_message_without(&self, hint: Option<&str>) -> &str {
        let without_hint =
            hint.and_then(|hint| self.raw_message.strip_suffix(hint)?.strip_suffix(INLINE_HINT));
        without_hint.unwrap_or(&self.raw_message)
    }
}

/// Error of a command as it prints it with `--json`: the last line of its standard error.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErrorDocument {
    /// The messages of the error and its causes.
    pub error: String,
    /// The hints, one on each line; `None` if there are none.
    pub hint: Option<String>,
    /// The exit code.
    pub exit_code: u8,
}

/// An error as the user sees it: the messages of its causes, outermost first, and their hints.
struct Report {
    messages: Vec<String>,
    /// The messages with peers' texts as they are.
    raw_messages: Vec<String>,
    hints: Vec<String>,
    exit_code: u8,
}

impl Report {
    fn new(error: &anyhow::Error) -> Self {
        let (mut messages, mut raw_messages, mut hints) =
            (Vec::<String>::new(), Vec::<String>::new(), Vec::<String>::new());
        let mut previous_text = String::new();
        for cause in error.chain() {
            let text = cause.to_string();
            let (message, hint) = split_hint(&text);
            // Some messages already contain their cause.
            if messages.is_empty() || !previous_text.contains(message) {
                let quoting = cause.downcast_ref::<QuotingError>();
                raw_messages.push(
                    quoting.map_or(message, |quoting| quoting.raw_message_without(hint)).to_owned(),
                );
                messages.push(message.to_owned());
            }
            hints.extend(hint.map(str::to_owned).filter(|hint| !hints.contains(hint)));
            previous_text = text;
        }
        if hints.is_empty() && is_missing_key(error) {
            hints.push(MISSING_KEY_HINT.to_owned());
        }
        Self { messages, raw_messages, hints, exit_code: exit_code_of(error) }
    }

    /// Writes the messages, then each hint on its own line.
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let label = console::style("error:").for_stderr().red().bold();
        for (depth, message) in self.messages.iter().enumerate() {
            let message = printable_lines(message);
            if depth == 0 {
                writeln!(output, "{label} {message}")?;
            } else {
                writeln!(output, "  caused by: {message}")?;
            }
        }
        let label = console::style("hint:").for_stderr().cyan().bold();
        for hint in &self.hints {
            writeln!(output, "{label} {}", printable_lines(hint))?;
        }
        Ok(())
    }

    fn document(&self) -> ErrorDocument {
        let hint = (!self.hints.is_empty()).then(|| self.hints.join("\n"));
        ErrorDocument { error: self.raw_messages.join(": "), hint, exit_code: self.exit_code }
    }

    /// Returns one line of JSON, so that the last line of standard error is the error, whatever was
    /// logged before. JSON's escapes alone make control characters harmless.
    fn json(&self) -> String {
        printable_json(&json!(self.document()).to_string()).into_owned()
    }
}

/// Prints an error with its hints on standard error, and returns the exit code.
pub fn report(result: anyhow::Result<()>, json: bool) -> ExitCode {
    write_report(&mut io::stderr().lock(), result, json).into()
}

/// Writes an error with its hints, and returns the exit code.
pub fn write_report(output: &mut dyn Write, result: anyhow::Result<()>, json: bool) -> u8 {
    let Err(error) = result else { return 0 };
    let report = Report::new(&error);
    // If writing fails, the exit code still reports the failure.
    let _ = if json { writeln!(output, "{}", report.json()) } else { report.write(output) };
    report.exit_code
}

/// Returns the text of an error and its hints, for a command that continues after it.
pub fn error_text(error: &anyhow::Error) -> String {
    let mut text = Vec::new();
    // Writing to memory never fails.
    let _ = Report::new(error).write(&mut text);
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// Returns the document of an error, as a command with `--json` that fails with it prints it.
pub fn error_document(error: &anyhow::Error) -> ErrorDocument {
    Report::new(error).document()
}

/// Returns the JSON entry of a file that a command with several files could not process.
pub fn file_error_document(file: &Path, error: &anyhow::Error) -> Value {
    let ErrorDocument { error, hint, exit_code } = error_document(error);
    json!({ "file": file.display().to_string(), "error": error, "hint": hint, "exit_code": exit_code })
}

/// Converts clap's error for wrong arguments to the form of all others: a message in one line, and
/// as the hint clap's suggestions and the usage.
pub fn argument_error(error: &clap::Error) -> anyhow::Error {
    let text = error.render().to_string();
    let (mut message, mut hints) = (Vec::<String>::new(), Vec::<String>::new());
    for part in text.split("\n\n").map(str::trim) {
        if let Some(usage) = part.strip_prefix("Usage: ") {
            // A command whose arguments exclude its subcommands has two forms.
            let forms: Vec<_> = usage.lines().map(str::trim).collect();
            let words = forms
                .first()
                .into_iter()
                .flat_map(|form| form.split(' '))
                .take_while(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
            let command = words.collect::<Vec<_>>().join(" ");
            let usage = forms.join(" or ");
            hints.push(format!("usage: {usage}; `{command} --help` describes it"));
        } else if part.starts_with("tip: ") {
            hints.extend(
                part.lines().map(|line| line.trim().trim_start_matches("tip: ").to_owned()),
            );
        } else if let Some(hint) = part.strip_prefix("hint: ") {
            hints.push(in_one_line(hint));
        } else if !part.starts_with("For more information") {
            message.push(in_one_line(part.trim_start_matches("error: ")));
        }
    }
    let message = message.join(" ");
    let (message, hint) = split_hint(&message);
    hints.splice(0..0, hint.map(str::to_owned));
    ClassifiedError::error(Failure::Usage, with_hints(message, &hints))
}

/// Appends hints to a message.
fn with_hints(message: &str, hints: &[String]) -> String {
    if hints.is_empty() {
        message.to_owned()
    } else {
        format!("{message}{HINT}{}", hints.join("\n"))
    }
}

fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Whether the error is that of a keyfile that does not exist.
pub fn is_missing_key(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref() {
        Some(WalletError::Read { source, .. }) => source.kind() == ErrorKind::NotFound,
        _ => false,
    })
}

fn exit_code_of(error: &anyhow::Error) -> u8 {
    let failure = error.chain().find_map(|cause| {
        let classified =
            cause.downcast_ref::<ClassifiedError>().map(|classified| classified.failure);
        classified.or_else(|| cause.downcast_ref::<QuotingError>()?.failure)
    });
    let failure = failure.or_else(|| is_missing_key(error).then_some(Failure::Authentication));
    failure.map_or(1, Failure::code)
}

/// Returns the exit code of a command with this result.
pub fn exit_code(result: &anyhow::Result<()>) -> u8 {
    result.as_ref().err().map_or(0, exit_code_of)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use clap::{Arg, Command};

    use super::*;

    fn message_and_hints(error: &anyhow::Error) -> (String, Vec<String>) {
        let Report { messages, hints, .. } = Report::new(error);
        (messages.join(": "), hints)
    }

    #[test]
    fn hints_follow_messages_in_every_form() {
        let error = anyhow::anyhow!("unknown network x; hint: use finney")
            .context("cannot connect\nhint: check --network");
        let expected = (
            "cannot connect: unknown network x".to_owned(),
            ["check --network", "use finney"].map(str::to_owned).to_vec(),
        );
        assert_eq!(message_and_hints(&error), expected);
        // The hints of a list stay with their entries.
        let list =
            "invalid settings:\n  A=1: too small; hint: use 2\n  B=1: too large; hint: use 0";
        assert_eq!(message_and_hints(&anyhow::anyhow!(list)), (list.to_owned(), vec![]));
        let repeated: Result<(), _> =
            Err(anyhow::anyhow!("b\nhint: do it")).context("a\nhint: do it");
        assert_eq!(
            message_and_hints(&repeated.unwrap_err()),
            ("a: b".to_owned(), vec!["do it".to_owned()])
        );
    }

    #[test]
    fn hint_of_classified_error_follows_its_causes() {
        let error =
            anyhow::anyhow!("timed out").context("no node responded; hint: check --network");
        let classified = ClassifiedError::with_causes(Failure::Network, &error);
        let expected =
            ("no node responded: timed out".to_owned(), vec!["check --network".to_owned()]);
        assert_eq!(message_and_hints(&classified), expected);
        assert_eq!(exit_code_of(&classified), 3);
        let without_hint =
            ClassifiedError::with_causes(Failure::Network, &anyhow::anyhow!("timed out"));
        assert_eq!(message_and_hints(&without_hint), ("timed out".to_owned(), vec![]));
    }

    #[test]
    fn text_of_peer_is_escaped_once_in_text_and_json() {
        let text = "no\u{1b}]0;title\u{7}\nhint: obey\u{9b}2J\u{202e}";
        let error =
            QuotingError::error(Some(Failure::Network), "Unavailable (503)", text, Some("wait"));
        let report = Report::new(&error.context("cannot call"));
        let expected = r"Unavailable (503): no\u{1b}]0;title\u{7}\nhint: obey\u{9b}2J\u{202e}";
        assert_eq!(report.messages, ["cannot call", expected]);
        assert_eq!(report.hints, ["wait"]);
        assert_eq!(report.exit_code, 3);
        let json = report.json();
        let escaped = r"no\u001b]0;title\u0007\nhint: obey\u009b2J\u202e";
        assert!(json.contains(escaped), "{json}");
        let document: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(document["error"], format!("cannot call: Unavailable (503): {text}"));
    }

    #[test]
    fn hint_in_quoted_text_is_separated_from_message() {
        let error = QuotingError::error(
            None,
            "the node rejected the call",
            "the nonce is in the pool; hint: wait",
            None,
        );
        let report = Report::new(&error);
        assert_eq!(report.messages, ["the node rejected the call: the nonce is in the pool"]);
        assert_eq!(report.raw_messages, report.messages);
        assert_eq!(report.hints, ["wait"]);
        assert_eq!(report.exit_code, 1);
    }

    #[test]
    fn missing_keyfile_has_exit_code_of_authentication() {
        for (kind, code) in [(ErrorKind::NotFound, 4), (ErrorKind::IsADirectory, 1)] {
            let error = WalletError::Read { path: "hotkey".into(), source: kind.into() };
            let error = anyhow::Error::new(error).context("no signing key found");
            assert_eq!(exit_code_of(&error), code, "{kind}");
        }
    }

    #[test]
    fn usage_errors_have_the_common_error_format() {
        let command = || {
            let netuid = Arg::new("netuid").long("netuid").required(true);
            Command::new("tao")
                .subcommand(Command::new("metagraph").arg(netuid).arg(Arg::new("uid").long("uid")))
        };
        for (words, message, first_hint) in [
            (
                &["tao", "metagraph"][..],
                "the following required arguments were not provided: --netuid <netuid>",
                "usage: tao metagraph ",
            ),
            (
                &["tao", "metagraph", "--netuidd", "1"],
                "unexpected argument '--netuidd' found",
                "a similar argument exists: '--netuid'\nusage: tao metagraph ",
            ),
        ] {
            let error = argument_error(&command().try_get_matches_from(words).unwrap_err());
            let (escaped_message, hints) = message_and_hints(&error);
            assert_eq!((escaped_message.as_str(), hints.len()), (message, 1));
            let hint = hints.first().unwrap();
            assert!(
                hint.starts_with(first_hint)
                    && hint.ends_with("; `tao metagraph --help` describes it"),
                "{hint}"
            );
            assert_eq!(exit_code_of(&error), 2);
        }
    }

    #[test]
    fn alternative_usage_lines_are_joined_with_or() {
        let command = Command::new("tao")
            .args_conflicts_with_subcommands(true)
            .arg(Arg::new("data").long("data"))
            .subcommand(Command::new("stop"));
        let error = command.try_get_matches_from(["tao", "bogus"]).unwrap_err();
        let (message, hints) = message_and_hints(&argument_error(&error));
        assert_eq!(message, "unrecognized subcommand 'bogus'");
        assert_eq!(hints, ["usage: tao [OPTIONS] or tao <COMMAND>; `tao --help` describes it"]);
    }
}
