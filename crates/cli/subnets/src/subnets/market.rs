//! Prices, the cost of a new subnet, convictions, and the start of a subnet.

use clap::Args;
use serde_json::json;
use taonet_chain::{At, ChainError, Client};
use taonet_cli_base::chain::{AtArgs, NetworkArgs, block_json, chain_error, convictions};
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::{CONVICTIONS, PRICES};
use taonet_primitives::{BlockNumber, NetUid, counted};

use super::read::{ListArgs, SubnetArgs, price_of};

const SUBTENSOR: &str = "SubtensorModule";

/// Show the price of subnets' alpha
#[derive(Debug, Args)]
pub struct PriceArgs {
    /// Netuids of the subnets [default: all subnets]
    #[arg(value_name = "NETUID")]
    netuids: Vec<NetUid>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(super) fn price(args: &PriceArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let mut subnets = chain.subnets(block.into()).await.map_err(chain_error)?;
        let prices = chain.prices(block.into()).await.map_err(chain_error)?;
        for netuid in &args.netuids {
            if subnets.iter().all(|subnet| subnet.netuid != *netuid) {
                return Err(chain_error(ChainError::NoSuchSubnet(*netuid)));
            }
        }
        subnets.retain(|subnet| args.netuids.is_empty() || args.netuids.contains(&subnet.netuid));
        if context.json {
            let list: Vec<_> = subnets
                .iter()
                .map(|subnet| {
                    json!({
                        "netuid": subnet.netuid,
                        "name": subnet.name,
                        "price_rao": price_of(&prices, subnet.netuid),
                        "moving_price": subnet.moving_price,
                    })
                })
                .collect();
            return context.print_json(&json!({ "block": block_json(block), "prices": list }));
        }
        let mut rows = table(&PRICES);
        for subnet in &subnets {
            rows.add_row([
                subnet.netuid.to_string(),
                price_of(&prices, subnet.netuid)
                    .map_or_else(|| "–".to_owned(), |price| price.to_string()),
                subnet.moving_price.clone(),
                subnet.name.clone(),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

pub(super) fn burn_cost(args: &ListArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let cost = chain.subnet_cost(block.into()).await.map_err(chain_error)?;
        if context.json {
            return context.print_json(&json!({ "block": block_json(block), "cost_rao": cost }));
        }
        context.print(&format!("{cost} TAO"))
    })
}

pub(super) fn conviction(args: &SubnetArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = args.netuid;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let hotkeys = convictions(&chain, netuid, block.into()).await?;
        if context.json {
            let list: Vec<_> = hotkeys
                .iter()
                .map(|hotkey| {
                    json!({
                        "hotkey": hotkey.hotkey,
                        "conviction_rao": hotkey.conviction,
                        "is_owner": hotkey.is_owner,
                    })
                })
                .collect();
            return context.print_json(
                &json!({ "block": block_json(block), "netuid": netuid, "convictions": list }),
            );
        }
        if hotkeys.is_empty() {
            context.print_notice(&format!("no stake is locked on subnet {netuid}"));
            return Ok(());
        }
        let mut rows = table(&CONVICTIONS);
        for hotkey in &hotkeys {
            let owner = if hotkey.is_owner { "yes" } else { "" };
            rows.add_row([
                hotkey.hotkey.to_string(),
                hotkey.conviction.to_string(),
                owner.to_owned(),
            ]);
        }
        context.print(&format!("{rows}\n\nblock {block}"))
    })
}

pub(super) fn check_start(args: &SubnetArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = args.netuid;
    context.block_on(async {
        let chain = args.network.connect().await?;
        let block = args.at.block(&chain).await?;
        let subnet = chain.subnet(netuid, block.into()).await.map_err(chain_error)?;
        let first_emission_block =
            stored_block_number(&chain, "FirstEmissionBlockNumber", Some(netuid), block.into())
                .await?;
        let delay = stored_block_number(&chain, "StartCallDelay", None, block.into())
            .await?
            .unwrap_or_default();
        let start = subnet.registered_at.plus(delay.get());
        let remaining = if first_emission_block.is_some() { 0 } else { start.since(block.number) };
        if context.json {
            return context.print_json(&json!({
                "block": block_json(block),
                "netuid": netuid,
                "started": first_emission_block.is_some(),
                "first_emission_block": first_emission_block,
                "start_block": start,
                "blocks_left": remaining,
            }));
        }
        context.print(&match first_emission_block {
            Some(first) => {
                format!("subnet {netuid} has been started; its emission began with block {first}")
            }
            None if remaining == 0 => {
                format!("the owner can start subnet {netuid} with `tao subnets start {netuid}`")
            }
            None => format!(
                "the owner can start subnet {netuid} from block {start}, in {}",
                counted(remaining, "block")
            ),
        })
    })
}

/// Reads a block number or a number of blocks; `None` if the item has no value.
async fn stored_block_number(
    chain: &Client,
    item: &str,
    netuid: Option<NetUid>,
    at: At,
) -> anyhow::Result<Option<BlockNumber>> {
    let keys: Vec<_> = netuid.iter().map(|netuid| json!(netuid)).collect();
    let value = chain.storage(SUBTENSOR, item, &keys, at).await.map_err(chain_error)?;
    serde_json::from_value(value)
        .map_err(|error| anyhow::anyhow!("malformed {SUBTENSOR}.{item}: {error}"))
}
