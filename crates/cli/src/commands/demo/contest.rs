use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::weights::ArenaShare;
use taonet_babelbit_node::challenge::Challenge;
use taonet_babelbit_node::config::{Config, Network};
use taonet_babelbit_node::engine::{Engine, EngineConfig};
use taonet_babelbit_node::engine_client::ChallengeKind;
use taonet_babelbit_node::miner::MinerConfig;
use taonet_babelbit_node::miner::profile::{Profile, ProfileName};
use taonet_babelbit_node::miner::server::{Miner as MinerServer, router, signed_requests};
use taonet_babelbit_node::runner::{AddressPolicy, MinerEntry, RunEvent, RunPaths, RunReport, Runner, RunnerSettings};
use taonet_babelbit_node::scorer::BatchScorer;
use taonet_primitives::Uid;
use taonet_service::{ServeLimits, Shutdown, serve};
use taonet_speech::{CtcRecognizer, Espeak};
use taonet_wallet::Keypair;
use taonet_wire::Policy;
use tokio::net::TcpListener;
use url::Url;

use super::chain::DemoChain;
use super::report::{DemoReport, PlayedChallenge};
use crate::commands::babelbit::miner::profile;
use crate::commands::babelbit::runner::{connect, engine_client, scorer};
use crate::context::Context;
use crate::settings;

/// The validator's key: a development key, which opens nothing of worth.
const VALIDATOR: &str = "//Alice";

/// Everything that a contest needs, loaded.
pub(super) struct Contest {
    config: Config,
    synthesizer: Arc<Espeak>,
    profiles: Vec<Arc<dyn Profile>>,
    scorer: Arc<BatchScorer>,
    validator: Arc<Keypair>,
    paths: RunPaths,
    /// Where the validator's ledger of weights is.
    ledger: PathBuf,
}

impl Contest {
    /// Loads the engines and lets the miners rehearse, which blocks.
    pub(super) fn prepare(
        models: Option<PathBuf>,
        rules: Option<Rules>,
        directory: &Path,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let mut config = settings::load()?;
        // The demonstration is a network of its own, whatever the environment says of another one.
        config.network = Network::Local;
        config.recognizer = None;
        config.dev_mode = true;
        config.local_miner_ip = None;
        config.transcript_cache = directory.join("transcripts.jsonl");
        // It has no arena, so all weight goes by the main scores.
        config.arena_share = ArenaShare::NONE;
        // The owner of the subnet, who has the first slot.
        config.burn_uid = Uid(0);
        if let Some(rules) = rules {
            (config.rules, config.scoring.rules) = (rules, rules);
        }
        let synthesizer = Arc::new(Espeak::find()?);
        let recognizer = Arc::new(CtcRecognizer::embedded()?);
        let profiles = ProfileName::ALL
            .map(|name| profile(name, || Ok(Arc::clone(&recognizer) as _), || Ok(Arc::clone(&synthesizer) as _)));
        let profiles = profiles.into_iter().collect::<Result<_, _>>()?;
        let scorer = Arc::new(scorer(&config, models, true, context)?);
        let validator = Arc::new(Keypair::from_uri(VALIDATOR)?);
        let paths = RunPaths::below(directory);
        let ledger = directory.join("ledger");
        Ok(Self { config, synthesizer, profiles, scorer, validator, paths, ledger })
    }

    /// Plays the challenges one after the other.
    pub(super) async fn play(mut self, challenges: Vec<Challenge>, context: &Context) -> anyhow::Result<DemoReport> {
        let shutdown = Shutdown::on_signals().context("signals cannot be handled")?;
        let play = self.play_all(challenges, &shutdown, context);
        let report = tokio::select! {
            report = play => report?,
            () = shutdown.requested() => anyhow::bail!("stopped"),
        };
        shutdown.request();
        shutdown.finished().await.context("a server did not stop in time")?;
        Ok(report)
    }

    async fn play_all(
        &mut self,
        challenges: Vec<Challenge>,
        shutdown: &Shutdown,
        context: &Context,
    ) -> anyhow::Result<DemoReport> {
        let chain = DemoChain::start(Keypair::clone(&self.validator)).await?;
        let entries = self.start_miners(&chain, shutdown).await?;
        let settings = RunnerSettings {
            challenge_type: ChallengeType::Main,
            play: self.config.play.clone(),
            rules: self.config.rules,
            ..RunnerSettings::new(self.paths.clone())
        };
        let miners = connect(&entries, &self.validator, Ipv4Addr::LOCALHOST.into(), &self.config, &settings)?;
        let language = self.config.scoring.target_language.clone();
        let runner = Runner::open(settings, &language, Arc::clone(&self.scorer) as _).await?;
        let mut played = Vec::new();
        for (position, challenge) in challenges.iter().enumerate() {
            self.config.engine_url = self.start_engine(challenge.clone(), shutdown).await?;
            let engine = engine_client(&self.config, &self.validator)?;
            let title = format!("{} of {}: {}", position + 1, challenges.len(), challenge.title);
            let progress = Progress::new(&title, &entries, context);
            let began = Instant::now();
            let observer = {
                let progress = progress.clone();
                move |event: RunEvent| progress.observe(&event)
            };
            // Not `run_once`: in a directory that is kept it would first finish what an earlier demonstration left.
            engine.authenticate_with_retry().await?;
            let fetched = engine.prefetch(ChallengeKind::Main).await?;
            let report: RunReport = runner.play(fetched, &miners, Arc::new(observer)).await?;
            progress.finish();
            played.push(PlayedChallenge { challenge: challenge.clone(), report, wall: began.elapsed() });
        }
        let mut report = DemoReport::new(played, self.config.rules, self.config.burn_uid);
        report.record(&chain.settle(report.weights(), &self.ledger).await?)?;
        chain.stop().await;
        Ok(report)
    }

    /// Serves one miner of each profile, each with a key of its own, and finds them again on the chain.
    async fn start_miners(&self, chain: &DemoChain, shutdown: &Shutdown) -> anyhow::Result<Vec<MinerEntry>> {
        let mut names = BTreeMap::new();
        for profile in &self.profiles {
            let name = profile.name();
            let keypair = Keypair::from_uri(&format!("//miner//{name}"))?;
            let config = MinerConfig {
                predict_path: self.config.predict_endpoint.parse().context("BB_MINER_PREDICT_ENDPOINT")?,
                ..MinerConfig::default()
            };
            let signed =
                signed_requests(keypair.hotkey(), &config).policy(Policy::only([self.validator.hotkey()])).build();
            let server = Arc::new(MinerServer::new(config, Arc::clone(profile)));
            let address = start("miner", router(server, signed), shutdown).await?;
            chain.register(&keypair, address.port()).await?;
            names.insert(keypair.hotkey(), name.to_string());
        }
        let policy = AddressPolicy { dev_mode: true, ..AddressPolicy::default() };
        let mut entries = Vec::new();
        for miner in chain.miners().await? {
            let address = policy.resolve(&miner.address.to_string())?;
            let name = names.get(&miner.hotkey).cloned();
            entries.push(MinerEntry { uid: miner.uid, hotkey: miner.hotkey, address, name });
        }
        Ok(entries)
    }

    async fn start_engine(&self, challenge: Challenge, shutdown: &Shutdown) -> anyhow::Result<Url> {
        let engine = Engine::new(EngineConfig {
            allowed: Some([self.validator.hotkey()].into()),
            ..EngineConfig::new(vec![challenge], Arc::clone(&self.synthesizer) as _)
        })?;
        engine.prepare().await?;
        let address = start("engine", engine.router(), shutdown).await?;
        Ok(Url::parse(&format!("http://{address}"))?)
    }
}

/// Serves on a free port of this machine; gives the address.
async fn start(name: &'static str, router: axum::Router, shutdown: &Shutdown) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on this machine")?;
    let address = listener.local_addr()?;
    let stop = shutdown.clone();
    shutdown.spawn(name, async move { serve(listener, router, &stop, ServeLimits::default()).await });
    Ok(address)
}

/// A line for each miner, while a challenge is played; nothing where standard error is no terminal.
#[derive(Clone)]
struct Progress {
    head: ProgressBar,
    bars: Vec<(Uid, ProgressBar)>,
}

impl Progress {
    fn new(title: &str, miners: &[MinerEntry], context: &Context) -> Self {
        let lines = MultiProgress::new();
        if context.json {
            lines.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let head = lines.add(ProgressBar::new_spinner().with_message(title.to_owned()));
        head.enable_steady_tick(Duration::from_millis(100));
        let style = ProgressStyle::with_template("  {prefix:12} {bar:30.cyan} {pos}/{len} {wide_msg:.dim}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |miner: &MinerEntry| {
            let name = miner.name.clone().unwrap_or_default();
            let bar = lines.add(ProgressBar::new(0).with_style(style.clone()).with_prefix(name));
            (miner.uid, bar)
        };
        Self { bars: miners.iter().map(bar).collect(), head }
    }

    fn observe(&self, event: &RunEvent) {
        let bar = |uid: Uid| self.bars.iter().find(|(known, _)| *known == uid).map(|(_, bar)| bar);
        match event {
            RunEvent::Challenge { utterances, .. } => {
                for (_, bar) in &self.bars {
                    bar.set_length(*utterances as u64);
                }
            }
            RunEvent::Played { miner, .. } => {
                if let Some(bar) = bar(*miner) {
                    bar.inc(1);
                }
            }
            RunEvent::Failed { miner, error, .. } => {
                if let Some(bar) = bar(*miner) {
                    bar.inc(1);
                    bar.set_message(error.clone());
                }
            }
            RunEvent::Scored { utterance_index, scores } => {
                for (miner, score) in scores {
                    if let Some(bar) = bar(*miner) {
                        bar.set_message(format!("utterance {}: {score:.3}", utterance_index + 1));
                    }
                }
            }
            _ => {}
        }
    }

    fn finish(&self) {
        for (_, bar) in &self.bars {
            bar.finish_and_clear();
        }
        self.head.finish_and_clear();
    }
}
