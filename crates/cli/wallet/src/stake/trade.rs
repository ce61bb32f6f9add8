use clap::Args;
use serde_json::json;
use taonet_chain::{At, Client, calls};
use taonet_cli_base::chain::{PairArgs, Plan, Spending, TxArgs, Withdrawal, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid, Rao};

use super::limit::{TAO_PER_ALPHA, ToleranceArgs, describe_limit};
use super::unstake_all;

/// Arguments for the price limit of a trade
#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// Limit price, in TAO per alpha [default: the current price with --tolerance]
    #[arg(long, value_name = "TAO")]
    pub(super) limit: Option<Rao>,
    #[command(flatten)]
    pub(super) tolerance: ToleranceArgs,
}

/// Stake TAO on a hotkey
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Amount in TAO, with at most 9 decimals
    #[arg(value_name = "TAO")]
    amount: Rao,
    /// Netuid of the subnet; 0 is the root network
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Unstake from a hotkey
#[derive(Debug, Args)]
pub struct RemoveArgs {
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
    tx: TxArgs<PairArgs>,
}

pub(super) fn add(args: &AddArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, netuid, amount) = (args.tx.hotkey_address()?, args.netuid, args.amount);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let expected =
            chain.simulate_buying(netuid, amount, At::Head).await.map_err(chain_error)?;
        let limit = args.limit.tolerance.for_purchase(&chain, netuid, args.limit.limit).await?;
        let call = match limit {
            Some(limit) => calls::add_stake_limit(hotkey, netuid, amount, limit),
            None => calls::add_stake(hotkey, netuid, amount),
        };
        let key = args.tx.unlock()?;
        let details = json!({
            "coldkey": args.tx.submit.coldkey(&key),
            "hotkey": hotkey,
            "netuid": netuid,
            "amount_rao": amount,
            "expected_alpha_rao": expected.alpha_amount,
            "limit_price": limit.map(|limit| limit.price),
        });
        let limit = describe_limit(limit, "most", TAO_PER_ALPHA);
        let alpha = expected.alpha_amount;
        let description = format!(
            "Stake {amount} TAO on {hotkey} on subnet {netuid} for about {alpha} alpha{limit}"
        );
        let spending = Spending::read(&chain, args.tx.submit.coldkey(&key), amount).await?;
        let plan = Plan::new(call, description, details).spending(spending);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

pub(super) fn remove(args: &RemoveArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.tx.hotkey_address()?;
    let is_limited = args.limit.limit.is_some() || args.limit.tolerance.are_set();
    if args.netuid.is_none() && is_limited {
        return Err(ClassifiedError::usage(
            "a price limit requires --netuid: prices differ by subnet",
        ));
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let plan = match args.netuid {
            Some(netuid) => removal_plan(args, &chain, (hotkey, coldkey, netuid)).await?,
            None => unstake_all::sale_plan(&chain, hotkey, coldkey, false).await?,
        };
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

async fn removal_plan(
    args: &RemoveArgs,
    chain: &Client,
    (hotkey, coldkey, netuid): (Hotkey, Coldkey, NetUid),
) -> anyhow::Result<Plan> {
    let Withdrawal { amount, expected_refusal } =
        Withdrawal::read(chain, (hotkey, coldkey, netuid), args.amount).await?;
    let limit = args.limit.tolerance.for_sale(chain, netuid, args.limit.limit).await?;
    // The chain reads the whole stake itself, with the emission up to the block of the call; the
    // full-stake call cannot fill partially.
    let is_full = args.all && !args.limit.tolerance.is_partial();
    let call = match limit {
        limit if is_full => {
            calls::remove_stake_full_limit(hotkey, netuid, limit.map(|limit| limit.price))
        }
        Some(limit) => calls::remove_stake_limit(hotkey, netuid, amount, limit),
        None => calls::remove_stake(hotkey, netuid, amount),
    };
    let expected = chain.simulate_selling(netuid, amount, At::Head).await.map_err(chain_error)?;
    let details = json!({
        "coldkey": coldkey,
        "hotkey": hotkey,
        "netuid": netuid,
        "amount_rao": amount,
        "expected_tao_rao": expected.tao_amount,
        "limit_price": limit.map(|limit| limit.price),
    });
    let everything = if is_full { "everything, now " } else { "" };
    let (tao, limit) = (expected.tao_amount, describe_limit(limit, "least", TAO_PER_ALPHA));
    let description = format!(
        "Unstake {everything}{amount} alpha from {hotkey} on subnet {netuid} for about {tao} TAO{limit}"
    );
    Ok(Plan::new(call, description, details).expected_refusal(expected_refusal))
}
