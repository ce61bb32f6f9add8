//! The `tao watch` command.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use taonet_chain::{Block, Chain as _, Client, Event};
use taonet_cli_base::chain::{NetworkArgs, block_json, chain_error, find_block};
use taonet_cli_base::context::Context;
use taonet_cli_base::printable::{printable, printable_json};
use taonet_cli_base::table::wrap_text;
use taonet_primitives::{BlockNumber, NetUid};
use taonet_service::Shutdown;

use crate::events::FilterArgs;

/// Events that occur in every block, hidden unless selected.
const HIDDEN_EVENTS: [&str; 2] =
    ["System.ExtrinsicSuccess", "TransactionPayment.TransactionFeePaid"];

/// Maximum number of blocks fetched after an interruption, since nodes discard the state of old
/// blocks.
const MAX_CATCH_UP_BLOCKS: u32 = 128;

/// Follow the chain: print a line for each block until Ctrl-C.
///
/// With --json, each line is one JSON document: the block, its events, and with --netuid the next
/// epoch.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Exit after this number of blocks
    #[arg(long, value_name = "N")]
    blocks: Option<u32>,
    /// Also show the next epoch of this subnet
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs `tao watch`.
pub fn run(args: &WatchArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        tokio::select! {
            result = watch(args, context) => result,
            () = shutdown.requested() => Ok(()),
        }
    })
}

async fn watch(args: &WatchArgs, context: &Context) -> anyhow::Result<()> {
    let chain = args.network.connect().await?;
    let mut heads = chain.heads();
    let mut last_block: Option<Block> = None;
    let mut block_count = 0;
    loop {
        let head = *heads.borrow_and_update();
        for number in head.map(|head| new_blocks(last_block, head)).into_iter().flatten() {
            match show_block(&chain, number, args, context).await {
                Ok(block) => {
                    last_block = Some(block);
                    block_count += 1;
                    if args.blocks.is_some_and(|blocks| block_count >= blocks) {
                        return Ok(());
                    }
                }
                // The next head triggers a retry; pruned blocks are skipped.
                Err(error) => {
                    context.print_notice(&format!(
                        "block {number}: {}",
                        printable(&format!("{error:#}"))
                    ));
                    break;
                }
            }
        }
        if heads.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Returns the blocks to show after `last_block`: the skipped blocks, up to a limit, and `head`.
/// Without `last_block`, or after a reorg that does not raise the height, returns only `head`.
fn new_blocks(last_block: Option<Block>, head: Block) -> impl Iterator<Item = BlockNumber> {
    let first = match last_block {
        Some(last) if last.number < head.number => {
            last.number.plus(1).max(head.number.minus(MAX_CATCH_UP_BLOCKS))
        }
        Some(last) if last == head => head.number.plus(1),
        _ => head.number,
    };
    (first.get()..=head.number.get()).map(BlockNumber::new)
}

async fn show_block(
    chain: &Client,
    number: BlockNumber,
    args: &WatchArgs,
    context: &Context,
) -> anyhow::Result<Block> {
    let block = find_block(chain, number.into()).await?;
    print_block(chain, block, args, context).await?;
    Ok(block)
}

async fn print_block(
    chain: &Client,
    block: Block,
    args: &WatchArgs,
    context: &Context,
) -> anyhow::Result<()> {
    let mut events = chain.events(block.into()).await.map_err(chain_error)?;
    events.retain(|event| args.filter.matches(event));
    let next_epoch = match args.netuid {
        Some(netuid) => {
            let rules = chain.weight_rules(netuid, block.into()).await.map_err(chain_error)?;
            rules.schedule.next_epoch(block.number)
        }
        None => None,
    };
    if context.json {
        let document =
            json!({ "block": block_json(block), "next_epoch": next_epoch, "events": events });
        return context.print(&printable_json(&document.to_string()));
    }
    let epoch = next_epoch
        .map(|next| format!("  epoch in {}", next.since(block.number)))
        .unwrap_or_default();
    context.print(&wrap_text(&format!("{block}{epoch}{}", count_by_name(&events))))
}

/// Summarises events by name and count: `  SubtensorModule.WeightsSet ×2`.
#[allow(clippy::format_collect, reason = "a line for a person")]
fn count_by_name(events: &[Event]) -> String {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(format!("{}.{}", event.pallet, event.name)).or_insert(0_u32) += 1;
    }
    let visible = counts.iter().filter(|(name, _)| !HIDDEN_EVENTS.contains(&name.as_str()));
    visible
        .map(|(name, count)| {
            let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
            format!("  {}{times}", printable(name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use taonet_primitives::BlockHash;

    use super::*;

    #[test]
    fn new_blocks_include_skipped_and_replaced_ones() {
        let block = |number, fork| Block {
            number: BlockNumber::new(number),
            hash: BlockHash::from_bytes([fork; 32]),
        };
        for (last_block, head, expected) in [
            (None, block(7, 1), vec![7]),
            (Some(block(7, 1)), block(7, 1), vec![]),
            (Some(block(7, 1)), block(10, 1), vec![8, 9, 10]),
            (Some(block(7, 1)), block(7, 2), vec![7]),
            (Some(block(7, 1)), block(6, 2), vec![6]),
            (Some(block(7, 1)), block(1_000, 1), (872..=1_000).collect()),
        ] {
            let numbers: Vec<u32> = new_blocks(last_block, head).map(BlockNumber::get).collect();
            assert_eq!(numbers, expected, "{last_block:?} {head:?}");
        }
    }
}
