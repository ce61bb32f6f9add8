use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_chain::calls::{self, PriceLimit};
use taonet_chain::{At, Client};
use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid, Rao};

use crate::chain::{NetworkArgs, PairArgs, Plan, SubmitArgs, failed};
use crate::context::Context;
use crate::exit::{Classified, Failure};

/// Arguments for the price limit of a trade
#[derive(Debug, Args)]
struct LimitArgs {
    /// Limit price, in TAO per alpha [default: none]
    #[arg(long, value_name = "TAO")]
    limit: Option<Rao>,
    /// Allow a partial trade up to --limit instead of failing
    #[arg(long, requires = "limit")]
    partial: bool,
}

impl LimitArgs {
    fn limit(&self) -> Option<PriceLimit> {
        self.limit.map(|price| PriceLimit { price, allow_partial: self.partial })
    }
}

/// Stake TAO on a hotkey
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Amount in TAO, with at most 9 decimals
    #[arg(value_name = "TAO")]
    amount: Rao,
    /// Netuid of the subnet; 0 is the root network
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    submit: SubmitArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    pair: PairArgs,
}

/// Unstake from a hotkey
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Amount in alpha, with at most 9 decimals
    #[arg(value_name = "ALPHA", required_unless_present = "all", conflicts_with = "all")]
    amount: Option<Alpha>,
    /// Unstake everything from the hotkey: on the subnet, or on all subnets without --netuid
    #[arg(long)]
    all: bool,
    /// Netuid of the subnet; 0 is the root network
    #[arg(long, value_name = "NETUID", required_unless_present = "all")]
    netuid: Option<NetUid>,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    submit: SubmitArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    pair: PairArgs,
}

pub(super) fn add(args: &AddArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, netuid, amount) = (args.pair.hotkey()?, args.netuid, args.amount);
    let call = match args.limit.limit() {
        Some(limit) => calls::add_stake_limit(hotkey, netuid, amount, limit),
        None => calls::add_stake(hotkey, netuid, amount),
    };
    context.block_on(async {
        let chain = args.network.connect().await?;
        let expected = chain.simulate_buying(netuid, amount, At::Head).await.map_err(failed)?;
        let key = args.pair.unlock(&args.network, &chain)?;
        let about = json!({
            "coldkey": key.coldkey(),
            "hotkey": hotkey,
            "netuid": netuid,
            "amount_rao": amount,
            "expected_alpha_rao": expected.alpha_amount,
        });
        let what =
            format!("Stake {amount} TAO on {hotkey} on subnet {netuid} for about {} alpha", expected.alpha_amount);
        args.submit.confirm_and_submit(&chain, &key, Plan::new(call, what, about), context).await
    })
}

pub(super) fn remove(args: &RemoveArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.pair.hotkey()?;
    if args.netuid.is_none() && args.limit.limit.is_some() {
        return Err(Classified::error(Failure::Usage, "--limit requires --netuid: prices differ by subnet"));
    }
    context.block_on(async {
        let chain = args.network.connect().await?;
        let key = args.pair.unlock(&args.network, &chain)?;
        let coldkey = key.coldkey();
        let plan = match args.netuid {
            Some(netuid) => remove_on(args, &chain, (hotkey, coldkey, netuid)).await?,
            None => Plan::new(
                calls::unstake_all(hotkey),
                format!("Unstake everything from {hotkey} on all subnets"),
                json!({ "coldkey": coldkey, "hotkey": hotkey, "netuid": null }),
            ),
        };
        args.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

async fn remove_on(
    args: &RemoveArgs,
    chain: &Client,
    (hotkey, coldkey, netuid): (Hotkey, Coldkey, NetUid),
) -> anyhow::Result<Plan> {
    let amount = if args.all {
        staked(chain, hotkey, coldkey, netuid).await?
    } else {
        args.amount.context("no amount given\nhint: pass an amount of alpha, or --all")?
    };
    let call = match args.limit.limit() {
        Some(limit) => calls::remove_stake_limit(hotkey, netuid, amount, limit),
        None => calls::remove_stake(hotkey, netuid, amount),
    };
    let expected = chain.simulate_selling(netuid, amount, At::Head).await.map_err(failed)?;
    let what = format!("Unstake {amount} alpha from {hotkey} on subnet {netuid} for about {} TAO", expected.tao_amount);
    let about = json!({
        "coldkey": coldkey,
        "hotkey": hotkey,
        "netuid": netuid,
        "amount_rao": amount,
        "expected_tao_rao": expected.tao_amount,
    });
    Ok(Plan::new(call, what, about))
}

/// Returns the whole stake of a coldkey on a hotkey on a subnet.
pub(super) async fn staked(chain: &Client, hotkey: Hotkey, coldkey: Coldkey, netuid: NetUid) -> anyhow::Result<Alpha> {
    let stake = chain.stake(hotkey, coldkey, netuid, At::Head).await.map_err(failed)?;
    let staked = stake.map(|stake| stake.stake).unwrap_or_default();
    if staked == Alpha::ZERO {
        bail!("{coldkey} has no stake on {hotkey} on subnet {netuid}\nhint: list the stake with `tao stake list`");
    }
    Ok(staked)
}
