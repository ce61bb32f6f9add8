//! The `tao wallet export` command.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::password::{PasswordArgs, read_new_password};
use taonet_cli_base::secret_file;
use taonet_cli_base::wallet_args::KeyArgs;
use taonet_wallet::{Password, PolkadotJs};

/// Export a key as encrypted Polkadot-JS JSON
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Output file; must not exist
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// File with the export's password on one line [default: prompt on the terminal]
    #[arg(long, value_name = "FILE")]
    json_password_file: Option<PathBuf>,
    /// Account name in the export [default: the name of the wallet or hotkey]
    #[arg(long, value_name = "TEXT")]
    account_name: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

pub(crate) fn run(args: &ExportArgs, context: &Context) -> anyhow::Result<()> {
    secret_file::ensure_absent(&args.out)?;
    let keypair = args.key.unlock(&args.password)?;
    let from_option = args.json_password_file.as_ref().map(Password::from_file).transpose()?;
    let password =
        read_new_password(from_option, &args.out.display().to_string(), "--json-password-file")?;
    let name = args.account_name.clone().map_or_else(|| args.key.name(), Ok)?;
    let unix_time =
        SystemTime::now().duration_since(UNIX_EPOCH).context("the system clock is before 1970")?;
    let text =
        PolkadotJs::export(&keypair, &password, &name, u64::try_from(unix_time.as_millis())?)?;
    secret_file::write(&args.out, &[text.as_bytes()])?;
    let address = keypair.public().to_string();
    if context.json {
        return context.print_json(
            &json!({ "address": address, "path": args.out.display().to_string(), "name": name }),
        );
    }
    context.print(&format!("exported {address} to {}", args.out.display()))
}
