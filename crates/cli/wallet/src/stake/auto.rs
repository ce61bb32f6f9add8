//! `tao stake auto …`: the hotkey on which a coldkey's mining emission is staked.

use clap::{Args, Subcommand};
use serde_json::json;
use taonet_chain::calls;
use taonet_cli_base::chain::{PairArgs, Plan, ReadColdkeyArgs, TxArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::AUTO_STAKES;
use taonet_primitives::NetUid;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show on which hotkeys a coldkey's mining emission is staked
    Get(ReadColdkeyArgs),
    /// Choose the hotkey on which a subnet's mining emission is staked
    Set(SetArgs),
}

/// Choose the hotkey on which a subnet's mining emission is staked
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

pub(super) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Get(args) => get(args, context),
        Command::Set(args) => set(args, context),
    }
}

fn get(args: &ReadColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    let coldkey = args.coldkey()?;
    context.block_on(async {
        let (chain, block) = args.connect().await?;
        let hotkeys = chain.auto_stake_hotkeys(coldkey, block.into()).await.map_err(chain_error)?;
        if context.json {
            let list: Vec<_> = hotkeys
                .iter()
                .map(|(netuid, hotkey)| json!({ "netuid": netuid, "hotkey": hotkey }))
                .collect();
            return context.print_json(
                &json!({ "block": block_json(block), "coldkey": coldkey, "auto_stakes": list }),
            );
        }
        if hotkeys.is_empty() {
            context.print_notice("the emission of each miner is staked on its own hotkey");
            return Ok(());
        }
        let mut rows = table(&AUTO_STAKES);
        for (netuid, hotkey) in &hotkeys {
            rows.add_row([netuid.to_string(), hotkey.to_string()]);
        }
        context.print(&rows.to_string())
    })
}

fn set(args: &SetArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, netuid) = (args.tx.hotkey_address()?, args.netuid);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let details =
            json!({ "coldkey": args.tx.submit.coldkey(&key), "hotkey": hotkey, "netuid": netuid });
        let description = format!(
            "Stake the mining emission of {} on subnet {netuid} on {hotkey}",
            args.tx.submit.coldkey(&key)
        );
        let plan = Plan::new(calls::set_auto_stake_hotkey(netuid, hotkey), description, details);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}
