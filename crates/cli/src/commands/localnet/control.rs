//! Orders to the running chain.

#![allow(clippy::indexing_slicing, reason = "a JSON value is null where it has no such key")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use taonet_service::STOP_WITHIN;

use super::place::{DataArgs, Running};
use super::rpc::{self, Refusal, number, order};
use crate::chain::{LOCAL, parse_network};
use crate::context::Context;
use crate::table::facts;

/// How often is looked whether the process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which running chain
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The node's URL, instead of the one that the folder names
    #[arg(long, short = 'n', value_name = "URL", conflicts_with = "data")]
    network: Option<String>,
}

/// Make blocks now
#[derive(Debug, Args)]
pub(super) struct MineArgs {
    /// How many
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    blocks: u32,
    #[command(flatten)]
    target: TargetArgs,
}

/// Make blocks up to and with the next one in which a subnet's epoch runs
#[derive(Debug, Args)]
pub(super) struct EpochArgs {
    /// The subnet's number
    netuid: u16,
    #[command(flatten)]
    target: TargetArgs,
}

/// Save the running chain
#[derive(Debug, Args)]
pub(super) struct SaveArgs {
    /// The new file
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

impl TargetArgs {
    /// The node's address: as given, else what the folder says, else the usual one.
    fn url(&self) -> anyhow::Result<String> {
        let named = match &self.network {
            Some(network) => network,
            None => match Running::read(&self.data.directory())? {
                Some(running) => return Ok(running.url),
                None => LOCAL,
            },
        };
        let network = parse_network(named)?;
        network.nodes().first().map(ToString::to_string).context("the network has no node")
    }
}

pub(super) fn status(args: &TargetArgs, context: &Context) -> anyhow::Result<()> {
    let url = args.url()?;
    let asked = async { rpc::call(&url, "dev_status", json!([])).await.map_err(|refusal| refusal.into_error(&url)) };
    let status = context.block_on(asked)?;
    if context.json {
        return context.print_json(&json!({
            "url": url,
            "http": rpc::http(&url),
            "block": { "number": status["number"], "hash": status["hash"] },
            "genesis": status["genesis"],
            "oldest_block": status["oldest"],
            "spec_version": status["specVersion"],
            "clock": status["clock"],
            "block_ms": status["blockMillis"],
            "pool": status["pool"],
            "disk_bytes": status["bytes"],
            "pid": status["pid"],
        }));
    }
    let clock = match (status["clock"].as_str(), status["blockMillis"].as_u64()) {
        (_, Some(millis)) => format!("a block every {:?}", Duration::from_millis(millis)),
        (Some(name), None) => name.to_owned(),
        (None, None) => String::new(),
    };
    let mut rows = facts();
    rows.add_row(["url", url.as_str()]);
    rows.add_row(["block", &format!("{} {}", status["number"], text(&status["hash"]))]);
    rows.add_row(["genesis", &text(&status["genesis"])]);
    rows.add_row(["oldest block", &status["oldest"].to_string()]);
    rows.add_row(["runtime", &status["specVersion"].to_string()]);
    rows.add_row(["clock", &clock]);
    rows.add_row(["pool", &format!("{} ready, {} waiting", status["pool"]["ready"], status["pool"]["future"])]);
    rows.add_row(["on disk", &format!("{:.1} MB", status["bytes"].as_f64().unwrap_or_default() / 1e6)]);
    rows.add_row(["process", &status["pid"].to_string()]);
    context.print(&rows.to_string())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn mine(args: &MineArgs, context: &Context) -> anyhow::Result<()> {
    make("dev_mine", json!([args.blocks]), &args.target, context)
}

pub(super) fn to_epoch(args: &EpochArgs, context: &Context) -> anyhow::Result<()> {
    make("dev_epoch", json!([args.netuid]), &args.target, context)
}

fn make(method: &str, params: Value, target: &TargetArgs, context: &Context) -> anyhow::Result<()> {
    let made = context.block_on(async { order(&target.url()?, method, params).await })?;
    if context.json {
        return context.print_json(&json!({ "block": { "number": made["number"], "hash": made["hash"] } }));
    }
    context.print(&format!("block {} {}", number(&made, "number")?, text(&made["hash"])))
}

pub(super) fn save(args: &SaveArgs, context: &Context) -> anyhow::Result<()> {
    // The node writes it, and may stand in another folder.
    let file = std::path::absolute(&args.file).context("the current directory is gone")?;
    context.block_on(async { order(&args.target.url()?, "dev_snapshot", json!([file])).await })?;
    if context.json {
        return context.print_json(&json!({ "file": file }));
    }
    context.print(&format!("the chain is saved in {}", file.display()))
}

pub(super) fn stop(args: &TargetArgs, context: &Context) -> anyhow::Result<()> {
    let url = args.url()?;
    context.block_on(stop_at(&url, &args.data.directory()))?;
    if context.json {
        return context.print_json(&json!({ "url": url, "stopped": true }));
    }
    context.print(&format!("the localnet at {url} has stopped"))
}

/// Asks the node to end, and waits until it has.
pub(super) async fn stop_at(url: &str, directory: &Path) -> anyhow::Result<()> {
    match rpc::call(url, "dev_stop", json!([])).await {
        Ok(_) => {}
        // It takes orders from nobody, since other machines reach it; but it is ours where our folder says so.
        Err(Refusal::NoOrders) if Running::read(directory)?.is_some_and(|running| running.url == url) => {
            terminate(directory)?;
        }
        Err(refusal) => return Err(refusal.into_error(url)),
    }
    let began = Instant::now();
    let announced = || anyhow::Ok(Running::read(directory)?.is_some_and(|running| running.url == url));
    while announced()? || rpc::call(url, "system_health", json!([])).await.is_ok() {
        if began.elapsed() > STOP_WITHIN {
            bail!("the localnet at {url} was asked to stop and still answers after {STOP_WITHIN:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Ends the process that the folder names as a service manager would.
#[cfg(unix)]
fn terminate(directory: &Path) -> anyhow::Result<()> {
    let running = Running::read(directory)?.context("no process runs the chain of this folder")?;
    let pid = i32::try_from(running.pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.context("the process's number is none")?;
    let ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    ended.with_context(|| format!("cannot end process {}", running.pid))
}

#[cfg(not(unix))]
fn terminate(_directory: &Path) -> anyhow::Result<()> {
    bail!("the localnet takes no orders, since other machines reach it: end its process")
}
