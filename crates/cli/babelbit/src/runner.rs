//! The `bb runner` command.

mod follow;
mod once;
mod text;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use taonet_babelbit_config::Config;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_engine::client::{EngineClient, EngineOptions};
use taonet_babelbit_runner::submission::{Outbox, OutboxSettings};
use taonet_babelbit_runner::{
    AddressPolicy, ChainView, ConnectChain, ConnectMiner, HttpMiner, Ledger, LedgerError, Miner,
    MinerConnection, MinerEntry, MinerSource, RunPaths, Runner, RunnerSettings, read_miners,
};
use taonet_babelbit_scorer::{BatchScorer, EngineIdentity, ScorerSettings, TranscriptCache};
use taonet_babelbit_workers::{LoadRecognizer, Workers};
use taonet_chain::{Chain, Client};
use taonet_cli_base::chain::configured_network;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::run_log;
use taonet_cli_models::engines;
use taonet_doctor::{Check, Finding};
use taonet_objects::ObjectStorage;
use taonet_speech::Recognizer;
use taonet_validator::subtensor_gateway::GatewayClient;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, ClientConfig, SignedClient, Signer};
use url::Url;

use super::access::TokenArgs;
use super::scorer::services;
use super::subtensor_gateway::fallback;
use crate::contest::Contest;
use crate::settings;

pub use follow::METRICS_PORT;
pub use text::{connect_miners as connect_text_miners, leaderboard as text_leaderboard};

/// Capacity of the in-memory transcript cache; an entry takes about 4 KB.
const TRANSCRIPT_CACHE_CAPACITY: std::num::NonZeroUsize =
    std::num::NonZeroUsize::MIN.saturating_add(65_535);

/// Channel count for which the response size limit is computed.
const MAX_CHANNELS: u16 = 2;

/// Run challenges against all miners: main, solo and arena rounds, scheduled by block number
#[derive(Debug, Args)]
pub struct RunnerArgs {
    /// Run one round, then exit
    #[arg(long)]
    once: bool,
    /// Contest: speech or text (prediction of text)
    #[arg(long, value_name = "CONTEST", default_value = "speech", hide_possible_values = true)]
    contest: Contest,
    /// JSON file of miners, [{"uid", "hotkey", "address": "ip:port", "name"}] [default: the
    /// subnet's metagraph]
    #[arg(long, value_name = "JSON")]
    miners: Option<PathBuf>,
    /// External IP address in the signed headers; it has no other effect
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    external_ip: IpAddr,
    // Not a doc comment, in which rustdoc expects a link.
    #[arg(
        long,
        value_name = "URL",
        help = "URL of the utterance engine [env: BB_UTTERANCE_ENGINE_URL] \
            [default: https://api.babelbit.ai/]"
    )]
    engine: Option<Url>,
    /// Play the solo challenge instead of the main one
    #[arg(long, requires = "once")]
    solo: bool,
    /// Directory for logs, scores, status and ledger, instead of the directories from the
    /// environment
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Scoring rules: reference or strict [env: BB_RULES] [default: reference]
    #[arg(long)]
    rules: Option<Rules>,
    /// Also transcribe replies that score 0 regardless of their transcript
    #[arg(long)]
    no_gates: bool,
    #[command(flatten)]
    token: TokenArgs,
    /// With --once: show speech translation metrics (word error rate, BLEU, chrF, lagging) below
    /// the leaderboard. Without --once: listen address of /metrics and /readyz [default:
    /// BABELBIT_METRICS_ADDR and port 8011, or 127.0.0.1:8011]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1)]
    #[allow(clippy::option_option)] // Absent, without an address, or with one.
    metrics: Option<Option<SocketAddr>>,
    #[command(flatten)]
    key: KeyArgs,
}

/// Shared setup of `--once` and the loop.
struct Setup {
    config: Config,
    keypair: Arc<Keypair>,
    /// External address in signed headers.
    external_ip: IpAddr,
    settings: RunnerSettings,
    scorer: Arc<BatchScorer>,
    miners: MinerSource,
    chain: ChainView,
    connect: ConnectMiner,
    engine: EngineClient,
}

pub(crate) fn run(args: &RunnerArgs, context: &Context) -> anyhow::Result<()> {
    check_metrics(args)?;
    if args.contest == Contest::Text {
        if args.no_gates {
            let message = "--no-gates is for the speech contest\nhint: omit it, or --contest text";
            return Err(ClassifiedError::usage(message));
        }
        return text::run(args, context);
    }
    let setup = setup(args, context)?;
    if args.once { once::run(args, setup, context) } else { follow::run(args, setup, context) }
}

/// Requires an address for `--metrics` without `--once`, and rejects one with `--once`.
fn check_metrics(args: &RunnerArgs) -> anyhow::Result<()> {
    let message = match (args.once, args.metrics) {
        (true, Some(None)) if args.contest == Contest::Text => {
            "--metrics with --once shows metrics of the speech contest\nhint: remove it, or add --contest speech"
        }
        (true, Some(Some(_))) => {
            "--metrics takes no address with --once, because a single round serves no metrics"
        }
        (false, Some(None)) => {
            "--metrics needs a listen address without --once\nhint: --metrics 127.0.0.1:8011"
        }
        _ => return Ok(()),
    };
    Err(ClassifiedError::usage(message))
}

fn setup(args: &RunnerArgs, context: &Context) -> anyhow::Result<Setup> {
    let mut config = settings::load()?;
    if let Some(engine) = &args.engine {
        config.engine_url = engine.clone();
    }
    if let Some(rules) = args.rules {
        (config.rules, config.scoring.rules) = (rules, rules);
    }
    let keypair = Arc::new(args.key.load(None)?);
    let miners = miner_source(args, &config)?;
    let scorer = Arc::new(create_scorer(&config, args.models.clone(), !args.no_gates, context)?);
    if let Some(directory) = &args.keep {
        run_log::record(directory)?;
    }
    let settings = RunnerSettings {
        play: config.play.clone(),
        max_miners: config.max_miners,
        metadata_root: Some(config.metadata_root.clone()),
        rules: config.rules,
        submit: config.submits(),
        ..RunnerSettings::new(run_paths(args.keep.as_deref(), &config))
    };
    Ok(Setup {
        chain: chain_view(args, &config)?,
        connect: connector(&keypair, args.external_ip, &config, &settings)?,
        engine: engine_client(&config, &keypair)?,
        keypair,
        external_ip: args.external_ip,
        settings,
        scorer,
        miners,
        config,
    })
}

impl Setup {
    /// Creates the outbox of a runner, if submissions are enabled.
    fn outbox(&self, runner: &Runner) -> anyhow::Result<Option<Outbox>> {
        outbox(&self.config, &self.keypair, runner.ledger(), &self.settings.paths)
    }
}

/// Creates the outbox of a ledger, if submissions are enabled.
fn outbox(
    config: &Config,
    keypair: &Arc<Keypair>,
    ledger: &Arc<Ledger>,
    paths: &RunPaths,
) -> anyhow::Result<Option<Outbox>> {
    if !config.submits() {
        return Ok(None);
    }
    let storage =
        config.operator.s3.enabled.then(|| ObjectStorage::open(&config.operator.s3)).transpose()?;
    let settings = OutboxSettings {
        timeout: config.submission.timeout,
        concurrency: config.submission.concurrency,
        ..OutboxSettings::new(config.submit_api_url(), paths.clone())
    };
    let outbox = Outbox::new(Arc::clone(ledger), Arc::clone(keypair), storage, settings);
    Ok(Some(outbox.context("cannot set up TLS")?))
}

/// Returns the policy that admits miners' addresses.
pub fn address_policy(config: &Config) -> AddressPolicy {
    AddressPolicy {
        allow_private: config.dev_mode,
        in_container: in_container(),
        local_miner_ip: config.local_miner_ip.clone().filter(|_| config.dev_mode),
    }
}

fn miner_source(args: &RunnerArgs, config: &Config) -> anyhow::Result<MinerSource> {
    let policy = address_policy(config);
    let Some(file) = &args.miners else { return Ok(MinerSource::Metagraph(policy)) };
    let listed_miners = read_miners(file, &policy, config.max_miners)?;
    if listed_miners.is_empty() {
        bail!("{} contains no miner", file.display());
    }
    Ok(MinerSource::Listed(listed_miners))
}

/// Creates the chain access: the subtensor gateway, with the network's nodes as fallback.
fn chain_view(args: &RunnerArgs, config: &Config) -> anyhow::Result<ChainView> {
    let token = args.token.token(config)?;
    let gateway =
        GatewayClient::new(&config.gateway_url(), token.as_ref(), config.services.gateway_timeout)?;
    let network = configured_network(fallback(config))?;
    let connect: ConnectChain = Arc::new(move || {
        let network = network.clone();
        Box::pin(async move { Ok(Arc::new(Client::connect(&network).await?) as Arc<dyn Chain>) })
    });
    Ok(ChainView::new(gateway, config.netuid, Some(connect)))
}

/// Returns whether this process runs in a container that can resolve `host.docker.internal`.
fn in_container() -> bool {
    Path::new("/.dockerenv").exists() && ("host.docker.internal", 0).to_socket_addrs().is_ok()
}

/// Returns the directories of the run's files: below `keep`, else from the environment.
pub(crate) fn run_paths(keep: Option<&Path>, config: &Config) -> RunPaths {
    match keep {
        Some(dir) => RunPaths::in_directory(dir),
        None => RunPaths {
            logs: config.logs_dir.clone(),
            scores: config.scores_dir.clone(),
            status: config.status_dir.clone(),
            // In the scores directory, so that ledger and results move together.
            state: config.scores_dir.join(".ledger"),
        },
    }
}

/// Checks that the configured runner can open its ledger.
pub async fn check_ledger(config: &Config) -> Finding {
    let directory = run_paths(None, config).state;
    let subject = format!("runner: {}", directory.display());
    match Ledger::read(&directory).await {
        Ok(_) => Finding::ok(Check::Ledger, subject, "can be read"),
        Err(LedgerError::Missing(_)) => Finding::skipped(Check::Ledger, subject, "no ledger yet"),
        Err(LedgerError::Version { actual, expected, .. }) if actual < expected => {
            let observation =
                format!("schema version {actual}, which the runner migrates at its start");
            Finding::ok(Check::Ledger, subject, observation)
        }
        Err(error) => {
            let remedy =
                "check the owner of the directory, and restore a backup if the database is damaged";
            Finding::error(Check::Ledger, subject, &error, remedy)
        }
    }
}

/// Creates a scorer that transcribes with workers if `NATS_URL` is set, else in this process.
fn create_scorer(
    config: &Config,
    models: Option<PathBuf>,
    gates: bool,
    context: &Context,
) -> anyhow::Result<BatchScorer> {
    let Some(services) = services(config)? else { return scorer(config, models, gates, context) };
    let config =
        &Config { models_dir: models.or_else(|| config.models_dir.clone()), ..config.clone() };
    let identity = engines::network_identity(config)?;
    let embedder = engines::embedder(&config.embedder, config.models_dir.clone(), context)?;
    let cache =
        TranscriptCache::open(&config.transcript_cache, &identity, TRANSCRIPT_CACHE_CAPACITY)?;
    let fallback_config = config.clone();
    let load: LoadRecognizer = Arc::new(move || Ok(engines::network_recognizer(&fallback_config)?));
    let workers = Workers::start(services, identity.clone(), load)
        .context("cannot start the client of the scoring workers")?;
    Ok(BatchScorer::with_backend(
        identity,
        Arc::new(workers),
        embedder,
        cache,
        config.scoring.clone(),
        gates,
    ))
}

/// Creates a scorer that transcribes in this process.
pub fn scorer(
    config: &Config,
    models: Option<PathBuf>,
    gates: bool,
    context: &Context,
) -> anyhow::Result<BatchScorer> {
    let config =
        &Config { models_dir: models.or_else(|| config.models_dir.clone()), ..config.clone() };
    scorer_with(engines::network_recognizer(config)?, config, gates, context)
}

/// Loads the scorer with another recogniser than that of the settings; `gates` as in [`scorer`].
pub fn scorer_with(
    recognizer: Arc<dyn Recognizer>,
    config: &Config,
    gates: bool,
    context: &Context,
) -> anyhow::Result<BatchScorer> {
    let embedder = engines::embedder(&config.embedder, config.models_dir.clone(), context)?;
    let identity = EngineIdentity::for_recognizer(&*recognizer);
    let cache =
        TranscriptCache::open(&config.transcript_cache, &identity, TRANSCRIPT_CACHE_CAPACITY)?;
    let settings = ScorerSettings { gates, ..ScorerSettings::default() };
    Ok(BatchScorer::new(recognizer, embedder, cache, config.scoring.clone(), settings)?)
}

/// Creates the client of the utterance engine in the settings.
pub fn engine_client(config: &Config, keypair: &Arc<Keypair>) -> anyhow::Result<EngineClient> {
    let options = EngineOptions { timeout: config.api_timeout, ..EngineOptions::default() };
    Ok(EngineClient::new(config.engine_url.as_str(), Arc::clone(keypair), options)?)
}

/// Creates a factory of signed connections to miners, which share an HTTP client and its pool.
/// `external_ip` is part of the signed headers.
fn connector(
    keypair: &Arc<Keypair>,
    external_ip: IpAddr,
    config: &Config,
    settings: &RunnerSettings,
) -> anyhow::Result<ConnectMiner> {
    let signer =
        Signer::new(Keypair::clone(keypair), external_ip.to_string(), BabelbitScheme::axon());
    let client_config = ClientConfig {
        max_response_bytes: settings.play.max_response_bytes(MAX_CHANNELS),
        ..ClientConfig::default()
    };
    let client = SignedClient::new(signer, client_config)?;
    let predict_endpoint = config.predict_endpoint.clone();
    Ok(Arc::new(move |entry| {
        let miner = HttpMiner::new(client.clone(), entry, &predict_endpoint)?;
        Ok(Arc::new(miner) as Arc<dyn MinerConnection>)
    }))
}

/// Opens one signed connection per miner.
pub fn connect_miners(
    entries: &[MinerEntry],
    keypair: &Arc<Keypair>,
    external_ip: IpAddr,
    config: &Config,
    settings: &RunnerSettings,
) -> anyhow::Result<Vec<Miner>> {
    connect_all(entries, &connector(keypair, external_ip, config, settings)?)
}

fn connect_all(entries: &[MinerEntry], connect: &ConnectMiner) -> anyhow::Result<Vec<Miner>> {
    let miners = entries.iter().map(|entry| {
        let connection =
            connect(entry).with_context(|| format!("cannot call miner {}", entry.uid))?;
        let key = MinerKey { uid: entry.uid, hotkey: entry.hotkey };
        Ok(Miner { key, name: entry.name.clone(), connection })
    });
    miners.collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use taonet_babelbit_core::protocol::InitRequest;
    use taonet_doctor::Status;
    use taonet_primitives::Uid;

    use super::*;

    /// Returns the headers of the first request that a miner receives.
    fn first_head(external_ip: IpAddr) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let keypair = Arc::new(Keypair::from_uri("//Alice").unwrap());
        let policy = AddressPolicy::private();
        let entry = MinerEntry {
            uid: Uid(1),
            hotkey: keypair.hotkey(),
            address: policy.resolve(&listener.local_addr().unwrap().to_string()).unwrap(),
            name: None,
        };
        let (config, _) = Config::from_variables([], None).unwrap();
        let settings = RunnerSettings::new(RunPaths::in_directory(Path::new("unused")));
        let miners = connect_miners(&[entry], &keypair, external_ip, &config, &settings).unwrap();
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
        let request = InitRequest::new("c", "c:0", None, 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(miners[0].connection.init(request, Duration::from_secs(10))).unwrap_err();
        miner.join().unwrap()
    }

    #[test]
    fn dendrite_ip_header_has_the_given_address() {
        for address in ["198.51.100.7", "2001:db8::1", "0.0.0.0"] {
            let head = first_head(address.parse().unwrap());
            assert!(head.contains(&format!("bt_header_dendrite_ip: {address}\r\n")), "{head}");
        }
    }

    #[tokio::test]
    async fn damaged_ledger_is_fault_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = |scores: &Path| {
            let variables = [("BB_OUTPUT_SCORES_DIR".into(), scores.into())];
            Config::from_variables(variables, None).unwrap().0
        };
        let (intact, damaged) = (folder.path().join("intact"), folder.path().join("damaged"));
        assert_eq!(check_ledger(&config(&intact)).await.status, Status::Skipped);
        let ledger = Ledger::open(&intact.join(".ledger")).await.unwrap();
        assert_eq!(check_ledger(&config(&intact)).await.status, Status::Ok);
        drop(ledger);

        let file = damaged.join(".ledger/runner.sqlite");
        std::fs::create_dir_all(damaged.join(".ledger")).unwrap();
        std::fs::write(&file, "not a database, ".repeat(4_096)).unwrap();
        let finding = check_ledger(&config(&damaged)).await;
        assert_eq!(finding.status, Status::Fault, "{finding:?}");
        assert!(finding.seen.contains(file.to_str().unwrap()), "{finding:?}");
        assert!(finding.seen.contains("is damaged"), "{finding:?}");
    }
}
