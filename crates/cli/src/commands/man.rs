//! The `tao man` command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use taonet_cli_base::context::Context;

/// Write the man pages of `tao` and `bb`, one per command
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Output directory, such as /usr/local/share/man/man1; created if missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn run(args: &ManArgs, commands: [Command; 2], context: &Context) -> anyhow::Result<()> {
    let named = || {
        format!("cannot write to {}\nhint: choose a writable directory", args.directory.display())
    };
    std::fs::create_dir_all(&args.directory).with_context(named)?;
    for command in commands {
        clap_mangen::generate_to(command, &args.directory).with_context(named)?;
    }
    context.say(&format!("man pages written to {}", args.directory.display()));
    Ok(())
}
