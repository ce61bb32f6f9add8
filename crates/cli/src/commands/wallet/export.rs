//! `tao wallet export`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use taonet_wallet::{Password, PolkadotJs};

use super::place::KeyArgs;
use crate::context::Context;
use crate::password::{PasswordArgs, chosen};
use crate::secret_file;

/// Write a key as an encrypted Polkadot-JS export
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The new file
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// A file with the export's password in one line; without it, the terminal is asked
    #[arg(long, value_name = "FILE")]
    json_password_file: Option<PathBuf>,
    /// The account's name in the export [default: the wallet's, or the hotkey's]
    #[arg(long, value_name = "TEXT")]
    account_name: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

pub(crate) fn run(args: &ExportArgs, context: &Context) -> anyhow::Result<()> {
    secret_file::refuse_existing(&args.out)?;
    let pair = args.key.unlock(&args.password)?;
    let given = args.json_password_file.as_ref().map(Password::from_file).transpose()?;
    let password = chosen(given, &args.out.display().to_string(), "--json-password-file")?;
    let name = args.account_name.clone().map_or_else(|| args.key.name(), Ok)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let text = PolkadotJs::export(&pair, &password, &name, u64::try_from(now.as_millis())?)?;
    secret_file::write(&args.out, &[text.as_bytes()])?;
    let address = pair.public().to_string();
    if context.json {
        return context.print_json(&json!({ "address": address, "path": args.out, "name": name }));
    }
    context.print(&format!("{address} is in {}", args.out.display()))
}
