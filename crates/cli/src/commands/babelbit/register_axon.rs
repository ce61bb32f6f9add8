//! The `bb register-axon` command.

use clap::Args;
use taonet_primitives::NetUid;

use crate::commands::serve_axon::{EndpointArgs, publish};
use crate::context::Context;
use crate::settings;

/// Publish a miner's endpoint on the chain
#[derive(Debug, Args)]
pub(crate) struct RegisterAxonArgs {
    /// Netuid of the subnet [default: BABELBIT_NETUID, or 59]
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    #[command(flatten)]
    endpoint: EndpointArgs,
}

pub(crate) fn run(args: &RegisterAxonArgs, context: &Context) -> anyhow::Result<()> {
    let netuid = match args.netuid {
        Some(netuid) => netuid,
        None => settings::load()?.netuid,
    };
    publish(netuid, &args.endpoint, context)
}
