//! The `tao proof miner` command.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::chain::{NetworkArgs, chain_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{CallerArgs, Daemon, MetricsArgs};
use taonet_cli_base::keys::NeuronKeyArgs;
use taonet_cli_base::preflight;
use taonet_cli_base::updates::{AutoUpdateArgs, run_with_rollback};
use taonet_http::Readiness;
use taonet_kit::ChainSync;
use taonet_primitives::{Hotkey, NetUid};
use taonet_proof_miner::{
    Miner, MinerSettings, Permits, QuicServer, QuicSettings, describe_metrics, router,
    signed_requests,
};
use taonet_service::Shutdown;
use taonet_update::Trial;
use taonet_wire::RegistrationTable;

use super::probe::ProbeArgs;
use super::{CatalogueArgs, load_key};

/// Run a miner that proves the outputs of circuits
#[derive(Debug, Args)]
pub struct MinerArgs {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    /// Listen address
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// Listen port on all interfaces, instead of --listen
    #[arg(long, alias = "axon.port", value_name = "PORT", conflicts_with = "listen")]
    axon_port: Option<u16>,
    /// Listen address for --axon-port, as in the reference's programs
    #[arg(long, alias = "axon.host", value_name = "IP", conflicts_with = "listen", hide = true)]
    axon_host: Option<IpAddr>,
    /// UDP port of QUIC at the same address, 0 to disable [default: the port after that of --listen;
    /// disabled if that is 0]
    #[arg(long, value_name = "PORT")]
    quic_port: Option<u16>,
    /// Netuid of the subnet
    #[arg(long, default_value = "2")]
    netuid: NetUid,
    /// Maximum number of concurrent proofs [default: one per two cores]
    #[arg(long, value_name = "PROOFS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: Option<u16>,
    /// Timeout of a request in seconds
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = clap::value_parser!(u32).range(1..=3600))]
    handler_timeout: u32,
    /// Interval between reads of the validator permits from the chain, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = clap::value_parser!(u32).range(30..))]
    metagraph_sync_interval: u32,
    /// Blocked hotkeys
    #[arg(long, value_name = "HOTKEY")]
    block: Vec<Hotkey>,
    /// Do not query the chain: admit callers without a validator permit
    #[arg(long, visible_alias = "disable-blacklist")]
    loopback: bool,
    #[command(flatten)]
    probe: ProbeArgs,
    #[command(flatten)]
    callers: CallerArgs,
    #[command(flatten)]
    update: AutoUpdateArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    key: NeuronKeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: &MinerArgs, context: &Context) -> anyhow::Result<()> {
    run_with_rollback(|trial| serve(args, trial, context))
}

fn serve(args: &MinerArgs, trial: &Trial, context: &Context) -> anyhow::Result<()> {
    let keypair = load_key(&args.key, &args.network, args.loopback)?;
    let hotkey = keypair.hotkey();
    if args.probe.self_probe {
        return context.block_on(args.probe.probe(&keypair, &args.listen().to_string(), context));
    }
    let timeout = Duration::from_secs(u64::from(args.handler_timeout));
    let defaults = MinerSettings::new(hotkey);
    let concurrency = args.concurrency.map_or(defaults.concurrency, usize::from);
    let settings = MinerSettings { concurrency, timeout, ..defaults };
    let catalogue = args.catalogue.open(context)?;
    let miner = Miner::load(&catalogue, settings)?;
    let exit_action = context.block_on(async {
        let daemon = Daemon::bind(args.listen(), &args.metrics).await?;
        let daemon =
            daemon.with_write_directories(args.callers.replay_directory(&hotkey, args.listen()));
        describe_metrics();
        let registrations = Arc::<RegistrationTable>::default();
        let mut policy = args.callers.policy().block(args.block.iter().copied());
        if !args.loopback {
            policy = policy.with_registrations(registrations.clone()).validators_only();
        }
        let signature_layer = args.callers.build_with(
            signed_requests(hotkey, timeout),
            policy,
            &hotkey,
            args.listen(),
        )?;
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let update = args.update.start(&shutdown)?;
        let readiness = Readiness::starting();
        trial.watch_daemon(readiness.clone(), shutdown.clone());
        if !args.loopback {
            let chain = Arc::new(args.key.connect(&args.network).await?);
            preflight::spawn_clock_check(Arc::clone(&chain) as _, &shutdown);
            let interval = Duration::from_secs(u64::from(args.metagraph_sync_interval));
            let chain_sync = ChainSync::new(chain, args.netuid, Arc::clone(&registrations));
            chain_sync.start(interval, &shutdown).await.map_err(chain_error)?;
        }
        if let Some(listen) = args.quic_listen() {
            let settings = QuicSettings { listen, permits: quic_permits(args, &registrations) };
            let server = QuicServer::bind(&miner, &keypair, timeout, settings);
            let server = server.with_context(|| {
                format!("cannot serve QUIC at {listen}\nhint: choose --quic-port")
            })?;
            context.print_notice(&format!("QUIC on UDP {}", server.address()?));
            shutdown.spawn_until("quic", |stop| async move {
                server.serve_until(stop.requested()).await;
            });
        }
        readiness.set_ready();
        context.print_notice(&format!("hotkey {hotkey}"));
        update
            .end(
                daemon
                    .serve_with(
                        readiness,
                        shutdown,
                        "proof miner",
                        router(miner, signature_layer),
                        context,
                    )
                    .await,
            )
            .await
    })?;
    exit_action.finish()
}

impl MinerArgs {
    /// Returns the HTTP listen address.
    fn listen(&self) -> SocketAddr {
        if self.axon_host.is_none() && self.axon_port.is_none() {
            return self.listen;
        }
        let host = self.axon_host.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        SocketAddr::new(host, self.axon_port.unwrap_or_else(|| self.listen.port()))
    }

    /// Returns the QUIC listen address, if enabled.
    fn quic_listen(&self) -> Option<SocketAddr> {
        let listen = self.listen();
        let port = self
            .quic_port
            .or_else(|| listen.port().checked_add(1).filter(|next| *next > 1))
            .filter(|port| *port > 0)?;
        Some(SocketAddr::new(listen.ip(), port))
    }
}

/// Returns the hotkeys that may connect over QUIC, the same as over HTTP; `None` if any hotkey may
/// connect, because neither validator permits nor `--allow` restrict callers.
fn quic_permits(args: &MinerArgs, registrations: &Arc<RegistrationTable>) -> Option<Permits> {
    let policy = args.callers.policy().block(args.block.iter().copied());
    if args.loopback {
        let allowed = args.callers.allowed();
        let admitted_hotkeys: HashSet<Hotkey> =
            allowed.iter().filter(|hotkey| policy.admits(hotkey)).copied().collect();
        return (!allowed.is_empty())
            .then(|| Arc::new(move || admitted_hotkeys.clone()) as Permits);
    }
    let policy = policy.with_registrations(Arc::clone(registrations)).validators_only();
    let registrations = Arc::clone(registrations);
    Some(Arc::new(move || {
        registrations.hotkeys().into_iter().filter(|hotkey| policy.admits(hotkey)).collect()
    }))
}
