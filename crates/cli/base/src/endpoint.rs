//! A neuron's endpoint on the chain: its address, and its publication.

#![allow(clippy::indexing_slicing, reason = "indexing a JSON value yields null for a missing key")]

pub mod external;

use std::net::{IpAddr, SocketAddr};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use taonet_chain::{At, Block, Chain as _, Client, calls};
use taonet_neuron::WalletSettings;
use taonet_primitives::{Hotkey, NetUid};
use taonet_reach::ChainIp;
use taonet_wallet::Keypair;

use crate::chain::{
    ExpectedRefusal, Plan, RateLimit, SigningHotkeyArgs, TxArgs, chain_error, stored_blocks,
};
use crate::context::Context;
use external::ExternalIpArgs;

/// Arguments for the published endpoint and its signer
#[derive(Debug, Args)]
pub struct EndpointArgs {
    #[command(flatten)]
    external: ExternalIpArgs,
    /// Publish the endpoint even if the chain already has it
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    tx: TxArgs<SigningHotkeyArgs>,
}

/// A neuron's endpoint to publish.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// Netuid of the subnet.
    pub netuid: NetUid,
    /// External port of the neuron.
    pub port: u16,
    /// Default of the external address; `None` to detect it.
    pub ip: Option<IpAddr>,
}

impl EndpointArgs {
    /// Opens the signing hotkey that the arguments select.
    pub fn unlock(&self) -> anyhow::Result<Keypair> {
        self.tx.unlock()
    }

    /// Opens the signing hotkey, by default the one in the operator's settings.
    pub fn unlock_configured(&self, settings: &WalletSettings) -> anyhow::Result<Keypair> {
        self.tx.key.unlock_configured(settings)
    }
}

/// Publishes the endpoint, unless the chain already has it. `open_key` opens the hotkey.
pub fn publish(
    Endpoint { netuid, port, ip }: Endpoint,
    args: &EndpointArgs,
    open_key: impl FnOnce() -> anyhow::Result<Keypair>,
    context: &Context,
) -> anyhow::Result<()> {
    // Before services on the internet are asked for the external address.
    args.tx.network.network()?;
    context.block_on(async {
        let ip = args.external.resolve(ip).await?;
        let address = SocketAddr::new(ip, port);
        let chain = args.tx.connect().await?;
        let key = open_key()?;
        let hotkey = args.tx.submit.hotkey(&key);
        if chain.uid(netuid, &hotkey, At::Head).await.map_err(chain_error)?.is_none() {
            bail!(
                "{hotkey} is not registered on subnet {netuid}\nhint: register it with `tao register --netuid \
                {netuid}`"
            );
        }
        if ip.is_loopback() {
            bail!("the chain rejects the loopback address {ip}\nhint: pass the external address, or `auto`");
        }
        let details = json!({ "netuid": netuid, "hotkey": hotkey, "address": address });
        let head = chain.head().await.map_err(chain_error)?;
        let axon = stored_axon(&chain, netuid, hotkey, head).await?;
        if !args.force && is_published(&axon, address) {
            return report_unchanged(details, address, context);
        }
        let call = calls::serve_axon(netuid, version(), address);
        let description = format!("Publish {address} for {hotkey} on subnet {netuid}");
        let plan = Plan::new(call, description, details)
            .expected_refusal(rate_limit_refusal(&chain, netuid, &axon, head).await?);
        args.tx.submit.submit(&chain, &key, plan, context).await
    })
}

fn report_unchanged(
    mut details: Value,
    address: SocketAddr,
    context: &Context,
) -> anyhow::Result<()> {
    if context.json {
        details["success"] = json!(true);
        details["outcome"] = json!("unchanged");
        return context.print_json(&details);
    }
    context.print(&format!("{address} is already published; nothing to do"))
}

/// Reads the endpoint that the chain has for a hotkey, with the block of its last change; `null` if
/// there is none.
pub async fn stored_axon(
    chain: &Client,
    netuid: NetUid,
    hotkey: Hotkey,
    at: Block,
) -> anyhow::Result<Value> {
    chain
        .storage("SubtensorModule", "Axons", &[json!(netuid), json!(hotkey)], at.into())
        .await
        .map_err(chain_error)
}

/// Returns why the rate limit does not let the hotkey of this endpoint change it in the next block;
/// `None` if it does.
pub async fn rate_limit_refusal(
    chain: &Client,
    netuid: NetUid,
    axon: &Value,
    head: Block,
) -> anyhow::Result<Option<ExpectedRefusal>> {
    let last = axon["block"].as_u64().unwrap_or_default();
    let blocks = stored_blocks(chain, "ServingRateLimit", &[json!(netuid)], head.into()).await?;
    let limit = RateLimit {
        error: "SubtensorModule.ServingRateLimitExceeded",
        actions: "two changes of a hotkey's endpoint",
    };
    limit.expected_refusal(chain, last, blocks, head.number).await
}

/// Returns whether this is the endpoint that the chain already has.
fn is_published(axon: &Value, address: SocketAddr) -> bool {
    let ChainIp { ip, ip_type } = IpAddr::into(address.ip());
    parse_number(&axon["ip"]) == Some(ip)
        && parse_number(&axon["ip_type"]) == Some(ip_type.into())
        && parse_number(&axon["port"]) == Some(address.port().into())
}

fn parse_number(value: &Value) -> Option<u128> {
    // Large numbers are serialised as text.
    match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().map(u128::from),
    }
}

/// Returns the version number of this program: major × 1 000 000 + minor × 1 000 + patch.
pub fn version() -> u32 {
    let parts =
        env!("CARGO_PKG_VERSION").split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    parts.fold(0, |version, part| version * 1_000 + part)
}
