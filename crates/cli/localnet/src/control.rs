//! Control of a running localnet: status, blocks, snapshot files, shutdown.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::SignedDuration;
use serde_json::{Value, json};
use taonet_chain::Client;
use taonet_cli_base::chain::{LOCAL_NETWORK, chain_error, parse_network};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::key_values;
use taonet_service::STOP_TIMEOUT;

use super::data_dir::{DataArgs, ProcessRecord};
use super::rpc::{self, RpcError, call_control_method, number};

/// Polling interval while the process shuts down.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Arguments that select the localnet to control
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    #[command(flatten)]
    data: DataArgs,
    /// URL of the node, instead of the one recorded in the data directory
    #[arg(long, short = 'n', value_name = "URL", conflicts_with = "data")]
    network: Option<String>,
}

/// Produce blocks immediately
#[derive(Debug, Args)]
pub(crate) struct MineArgs {
    /// Number of blocks
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    blocks: u32,
    #[command(flatten)]
    target: TargetArgs,
}

/// Produce blocks up to and including the next epoch of a subnet
#[derive(Debug, Args)]
pub(crate) struct EpochArgs {
    /// Netuid of the subnet
    netuid: u16,
    #[command(flatten)]
    target: TargetArgs,
}

/// Save a snapshot of the running chain to a file
#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// Output file
    file: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

impl TargetArgs {
    /// Returns the URL of the node: from `--network`, the data directory, or the default.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let network_name = match &self.network {
            Some(network) => network,
            None => match ProcessRecord::read(&self.data.directory())? {
                Some(process) => return Ok(process.url),
                None => LOCAL_NETWORK,
            },
        };
        let network = parse_network(network_name)?;
        network.nodes().first().map(ToString::to_string).context("the network has no node URL")
    }
}

/// Connects to a localnet that has control methods; also returns its URL.
pub(crate) async fn connect(target: &TargetArgs) -> anyhow::Result<(String, Client)> {
    let url = target.url()?;
    call_control_method(&url, "dev_status", json!([])).await?;
    let chain = Client::connect(&parse_network(&url)?).await.map_err(chain_error)?;
    Ok((url, chain))
}

pub(crate) fn status(args: &TargetArgs, context: &Context) -> anyhow::Result<()> {
    let url = args.url()?;
    let request = async {
        rpc::call(&url, "dev_status", json!([])).await.map_err(|error| error.into_error(&url))
    };
    let status = context.block_on(request)?;
    if context.json {
        return context.print_json(&json!({
            "url": url,
            "http": rpc::http_url(&url),
            "block": { "number": status["number"], "hash": status["hash"] },
            "genesis": status["genesis"],
            "oldest_block": status["oldest"],
            "spec_version": status["specVersion"],
            "clock": status["clock"],
            "block_ms": status["blockMillis"],
            "clock_offset_ms": status["offsetMillis"],
            "pool": status["pool"],
            "disk_bytes": status["bytes"],
            "pid": status["pid"],
            "leader": status["leader"],
        }));
    }
    let clock = match (status["clock"].as_str(), status["blockMillis"].as_u64()) {
        (_, Some(millis)) => format!("one block every {:?}", Duration::from_millis(millis)),
        (Some(name), None) => name.to_owned(),
        (None, None) => String::new(),
    };
    let mut rows = key_values();
    rows.add_row(["url", url.as_str()]);
    rows.add_row(["block", &format!("{} {}", status["number"], value_text(&status["hash"]))]);
    rows.add_row(["genesis", &value_text(&status["genesis"])]);
    rows.add_row(["oldest block", &status["oldest"].to_string()]);
    rows.add_row(["runtime", &status["specVersion"].to_string()]);
    let block_source = match status["leader"]["url"].as_str() {
        Some(leader) => ["follows", &format!("{leader}, {}", connection_text(&status["leader"]))],
        None => ["clock", &clock],
    };
    rows.add_row(block_source);
    if let Some(offset) = status["offsetMillis"].as_i64().filter(|offset| *offset != 0) {
        rows.add_row(["clock offset", &format!("{:#}", SignedDuration::from_millis(offset))]);
    }
    rows.add_row([
        "pool",
        &format!("{} ready, {} future", status["pool"]["ready"], status["pool"]["future"]),
    ]);
    rows.add_row([
        "on disk",
        &format!("{:.1} MB", status["bytes"].as_f64().unwrap_or_default() / 1e6),
    ]);
    rows.add_row(["process", &status["pid"].to_string()]);
    context.print(&rows.to_string())
}

/// Describes the connection to the followed node.
fn connection_text(leader: &Value) -> String {
    match (leader["connected"].as_bool(), leader["error"].as_str()) {
        (Some(true), _) => format!("connected, at block {}", leader["height"]),
        (_, Some(error)) => format!("not connected: {error}"),
        (_, None) => "connecting".to_owned(),
    }
}

pub(crate) fn value_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn mine(args: &MineArgs, context: &Context) -> anyhow::Result<()> {
    produce_blocks("dev_mine", json!([args.blocks]), &args.target, context)
}

pub(crate) fn to_epoch(args: &EpochArgs, context: &Context) -> anyhow::Result<()> {
    produce_blocks("dev_epoch", json!([args.netuid]), &args.target, context)
}

fn produce_blocks(
    method: &str,
    params: Value,
    target: &TargetArgs,
    context: &Context,
) -> anyhow::Result<()> {
    let block =
        context.block_on(async { call_control_method(&target.url()?, method, params).await })?;
    if context.json {
        return context
            .print_json(&json!({ "block": { "number": block["number"], "hash": block["hash"] } }));
    }
    context.print(&format!("block {} {}", number(&block, "number")?, value_text(&block["hash"])))
}

pub(crate) fn save(args: &SaveArgs, context: &Context) -> anyhow::Result<()> {
    // The node writes the file, and may have another working directory.
    let file = std::path::absolute(&args.file).context("the current directory no longer exists")?;
    let text = file.to_str().context("the file name is not UTF-8")?;
    context.block_on(async {
        call_control_method(&args.target.url()?, "dev_snapshot", json!([text])).await
    })?;
    if context.json {
        return context.print_json(&json!({ "file": text }));
    }
    context.print(&format!("snapshot saved to {}", file.display()))
}

pub(crate) fn stop(args: &TargetArgs, context: &Context) -> anyhow::Result<()> {
    let url = args.url()?;
    context.block_on(stop_at(&url, &args.data.directory()))?;
    if context.json {
        return context.print_json(&json!({ "url": url, "stopped": true }));
    }
    context.print(&format!("the localnet at {url} has stopped"))
}

/// Requests shutdown and waits until the node has stopped.
pub(crate) async fn stop_at(url: &str, directory: &Path) -> anyhow::Result<()> {
    match rpc::call(url, "dev_stop", json!([])).await {
        Ok(_) => {}
        // Control methods are disabled beyond loopback; the data directory shows that the process
        // is ours.
        Err(RpcError::ControlDisabled)
            if ProcessRecord::read(directory)?.is_some_and(|process| process.url == url) =>
        {
            terminate(directory)?;
        }
        Err(error) => return Err(error.into_error(url)),
    }
    let start = Instant::now();
    let is_recorded =
        || anyhow::Ok(ProcessRecord::read(directory)?.is_some_and(|process| process.url == url));
    while is_recorded()? || rpc::call(url, "system_health", json!([])).await.is_ok() {
        if start.elapsed() > STOP_TIMEOUT {
            bail!(
                "the localnet at {url} is still running {STOP_TIMEOUT:?} after the shutdown request"
            );
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Sends SIGTERM to the process recorded in the data directory.
#[cfg(unix)]
fn terminate(directory: &Path) -> anyhow::Result<()> {
    let process =
        ProcessRecord::read(directory)?.context("no process is recorded in this data directory")?;
    let pid = i32::try_from(process.pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.context("the recorded process ID is invalid")?;
    let result = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    result.with_context(|| format!("cannot stop process {}", process.pid))
}

#[cfg(not(unix))]
fn terminate(_directory: &Path) -> anyhow::Result<()> {
    bail!("control methods are disabled beyond loopback\nhint: stop the process instead")
}
