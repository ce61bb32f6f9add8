//! `tao proof miner`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_http::Readiness;
use taonet_primitives::{Hotkey, NetUid, counted};
use taonet_proof_circuits::Catalogue;
use taonet_proof_miner::{Miner, MinerSettings, describe_metrics, router, signed_requests};
use taonet_service::Shutdown;
use taonet_wire::StandingTable;

use super::CatalogueArgs;
use super::probe::ProbeArgs;
use crate::chain::{NetworkArgs, failed, keep_fresh, standings};
use crate::context::Context;
use crate::daemon::{CallerArgs, Daemon, MetricsArgs};
use crate::keys::KeyArgs;
use crate::settings;

/// Serve a miner that proves circuits' outputs
#[derive(Debug, Args)]
pub(crate) struct MinerArgs {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// The subnet's number
    #[arg(long, default_value = "2")]
    netuid: NetUid,
    /// Proofs at a time; one for each two cores by default
    #[arg(long, value_name = "PROOFS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: Option<u16>,
    /// Timeout of a request in seconds
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = clap::value_parser!(u32).range(1..=3600))]
    handler_timeout: u32,
    /// Seconds between two reads of the permits from the chain
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = clap::value_parser!(u32).range(30..))]
    metagraph_sync_interval: u32,
    /// Hotkeys that may not call
    #[arg(long, value_name = "HOTKEY")]
    block: Vec<Hotkey>,
    /// No permit is required of callers; the chain is not read
    #[arg(long, visible_alias = "disable-blacklist")]
    loopback: bool,
    #[command(flatten)]
    probe: ProbeArgs,
    #[command(flatten)]
    callers: CallerArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: &MinerArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.key.load(&settings::load()?.network)?;
    let hotkey = keypair.hotkey();
    if args.probe.self_probe {
        return context.block_on(args.probe.probe(&keypair, &args.listen.to_string(), context));
    }
    let timeout = Duration::from_secs(u64::from(args.handler_timeout));
    let defaults = MinerSettings::new(hotkey);
    let concurrency = args.concurrency.map_or(defaults.concurrency, usize::from);
    let settings = MinerSettings { concurrency, timeout, ..defaults };
    let catalogue = Catalogue::open(&args.catalogue.directory()?)?;
    context.say(&format!("loading {}", counted(catalogue.circuits().count(), "circuit")));
    let miner = Miner::load(&catalogue, settings)?;
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        describe_metrics();
        let permits = Arc::<StandingTable>::default();
        let mut policy = args.callers.policy().block(args.block.iter().copied());
        if !args.loopback {
            policy = policy.with_standings(permits.clone()).validators_only();
        }
        let signed = args.callers.build_with(signed_requests(hotkey, timeout), policy, &hotkey, args.listen)?;
        let shutdown = Shutdown::on_signals().context("signals cannot be handled")?;
        let readiness = Readiness::starting();
        if !args.loopback {
            let chain = args.network.connect().await?;
            permits.replace(standings(&chain, args.netuid).await.map_err(failed)?);
            let (stop, netuid) = (shutdown.clone(), args.netuid);
            let every = Duration::from_secs(u64::from(args.metagraph_sync_interval));
            let replace = move |standings| permits.replace(standings);
            shutdown.spawn("metagraph", async move { keep_fresh(&chain, netuid, every, replace, &stop).await });
        }
        readiness.set_ready();
        context.say(&format!("hotkey {hotkey}"));
        daemon.serve_with(readiness, shutdown, "proof miner", router(miner, signed), context).await
    })
}

impl CatalogueArgs {
    /// Where the circuits are.
    pub(super) fn directory(&self) -> anyhow::Result<PathBuf> {
        let default = || dirs::home_dir().map(|home| home.join(".bittensor/subnet-2/circuit_cache"));
        let directory = self.circuit_cache_dir.clone().or_else(default);
        directory.context("there is no home directory: name the circuits with --circuit-cache-dir")
    }
}
