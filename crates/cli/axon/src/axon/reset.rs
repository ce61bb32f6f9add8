//! The `tao axon reset` command.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;
use taonet_chain::{Chain as _, calls};
use taonet_cli_base::chain::{Plan, SigningHotkeyArgs, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::endpoint::{rate_limit_refusal, stored_axon};
use taonet_primitives::NetUid;

/// Withdraw a neuron's published endpoint
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    #[command(flatten)]
    tx: TxArgs<SigningHotkeyArgs>,
}

pub(crate) fn run(args: &ResetArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = args.netuid;
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let key = args.tx.unlock()?;
        let hotkey = args.tx.submit.hotkey(&key);
        let details = json!({ "netuid": netuid, "hotkey": hotkey });
        let description = format!("Withdraw the endpoint of {hotkey} on subnet {netuid}");
        // The chain accepts the address 0, but not the port 0.
        let call = calls::serve_axon(netuid, 0, SocketAddr::from(([0, 0, 0, 0], 1)));
        let head = chain.head().await.map_err(chain_error)?;
        let axon = stored_axon(&chain, netuid, hotkey, head).await?;
        let plan = Plan::new(call, description, details)
            .expected_refusal(rate_limit_refusal(&chain, netuid, &axon, head).await?);
        args.tx.submit.submit(&chain, &key, plan, context).await
    })
}
