//! Beginning anew: from the first block, or from a saved chain.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::control::stop_at;
use super::place::{DataArgs, Running};
use super::rpc;
use crate::context::Context;
use crate::prompt;

/// The chain's database, which is all that a folder holds of it.
const DATABASE: &str = "chain.redb";

/// Stop the chain and remove its state
#[derive(Debug, Args)]
pub(super) struct ResetArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) fn run(args: &ResetArgs, context: &Context) -> anyhow::Result<()> {
    let directory = args.data.directory();
    let database = directory.join(DATABASE);
    if !database.exists() {
        return told(false, &directory, context);
    }
    prompt::confirm(&format!("Remove the chain in {}?", directory.display()), args.yes)?;
    context.block_on(async {
        let Some(running) = running(&directory).await? else { return Ok(()) };
        stop_at(&running.url, &directory).await
    })?;
    fs::remove_file(&database).with_context(|| format!("cannot remove {}", database.display()))?;
    told(true, &directory, context)
}

fn told(removed: bool, directory: &Path, context: &Context) -> anyhow::Result<()> {
    if context.json {
        return context.print_json(&json!({ "data": directory, "removed": removed }));
    }
    let what = if removed { "the chain is removed from" } else { "there is no chain in" };
    context.print(&format!("{what} {}", directory.display()))
}

pub(super) fn load(file: &Path, data: &DataArgs, context: &Context) -> anyhow::Result<()> {
    let directory = data.directory();
    if let Some(running) = context.block_on(running(&directory))? {
        bail!("the chain in {} is running at {}: stop it first", directory.display(), running.url);
    }
    taonet_localnet::load_snapshot(file, &directory)?;
    if context.json {
        return context.print_json(&json!({ "file": file, "data": directory }));
    }
    context.print(&format!("tao localnet goes on from {} in {}", file.display(), directory.display()))
}

/// Who runs the folder's chain; what a killed process left behind is removed.
async fn running(directory: &Path) -> anyhow::Result<Option<Running>> {
    let Some(running) = Running::read(directory)? else { return Ok(None) };
    match rpc::call(&running.url, "system_health", json!([])).await {
        Err(rpc::Refusal::NotRunning(_)) => match Running::forget(directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("cannot tidy up"),
            _ => Ok(None),
        },
        _ => Ok(Some(running)),
    }
}
