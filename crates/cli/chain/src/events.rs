//! The `tao events` command.

use clap::Args;
use serde_json::json;
use taonet_chain::{Chain as _, Event, Phase};
use taonet_cli_base::chain::{AtArgs, NetworkArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::EVENTS;

/// Arguments that filter events
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Only events of this pallet, such as SubtensorModule
    #[arg(long, value_name = "PALLET")]
    pallet: Option<String>,
    /// Only events with this name, such as WeightsSet
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Show the events of a block
#[derive(Debug, Args)]
pub struct EventsArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

impl FilterArgs {
    pub(crate) fn matches(&self, event: &Event) -> bool {
        self.pallet.as_ref().is_none_or(|pallet| *pallet == event.pallet)
            && self.name.as_ref().is_none_or(|name| *name == event.name)
    }
}

/// Runs `tao events`.
pub fn run(args: &EventsArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let mut events = chain.events(block.into()).await.map_err(chain_error)?;
        events.retain(|event| args.filter.matches(event));
        if context.json {
            return context.print_json(&json!({ "block": block_json(block), "events": events }));
        }
        let mut rows = table(&EVENTS);
        for event in &events {
            let phase = match event.phase {
                Phase::Initialization => "start".to_owned(),
                Phase::ApplyExtrinsic(index) => format!("call {index}"),
                Phase::Finalization => "end".to_owned(),
            };
            let name = format!("{}.{}", event.pallet, event.name);
            rows.add_row([event.index.to_string(), phase, name, event.fields.to_string()]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}
