//! `tao proof demo`: a complete market of proofs on this machine, including its chain.

mod market;
mod report;
mod user;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::context::Context;

use market::Market;

/// Run a market of proofs on this machine: a chain, a validator, honest and dishonest miners
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Run one epoch instead of three
    #[arg(long)]
    once: bool,
    /// Keep circuits, scores and the last proof of each miner in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(crate) fn run(args: &DemoArgs, context: &Context) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir().context("cannot create a temporary directory")?;
    let directory = args.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let market = Market::prepare(&directory, context)?;
    let report = context.block_on(market.run(if args.once { 1 } else { 3 }, context))?;
    if context.json {
        return context.print_json(&report.document());
    }
    context.print(&report.to_string())?;
    match &args.keep {
        Some(directory) => context.print(&format!(
            "The last proofs are in {}; verify them with tao proof verify.",
            directory.join("bundles").display()
        )),
        None => context.print("To keep the proofs for verification elsewhere, use --keep DIR."),
    }
}
