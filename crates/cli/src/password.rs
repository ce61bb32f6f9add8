//! Where passwords come from: an option, the environment, or the person at the terminal.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use taonet_wallet::{Keyfile, KeyfileError, Password, StoredKey, WalletError};

use crate::exit::{Classified, Failure};
use crate::prompt;

/// Times that a person may choose a new password.
const TRIES: usize = 3;

/// The password of a keyfile
#[derive(Debug, Args)]
#[command(next_help_heading = "Password options")]
pub(crate) struct PasswordArgs {
    /// A file that holds the keyfile's password in one line. Without it, that of an existing keyfile comes from the
    /// variables BT_PW_… (as the Python wallet stores it), BT_WALLET_PASSWORD or BT_WALLET_PASSWORD_FILE; where there is
    /// none of them, and for new keyfiles, the terminal is asked
    #[arg(long, alias = "wallet-password-file", value_name = "FILE", conflicts_with = "password_fd")]
    password_file: Option<PathBuf>,
    /// An open file descriptor that gives the password, e.g. 3 after `3<file`
    #[arg(long, value_name = "NUMBER")]
    password_fd: Option<u32>,
}

/// The password that a keyfile gets
#[derive(Debug, Args)]
#[command(next_help_heading = "Password options")]
pub(crate) struct NewPasswordArgs {
    /// A file that holds the new password in one line; without it, the terminal is asked
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_fd")]
    new_password_file: Option<PathBuf>,
    /// An open file descriptor that gives the new password
    #[arg(long, value_name = "NUMBER")]
    new_password_fd: Option<u32>,
}

impl PasswordArgs {
    /// Opens a keyfile, with a password where it needs one.
    pub(crate) fn open(&self, stored: &StoredKey) -> anyhow::Result<Keyfile> {
        let password = stored.encryption().map(|_| self.existing(stored.path())).transpose()?;
        stored.open(password.as_ref()).map_err(refused)
    }

    /// The password of an existing keyfile.
    pub(crate) fn existing(&self, keyfile: &Path) -> anyhow::Result<Password> {
        if let Some(password) = given(self.password_file.as_deref(), self.password_fd)? {
            return Ok(password);
        }
        let keyfile = std::path::absolute(keyfile).context("the current directory is gone")?;
        if let Some(password) = Password::from_lookup(&keyfile, |name| std::env::var_os(name))? {
            return Ok(password);
        }
        let answer = prompt::secret(
            &format!("Password of {}", keyfile.display()),
            "give the password with --password-file or --password-fd, or set BT_WALLET_PASSWORD_FILE",
        )?;
        Ok(Password::new(answer))
    }

    /// Whether an option gives a password.
    pub(crate) const fn is_given(&self) -> bool {
        self.password_file.is_some() || self.password_fd.is_some()
    }

    /// The password that protects something new.
    pub(crate) fn for_new(&self, of: &str) -> anyhow::Result<Password> {
        chosen(given(self.password_file.as_deref(), self.password_fd)?, of, "--password-file or --password-fd")
    }
}

impl NewPasswordArgs {
    /// The password that protects something from now on.
    pub(crate) fn for_new(&self, of: &str) -> anyhow::Result<Password> {
        let given = given(self.new_password_file.as_deref(), self.new_password_fd)?;
        chosen(given, of, "--new-password-file or --new-password-fd")
    }
}

/// Why a keyfile did not open; a wrong password has an exit code of its own.
pub(crate) fn refused(error: WalletError) -> anyhow::Error {
    match error {
        WalletError::Keyfile { path, source: source @ KeyfileError::WrongPassword } => {
            Classified::error(Failure::Authentication, format!("{} gives no key: {source}", path.display()))
        }
        error => error.into(),
    }
}

fn given(file: Option<&Path>, descriptor: Option<u32>) -> anyhow::Result<Option<Password>> {
    match (file, descriptor) {
        (Some(file), _) => Ok(Some(Password::from_file(file)?)),
        (None, Some(descriptor)) => Ok(Some(Password::from_descriptor(descriptor)?)),
        (None, None) => Ok(None),
    }
}

/// A new password: strong enough, and the same both times where it is typed.
pub(crate) fn chosen(given: Option<Password>, of: &str, options: &str) -> anyhow::Result<Password> {
    if let Some(password) = given {
        password.check_new().context("the new password is refused")?;
        return Ok(password);
    }
    let remedy = format!("give the new password with {options}");
    for _ in 0..TRIES {
        let first = Password::new(prompt::secret(&format!("New password of {of}"), &remedy)?);
        if let Err(weak) = first.check_new() {
            prompt::say(&weak.to_string());
            continue;
        }
        let second = Password::new(prompt::secret("The same again", &remedy)?);
        if first.matches(&second) {
            return Ok(first);
        }
        prompt::say("the two are not the same");
    }
    bail!("no new password after {TRIES} tries")
}
