//! Moves of stake: to another hotkey, subnet or coldkey.

use clap::Args;
use serde_json::json;
use taonet_chain::calls::{self, PriceLimit};
use taonet_chain::{At, Client};
use taonet_cli_base::chain::{Account, PairArgs, Plan, TxArgs, Withdrawal, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_primitives::{Alpha, NetUid, Rao};

use super::limit::{ToleranceArgs, describe_limit};

/// Arguments for the amount of a move
#[derive(Debug, Args)]
struct AmountArgs {
    /// Amount in alpha of the origin, with at most 9 decimals
    #[arg(value_name = "ALPHA", required_unless_present = "all", conflicts_with = "all")]
    amount: Option<Alpha>,
    /// Move the whole stake on the hotkey and subnet
    #[arg(long)]
    all: bool,
}

/// Arguments for the price limit of a trade between two subnets
#[derive(Debug, Args)]
struct LimitArgs {
    /// Minimum alpha of the destination per alpha of the origin [default: the current ratio of the
    /// prices with --tolerance]
    #[arg(long, value_name = "RATIO")]
    limit: Option<Rao>,
    #[command(flatten)]
    tolerance: ToleranceArgs,
}

/// Move stake to another hotkey
#[derive(Debug, Args)]
pub struct MoveArgs {
    #[command(flatten)]
    amount: AmountArgs,
    /// Hotkey that receives the stake
    #[arg(long, value_name = "ACCOUNT")]
    to_hotkey: Account,
    /// Netuid of the subnet; 0 is the root network
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// Netuid of the destination [default: the same subnet]
    #[arg(long, value_name = "NETUID")]
    to_netuid: Option<NetUid>,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Move stake to another subnet, on the same hotkey
#[derive(Debug, Args)]
pub struct SwapArgs {
    #[command(flatten)]
    amount: AmountArgs,
    /// Netuid of the subnet; 0 is the root network
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// Netuid of the destination; 0 is the root network
    #[arg(long, value_name = "NETUID")]
    to_netuid: NetUid,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Give stake to another coldkey
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// Coldkey that receives the stake: an address, or a development account such as //Bob
    #[arg(value_name = "TO")]
    to: Account,
    #[command(flatten)]
    amount: AmountArgs,
    /// Netuid of the subnet; 0 is the root network
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// Netuid of the destination [default: the same subnet]
    #[arg(long, value_name = "NETUID")]
    to_netuid: Option<NetUid>,
    /// Trade at any price; required if the destination is another subnet
    #[arg(long)]
    no_limit: bool,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

pub(super) fn move_stake(args: &MoveArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, to_hotkey) = (args.tx.hotkey_address()?, args.to_hotkey.hotkey());
    let (from, to) = (args.netuid, args.to_netuid.unwrap_or(args.netuid));
    if hotkey == to_hotkey {
        return Err(ClassifiedError::usage(
            "--to-hotkey is the hotkey of the stake\nhint: use `tao stake swap` to move stake to another subnet",
        ));
    }
    let is_limited = args.limit.limit.is_some() || args.limit.tolerance.are_set();
    if from == to && is_limited {
        return Err(ClassifiedError::usage(
            "a move within one subnet has no price to limit\nhint: omit --limit, --tolerance and --partial, or pass \
             --to-netuid",
        ));
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let withdrawal =
            Withdrawal::read(&chain, (hotkey, coldkey, from), args.amount.amount).await?;
        let Withdrawal { amount, expected_refusal } = withdrawal;
        let expected = expected_amount(&chain, from, to, amount).await?;
        let limit = args.limit.tolerance.for_swap(&chain, (from, to), args.limit.limit).await?;
        let details = json!({
            "coldkey": coldkey,
            "hotkey": hotkey,
            "to_hotkey": to_hotkey,
            "netuid": from,
            "to_netuid": to,
            "amount_rao": amount,
            "expected_alpha_rao": expected,
            "limit_price": limit.map(|limit| limit.price),
        });
        let description = format!(
            "Move {} from {hotkey} to {to_hotkey}",
            describe_route((from, to), amount, expected, limit)
        );
        let call = match limit {
            Some(limit) => calls::move_stake_limit((hotkey, from), (to_hotkey, to), amount, limit),
            None => calls::move_stake((hotkey, from), (to_hotkey, to), amount),
        };
        let plan = Plan::new(call, description, details).expected_refusal(expected_refusal);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

pub(super) fn swap(args: &SwapArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, from, to) = (args.tx.hotkey_address()?, args.netuid, args.to_netuid);
    if from == to {
        return Err(ClassifiedError::usage("--to-netuid is the subnet of the stake"));
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let withdrawal =
            Withdrawal::read(&chain, (hotkey, coldkey, from), args.amount.amount).await?;
        let Withdrawal { amount, expected_refusal } = withdrawal;
        let expected = expected_amount(&chain, from, to, amount).await?;
        let limit = args.limit.tolerance.for_swap(&chain, (from, to), args.limit.limit).await?;
        let call = match limit {
            Some(limit) => calls::swap_stake_limit(hotkey, from, to, amount, limit),
            None => calls::swap_stake(hotkey, from, to, amount),
        };
        let details = json!({
            "coldkey": coldkey,
            "hotkey": hotkey,
            "netuid": from,
            "to_netuid": to,
            "amount_rao": amount,
            "expected_alpha_rao": expected,
            "limit_price": limit.map(|limit| limit.price),
        });
        let description =
            format!("Swap {} on {hotkey}", describe_route((from, to), amount, expected, limit));
        let plan = Plan::new(call, description, details).expected_refusal(expected_refusal);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

pub(super) fn transfer(args: &TransferArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, receiver) = (args.tx.hotkey_address()?, args.to.coldkey());
    let (from, to) = (args.netuid, args.to_netuid.unwrap_or(args.netuid));
    if from != to && !args.no_limit {
        return Err(ClassifiedError::usage(
            "the chain has no price limit for transfers to another subnet\nhint: use `tao stake swap` before the \
             transfer, or pass --no-limit to trade at any price",
        ));
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let withdrawal =
            Withdrawal::read(&chain, (hotkey, coldkey, from), args.amount.amount).await?;
        let Withdrawal { amount, expected_refusal } = withdrawal;
        let expected = expected_amount(&chain, from, to, amount).await?;
        let details = json!({
            "coldkey": coldkey,
            "to": receiver,
            "hotkey": hotkey,
            "netuid": from,
            "to_netuid": to,
            "amount_rao": amount,
            "expected_alpha_rao": expected,
        });
        let description = format!(
            "Give {} on {hotkey} to {receiver}",
            describe_route((from, to), amount, expected, None)
        );
        let call = calls::transfer_stake(receiver, hotkey, from, to, amount);
        let plan = Plan::new(call, description, details).expected_refusal(expected_refusal);
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the alpha that is expected at the destination: between subnets, the origin's alpha is
/// sold for TAO, which buys the destination's.
async fn expected_amount(
    chain: &Client,
    from: NetUid,
    to: NetUid,
    amount: Alpha,
) -> anyhow::Result<Alpha> {
    if from == to {
        return Ok(amount);
    }
    let sale = chain.simulate_selling(from, amount, At::Head).await.map_err(chain_error)?;
    let purchase =
        chain.simulate_buying(to, sale.tao_amount, At::Head).await.map_err(chain_error)?;
    Ok(purchase.alpha_amount)
}

fn describe_route(
    (from, to): (NetUid, NetUid),
    amount: Alpha,
    expected: Alpha,
    limit: Option<PriceLimit>,
) -> String {
    if from == to {
        format!("{amount} alpha of subnet {from}")
    } else {
        let limit = describe_limit(limit, "least", "alpha per alpha");
        format!("{amount} alpha of subnet {from} for about {expected} alpha of subnet {to}{limit}")
    }
}
