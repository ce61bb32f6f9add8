//! `tao serve-axon`: publishes a neuron's endpoint.

use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::endpoint::{Endpoint, EndpointArgs, publish};
use taonet_primitives::NetUid;

/// Publish a neuron's endpoint
#[derive(Debug, Args)]
pub struct ServeAxonArgs {
    /// Netuid of the subnet
    #[arg(long, value_name = "NETUID")]
    netuid: NetUid,
    /// External port of the neuron
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    #[command(flatten)]
    endpoint: EndpointArgs,
}

/// Runs `tao serve-axon`.
pub fn run(args: &ServeAxonArgs, context: &Context) -> anyhow::Result<()> {
    let endpoint = Endpoint { netuid: args.netuid, port: args.port, ip: None };
    publish(endpoint, &args.endpoint, || args.endpoint.unlock(), context)
}
