//! `tao man`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};

use crate::context::Context;

/// Write the man pages of `tao` and `bb`, one for each command
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The directory, such as /usr/local/share/man/man1; it is created where it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn run(args: &ManArgs, commands: [Command; 2], context: &Context) -> anyhow::Result<()> {
    let named = || format!("cannot write to {}: name a directory that you may write to", args.directory.display());
    std::fs::create_dir_all(&args.directory).with_context(named)?;
    for command in commands {
        clap_mangen::generate_to(command, &args.directory).with_context(named)?;
    }
    context.say(&format!("man pages are in {}", args.directory.display()));
    Ok(())
}
