//! Named snapshots of a running localnet.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use clap::Args;
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::LOCALNET_SNAPSHOTS;

use super::control::{TargetArgs, value_text};
use super::rpc::{call_control_method, number};

/// Arguments that select a named snapshot
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the snapshot
    name: String,
    #[command(flatten)]
    target: TargetArgs,
}

pub(crate) fn take(args: &NameArgs, context: &Context) -> anyhow::Result<()> {
    let response = call_snapshot_method("dev_takeSnapshot", args, context)?;
    if context.json {
        return context.print_json(&snapshot_document(&response));
    }
    context.print(&format!(
        "snapshot {} of block {} {}",
        args.name,
        number(&response, "number")?,
        value_text(&response["hash"])
    ))
}

pub(crate) fn list(args: &TargetArgs, context: &Context) -> anyhow::Result<()> {
    let snapshots = context.block_on(async {
        call_control_method(&args.url()?, "dev_listSnapshots", json!([])).await
    })?;
    let snapshots = snapshots.as_array().map(Vec::as_slice).unwrap_or_default();
    if context.json {
        return context.print_json(
            &json!({ "snapshots": snapshots.iter().map(snapshot_document).collect::<Vec<_>>() }),
        );
    }
    if snapshots.is_empty() {
        context.print_notice("no snapshots");
        return Ok(());
    }
    let mut rows = table(&LOCALNET_SNAPSHOTS);
    for entry in snapshots {
        rows.add_row([value_text(&entry["name"]), entry["number"].to_string()]);
    }
    context.print(&rows.to_string())
}

pub(crate) fn revert(args: &NameArgs, context: &Context) -> anyhow::Result<()> {
    let block = call_snapshot_method("dev_revertSnapshot", args, context)?;
    if context.json {
        let block = json!({ "number": block["number"], "hash": block["hash"] });
        return context.print_json(&json!({ "name": args.name, "block": block }));
    }
    context.print(&format!(
        "reverted to block {} {}",
        number(&block, "number")?,
        value_text(&block["hash"])
    ))
}

pub(crate) fn drop_snapshot(args: &NameArgs, context: &Context) -> anyhow::Result<()> {
    call_snapshot_method("dev_dropSnapshot", args, context)?;
    if context.json {
        return context.print_json(&json!({ "name": args.name, "dropped": true }));
    }
    context.print(&format!("dropped snapshot {}", args.name))
}

fn call_snapshot_method(method: &str, args: &NameArgs, context: &Context) -> anyhow::Result<Value> {
    context.block_on(async {
        call_control_method(&args.target.url()?, method, json!([args.name])).await
    })
}

fn snapshot_document(snapshot: &Value) -> Value {
    json!({ "name": snapshot["name"], "block": { "number": snapshot["number"], "hash": snapshot["hash"] } })
}
