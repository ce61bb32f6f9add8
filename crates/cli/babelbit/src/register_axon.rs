//! The `bb register-axon` command.

use std::num::NonZeroU16;

use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::endpoint::{Endpoint, EndpointArgs, publish};
use taonet_primitives::NetUid;

use super::miner::DEFAULT_PORT;
use crate::settings;

/// Publish a miner's endpoint on the chain
#[derive(Debug, Args)]
pub struct RegisterAxonArgs {
    /// Netuid of the subnet [default: BABELBIT_NETUID, or 59]
    #[arg(long, value_name = "NETUID")]
    netuid: Option<NetUid>,
    /// External port of the miner [default: MINER_AXON_PORT, or 8092]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    #[command(flatten)]
    endpoint: EndpointArgs,
}

pub(crate) fn run(args: &RegisterAxonArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let endpoint = Endpoint {
        netuid: args.netuid.unwrap_or(config.netuid),
        port: args.port.or(config.axon_port.map(NonZeroU16::get)).unwrap_or(DEFAULT_PORT),
        ip: config.external_ip,
    };
    publish(
        endpoint,
        &args.endpoint,
        || args.endpoint.unlock_configured(&config.operator.wallet),
        context,
    )
}
