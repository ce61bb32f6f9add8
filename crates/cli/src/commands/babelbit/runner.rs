//! `bb runner`.

use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_node::config::Config;
use taonet_babelbit_node::engine_client::{EngineClient, EngineOptions};
use taonet_babelbit_node::runner::{
    AddressPolicy, HttpMiner, Miner, MinerEntry, MinerKey, RunError, RunEvent, RunOutcome, RunPaths, RunReport, Runner,
    RunnerSettings, read_miners,
};
use taonet_babelbit_node::scorer::{BatchScorer, ScorerSettings, TranscriptCache};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, ClientConfig, SignedClient, Signer};
use url::Url;

use crate::context::Context;
use crate::exit::{Classified, Failure};
use crate::keys::KeyArgs;
use crate::leaderboard;
use crate::{engines, settings};

/// Transcripts kept in memory; one takes about 4 KB.
const TRANSCRIPTS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(65_535);

/// Replies of more channels than these may be refused for their size.
const MOST_CHANNELS: u16 = 2;

/// Play the engine's current challenge to all miners
#[derive(Debug, Args)]
pub(crate) struct RunnerArgs {
    /// One round, then exit (the loop that follows the chain's blocks comes with a later version)
    #[arg(long, required = true)]
    once: bool,
    /// The miners: [{"uid", "hotkey", "address": "ip:port", "name"}]
    #[arg(long, value_name = "JSON")]
    miners: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
    /// The utterance engine; BB_UTTERANCE_ENGINE_URL sets it, too
    #[arg(long, value_name = "URL")]
    engine: Option<Url>,
    /// Play the solo challenge instead of the main one
    #[arg(long)]
    solo: bool,
    /// Keep logs, scores, status and ledger below this directory instead of where the environment says
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Directory that holds the models; BB_MODELS_DIR sets it, too
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Whose rules count: reference, or strict; BB_RULES sets it, too
    #[arg(long)]
    rules: Option<Rules>,
    /// Recognise also replies that score 0 either way
    #[arg(long)]
    no_gates: bool,
}

pub(crate) fn run(args: &RunnerArgs, context: &Context) -> anyhow::Result<()> {
    let mut config = settings::load()?;
    if let Some(engine) = &args.engine {
        config.engine_url = engine.clone();
    }
    if let Some(rules) = args.rules {
        (config.rules, config.scoring.rules) = (rules, rules);
    }
    let keypair = Arc::new(args.key.load(&config.network)?);
    let policy = AddressPolicy {
        dev_mode: config.dev_mode,
        in_container: in_container(),
        local_miner_ip: config.local_miner_ip.clone(),
    };
    let entries = read_miners(&args.miners, &policy, config.max_miners)?;
    if entries.is_empty() {
        bail!("{} lists no miner", args.miners.display());
    }
    let scorer = Arc::new(scorer(&config, args.models.clone(), !args.no_gates, context)?);
    let mut runner_settings = RunnerSettings {
        play: config.play.clone(),
        metadata_root: Some(config.metadata_root.clone()),
        rules: config.rules,
        ..RunnerSettings::new(paths(args, &config))
    };
    if args.solo {
        runner_settings.challenge_type = ChallengeType::Solo;
    }
    let report = context.block_on(async {
        let shutdown = Shutdown::on_signals().context("signals cannot be handled")?;
        let miners = connect(&entries, &keypair, &config, &runner_settings)?;
        let engine = engine_client(&config, &keypair)?;
        let runner = Runner::open(runner_settings, &config.scoring.target_language, scorer).await.map_err(classify)?;
        let progress = progress();
        let observer = {
            let progress = progress.clone();
            move |event: RunEvent| observe(&progress, &event)
        };
        let round = runner.run_once(&engine, &miners, Arc::new(observer));
        tokio::select! {
            report = round => { progress.finish_and_clear(); report.map(Some).map_err(classify) },
            () = shutdown.requested() => { progress.finish_and_clear(); Ok(None) }
        }
    })?;
    let Some(report) = report else {
        context.say("stopped; what is played stays, and the next run goes on from there");
        return Ok(());
    };
    show(&report, context)
}

/// Whether this process runs in a container from which its host can be reached under Docker's name for it.
fn in_container() -> bool {
    Path::new("/.dockerenv").exists() && ("host.docker.internal", 0).to_socket_addrs().is_ok()
}

/// Where the files go.
fn paths(args: &RunnerArgs, config: &Config) -> RunPaths {
    match &args.keep {
        Some(dir) => RunPaths {
            logs: dir.join("logs"),
            scores: dir.join("scores"),
            status: dir.join("challenge_status"),
            state: dir.join("state"),
        },
        None => RunPaths {
            logs: config.logs_dir.clone(),
            scores: config.scores_dir.clone(),
            status: config.status_dir.clone(),
            // Beside the results it describes: whoever moves them moves both.
            state: config.scores_dir.join(".ledger"),
        },
    }
}

pub(crate) fn scorer(
    config: &Config,
    models: Option<PathBuf>,
    gates: bool,
    context: &Context,
) -> anyhow::Result<BatchScorer> {
    let recognizer = engines::network_recognizer(config)?;
    let embedder = engines::embedder(&config.embedder, models.or_else(|| config.models_dir.clone()), context)?;
    let cache = TranscriptCache::open(&config.transcript_cache, &*recognizer, TRANSCRIPTS)?;
    let settings = ScorerSettings { gates, ..ScorerSettings::default() };
    Ok(BatchScorer::new(recognizer, embedder, cache, config.scoring.clone(), settings)?)
}

pub(crate) fn engine_client(config: &Config, keypair: &Arc<Keypair>) -> anyhow::Result<EngineClient> {
    let options = EngineOptions { timeout: config.api_timeout, ..EngineOptions::default() };
    Ok(EngineClient::new(config.engine_url.as_str(), Arc::clone(keypair), options)?)
}

/// One signed connection a miner; all share a client and its pool.
pub(crate) fn connect(
    entries: &[MinerEntry],
    keypair: &Arc<Keypair>,
    config: &Config,
    settings: &RunnerSettings,
) -> anyhow::Result<Vec<Miner>> {
    let signer = Signer::new(Keypair::clone(keypair), "0.0.0.0", BabelbitScheme::axon());
    let client_config =
        ClientConfig { max_response_bytes: settings.play.max_answer_bytes(MOST_CHANNELS), ..ClientConfig::default() };
    let client = SignedClient::new(signer, client_config)?;
    let connect = |entry: &MinerEntry| {
        let connection = HttpMiner::new(client.clone(), entry, &config.predict_endpoint)
            .with_context(|| format!("cannot call miner {}", entry.uid))?;
        let key = MinerKey { uid: entry.uid, hotkey: entry.hotkey };
        Ok(Miner { key, name: entry.name.clone(), connection: Arc::new(connection) })
    };
    entries.iter().map(connect).collect()
}

fn classify(error: RunError) -> anyhow::Error {
    match &error {
        RunError::Engine(engine) if engine.is_auth() => Classified::error(Failure::Authentication, error.to_string()),
        RunError::Engine(_) => Classified::error(Failure::Network, error.to_string()),
        _ => error.into(),
    }
}

fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len}");
    let bar = ProgressBar::new(0);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn observe(progress: &ProgressBar, event: &RunEvent) {
    match event {
        RunEvent::Challenge { challenge_uid, utterances, miners, .. } => {
            progress.set_length((utterances * miners) as u64);
            progress.set_message(challenge_uid.clone());
        }
        RunEvent::Played { .. } => progress.inc(1),
        RunEvent::Failed { miner, utterance_index, error } => {
            progress.inc(1);
            tracing::info!(%miner, utterance_index, error, "a miner failed");
        }
        _ => {}
    }
}

fn show(report: &RunReport, context: &Context) -> anyhow::Result<()> {
    if context.json {
        context.print_json(report)?;
    } else {
        context.print(&leaderboard::challenge(report))?;
    }
    match report.outcome {
        RunOutcome::Partial => bail!("the engine delivered a part of the challenge; the next run asks for the rest"),
        RunOutcome::NoChallenge => bail!("the engine has no challenge"),
        _ => Ok(()),
    }
}
