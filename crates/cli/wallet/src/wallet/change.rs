//! The `tao wallet encrypt`, `decrypt` and `change-password` commands.

use anyhow::bail;
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::password::{NewPasswordArgs, PasswordArgs, open_error};
use taonet_cli_base::prompt;
use taonet_cli_base::wallet_args::KeyArgs;
use taonet_wallet::StoredKey;

/// Encrypt a keyfile with a password
#[derive(Debug, Args)]
pub struct EncryptArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Decrypt a keyfile on disk
#[derive(Debug, Args)]
pub struct DecryptArgs {
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Change the password of a keyfile
#[derive(Debug, Args)]
pub struct ChangePasswordArgs {
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    new_password: NewPasswordArgs,
}

pub(crate) fn encrypt(args: &EncryptArgs, context: &Context) -> anyhow::Result<()> {
    let stored_key = args.key.stored_key()?;
    if let Some(method) = stored_key.encryption() {
        let path = stored_key.path().display();
        bail!(
            "{path} is already encrypted ({method})\nhint: change the password with `tao wallet change-password`"
        );
    }
    let password = args.password.read_new(&stored_key.path().display().to_string())?;
    stored_key.change_password(None, Some(&password)).map_err(open_error)?;
    print_result(&stored_key, true, context)
}

pub(crate) fn decrypt(args: &DecryptArgs, context: &Context) -> anyhow::Result<()> {
    let stored_key = require_encrypted(&args.key)?;
    let path = stored_key.path().display();
    prompt::confirm(
        &format!("Anyone who can read {path} will have the key. Decrypt it?"),
        args.yes,
    )?;
    let password = args.password.read_existing(stored_key.path())?;
    stored_key.change_password(Some(&password), None).map_err(open_error)?;
    print_result(&stored_key, false, context)
}

pub(crate) fn change_password(args: &ChangePasswordArgs, context: &Context) -> anyhow::Result<()> {
    let stored_key = require_encrypted(&args.key)?;
    let old_password = args.password.read_existing(stored_key.path())?;
    let new_password = args.new_password.read_new(&stored_key.path().display().to_string())?;
    stored_key.change_password(Some(&old_password), Some(&new_password)).map_err(open_error)?;
    print_result(&stored_key, true, context)
}

fn require_encrypted(key: &KeyArgs) -> anyhow::Result<StoredKey> {
    let stored_key = key.stored_key()?;
    if stored_key.encryption().is_none() {
        bail!(
            "{} is not encrypted\nhint: encrypt it with `tao wallet encrypt`",
            stored_key.path().display()
        );
    }
    Ok(stored_key)
}

fn print_result(
    stored_key: &StoredKey,
    is_encrypted: bool,
    context: &Context,
) -> anyhow::Result<()> {
    if context.json {
        return context.print_json(
            &json!({ "path": stored_key.path().display().to_string(), "encrypted": is_encrypted }),
        );
    }
    let state = if is_encrypted { "is encrypted" } else { "is now unencrypted" };
    context.print(&format!("{} {state}", stored_key.path().display()))
}
