//! The runner's loop over the chain's blocks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use taonet_babelbit_arena::client::{Arena, ArenaConfig};
use taonet_babelbit_config::Config;
use taonet_babelbit_runner::submission::Outbox;
use taonet_babelbit_runner::{
    RoundDependencies, RoundObserver, Rounds, Runner, SpeechRounds, random_order,
};
use taonet_babelbit_workers::Workers;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::serve_metrics_or_warn;
use taonet_cli_base::preflight;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_http::{Readiness, disable_huge_pages};
use taonet_service::{Shutdown, sleeper, system_clock};
use taonet_wallet::Keypair;

use super::{MAX_CHANNELS, RunnerArgs, Setup, address_policy, run_paths};

/// Default metrics port; the validator uses 8010.
pub const METRICS_PORT: u16 = 8011;

pub(super) fn run(args: &RunnerArgs, setup: Setup, context: &Context) -> anyhow::Result<()> {
    context.print_notice(&format!("hotkey {}", setup.keypair.hotkey()));
    disable_huge_pages();
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let readiness = serve_loop_metrics(args, &setup.config, &shutdown).await?;
        Workers::describe_metrics();
        let language = &setup.config.scoring.target_language;
        let runner =
            Runner::open(setup.settings.clone(), language, Arc::clone(&setup.scorer) as _).await?;
        let (ledger, stop) = (Arc::clone(runner.ledger()), shutdown.clone());
        shutdown.spawn("heartbeat", async move { ledger.keep_heartbeat(&stop).await });
        let outbox = setup.outbox(&runner)?;
        let rounds = create_rounds(setup, runner, context).await?;
        run_rounds(rounds, outbox, readiness, &shutdown).await
    })
}

/// Serves the metrics of a runner's loop, and checks its disks and its clock. Rounds run even if
/// metrics cannot be served.
pub(super) async fn serve_loop_metrics(
    args: &RunnerArgs,
    config: &Config,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Readiness>> {
    let paths = run_paths(args.keep.as_deref(), config);
    let directories = vec![
        WriteDirectory::new("logs", paths.logs, DiskNeeds::RECORDINGS),
        WriteDirectory::new("scores", paths.scores, DiskNeeds::RECORDINGS),
        WriteDirectory::new("status files", paths.status, DiskNeeds::STATE),
        WriteDirectory::of_file("transcripts", &config.transcript_cache, DiskNeeds::STATE),
    ];
    preflight::spawn_disk_check(directories, shutdown);
    preflight::spawn_network_clock_check(shutdown);
    let default_address = SocketAddr::new(config.services.metrics_addr, METRICS_PORT);
    let readiness =
        serve_metrics_or_warn("runner", args.metrics.flatten(), default_address, shutdown).await?;
    Rounds::describe_metrics();
    Outbox::describe_metrics();
    Ok(readiness)
}

/// Runs rounds and submissions until shutdown.
pub(super) async fn run_rounds(
    mut rounds: Rounds,
    outbox: Option<Outbox>,
    readiness: Option<Readiness>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    if let Some(outbox) = outbox {
        shutdown.spawn_until("outbox", |stop| async move { outbox.run(&stop).await });
    }
    shutdown.spawn_until("rounds", |stop| async move { rounds.run(&stop).await });
    if let Some(readiness) = readiness {
        readiness.set_ready();
    }
    shutdown.finished().await.context("the runner did not stop in time")
}

async fn create_rounds(setup: Setup, runner: Runner, context: &Context) -> anyhow::Result<Rounds> {
    let Setup { config, keypair, external_ip, miners, chain, connect, engine, .. } = setup;
    let predict_route =
        (config.predict_endpoint.as_str(), config.play.max_response_bytes(MAX_CHANNELS));
    let arena = config
        .rounds
        .arena
        .enabled
        .then(|| arena_client(&config, &keypair, external_ip, predict_route))
        .transpose()?;
    let (ledger, chain) = (Arc::clone(runner.ledger()), Arc::new(chain));
    let player = SpeechRounds {
        runner,
        engine: engine.clone(),
        chain: Arc::clone(&chain),
        miners,
        connect,
        arena: arena.map(Arena::into_list),
        shuffle: random_order(),
        observer: Arc::new(()),
        arena_play: config.rounds.arena_play(&config.play),
    };
    let dependencies = RoundDependencies {
        player: Arc::new(player),
        ledger,
        engine,
        chain,
        on_round: round_printer(context),
        clock: system_clock(),
        sleeper: sleeper(),
    };
    Ok(Rounds::new(dependencies, config.rounds.schedule()).await?)
}

/// Creates a client of the arena, whose miners have this predict route and maximum size of a
/// response in bytes.
pub(super) fn arena_client(
    config: &Config,
    keypair: &Arc<Keypair>,
    external_ip: IpAddr,
    (predict_path, max_response_bytes): (&str, usize),
) -> anyhow::Result<Arena> {
    Ok(Arena::new(ArenaConfig {
        settings: config.arena.clone(),
        gateway: config.arena_gateway_url(),
        keypair: Arc::clone(keypair),
        external_ip: external_ip.to_string(),
        policy: address_policy(config),
        predict_path: predict_path.to_owned(),
        max_response_bytes,
    })?)
}

/// Returns an observer that prints one JSON line per round with `--json`, else nothing.
pub(super) fn round_printer(context: &Context) -> RoundObserver {
    if !context.json {
        return Arc::new(|_| {});
    }
    Arc::new(|report| {
        let context = Context::new(true);
        let line = serde_json::to_string(report).map_err(anyhow::Error::from);
        if let Err(error) = line.and_then(|line| context.print(&line)) {
            tracing::error!("cannot write the round's report: {error:#}");
        }
    })
}
