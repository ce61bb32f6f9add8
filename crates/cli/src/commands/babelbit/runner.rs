//! `bb runner`.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
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
    /// Address under which miners see this machine; the signed headers name it, and nothing else depends on it
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    external_ip: IpAddr,
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
    #[command(flatten)]
    key: KeyArgs,
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
        ..RunnerSettings::new(run_paths(args.keep.as_deref(), &config))
    };
    if args.solo {
        runner_settings.challenge_type = ChallengeType::Solo;
    }
    let report = context.block_on(async {
        let shutdown = Shutdown::on_signals().context("signals cannot be handled")?;
        let miners = connect(&entries, &keypair, args.external_ip, &config, &runner_settings)?;
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
pub(super) fn in_container() -> bool {
    Path::new("/.dockerenv").exists() && ("host.docker.internal", 0).to_socket_addrs().is_ok()
}

/// Where the files go: below `keep`, else where the environment says.
pub(super) fn run_paths(keep: Option<&Path>, config: &Config) -> RunPaths {
    match keep {
        Some(dir) => RunPaths::below(dir),
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

/// One signed connection a miner; all share a client and its pool. `external_ip` is what their headers name as ours.
pub(crate) fn connect(
    entries: &[MinerEntry],
    keypair: &Arc<Keypair>,
    external_ip: IpAddr,
    config: &Config,
    settings: &RunnerSettings,
) -> anyhow::Result<Vec<Miner>> {
    let signer = Signer::new(Keypair::clone(keypair), external_ip.to_string(), BabelbitScheme::axon());
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use taonet_babelbit_core::protocol::{DTYPE, FRAME_RATE_HZ, FRAME_SAMPLES, InitRequest, SAMPLE_RATE_HZ};
    use taonet_primitives::Uid;

    use super::*;

    /// The head of the first request that a miner at our address is sent.
    fn first_head(external_ip: IpAddr) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let keypair = Arc::new(Keypair::from_uri("//Alice").unwrap());
        let policy = AddressPolicy { dev_mode: true, ..AddressPolicy::default() };
        let entry = MinerEntry {
            uid: Uid(1),
            hotkey: keypair.hotkey(),
            address: policy.resolve(&listener.local_addr().unwrap().to_string()).unwrap(),
            name: None,
        };
        let (config, _) = Config::from_variables([], None).unwrap();
        let settings = RunnerSettings::new(RunPaths::below(Path::new("unused")));
        let miners = connect(&[entry], &keypair, external_ip, &config, &settings).unwrap();
        let miner = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8(head).unwrap()
        });
        let request = InitRequest {
            challenge_uid: "c".into(),
            utterance_id: "c:0".into(),
            language: None,
            sample_rate_hz: SAMPLE_RATE_HZ,
            frame_rate_hz: FRAME_RATE_HZ,
            frame_samples: FRAME_SAMPLES,
            dtype: DTYPE.into(),
            channels: 1,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(miners[0].connection.init(request, Duration::from_secs(10))).unwrap_err();
        miner.join().unwrap()
    }

    #[test]
    fn the_headers_name_our_address() {
        for address in ["198.51.100.7", "2001:db8::1", "0.0.0.0"] {
            let head = first_head(address.parse().unwrap());
            assert!(head.contains(&format!("bt_header_dendrite_ip: {address}\r\n")), "{head}");
        }
    }
}
