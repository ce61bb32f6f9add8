//! `tao axon serve`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_reach::{ChainIp, HomeRouter, PortMapping};

use super::SchemeName;
use super::echo::{describe_metrics, router, signed_requests};
use super::external::ExternalIp;
use super::peer::seconds;
use crate::context::Context;
use crate::daemon::{CallerArgs, Daemon, MetricsArgs};
use crate::exit::{Classified, Failure};
use crate::keys::KeyArgs;
use crate::settings;

/// Serve an echo neuron.
///
/// It answers /ping, /echo (the body comes back) and /stream (the body comes back word by word); with --scheme dendrite
/// the synapses Synapse, EchoSynapse (`prompt` comes back as `answer`) and StreamSynapse (`prompt` comes back word by
/// word). A request has 1 MiB at most. /healthz is open to all.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// How requests must be signed
    #[arg(long, value_enum, default_value = "btauth")]
    scheme: SchemeName,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    #[command(flatten)]
    callers: CallerArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    key: KeyArgs,
}

const REACHING: &str = "Reaching it from elsewhere";

/// How others reach the neuron
#[derive(Debug, Args)]
struct ReachArgs {
    /// Address under which others reach this machine; `auto` asks services on the internet
    #[arg(long, help_heading = REACHING, value_name = "ADDRESS")]
    external_ip: Option<ExternalIp>,
    /// Port under which others reach it [default: the port of --listen]
    #[arg(long, help_heading = REACHING, value_name = "PORT")]
    external_port: Option<u16>,
    /// Services that `--external-ip auto` asks, in this order [default: five public ones]
    #[arg(long, help_heading = REACHING, value_name = "URL")]
    ip_source: Vec<String>,
    /// Seconds that each of the services may take
    #[arg(long, help_heading = REACHING, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    ip_timeout: Duration,
    /// Open the external port on the router by UPnP, and close it at the end
    #[arg(long, help_heading = REACHING)]
    upnp: bool,
}

pub(crate) fn run(args: &ServeArgs, context: &Context) -> anyhow::Result<()> {
    let hotkey = args.key.load(&settings::load()?.network)?.hotkey();
    if args.reach.upnp && args.listen.ip().to_canonical().is_loopback() {
        let text = "the router cannot reach loopback: --upnp needs --listen with another address, e.g. 0.0.0.0:8091";
        return Err(Classified::error(Failure::Usage, text));
    }
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        describe_metrics();
        context.say(&format!("hotkey {hotkey}"));
        let signed = args.callers.build(signed_requests(hotkey, args.scheme), &hotkey, args.listen)?;
        let mapping = args.reach.open(daemon.address(), context).await?;
        let served = daemon.serve("axon", router(hotkey, args.scheme, signed), context);
        match mapping {
            None => served.await,
            Some(mapping) => keep(mapping, served).await,
        }
    })
}

impl ReachArgs {
    /// Finds the external address and maps the port, as far as asked for, and says so. The port comes last: an error leaves
    /// none open.
    async fn open(&self, listens: SocketAddr, context: &Context) -> anyhow::Result<Option<PortMapping>> {
        let port = self.external_port.unwrap_or(listens.port());
        let told = match self.external_ip {
            Some(ip) => Some(ip.resolve(&self.ip_source, self.ip_timeout).await?),
            None => None,
        };
        let (ip, mapping) = if self.upnp {
            let router = HomeRouter::find().await?;
            let ip = match told {
                Some(ip) => ip,
                None => router
                    .external_ip()
                    .await
                    .context("the external address is not known; give it with --external-ip")?,
            };
            (Some(ip), Some(router.map(listens, port).await?))
        } else {
            (told, None)
        };
        if mapping.as_ref().is_some_and(|mapping| mapping.lease().is_none()) {
            context.say("the router keeps ports open until they are closed: do so there if this process is killed");
        }
        if let Some(ip) = ip {
            let ChainIp { ip: number, ip_type } = ip.into();
            let endpoint = SocketAddr::new(ip, port);
            context.say(&format!("reachable at {endpoint} (on the chain: ip {number}, ip_type {ip_type})"));
        }
        Ok(mapping)
    }
}

/// Renews the mapping while the service runs, and takes it back after it.
async fn keep(mut mapping: PortMapping, served: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut served = std::pin::pin!(served);
    let result = loop {
        tokio::select! {
            result = &mut served => break result,
            () = tokio::time::sleep(PortMapping::RENEW_AFTER) => {
                if let Err(error) = mapping.renew().await {
                    tracing::warn!(%error, "the port mapping was not renewed");
                }
            }
        }
    };
    match (result, mapping.close().await) {
        (Err(error), Err(open)) => Err(error.context(open)),
        (result, closed) => result.and(closed.map_err(Into::into)),
    }
}
