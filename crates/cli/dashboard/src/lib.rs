//! The commands `tao dashboard` and `tao top`: contests, markets and the chain on a page or in the
//! terminal.
//!
//! Each subnet has a crate with its section of the page; this crate opens the sources that the
//! arguments name, follows them as tasks of the daemon, and serves the sections of all of them
//! together:
//!
//! - the directory of a run of Babelbit, for the speech and the text contest, and optionally the
//!   scores of all validators from the scoring API;
//! - the state of a validator of Nineteen, of proofs or of text prompting, and the gateway of
//!   Nineteen;
//! - a chain, a weight ledger, the metrics of other daemons, and log files.
//!
//! The demonstration of Babelbit uses the same functions for the page that it serves while it runs.
//!
//! Beyond loopback, the page requires a token, since it shows unpublished results. It only reads
//! its sources, without locking their files. Requests to the scoring API and to miners, with which
//! visitors can speak on a page, are signed with the operator's hotkey; no other source needs a
//! key.
//!
//! `tao top` shows the overview of the same sources in the terminal, and updates it as they change.
//! Neither command changes anything on the chain.
//!
//! Charts, layout and live updates are in `taonet-dashboard`, and what a subnet shows in the crate
//! of that subnet's section: a new subnet adds its section and one argument here.
//!
//! The features `nineteen` and `proof` have the pages of `taonet-nineteen-dashboard` and
//! `taonet-proof-dashboard`, with their arguments.
//!
//! Uses `taonet-babelbit-config`, `taonet-babelbit-dashboard`, `taonet-babelbit-runner`,
//! `taonet-babelbit-scoring-api`, `taonet-chain`, `taonet-cli-babelbit`, `taonet-cli-base`,
//! `taonet-dashboard`, `taonet-primitives`, `taonet-prompting-dashboard`, `taonet-service`,
//! `taonet-speech` and `taonet-wallet`. Used by `taonet-cli` and `taonet-cli-demo`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

pub mod top;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_config::Config;
use taonet_babelbit_dashboard::{BabelbitSection, TextSection, TrySection, TrySettings};
use taonet_babelbit_runner::{Miner, RunPaths, RunnerSettings, read_miners};
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_chain::Network;
use taonet_cli_babelbit::runner;
use taonet_cli_babelbit::settings;
use taonet_cli_base::chain::parse_network;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs};
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::run_log::log_file;
use taonet_cli_base::secret_file;
use taonet_dashboard::{
    Access, BasePath, ChainSection, Changes, Dashboard, LogSection, Section, ServiceAddress,
    ServicesSection, WeightsSection, now_unix,
};
#[cfg(feature = "nineteen")]
use taonet_nineteen_dashboard::NineteenSection;
use taonet_primitives::NetUid;
use taonet_prompting_dashboard::PromptingSection;
#[cfg(feature = "proof")]
use taonet_proof_dashboard::ProofSection;
use taonet_service::Shutdown;
use taonet_speech::{CtcRecognizer, Recognizer};
use taonet_wallet::Keypair;
use url::Url;

/// Directory of the demonstrations' weight ledgers, below the directory of a run.
const WEIGHTS_DIRECTORY: &str = "weights";
/// Maximum number of miners in a file for visitors.
const MAX_MINERS: usize = 256;

/// Arguments with sources that need no directory of a run.
const OTHER_SOURCES: &[&str] = &[
    "chain",
    #[cfg(feature = "nineteen")]
    "nineteen",
    #[cfg(feature = "nineteen")]
    "nineteen_gateway",
    #[cfg(feature = "proof")]
    "proof",
    "prompting",
];

/// Sources of the pages
#[derive(Debug, Args)]
pub(crate) struct PageSourceArgs {
    /// Directory of a run, as written by `bb runner --keep` or `tao demo --keep`; optional with --chain, --nineteen, --nineteen-gateway, --proof
    /// or --prompting
    #[arg(long, value_name = "DIR")]
    #[arg(required_unless_present_any = OTHER_SOURCES)]
    state: Option<PathBuf>,
    /// Chain to show, with or without --state: finney, test, archive, local, or node URLs
    #[arg(long, value_name = "NETWORK")]
    chain: Option<String>,
    /// Weight ledger to show as well: the --state of `bb subtensor-gateway` [default: the latest
    /// one that `tao demo --keep` left in the directory of the run]
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Daemon to show as well, with its metrics: NAME=URL, where /metrics is below the URL; can be
    /// repeated
    #[arg(long = "service", value_name = "NAME=URL")]
    services: Vec<ServiceAddress>,
    /// Validator of Nineteen to show as well: the --state of `tao nineteen validator`, with its
    /// SQLite database
    #[cfg(feature = "nineteen")]
    #[arg(long, value_name = "DIR")]
    nineteen: Option<PathBuf>,
    /// Gateway of Nineteen to show as well: the address of `tao nineteen validator` or `tao
    /// nineteen entry`, such as http://127.0.0.1:8091
    #[cfg(feature = "nineteen")]
    #[arg(long, value_name = "URL")]
    nineteen_gateway: Option<Url>,
    /// Validator of proofs to show as well: the --state of `tao proof validator`
    #[cfg(feature = "proof")]
    #[arg(long, value_name = "DIR")]
    proof: Option<PathBuf>,
    /// Directory with the circuits of this validator, for their names and sizes
    #[cfg(feature = "proof")]
    #[arg(long, value_name = "DIR", requires = "proof")]
    proof_circuits: Option<PathBuf>,
    /// Validator of text prompting to show as well: the --state of `tao prompting validator`
    #[arg(long, value_name = "DIR")]
    prompting: Option<PathBuf>,
    /// Netuid of the subnet on the chain
    #[arg(long, default_value = "59")]
    netuid: NetUid,
}

/// Sections of the page, updated from their sources by background tasks until shutdown.
pub(crate) struct Sources {
    /// The contest in the directory of a run, if one is given.
    babelbit: Option<Arc<BabelbitSection>>,
    pub(crate) sections: Vec<Arc<dyn Section>>,
    pub(crate) changes: Changes,
}

impl PageSourceArgs {
    /// Opens the sources, and follows them as tasks of the daemon.
    pub(crate) async fn open(&self, shutdown: &Shutdown) -> anyhow::Result<Sources> {
        let network = self.chain.as_deref().map(parse_network).transpose()?;
        let changes = Changes::default();
        let mut sections: Vec<Arc<dyn Section>> = Vec::new();
        let babelbit = match &self.state {
            Some(state) => Some(open_contest(state, &mut sections, &changes, shutdown).await),
            None => None,
        };
        let services =
            (!self.services.is_empty()).then(|| ServicesSection::new(self.services.clone()));
        #[cfg(feature = "nineteen")]
        self.open_nineteen(&mut sections, &changes, shutdown);
        #[cfg(feature = "proof")]
        self.open_proof(services.as_ref(), &mut sections, &changes, shutdown);
        self.open_prompting(&mut sections, &changes, shutdown);
        let chain = network.is_some().then(|| ChainSection::new(self.netuid));
        if let Some(directory) =
            self.weights.clone().or_else(|| latest_weight_ledger(self.state.as_deref()?))
        {
            let weights = WeightsSection::new(chain.clone());
            sections.push(Arc::clone(&weights) as _);
            follow_weights(weights, directory, changes.clone(), shutdown, shutdown.clone());
        }
        if let Some((chain, network)) = chain.zip(network) {
            sections.push(Arc::clone(&chain) as _);
            follow_chain(chain, network, changes.clone(), shutdown, shutdown.clone());
        }
        if let Some(services) = services {
            sections.push(Arc::clone(&services) as _);
            follow_services(services, changes.clone(), shutdown, shutdown.clone());
        }
        Ok(Sources { babelbit, sections, changes })
    }

    /// Adds the pages of Nineteen, and follows them as a task of the daemon.
    #[cfg(feature = "nineteen")]
    fn open_nineteen(
        &self,
        sections: &mut Vec<Arc<dyn Section>>,
        changes: &Changes,
        shutdown: &Shutdown,
    ) {
        if self.nineteen.is_some() || self.nineteen_gateway.is_some() {
            let nineteen =
                NineteenSection::new(self.nineteen.clone(), self.nineteen_gateway.clone());
            sections.push(Arc::clone(&nineteen) as _);
            follow_market(nineteen, changes.clone(), shutdown);
        }
    }

    /// Adds the pages of proofs, and follows them as a task of the daemon.
    #[cfg(feature = "proof")]
    fn open_proof(
        &self,
        services: Option<&Arc<ServicesSection>>,
        sections: &mut Vec<Arc<dyn Section>>,
        changes: &Changes,
        shutdown: &Shutdown,
    ) {
        if let Some(state) = &self.proof {
            let proof =
                ProofSection::new(state.clone(), self.proof_circuits.clone(), services.cloned());
            sections.push(Arc::clone(&proof) as _);
            follow_proofs(proof, changes.clone(), shutdown);
        }
    }

    /// Adds the page of text prompting, and follows it as a task of the daemon.
    fn open_prompting(
        &self,
        sections: &mut Vec<Arc<dyn Section>>,
        changes: &Changes,
        shutdown: &Shutdown,
    ) {
        if let Some(state) = &self.prompting {
            let prompting = PromptingSection::new(state.clone());
            sections.push(Arc::clone(&prompting) as _);
            follow_steps(prompting, changes.clone(), shutdown);
        }
    }
}

/// Adds the pages of the contests in the directory of a run, and follows them as tasks of the
/// daemon.
async fn open_contest(
    state: &Path,
    sections: &mut Vec<Arc<dyn Section>>,
    changes: &Changes,
    shutdown: &Shutdown,
) -> Arc<BabelbitSection> {
    let paths = RunPaths::in_directory(state);
    let text = TextSection::open(&paths).await;
    // Without results of the text contest, a missing ledger is a problem to report.
    let has_speech = text.is_none() || BabelbitSection::has_ledger(&paths);
    let babelbit = BabelbitSection::open(paths).await;
    if has_speech {
        sections.push(Arc::clone(&babelbit) as _);
        follow_contest(Arc::clone(&babelbit), changes.clone(), shutdown);
    }
    if let Some(text) = text {
        sections.push(Arc::clone(&text) as _);
        follow_text(text, changes.clone(), shutdown);
    }
    babelbit
}

/// Services that require signed requests
#[derive(Debug, Args)]
struct SignedArgs {
    /// Scoring API with the scores of all validators to show as well; requests are signed with the
    /// hotkey
    #[arg(long, value_name = "URL", requires = "state")]
    scoring_api: Option<Url>,
    /// JSON file of miners that visitors can talk to, as for `bb runner --miners`; requests are
    /// signed with the hotkey
    #[arg(long, value_name = "JSON")]
    miners: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

/// The services of [`SignedArgs`].
#[derive(Default)]
struct SignedServices {
    scores: Option<ScoresClient>,
    visitors: Option<(Arc<TrySection>, Vec<Miner>)>,
}

impl SignedArgs {
    fn signed_services(&self) -> anyhow::Result<SignedServices> {
        if self.scoring_api.is_none() && self.miners.is_none() {
            if self.key.is_given() {
                let hint = "hint: the hotkey signs requests to the scoring API and to miners only; pass --scoring-api \
                            URL or --miners JSON";
                return Err(ClassifiedError::usage(format!("the hotkey has no effect\n{hint}")));
            }
            return Ok(SignedServices::default());
        }
        let config = settings::load()?;
        let keypair = Arc::new(self.key.load(None)?);
        let scores = self
            .scoring_api
            .as_ref()
            .map(|url| ScoresClient::new(url, Arc::clone(&keypair)))
            .transpose()?;
        let visitors = self
            .miners
            .as_deref()
            .map(|file| visitor_section(file, &keypair, &config))
            .transpose()?;
        Ok(SignedServices { scores, visitors })
    }
}

/// Returns the page "Try it", with connections to the miners listed in a file. Recordings of
/// visitors are never stored.
fn visitor_section(
    file: &Path,
    keypair: &Arc<Keypair>,
    config: &Config,
) -> anyhow::Result<(Arc<TrySection>, Vec<Miner>)> {
    let entries = read_miners(file, &runner::address_policy(config), MAX_MINERS)?;
    let settings = RunnerSettings::new(RunPaths::in_directory(Path::new("")));
    let miners =
        runner::connect_miners(&entries, keypair, Ipv4Addr::UNSPECIFIED.into(), config, &settings)?;
    let settings = try_settings(&config.scoring.target_language, None)?;
    Ok((TrySection::new(settings), miners))
}

/// Returns the settings of the page "Try it", with captions by a Whisper model, or by the embedded
/// recogniser, and without samples and storage.
pub fn try_settings(
    target_language: &str,
    whisper: Option<Arc<dyn Recognizer>>,
) -> anyhow::Result<TrySettings> {
    let (recognizer, recognized_speech) = match whisper {
        Some(whisper) => (whisper, "speech of any speaker in about a hundred languages"),
        None => (
            Arc::new(CtcRecognizer::embedded()?) as _,
            "synthesised English speech only: it is a test double",
        ),
    };
    Ok(TrySettings {
        recognizer,
        recognized_speech,
        target_language: target_language.to_owned(),
        samples: Vec::new(),
        recordings: None,
    })
}

/// Returns a new directory for the weight ledger of a demonstration, below the directory of its
/// run. A ledger of an earlier demonstration is not reused, since its chain no longer exists.
pub fn new_weight_ledger(state: &Path) -> PathBuf {
    state.join(WEIGHTS_DIRECTORY).join(now_unix().to_string())
}

/// Returns the directory of the latest ledger from [`new_weight_ledger`].
fn latest_weight_ledger(state: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(state.join(WEIGHTS_DIRECTORY)).ok()?.filter_map(Result::ok);
    let ledgers = entries.filter_map(|entry| {
        let start_time = entry.file_name().to_str()?.parse::<i64>().ok()?;
        Some((start_time, entry.path()))
    });
    ledgers.max_by_key(|(start_time, _)| *start_time).map(|(_, path)| path)
}

/// Show contests, markets and a chain on a web page: leaderboard, recordings, tasks, blocks,
/// accounts
#[derive(Debug, Args)]
pub struct DashboardArgs {
    #[command(flatten)]
    sources: PageSourceArgs,
    /// Listen address; beyond loopback, a token is required
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8099")]
    listen: SocketAddr,
    /// File with an access token; browsers prompt for it as a password
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Path below which a reverse proxy publishes the page, such as /contest [default: /]
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    base_path: BasePath,
    /// Log file of another daemon to show as well, written with --log-format json; can be repeated
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    signed: SignedArgs,
}

/// Runs `tao dashboard`.
pub fn run(args: &DashboardArgs, context: &Context) -> anyhow::Result<()> {
    let access = access_rule(args)?;
    let SignedServices { scores, visitors } = args.signed.signed_services()?;
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let Sources { babelbit, sections, changes } = args.sources.open(&shutdown).await?;
        if let Some((babelbit, scores)) = babelbit.zip(scores) {
            follow_scores(babelbit, scores, changes.clone(), &shutdown, shutdown.clone());
        }
        let dashboard = Dashboard::new(access, args.base_path.clone(), changes.clone());
        let mut dashboard = sections.into_iter().fold(dashboard, Dashboard::with);
        let logs: Vec<_> = args
            .sources
            .state
            .iter()
            .map(|state| log_file(state))
            .chain(args.log.iter().cloned())
            .collect();
        if !logs.is_empty() {
            let log = LogSection::new(logs);
            follow_log(Arc::clone(&log), changes.clone(), &shutdown);
            dashboard = dashboard.with(log);
        }
        if let Some((section, miners)) = visitors {
            section.offer(miners, &changes);
            dashboard = dashboard.with(Arc::clone(&section) as _);
            follow_visitors(section, &shutdown);
        }
        let router = dashboard.router(shutdown.clone());
        daemon.serve_until(shutdown, "dashboard", router, context).await
    })
}

/// Follows the runner as a task of the daemon.
pub fn follow_contest(babelbit: Arc<BabelbitSection>, changes: Changes, shutdown: &Shutdown) {
    shutdown.spawn_until("contest", |stop| async move { babelbit.follow(&changes, &stop).await });
}

/// Follows the scoring API as a task of the daemon, until `stop`.
pub fn follow_scores(
    babelbit: Arc<BabelbitSection>,
    client: ScoresClient,
    changes: Changes,
    daemon_shutdown: &Shutdown,
    stop: Shutdown,
) {
    daemon_shutdown
        .spawn("scores", async move { babelbit.follow_scores(&client, &changes, &stop).await });
}

/// Follows the results of the text contest as a task of the daemon.
fn follow_text(text: Arc<TextSection>, changes: Changes, shutdown: &Shutdown) {
    shutdown.spawn_until("text contest", |stop| async move { text.follow(&changes, &stop).await });
}

/// Follows Nineteen's database and gateway as a task of the daemon.
#[cfg(feature = "nineteen")]
fn follow_market(nineteen: Arc<NineteenSection>, changes: Changes, shutdown: &Shutdown) {
    shutdown.spawn_until("market", |stop| async move { nineteen.follow(&changes, &stop).await });
}

/// Follows the scores of a validator of proofs as a task of the daemon.
#[cfg(feature = "proof")]
fn follow_proofs(proof: Arc<ProofSection>, changes: Changes, shutdown: &Shutdown) {
    shutdown.spawn_until("proofs", |stop| async move { proof.follow(&changes, &stop).await });
}

/// Follows the steps of a validator of text prompting as a task of the daemon.
fn follow_steps(prompting: Arc<PromptingSection>, changes: Changes, shutdown: &Shutdown) {
    shutdown.spawn_until("steps", |stop| async move { prompting.follow(&changes, &stop).await });
}

/// Follows the metrics of other daemons as a task of the daemon, until `stop`.
pub fn follow_services(
    services: Arc<ServicesSection>,
    changes: Changes,
    daemon_shutdown: &Shutdown,
    stop: Shutdown,
) {
    daemon_shutdown.spawn("services", async move { services.follow(&changes, &stop).await });
}

/// Removes expired visits as a task of the daemon.
pub fn follow_visitors(visitors: Arc<TrySection>, shutdown: &Shutdown) {
    shutdown.spawn_until("visitors", |stop| async move { visitors.follow(&stop).await });
}

/// Follows log files as a task of the daemon.
pub fn follow_log(log: Arc<LogSection>, changes: Changes, shutdown: &Shutdown) {
    shutdown.spawn_until("log", |stop| async move { log.follow(&changes, &stop).await });
}

/// Follows the chain as a task of the daemon, until `stop`.
pub fn follow_chain(
    chain: Arc<ChainSection>,
    network: Network,
    changes: Changes,
    daemon_shutdown: &Shutdown,
    stop: Shutdown,
) {
    daemon_shutdown.spawn("chain", async move { chain.follow(&network, &changes, &stop).await });
}

/// Follows the weight ledger as a task of the daemon, until `stop`.
pub fn follow_weights(
    weights: Arc<WeightsSection>,
    directory: PathBuf,
    changes: Changes,
    daemon_shutdown: &Shutdown,
    stop: Shutdown,
) {
    daemon_shutdown
        .spawn("weights", async move { weights.follow(&directory, &changes, &stop).await });
}

/// Returns the access rule of the page: a token is required beyond loopback.
fn access_rule(args: &DashboardArgs) -> anyhow::Result<Access> {
    match &args.token_file {
        Some(path) => Ok(Access::Token(secret_file::read_token(path)?)),
        None if args.listen.ip().is_loopback() => Ok(Access::Local),
        None => Err(ClassifiedError::usage(format!(
            "{} is not a loopback address: a token is required, since the page shows unpublished results\nhint: \
                 write one with `openssl rand -hex 32 > token` and pass --token-file token",
            args.listen
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_weights_of_a_demonstration_are_found() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(latest_weight_ledger(state.path()), None);
        let newest = new_weight_ledger(state.path());
        for directory in
            [&newest, &state.path().join("weights/999"), &state.path().join("weights/other")]
        {
            std::fs::create_dir_all(directory).unwrap();
        }
        assert_eq!(latest_weight_ledger(state.path()), Some(newest));
    }
}
