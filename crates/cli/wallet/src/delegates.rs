//! The `tao delegates` command.

use clap::Args;
use serde_json::json;
use taonet_cli_base::chain::{AtArgs, NetworkArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::{table, tao_decimals};
use taonet_cli_base::tables::DELEGATES;
use taonet_primitives::{Alpha, NetUid};

/// List delegates with their take, nominators and stake
#[derive(Debug, Args)]
pub struct DelegatesArgs {
    /// Only delegates registered on this subnet
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Runs `tao delegates`.
pub fn run(args: &DelegatesArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let mut delegates = chain.delegates(block.into()).await.map_err(chain_error)?;
        delegates.retain(|delegate| {
            args.netuid.is_none_or(|netuid| delegate.registrations.contains(&netuid))
        });
        if context.json {
            return context
                .print_json(&json!({ "block": block_json(block), "delegates": delegates }));
        }
        let mut rows = table(&DELEGATES);
        for delegate in &delegates {
            let root = delegate
                .stake
                .iter()
                .find(|(netuid, _)| *netuid == NetUid(0))
                .map(|(_, alpha)| *alpha);
            rows.add_row([
                delegate.hotkey.to_string(),
                delegate.owner.to_string(),
                delegate.take.to_string(),
                delegate.nominators.to_string(),
                tao_decimals(root.unwrap_or(Alpha::ZERO).get()),
                format_netuids(&delegate.registrations),
                format_netuids(&delegate.validator_permits),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

fn format_netuids(netuids: &[NetUid]) -> String {
    netuids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
