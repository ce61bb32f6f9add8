//! `tao sudo stake-burn`: buys a subnet's alpha and burns it.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{At, Inclusion, calls};
use taonet_cli_base::chain::{PairArgs, Plan, Spending, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_primitives::{NetUid, Rao};

use super::limit::{TAO_PER_ALPHA, describe_limit};
use super::trade::LimitArgs;

/// Buy a subnet's alpha and burn it
#[derive(Debug, Args)]
pub struct StakeBurnArgs {
    /// Amount in TAO, with at most 9 decimals
    #[arg(value_name = "TAO")]
    amount: Rao,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Runs `tao sudo stake-burn`.
pub fn run(args: &StakeBurnArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, netuid, amount) = (args.tx.hotkey_address()?, args.netuid, args.amount);
    if args.limit.tolerance.is_partial() {
        return Err(ClassifiedError::usage(
            "--partial is not allowed: the chain burns all or nothing",
        ));
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let expected = chain
            .simulate_buying(netuid, amount, At::Head)
            .await
            .map_err(chain_error)?
            .alpha_amount;
        let limit = args.limit.tolerance.for_purchase(&chain, netuid, args.limit.limit).await?;
        let price = limit.map(|limit| limit.price);
        let key = args.tx.unlock()?;
        let details = json!({
            "coldkey": args.tx.submit.coldkey(&key),
            "hotkey": hotkey,
            "netuid": netuid,
            "amount_rao": amount,
            "expected_alpha_rao": expected,
            "limit_price": price,
        });
        let limit = describe_limit(limit, "most", TAO_PER_ALPHA);
        let description = format!(
            "Buy about {expected} alpha of subnet {netuid} for {amount} TAO{limit}, and burn it"
        );
        let spending = Spending::read(&chain, args.tx.submit.coldkey(&key), amount).await?;
        let mut plan =
            Plan::new(calls::add_stake_burn(hotkey, netuid, amount, price), description, details)
                .spending(spending);
        plan.event_fields = burn_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the burned alpha from the event, as JSON.
fn burn_json(inclusion: &Inclusion) -> Value {
    let event = inclusion.events.iter().find(|event| event.is("SubtensorModule", "AddStakeBurn"));
    json!({ "burned_alpha_rao": event.map(|event| &event.fields["alpha"]) })
}
