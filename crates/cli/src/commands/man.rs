//! The `tao man` command.

use std::path::{Path, PathBuf};

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
    std::fs::create_dir_all(&args.directory)
        .with_context(|| not_writable_message(&args.directory))?;
    for command in commands {
        clap_mangen::generate_to(command, &args.directory)
            .with_context(|| not_writable_message(&args.directory))?;
    }
    context.print_notice(&format!("man pages written to {}", args.directory.display()));
    Ok(())
}

fn not_writable_message(directory: &Path) -> String {
    format!("cannot write to {}\nhint: choose a writable directory", directory.display())
}
