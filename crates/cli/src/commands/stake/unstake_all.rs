use anyhow::bail;
use clap::Args;
use serde_json::json;
use taonet_chain::{At, calls};
use taonet_primitives::Rao;

use crate::chain::{NetworkArgs, PairArgs, Plan, SubmitArgs, failed};
use crate::commands::balance::value;
use crate::context::Context;

/// Unstake everything from a hotkey, on all subnets
#[derive(Debug, Args)]
pub(crate) struct UnstakeAllArgs {
    /// Sell only alpha, and stake the TAO on the root network
    #[arg(long)]
    to_root: bool,
    #[command(flatten)]
    submit: SubmitArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    pair: PairArgs,
}

pub(super) fn run(args: &UnstakeAllArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.pair.hotkey()?;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let key = args.pair.unlock(&args.network, &chain)?;
        let coldkey = key.coldkey();
        let stakes = chain.stakes(coldkey, At::Head).await.map_err(failed)?;
        let prices = chain.prices(At::Head).await.map_err(failed)?;
        let on_hotkey = stakes.iter().filter(|stake| stake.hotkey == hotkey && stake.stake.get() > 0);
        let sold: Vec<_> = on_hotkey.filter(|stake| !args.to_root || stake.netuid.0 != 0).collect();
        if sold.is_empty() {
            bail!("{coldkey} has no stake to sell on {hotkey}\nhint: list the stake with `tao stake list`");
        }
        let worth = sold.iter().fold(Rao::ZERO, |sum, stake| sum.checked_add(value(&prices, stake)).unwrap_or(sum));
        let (call, what) = if args.to_root {
            (calls::unstake_all_alpha(hotkey), "Sell all alpha staked on")
        } else {
            (calls::unstake_all(hotkey), "Unstake everything from")
        };
        let netuids: Vec<_> = sold.iter().map(|stake| stake.netuid).collect();
        let list: Vec<_> = netuids.iter().map(ToString::to_string).collect();
        let about = json!({
            "coldkey": coldkey,
            "hotkey": hotkey,
            "netuids": netuids,
            "value_rao": worth,
            "to_root": args.to_root,
        });
        let then = if args.to_root { ", and stake the TAO on the root network" } else { "" };
        let what = format!("{what} {hotkey} on subnets {}, worth {worth} TAO at current prices{then}", list.join(", "));
        args.submit.confirm_and_submit(&chain, &key, Plan::new(call, what, about), context).await
    })
}
