#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{At, Inclusion, calls};
use taonet_cli_base::chain::{ColdkeyArgs, PairArgs, Plan, Spending, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_primitives::NetUid;

use super::mechanisms::OwnerArgs;

/// Create a subnet
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Start a subnet's emission (owner only)
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Netuid of the subnet
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

/// Change the symbol of a subnet's alpha
#[derive(Debug, Args)]
pub struct SetSymbolArgs {
    /// Netuid of the subnet
    netuid: NetUid,
    /// New symbol: one of the chain's letters that no subnet uses
    #[arg(value_name = "SYMBOL")]
    symbol: String,
    #[command(flatten)]
    signer: OwnerArgs,
}

pub(super) fn create(args: &CreateArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.tx.hotkey_address()?;
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let cost = chain.subnet_cost(At::Head).await.map_err(chain_error)?;
        let key = args.tx.unlock()?;
        let coldkey = args.tx.submit.coldkey(&key);
        let details = json!({ "coldkey": coldkey, "hotkey": hotkey, "cost_rao": cost });
        let description =
            format!("Create a subnet for {cost} TAO, owned by {coldkey}, with {hotkey} as uid 0");
        let mut plan = Plan::new(calls::register_network(hotkey), description, details)
            .spending(Spending::read(&chain, coldkey, cost).await?);
        plan.event_fields = creation_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the netuid from the creation event, as JSON.
fn creation_json(inclusion: &Inclusion) -> Value {
    let event = inclusion.events.iter().find(|event| event.is("SubtensorModule", "NetworkAdded"));
    json!({ "netuid": event.map(|event| &event.fields[0]) })
}

pub(super) fn start(args: &StartArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let details = json!({ "netuid": args.netuid, "coldkey": args.tx.submit.coldkey(&key) });
        let plan = Plan::new(
            calls::start_call(args.netuid),
            format!("Start subnet {}", args.netuid),
            details,
        );
        args.tx.submit.submit(&chain, &key, plan, context).await
    })
}

pub(super) fn set_symbol(args: &SetSymbolArgs, context: &Context) -> anyhow::Result<()> {
    let (netuid, symbol) = (args.netuid, &args.symbol);
    context.block_on(async {
        let chain = args.signer.connect().await?;
        let old_symbol = chain.subnet(netuid, At::Head).await.map_err(chain_error)?.symbol;
        let details = json!({ "netuid": netuid, "symbol_before": old_symbol, "symbol": symbol });
        let description =
            format!("Change the symbol of subnet {netuid} from {old_symbol} to {symbol}");
        args.signer
            .submit(&chain, calls::update_symbol(netuid, symbol), description, details, context)
            .await
    })
}
