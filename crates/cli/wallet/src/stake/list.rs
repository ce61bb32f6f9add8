use serde_json::json;
use taonet_cli_base::chain::{ReadColdkeyArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::STAKES;

use crate::balance::stake_value;

pub(super) fn run(args: &ReadColdkeyArgs, context: &Context) -> anyhow::Result<()> {
    let coldkey = args.coldkey()?;
    context.block_on(async {
        let (chain, block) = args.connect().await?;
        let stakes = chain.stakes(coldkey, block.into()).await.map_err(chain_error)?;
        let prices = chain.prices(block.into()).await.map_err(chain_error)?;
        if context.json {
            let stakes = stakes.iter().map(|stake| {
                json!({
                    "hotkey": stake.hotkey,
                    "netuid": stake.netuid,
                    "stake_rao": stake.stake,
                    "locked_rao": stake.locked,
                    "emission_rao": stake.emission,
                    "value_rao": stake_value(&prices, stake),
                    "is_registered": stake.is_registered,
                })
            });
            let stakes: Vec<_> = stakes.collect();
            return context.print_json(
                &json!({ "block": block_json(block), "coldkey": coldkey, "stakes": stakes }),
            );
        }
        let mut rows = table(&STAKES);
        for stake in &stakes {
            rows.add_row([
                stake.netuid.to_string(),
                stake.hotkey.to_string(),
                stake.stake.to_string(),
                stake_value(&prices, stake).to_string(),
                stake.emission.to_string(),
                if stake.is_registered { "yes" } else { "no" }.to_owned(),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}
