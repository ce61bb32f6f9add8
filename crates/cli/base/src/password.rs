//! Password sources: options, the environment, or a prompt.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use taonet_wallet::{Keyfile, KeyfileError, Password, StoredKey, WalletError};

use crate::exit::{ClassifiedError, Failure};
use crate::prompt;
use crate::settings;

/// Maximum attempts at the prompt for a new password.
const MAX_ATTEMPTS: usize = 3;

/// Arguments for the password of a keyfile
#[derive(Debug, Args)]
#[command(next_help_heading = "Password options")]
pub struct PasswordArgs {
    /// File with the keyfile's password on one line [env, for existing keyfiles: BT_PW_… (as the
    /// Python wallet stores it), BT_WALLET_PASSWORD, BT_WALLET_PASSWORD_FILE] [default: prompt on
    /// the terminal]
    #[arg(
        long,
        alias = "wallet-password-file",
        value_name = "FILE",
        conflicts_with = "password_fd"
    )]
    password_file: Option<PathBuf>,
    /// Open file descriptor to read the password from, such as 3 with `3<file`
    #[arg(long, value_name = "NUMBER")]
    password_fd: Option<u32>,
}

/// Arguments for the new password of a keyfile
#[derive(Debug, Args)]
#[command(next_help_heading = "Password options")]
pub struct NewPasswordArgs {
    /// File with the new password on one line [default: prompt on the terminal]
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_fd")]
    new_password_file: Option<PathBuf>,
    /// Open file descriptor to read the new password from
    #[arg(long, value_name = "NUMBER")]
    new_password_fd: Option<u32>,
}

impl PasswordArgs {
    /// Opens a keyfile, with its password if it is encrypted.
    pub fn open(&self, stored: &StoredKey) -> anyhow::Result<Keyfile> {
        let password =
            stored.encryption().map(|_| self.read_existing(stored.path())).transpose()?;
        stored.open(password.as_ref()).map_err(open_error)
    }

    /// Reads the password of an existing keyfile.
    pub fn read_existing(&self, keyfile: &Path) -> anyhow::Result<Password> {
        if let Some(password) = read_from_option(self.password_file.as_deref(), self.password_fd)? {
            return Ok(password);
        }
        let keyfile =
            std::path::absolute(keyfile).context("the current directory no longer exists")?;
        if let Some(password) = Password::from_lookup(&keyfile, settings::variable)? {
            return Ok(password);
        }
        let input = prompt::read_secret(
            &format!("Password of {}", keyfile.display()),
            "pass the password with --password-file or --password-fd, or set BT_WALLET_PASSWORD_FILE",
        )?;
        Ok(Password::new(input))
    }

    /// Returns whether an option sets the password.
    pub const fn is_given(&self) -> bool {
        self.password_file.is_some() || self.password_fd.is_some()
    }

    /// Reads the password for a new keyfile.
    pub fn read_new(&self, key_name: &str) -> anyhow::Result<Password> {
        read_new_password(
            read_from_option(self.password_file.as_deref(), self.password_fd)?,
            key_name,
            "--password-file or --password-fd",
        )
    }
}

impl NewPasswordArgs {
    /// Reads the new password for an existing keyfile.
    pub fn read_new(&self, key_name: &str) -> anyhow::Result<Password> {
        let from_options =
            read_from_option(self.new_password_file.as_deref(), self.new_password_fd)?;
        read_new_password(from_options, key_name, "--new-password-file or --new-password-fd")
    }
}

/// Creates the error for a keyfile that cannot be opened; a wrong password has exit code 4.
pub fn open_error(error: WalletError) -> anyhow::Error {
    match error {
        WalletError::Keyfile { path, source: source @ KeyfileError::WrongPassword } => {
            ClassifiedError::error(
                Failure::Authentication,
                format!("cannot open {}: {source}", path.display()),
            )
        }
        error => error.into(),
    }
}

fn read_from_option(
    file: Option<&Path>,
    descriptor: Option<u32>,
) -> anyhow::Result<Option<Password>> {
    match (file, descriptor) {
        (Some(file), _) => Ok(Some(Password::from_file(file)?)),
        (None, Some(descriptor)) => Ok(Some(Password::from_descriptor(descriptor)?)),
        (None, None) => Ok(None),
    }
}

/// Reads a new password and checks its strength; a prompt asks for it twice.
pub fn read_new_password(
    from_options: Option<Password>,
    key_name: &str,
    options: &str,
) -> anyhow::Result<Password> {
    if let Some(password) = from_options {
        password.check_new().context("the new password is too weak")?;
        return Ok(password);
    }
    let hint = format!("pass the new password with {options}");
    for _ in 0..MAX_ATTEMPTS {
        let password =
            Password::new(prompt::read_secret(&format!("New password of {key_name}"), &hint)?);
        if let Err(error) = password.check_new() {
            prompt::print_notice(&error.to_string());
            continue;
        }
        let repeated = Password::new(prompt::read_secret("Repeat the password", &hint)?);
        if password.matches(&repeated) {
            return Ok(password);
        }
        prompt::print_notice("the passwords do not match");
    }
    bail!("no valid password after {MAX_ATTEMPTS} attempts")
}
