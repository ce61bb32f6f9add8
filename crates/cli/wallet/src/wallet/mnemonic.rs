//! Output of new mnemonics: to the terminal or to a file.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::secret_file;
use taonet_wallet::{Mnemonic, WordCount};
use zeroize::Zeroizing;

/// Parses the number of words of a new mnemonic.
pub(super) fn parse_word_count(text: &str) -> Result<WordCount, String> {
    let count = text.parse::<usize>().ok().and_then(|number| WordCount::try_from(number).ok());
    count.ok_or_else(|| "expected 12, 15, 18, 21 or 24 words".to_owned())
}

/// Destination of a new mnemonic. Chosen before the key is created, so that no key exists without a
/// known mnemonic.
pub(super) enum MnemonicDestination<'a> {
    Terminal,
    File(&'a PathBuf),
}

impl<'a> MnemonicDestination<'a> {
    /// Selects the file from `option`, else the terminal; an error without either.
    pub(super) fn choose(
        file: Option<&'a PathBuf>,
        option: &str,
        context: &Context,
    ) -> anyhow::Result<Self> {
        if let Some(file) = file {
            secret_file::ensure_absent(file)?;
            return Ok(Self::File(file));
        }
        let reason = if context.json {
            "mnemonics are not printed as JSON"
        } else if !io::stdout().is_terminal() {
            "mnemonics are printed to a terminal only"
        } else {
            return Ok(Self::Terminal);
        };
        Err(ClassifiedError::usage(format!("{reason}\nhint: write it to a new file with {option}")))
    }

    /// Writes the mnemonic file, before the key is written; `remove_file` removes it.
    pub(super) fn write(&self, mnemonic: &Mnemonic) -> anyhow::Result<()> {
        let Self::File(file) = self else { return Ok(()) };
        secret_file::write(file, &[mnemonic.phrase().as_bytes(), b"\n"])
    }

    /// Removes the file of a mnemonic whose key was not written.
    pub(super) fn remove_file(&self) {
        if let Self::File(file) = self
            && let Err(error) = std::fs::remove_file(file)
        {
            tracing::warn!(file = %file.display(), %error, "cannot remove the mnemonic file of a key that was not \
                written");
        }
    }

    /// Shows the mnemonic once, after its key is written.
    pub(super) fn show(
        &self,
        key_name: &str,
        mnemonic: &Mnemonic,
        context: &Context,
    ) -> anyhow::Result<()> {
        match self {
            Self::File(_) => Ok(()),
            Self::Terminal => context.print(&Zeroizing::new(format!(
                "\nMnemonic of {key_name}. Write it down: it is not shown again, and anyone who has it has the key.\n\n  \
                 {}\n",
                console::style(mnemonic.phrase().as_str()).bold()
            ))),
        }
    }

    /// Returns the path of the mnemonic file, if one is written.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Terminal => None,
            Self::File(file) => Some(file),
        }
    }
}
