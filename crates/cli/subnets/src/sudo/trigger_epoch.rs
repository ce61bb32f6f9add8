//! `tao sudo trigger-epoch`: an epoch before the next regular one.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{Inclusion, calls};
use taonet_cli_base::chain::{ColdkeyArgs, Plan, TxArgs};
use taonet_cli_base::context::Context;
use taonet_primitives::NetUid;

/// Trigger an epoch of a subnet (owner only)
#[derive(Debug, Args)]
pub struct TriggerEpochArgs {
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

pub(super) fn run(args: &TriggerEpochArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let details = json!({ "netuid": args.netuid, "coldkey": args.tx.submit.coldkey(&key) });
        let description = format!("Trigger an epoch of subnet {}", args.netuid);
        let mut plan = Plan::new(calls::trigger_epoch(args.netuid), description, details);
        plan.event_fields = trigger_json;
        args.tx.submit.submit(&chain, &key, plan, context).await
    })
}

/// Returns the block of the epoch from the event, as JSON.
fn trigger_json(inclusion: &Inclusion) -> Value {
    let event = inclusion.events.iter().find(|event| event.is("SubtensorModule", "EpochTriggered"));
    json!({ "fires_at": event.map(|event| &event.fields["fires_at"]) })
}
