//! Questions to the person at the terminal. Scripts are told which option answers them.

mod hidden;

use std::io::{self, BufRead as _, ErrorKind, IsTerminal as _};

use anyhow::{Context as _, bail};
use console::Term;
use zeroize::Zeroizing;

use crate::exit::{Classified, Failure};

/// Asks for a secret without showing what is typed. `remedy` says what to do where nobody can answer.
pub(crate) fn secret(question: &str, remedy: &str) -> anyhow::Result<Zeroizing<String>> {
    let terminal = Term::stderr();
    if !terminal.is_term() {
        return Err(Classified::error(Failure::Usage, format!("there is no terminal to ask at: {remedy}")));
    }
    terminal.write_str(&format!("{question}: ")).context("cannot ask")?;
    let answer = hidden::read();
    // What was typed did not move the cursor.
    terminal.write_line("").context("cannot ask")?;
    answer.map_err(|error| match error.kind() {
        ErrorKind::Interrupted => anyhow::anyhow!("interrupted while asking for a secret"),
        ErrorKind::UnexpectedEof => anyhow::anyhow!("no answer: {remedy}"),
        ErrorKind::InvalidData => anyhow::anyhow!("the answer is not text in UTF-8"),
        ErrorKind::FileTooLarge => anyhow::anyhow!("the answer is longer than any secret"),
        _ => anyhow::Error::new(error).context("cannot read the answer"),
    })
}

/// Asks whether to go on, unless `yes` says so already.
pub(crate) fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let terminal = Term::stderr();
    if !terminal.is_term() || !io::stdin().is_terminal() {
        return Err(Classified::error(Failure::Usage, format!("{question} Nobody is there to answer: give --yes")));
    }
    terminal.write_str(&format!("{question} [y/N] ")).context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("not done"),
    }
}

/// Tells the person something between two questions.
pub(crate) fn say(text: &str) {
    let _ = Term::stderr().write_line(text);
}
