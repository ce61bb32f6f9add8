//! The `tao axon serve` command.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{CallerArgs, Daemon, MetricsArgs};
use taonet_cli_base::duration::parse_seconds;
use taonet_cli_base::endpoint::external::ExternalIp;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_reach::{ChainIp, HomeRouter, PortMapping};

use super::SchemeName;
use super::echo::{describe_metrics, router, signature_layer};

/// Serve an echo neuron.
///
/// Serves /ping, /echo (returns the body) and /stream (returns the body word by word); with --scheme
/// dendrite the synapses Synapse, EchoSynapse (returns `prompt` as `answer`) and StreamSynapse
/// (streams `prompt` word by word). Request bodies are limited to 1 MiB. /healthz needs no
/// signature.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Signature scheme that requests must use
    #[arg(long, value_enum, default_value = "btauth")]
    scheme: SchemeName,
    /// Listen address
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    #[command(flatten)]
    callers: CallerArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    external_address: ExternalAddressArgs,
    #[command(flatten)]
    key: KeyArgs,
}

const EXTERNAL_ADDRESS_HEADING: &str = "External address";

/// Arguments that determine the external address of the neuron
#[derive(Debug, Args)]
struct ExternalAddressArgs {
    /// External IP address of this machine; `auto` queries public services [default: from the
    /// router with --upnp, else none]
    #[arg(long, help_heading = EXTERNAL_ADDRESS_HEADING, value_name = "ADDRESS")]
    external_ip: Option<ExternalIp>,
    /// External port [default: the port of --listen]
    #[arg(long, help_heading = EXTERNAL_ADDRESS_HEADING, value_name = "PORT")]
    external_port: Option<u16>,
    /// Services that `--external-ip auto` queries, in this order [default: five public ones]
    #[arg(long, help_heading = EXTERNAL_ADDRESS_HEADING, value_name = "URL")]
    ip_source: Vec<String>,
    /// Timeout of each query to a service, in seconds
    #[arg(long, help_heading = EXTERNAL_ADDRESS_HEADING, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    ip_timeout: Duration,
    /// Map the external port on the router with UPnP, and remove the mapping on shutdown
    #[arg(long, help_heading = EXTERNAL_ADDRESS_HEADING)]
    upnp: bool,
}

pub(crate) fn run(args: &ServeArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.key.load(None)?.hotkey();
    if args.external_address.upnp && args.listen.ip().to_canonical().is_loopback() {
        let text = "--upnp cannot map a loopback address\nhint: use another --listen address, such as 0.0.0.0:8091";
        return Err(ClassifiedError::usage(text));
    }
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        let daemon =
            daemon.with_write_directories(args.callers.replay_directory(&hotkey, args.listen));
        describe_metrics();
        context.print_notice(&format!("hotkey {hotkey}"));
        let signature_layer =
            args.callers.build(signature_layer(hotkey, args.scheme), &hotkey, args.listen)?;
        let mapping = args.external_address.open_port(daemon.address(), context).await?;
        let router = router(hotkey, args.scheme, signature_layer);
        let service = daemon.serve_with_clock_check("axon", router, context);
        match mapping {
            None => service.await,
            Some(mapping) => serve_with_mapping(mapping, service).await,
        }
    })
}

impl ExternalAddressArgs {
    /// Resolves the external address and maps the port if requested. The mapping comes last, so
    /// that an error leaves no port open.
    async fn open_port(
        &self,
        listen_address: SocketAddr,
        context: &Context,
    ) -> anyhow::Result<Option<PortMapping>> {
        let port = self.external_port.unwrap_or(listen_address.port());
        let endpoint_ip = match self.external_ip {
            Some(ip) => Some(ip.resolve(&self.ip_source, self.ip_timeout).await?),
            None => None,
        };
        let (ip, mapping) = if self.upnp {
            let router = HomeRouter::find().await?;
            let ip = match endpoint_ip {
                Some(ip) => ip,
                None => router.external_ip().await.context(
                    "cannot determine the external address\nhint: set it with --external-ip",
                )?,
            };
            (Some(ip), Some(router.map(listen_address, port).await?))
        } else {
            (endpoint_ip, None)
        };
        if mapping.as_ref().is_some_and(|mapping| mapping.lease().is_none()) {
            context.print_notice(
                "the router keeps the mapping until it is removed; remove it there if this process is killed",
            );
        }
        if let Some(ip) = ip {
            let ChainIp { ip: number, ip_type } = ip.into();
            let endpoint = SocketAddr::new(ip, port);
            context.print_notice(&format!(
                "reachable at {endpoint} (on the chain: ip {number}, ip_type {ip_type})"
            ));
        }
        Ok(mapping)
    }
}

/// Renews the port mapping until shutdown, then removes it.
async fn serve_with_mapping(
    mut mapping: PortMapping,
    service: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut service = std::pin::pin!(service);
    let result = loop {
        tokio::select! {
            result = &mut service => break result,
            () = tokio::time::sleep(PortMapping::RENEWAL_INTERVAL) => {
                if let Err(error) = mapping.renew().await {
                    tracing::warn!(%error, "failed to renew the port mapping");
                }
            }
        }
    };
    match (result, mapping.close().await) {
        (Err(error), Err(close_error)) => Err(error.context(close_error)),
        (result, close_result) => result.and(close_result.map_err(Into::into)),
    }
}
