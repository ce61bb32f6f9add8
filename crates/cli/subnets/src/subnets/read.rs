#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

use clap::Args;
use serde_json::{Map, json};
use taonet_chain::{Chain as _, Detail, Hyperparameter, Price};
use taonet_cli_base::chain::{AtArgs, NetworkArgs, block_json, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::subnet_names::store_subnet_names;
use taonet_cli_base::table::{key_values, table, tao_decimals};
use taonet_cli_base::tables::{HYPERPARAMETERS, SUBNETS};
use taonet_primitives::{MechId, NetUid, Rao, counted};

/// List all subnets
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) at: AtArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

/// Show one subnet
#[derive(Debug, Args)]
pub struct SubnetArgs {
    /// Netuid of the subnet
    pub(super) netuid: NetUid,
    #[command(flatten)]
    pub(super) at: AtArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

pub(super) fn list(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let subnets = chain.subnets(block.into()).await.map_err(chain_error)?;
        let prices = chain.prices(block.into()).await.map_err(chain_error)?;
        store_subnet_names(&args.network.network()?, &subnets);
        if context.json {
            let subnets: anyhow::Result<Vec<_>> = subnets
                .iter()
                .map(|subnet| {
                    let mut document = serde_json::to_value(subnet)?;
                    document["price_rao"] = json!(price_of(&prices, subnet.netuid));
                    Ok(document)
                })
                .collect();
            return context.print_json(&json!({ "block": block_json(block), "subnets": subnets? }));
        }
        let mut rows = table(&SUBNETS);
        for subnet in &subnets {
            rows.add_row([
                subnet.netuid.to_string(),
                subnet.name.clone(),
                subnet.symbol.clone(),
                price_of(&prices, subnet.netuid)
                    .map_or_else(|| "–".to_owned(), |price| price.to_string()),
                tao_decimals(subnet.tao_in.get()),
                tao_decimals(subnet.alpha_in.get()),
                tao_decimals(subnet.alpha_out.get()),
                subnet.tempo.to_string(),
                subnet.owner_coldkey.to_string(),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

/// Returns the spot price of a subnet's alpha, in TAO.
pub(super) fn price_of(prices: &[Price], netuid: NetUid) -> Option<Rao> {
    prices.iter().find(|price| price.netuid == netuid).map(|price| price.price)
}

pub(super) fn show(args: &SubnetArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let (netuid, at) = (args.netuid, block.into());
        let subnet = chain.subnet(netuid, at).await.map_err(chain_error)?;
        let price = chain.price(netuid, at).await.map_err(chain_error)?;
        let metagraph =
            chain.metagraph(netuid, MechId(0), Detail::Lite, at).await.map_err(chain_error)?;
        let rules = chain.weight_rules(netuid, at).await.map_err(chain_error)?;
        let next_epoch = rules.schedule.next_epoch(block.number);
        if context.json {
            return context.print_json(&json!({
                "block": block_json(block),
                "subnet": subnet,
                "price_rao": price,
                "registration_cost_rao": metagraph.burn,
                "neurons": metagraph.neurons.len(),
                "max_neurons": metagraph.max_uids,
                "next_epoch": next_epoch,
                "epoch_index": rules.schedule.epoch_index,
            }));
        }
        let validators = metagraph.neurons.iter().filter(|neuron| neuron.validator_permit).count();
        let mut rows = key_values();
        for (name, value) in [
            ("netuid", subnet.netuid.to_string()),
            ("name", format!("{} {}", subnet.name, subnet.symbol)),
            ("owner", subnet.owner_coldkey.to_string()),
            ("owner's hotkey", subnet.owner_hotkey.to_string()),
            (
                "neurons",
                format!(
                    "{} of {}, {validators} with a permit",
                    metagraph.neurons.len(),
                    metagraph.max_uids
                ),
            ),
            ("registration", format!("{} TAO", metagraph.burn)),
            ("spot price", format!("{price} TAO per alpha")),
            ("moving average", format!("{} TAO per alpha", subnet.moving_price)),
            (
                "pool",
                format!(
                    "{} TAO, {} alpha; {} alpha outside the pool",
                    subnet.tao_in, subnet.alpha_in, subnet.alpha_out
                ),
            ),
            (
                "tempo",
                format!("{}, last epoch at {}", counted(subnet.tempo, "block"), subnet.last_step),
            ),
            ("next epoch", next_epoch.map_or_else(|| "none".to_owned(), |block| block.to_string())),
            ("weights", rules.commit_reveal.map_or("unencrypted", |_| "commit-reveal").to_owned()),
            ("created", format!("block {}", subnet.registered_at)),
        ] {
            rows.add_row([name, &value]);
        }
        if let Some(identity) = &subnet.identity {
            rows.add_row(["about", &identity.description]);
            rows.add_row(["web", &identity.subnet_url]);
            rows.add_row(["source", &identity.github_repo]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

pub(super) fn hyperparameters(args: &SubnetArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let parameters =
            chain.hyperparameters(args.netuid, block.into()).await.map_err(chain_error)?;
        if context.json {
            let values: Map<_, _> = parameters.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
            let document = json!({ "block": block_json(block), "netuid": args.netuid, "hyperparameters": values });
            return context.print_json(&document);
        }
        let mut rows = table(&HYPERPARAMETERS);
        for (name, value) in parameters.iter() {
            let unit = if matches!(value, Hyperparameter::Amount { .. }) { "TAO" } else { "" };
            rows.add_row([name, &value.to_string(), unit]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}
