//! The `tao block` command.

use clap::Args;
use serde_json::json;
use taonet_chain::{At, Chain as _};
use taonet_cli_base::chain::{NetworkArgs, block_json, chain_error, find_block, parse_at};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::key_values;

/// Show a block
#[derive(Debug, Args)]
pub struct BlockArgs {
    /// Block number, block hash, or `finalized` [default: the newest]
    #[arg(value_name = "BLOCK", value_parser = parse_at)]
    block: Option<At>,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs `tao block`.
pub fn run(args: &BlockArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = find_block(&chain, args.block.unwrap_or_default()).await?;
        let finalized = chain.finalized_head().await.map_err(chain_error)?;
        let timestamp =
            chain.storage("Timestamp", "Now", &[], block.into()).await.map_err(chain_error)?;
        let events = chain.events(block.into()).await.map_err(chain_error)?;
        let spec_version = chain.spec_version().await.map_err(chain_error)?;
        if context.json {
            return context.print_json(&json!({
                "block": block_json(block),
                "is_final": block.number <= finalized.number,
                "finalized": block_json(finalized),
                "timestamp_ms": timestamp,
                "events": events.len(),
                "genesis": chain.genesis(),
                "spec_version": spec_version,
            }));
        }
        let millis = timestamp.as_i64().unwrap_or_default();
        let time = jiff::Timestamp::from_millisecond(millis)
            .map_or_else(|_| "–".to_owned(), |time| time.to_string());
        let mut rows = key_values();
        for (name, value) in [
            ("block", block.number.to_string()),
            ("hash", block.hash.to_string()),
            ("final", if block.number <= finalized.number { "yes" } else { "not yet" }.to_owned()),
            ("time", time),
            ("events", events.len().to_string()),
            ("genesis", chain.genesis().to_string()),
            ("runtime", spec_version.to_string()),
        ] {
            rows.add_row([name, &value]);
        }
        context.print(&rows.to_string())
    })
}
