//! `tao watch`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use taonet_chain::{Block, Chain as _, Client, Event};
use taonet_primitives::{BlockNumber, NetUid};
use taonet_service::Shutdown;

use super::events::FilterArgs;
use crate::chain::{NetworkArgs, block_json, failed, find_block};
use crate::context::Context;
use crate::printable::printable;

/// Events of every block, which say little.
const USUAL: [&str; 2] = ["System.ExtrinsicSuccess", "TransactionPayment.TransactionFeePaid"];

/// Follow the chain: a line for each block, until Ctrl-C.
///
/// With --json a line is one JSON document: the block, its events, and with --netuid when the next epoch is.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// End after so many blocks
    #[arg(long, value_name = "N")]
    blocks: Option<u32>,
    /// Say when the next epoch of this subnet is
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: &WatchArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        tokio::select! {
            watched = watch(args, context) => watched,
            () = shutdown.requested() => Ok(()),
        }
    })
}

async fn watch(args: &WatchArgs, context: &Context) -> anyhow::Result<()> {
    let chain = args.network.connect().await?;
    let mut heads = chain.heads();
    let mut last: Option<BlockNumber> = None;
    let mut shown = 0;
    loop {
        let head = *heads.borrow_and_update();
        if let Some(head) = head {
            // Heads may be left out; blocks are not.
            let mut next = last.map_or(head.number, |last| last.plus(1));
            while next <= head.number {
                let block = if next == head.number { head } else { find_block(&chain, next.into()).await? };
                tell(&chain, block, args, context).await?;
                shown += 1;
                if args.blocks.is_some_and(|blocks| shown >= blocks) {
                    return Ok(());
                }
                next = next.plus(1);
            }
            last = Some(last.map_or(head.number, |last| last.max(head.number)));
        }
        if heads.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn tell(chain: &Client, block: Block, args: &WatchArgs, context: &Context) -> anyhow::Result<()> {
    let mut events = chain.events(block.into()).await.map_err(failed)?;
    events.retain(|event| args.filter.keeps(event));
    let next_epoch = match args.netuid {
        Some(netuid) => {
            let rules = chain.weight_rules(netuid, block.into()).await.map_err(failed)?;
            rules.schedule.next_epoch(block.number)
        }
        None => None,
    };
    if context.json {
        let document = json!({ "block": block_json(block), "next_epoch": next_epoch, "events": events });
        return context.print(&document.to_string());
    }
    let epoch = next_epoch.map(|next| format!("  epoch in {}", next.since(block.number))).unwrap_or_default();
    context.print(&format!("{block}{epoch}{}", counted(&events)))
}

/// The events by name and number: `  SubtensorModule.WeightsSet ×2`.
#[allow(clippy::format_collect, reason = "a line for a person")]
fn counted(events: &[Event]) -> String {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(format!("{}.{}", event.pallet, event.name)).or_insert(0_u32) += 1;
    }
    let told = counts.iter().filter(|(name, _)| !USUAL.contains(&name.as_str()));
    told.map(|(name, count)| {
        let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
        format!("  {}{times}", printable(name))
    })
    .collect()
}
