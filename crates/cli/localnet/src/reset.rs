//! `tao localnet reset` and `tao localnet snapshot load`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::prompt;

use super::control::stop_at;
use super::data_dir::{DATABASE, DataArgs, ProcessRecord};
use super::rpc;

/// Stop the chain and delete its state
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub(crate) fn run(args: &ResetArgs, context: &Context) -> anyhow::Result<()> {
    let directory = args.data.directory();
    let database = directory.join(DATABASE);
    if !database.exists() {
        return report(false, &directory, context);
    }
    prompt::confirm(&format!("Delete the chain in {}?", directory.display()), args.yes)?;
    context.block_on(async {
        let Some(running) = running_process(&directory).await? else { return Ok(()) };
        stop_at(&running.url, &directory).await
    })?;
    fs::remove_file(&database).with_context(|| format!("cannot delete {}", database.display()))?;
    report(true, &directory, context)
}

fn report(removed: bool, directory: &Path, context: &Context) -> anyhow::Result<()> {
    if context.json {
        return context
            .print_json(&json!({ "data": directory.display().to_string(), "removed": removed }));
    }
    let action = if removed { "deleted the chain in" } else { "no chain in" };
    context.print(&format!("{action} {}", directory.display()))
}

pub(crate) fn load(file: &Path, data: &DataArgs, context: &Context) -> anyhow::Result<()> {
    let directory = data.directory();
    if let Some(running) = context.block_on(running_process(&directory))? {
        bail!(
            "the chain in {} is running at {}\nhint: stop it first with `tao localnet stop`",
            directory.display(),
            running.url
        );
    }
    taonet_localnet::load_snapshot(file, &directory)?;
    if context.json {
        return context.print_json(
            &json!({ "file": file.display().to_string(), "data": directory.display().to_string() }),
        );
    }
    context.print(&format!(
        "loaded {} into {}; `tao localnet` resumes from it",
        file.display(),
        directory.display()
    ))
}

/// Finds the process that runs the chain of this data directory; removes a stale record.
async fn running_process(directory: &Path) -> anyhow::Result<Option<ProcessRecord>> {
    let Some(running) = ProcessRecord::read(directory)? else { return Ok(None) };
    match rpc::call(&running.url, "system_health", json!([])).await {
        Err(rpc::RpcError::NotRunning(_)) => match ProcessRecord::remove(directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("cannot remove the stale process record")
            }
            _ => Ok(None),
        },
        _ => Ok(Some(running)),
    }
}
