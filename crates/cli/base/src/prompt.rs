//! Prompts on the terminal. Without a terminal, errors name the option to use instead.

mod hidden;

use std::io::{self, BufRead as _, ErrorKind, IsTerminal as _};

use anyhow::{Context as _, bail};
use console::Term;
use zeroize::Zeroizing;

use crate::exit::ClassifiedError;

/// Prompts for a secret without echo. Without a terminal, returns an error that contains `hint`.
pub fn read_secret(question: &str, hint: &str) -> anyhow::Result<Zeroizing<String>> {
    let terminal = Term::stderr();
    if !terminal.is_term() {
        return Err(ClassifiedError::usage(format!(
            "no terminal for the password prompt\nhint: {hint}"
        )));
    }
    terminal.write_str(&format!("{question}: ")).context("cannot write the prompt")?;
    let input = hidden::read();
    // The user's Enter was not echoed.
    terminal.write_line("").context("cannot write the prompt")?;
    input.map_err(|error| match error.kind() {
        ErrorKind::Interrupted => anyhow::anyhow!("interrupted at the prompt"),
        ErrorKind::UnexpectedEof => anyhow::anyhow!("no input\nhint: {hint}"),
        ErrorKind::InvalidData => anyhow::anyhow!("the input is not UTF-8"),
        ErrorKind::FileTooLarge => anyhow::anyhow!("the input is too long"),
        _ => anyhow::Error::new(error).context("cannot read the input"),
    })
}

/// Asks for confirmation, unless `yes` is set.
pub fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let terminal = Term::stderr();
    if !terminal.is_term() || !io::stdin().is_terminal() {
        return Err(ClassifiedError::usage(format!(
            "confirmation required: {question}\nhint: pass --yes"
        )));
    }
    terminal.write_str(&format!("{question} [y/N] ")).context("cannot write the prompt")?;
    let mut input = String::new();
    io::stdin().lock().read_line(&mut input).context("cannot read the input")?;
    match input.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("cancelled"),
    }
}

/// Prints a notice between two prompts.
pub(crate) fn print_notice(text: &str) {
    let _ = Term::stderr().write_line(text);
}
