//! `tao sudo trim`: fewer neurons on a subnet.

use clap::Args;
use serde_json::json;
use taonet_chain::{At, Chain as _, Detail, calls};
use taonet_cli_base::chain::{ColdkeyArgs, Plan, TxArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_primitives::{MechId, NetUid, counted};

/// Lower a subnet's maximum number of neurons, and remove those with the lowest emission
#[derive(Debug, Args)]
pub struct TrimArgs {
    /// New maximum number of neurons
    #[arg(value_name = "NEURONS")]
    max: u16,
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// Sign as the subnet's owner instead of as root
    #[arg(long)]
    owner: bool,
    #[command(flatten)]
    tx: TxArgs<ColdkeyArgs>,
}

pub(super) fn run(args: &TrimArgs, context: &Context) -> anyhow::Result<()> {
    let (netuid, max) = (args.netuid, args.max);
    context.block_on(async {
        let chain = args.tx.connect().await?;
        let metagraph =
            chain.metagraph(netuid, MechId(0), Detail::Lite, At::Head).await.map_err(chain_error)?;
        let key = args.tx.unlock()?;
        let arguments = json!({ "netuid": netuid, "max_n": max });
        let call = chain
            .call("AdminUtils", "sudo_trim_to_max_allowed_uids", &arguments)
            .await
            .map_err(chain_error)?;
        let call = if args.owner { call } else { calls::sudo(call) };
        let neurons = metagraph.neurons.len();
        let details = json!({ "netuid": netuid, "max_neurons": max, "neurons": neurons, "as_owner": args.owner });
        let removed = counted(neurons.saturating_sub(max.into()), "neuron");
        let description = format!("Lower the maximum number of neurons on subnet {netuid} to {max}, which removes {removed}");
        args.tx.submit.confirm_and_submit(&chain, &key, Plan::new(call, description, details), context).await
    })
}
