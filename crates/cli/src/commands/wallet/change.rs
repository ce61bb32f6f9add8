//! `tao wallet encrypt`, `decrypt` and `change-password`.

use anyhow::bail;
use clap::Args;
use serde_json::json;
use taonet_wallet::StoredKey;

use super::place::KeyArgs;
use crate::context::Context;
use crate::password::{NewPasswordArgs, PasswordArgs, refused};
use crate::prompt;

/// Protect a plain keyfile with a password
#[derive(Debug, Args)]
pub(crate) struct EncryptArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Take the password off a keyfile
#[derive(Debug, Args)]
pub(crate) struct DecryptArgs {
    /// Do not ask whether the key may lie on the disk unprotected
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Give an encrypted keyfile another password
#[derive(Debug, Args)]
pub(crate) struct ChangePasswordArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    new: NewPasswordArgs,
}

pub(crate) fn encrypt(args: &EncryptArgs, context: &Context) -> anyhow::Result<()> {
    let stored = args.key.stored()?;
    if let Some(method) = stored.encryption() {
        let path = stored.path().display();
        bail!("{path} is encrypted already ({method}): tao wallet change-password gives it another password");
    }
    let password = args.password.for_new(&stored.path().display().to_string())?;
    stored.change_password(None, Some(&password)).map_err(refused)?;
    tell(&stored, true, context)
}

pub(crate) fn decrypt(args: &DecryptArgs, context: &Context) -> anyhow::Result<()> {
    let stored = encrypted(&args.key)?;
    let path = stored.path().display();
    prompt::confirm(&format!("Whoever can read {path} will have the key. Take its password off?"), args.yes)?;
    let password = args.password.existing(stored.path())?;
    stored.change_password(Some(&password), None).map_err(refused)?;
    tell(&stored, false, context)
}

pub(crate) fn change_password(args: &ChangePasswordArgs, context: &Context) -> anyhow::Result<()> {
    let stored = encrypted(&args.key)?;
    let old = args.password.existing(stored.path())?;
    let new = args.new.for_new(&stored.path().display().to_string())?;
    stored.change_password(Some(&old), Some(&new)).map_err(refused)?;
    tell(&stored, true, context)
}

fn encrypted(key: &KeyArgs) -> anyhow::Result<StoredKey> {
    let stored = key.stored()?;
    if stored.encryption().is_none() {
        bail!("{} is not encrypted: tao wallet encrypt gives it a password", stored.path().display());
    }
    Ok(stored)
}

fn tell(stored: &StoredKey, encrypted: bool, context: &Context) -> anyhow::Result<()> {
    if context.json {
        return context.print_json(&json!({ "path": stored.path(), "encrypted": encrypted }));
    }
    let state = if encrypted { "is encrypted" } else { "is not encrypted any more" };
    context.print(&format!("{} {state}", stored.path().display()))
}
