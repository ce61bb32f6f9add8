//! The `tao register` command.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

mod pow;

use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{At, Inclusion, calls};
use taonet_cli_base::chain::{PairArgs, Plan, Registration, Spending, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_pow::Device;
use taonet_primitives::{NetUid, Rao};

/// Register a hotkey on a subnet; the coldkey pays the burn
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// Netuid of the subnet; 0 is the root network
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// Maximum price, in TAO; not on the root network [default: 1.5 times the current price]
    #[arg(long, value_name = "TAO")]
    limit: Option<Rao>,
    /// Register for proof of work instead of the price
    #[arg(long, conflicts_with = "limit")]
    pow: bool,
    /// Maximum duration of the search for proof of work, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "600", requires = "pow")]
    timeout: u64,
    /// Device of the search: cpu (all cores), opencl (the first graphics card) or opencl:INDEX
    #[arg(long, value_name = "DEVICE", default_value = "cpu", requires = "pow")]
    device: Device,
    #[command(flatten)]
    tx: TxArgs<PairArgs>,
}

/// Runs `tao register`.
pub fn run(args: &RegisterArgs, context: &Context) -> anyhow::Result<()> {
    let (hotkey, netuid) = (args.tx.hotkey_address()?, args.netuid);
    let is_root = netuid == NetUid(0);
    if is_root && args.limit.is_some() {
        let text = "the chain has no price limit for registrations on root\nhint: register without --limit";
        return Err(ClassifiedError::usage(text));
    }
    context.block_on(async {
        let chain = args.tx.connect().await?;
        if args.pow {
            return pow::register(args, &chain, context).await;
        }
        // Fails if the subnet does not exist.
        chain.subnet(netuid, At::Head).await.map_err(chain_error)?;
        let price = chain.registration_cost(netuid, At::Head).await.map_err(chain_error)?;
        let (call, cost) = if is_root {
            (calls::root_register(hotkey), format!("{price} TAO"))
        } else {
            let limit = args.limit.unwrap_or(Rao::new(price.get().saturating_add(price.get() / 2)));
            (calls::register_limit(netuid, hotkey, limit), format!("{price} TAO, at most {limit}"))
        };
        let registration = Registration { netuid, hotkey, limit: args.limit };
        let expected_refusal = registration.expected_refusal(&chain, price).await?;
        let key = args.tx.unlock()?;
        let details =
            json!({ "netuid": netuid, "hotkey": hotkey, "coldkey": args.tx.submit.coldkey(&key), "cost_rao": price });
        let mut plan = Plan::new(call, format!("Register {hotkey} on subnet {netuid} for {cost}"), details)
            .spending(Spending::read(&chain, args.tx.submit.coldkey(&key), price).await?)
            .expected_refusal(expected_refusal);
        plan.event_fields = registration_json;
        args.tx.submit.confirm_and_submit(&chain, &key, plan, context).await
    })
}

/// Returns the uid from the registration event, as JSON.
fn registration_json(inclusion: &Inclusion) -> Value {
    let event =
        inclusion.events.iter().find(|event| event.is("SubtensorModule", "NeuronRegistered"));
    json!({ "uid": event.map(|event| &event.fields[1]) })
}
