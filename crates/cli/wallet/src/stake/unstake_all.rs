use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use taonet_chain::{At, Client, calls};
use taonet_cli_base::chain::{PairArgs, Plan, TxArgs, chain_error, no_stake};
use taonet_cli_base::context::Context;
use taonet_primitives::{Coldkey, Hotkey, Rao};

use crate::balance::stake_value;

/// Maximum number of requests in flight.
const MAX_CONCURRENT_READS: usize = 8;

/// Unstake everything from a hotkey, on all subnets
#[derive(Debug, Args)]
pub struct UnstakeAllArgs {
    /// Sell only alpha, and stake the TAO on the root network
    #[arg(long)]
    to_root: bool,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

pub(super) fn run(args: &UnstakeAllArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.tx.hotkey_address()?;
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let plan = sale_plan(&chain, hotkey, args.tx.submit.coldkey(&key), args.to_root).await?;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Plans the sale of all stake on a hotkey, or with `to_root` of all alpha. The chain has no price
/// limit for it.
pub(super) async fn sale_plan(
    chain: &Client,
    hotkey: Hotkey,
    coldkey: Coldkey,
    to_root: bool,
) -> anyhow::Result<Plan> {
    let stakes = chain.stakes(coldkey, At::Head).await.map_err(chain_error)?;
    let prices = chain.prices(At::Head).await.map_err(chain_error)?;
    let on_hotkey = stakes.iter().filter(|stake| stake.hotkey == hotkey && stake.stake.get() > 0);
    let sold_stakes: Vec<_> = on_hotkey.filter(|stake| !to_root || stake.netuid.0 != 0).collect();
    let expected_refusal = sold_stakes
        .is_empty()
        .then(|| no_stake(&format!("{coldkey} has no stake to sell on {hotkey}")));
    let sales: Vec<_> = sold_stakes
        .iter()
        .map(|stake| chain.simulate_selling(stake.netuid, stake.stake, At::Head))
        .collect();
    let sales: Vec<_> = stream::iter(sales)
        .buffered(MAX_CONCURRENT_READS)
        .try_collect()
        .await
        .map_err(chain_error)?;
    let total_value = total(sold_stakes.iter().map(|stake| stake_value(&prices, stake)));
    let expected = total(sales.iter().map(|sale| sale.tao_amount));
    let (call, description) = if to_root {
        (calls::unstake_all_alpha(hotkey), "Sell all alpha staked on")
    } else {
        (calls::unstake_all(hotkey), "Unstake everything from")
    };
    let netuids: Vec<_> = sold_stakes.iter().map(|stake| stake.netuid).collect();
    let list: Vec<_> = netuids.iter().map(ToString::to_string).collect();
    let details = json!({
        "coldkey": coldkey,
        "hotkey": hotkey,
        "netuids": netuids,
        "value_rao": total_value,
        "expected_tao_rao": expected,
        "to_root": to_root,
    });
    let restake_text = if to_root { ", and stake the TAO on the root network" } else { "" };
    let description = format!(
        "{description} {hotkey} on subnets {}, worth {total_value} TAO at spot prices, \
         for about {expected} TAO after fees and \
         slippage, at any price{restake_text}",
        list.join(", ")
    );
    Ok(Plan::new(call, description, details).expected_refusal(expected_refusal))
}

fn total(amounts: impl Iterator<Item = Rao>) -> Rao {
    amounts.fold(Rao::ZERO, |sum, amount| sum.checked_add(amount).unwrap_or(sum))
}
