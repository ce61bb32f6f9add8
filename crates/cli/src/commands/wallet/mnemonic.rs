//! New mnemonics: who gets to see them.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use taonet_wallet::{Mnemonic, WordCount};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::exit::{Classified, Failure};
use crate::secret_file;

/// How long a new mnemonic is, as an argument.
pub(super) fn word_count(text: &str) -> Result<WordCount, String> {
    let count = text.parse::<usize>().ok().and_then(|number| WordCount::try_from(number).ok());
    count.ok_or_else(|| "a mnemonic has 12, 15, 18, 21 or 24 words".to_owned())
}

/// Where a new mnemonic goes. Chosen before anything is made: a key whose mnemonic nobody saw is easily lost.
pub(super) enum Destination<'a> {
    Terminal,
    File(&'a PathBuf),
}

impl<'a> Destination<'a> {
    /// The file, where one is named by `option`; otherwise the terminal, where there is one.
    pub(super) fn choose(file: Option<&'a PathBuf>, option: &str, context: &Context) -> anyhow::Result<Self> {
        if let Some(file) = file {
            secret_file::refuse_existing(file)?;
            return Ok(Self::File(file));
        }
        let refusal = if context.json {
            "a mnemonic is never part of the JSON output"
        } else if !io::stdout().is_terminal() {
            "a mnemonic is shown on a terminal only"
        } else {
            return Ok(Self::Terminal);
        };
        Err(Classified::error(Failure::Usage, format!("{refusal}: name a new file for it with {option}")))
    }

    /// Writes the file, before the key is: when this fails there is no key yet, and `undo` takes it back.
    pub(super) fn keep(&self, mnemonic: &Mnemonic) -> anyhow::Result<()> {
        let Self::File(file) = self else { return Ok(()) };
        secret_file::write(file, &[mnemonic.phrase().as_bytes(), b"\n"])
    }

    /// Removes the file of a mnemonic whose key was not written.
    pub(super) fn undo(&self) {
        if let Self::File(file) = self
            && let Err(error) = std::fs::remove_file(file)
        {
            tracing::warn!(file = %file.display(), %error, "the mnemonic of a key that was not written stays");
        }
    }

    /// Shows the mnemonic once, after its key is written.
    pub(super) fn show(&self, of: &str, mnemonic: &Mnemonic, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Terminal => context.print(&Zeroizing::new(format!(
                "\nMnemonic of {of}. Write it down: it is not shown again, and whoever has it has the key.\n\n  {}\n",
                console::style(mnemonic.phrase().as_str()).bold()
            ))),
        }
    }

    /// The file, where there is one.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Terminal => None,
            Self::File(file) => Some(file),
        }
    }
}
