use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use taonet_babelbit_arena::client::{Arena, ArenaConfig};
use taonet_babelbit_challenges::Challenge;
use taonet_babelbit_config::Config;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_engine::client::ChallengeKind;
use taonet_babelbit_engine::server::{Engine, EngineConfig};
use taonet_babelbit_miner::MinerConfig;
use taonet_babelbit_miner::profile::{
    Interpreter, InterpreterVoice, Mumbler, Parrot, Patient, Profile, Silent,
};
use taonet_babelbit_miner::server::{Miner as MinerServer, router, signed_requests};
use taonet_babelbit_runner::submission::{Outbox, OutboxSettings};
use taonet_babelbit_runner::{
    AddressPolicy, ChainView, Miner, MinerEntry, RunEvent, RunPaths, RunReport, Runner,
    RunnerSettings, registered_miners,
};
use taonet_babelbit_scorer::BatchScorer;
use taonet_babelbit_validator::{BabelbitSettings, CurrentChallenge};
use taonet_cli_babelbit::miner::build_interpreter;
use taonet_cli_babelbit::runner::{connect_miners, engine_client, scorer, scorer_with};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::run_demonstration;
use taonet_cli_localnet::demo_chain::{DemoChain, NETUID, VALIDATOR};
use taonet_cli_models::engines::{self, SimultaneousPolicy};
use taonet_cli_models::voice::Speech;
use taonet_primitives::Uid;
use taonet_service::Shutdown;
use taonet_speech::{CtcRecognizer, Espeak, Synthesizer};
use taonet_wallet::Keypair;
use taonet_whisper::Transcriber;
use taonet_wire::Policy;
use url::Url;

use super::epoch::set_weights;
use super::miner_key;
use super::page::{MINER_PREFIX, Page, VISITORS_MINER_PREFIX, serve_listed};
use super::report::{DemoReport, PlayedChallenge};
use super::services::Services;
use super::whisper::WhisperBase;

/// Minimum timeout of each call in challenges that miners translate: several of them share Whisper
/// and the cores of this machine.
const TRANSLATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Models of the contest, in place of the embedded recogniser and the voices of espeak-ng.
pub(crate) struct ContestModels {
    /// Recognisers of the validator and of the miners.
    pub(crate) whisper: Option<WhisperBase>,
    /// Voice of the miners, and of the sources if they are in English.
    pub(crate) voice: Option<Speech>,
}

/// A contest with its engines loaded.
pub(crate) struct Contest {
    config: Config,
    /// Synthesiser of the sources.
    synthesizer: Arc<dyn Synthesizer>,
    profiles: Vec<Arc<dyn Profile>>,
    /// Profiles of additional miners with the recogniser for visitors, which replace the contest's
    /// miners of the same names on the page "Try it"; empty without such a recogniser.
    visitors_profiles: Vec<Arc<dyn Profile>>,
    scorer: Arc<BatchScorer>,
    validator: Arc<Keypair>,
    /// Directory for the results.
    directory: PathBuf,
}

impl Contest {
    /// Loads the other engines and prepares the miners. Blocks.
    pub(crate) fn prepare(
        mut config: Config,
        models: ContestModels,
        directory: &Path,
        context: &Context,
    ) -> anyhow::Result<Self> {
        config.recognizer = None;
        config.transcript_cache = directory.join("transcripts.jsonl");
        // Do not wait for miners of the arena: without a winner, it has none.
        config.arena.ready_timeout = Duration::ZERO;
        let ContestModels { whisper, voice } = models;
        let is_translating = whisper.as_ref().is_some_and(|whisper| whisper.translates);
        if is_translating {
            let play = &mut config.play;
            for timeout in
                [&mut play.chunk_timeout, &mut play.drain_timeout, &mut play.miner_timeout]
            {
                *timeout = TRANSLATION_TIMEOUT.max(*timeout);
            }
        }
        let espeak: Arc<dyn Synthesizer> = Arc::new(Espeak::find()?);
        let synthesizer = match &voice {
            // Whisper misunderstands parts of espeak-ng's speech. The neural voice speaks English
            // only.
            Some(neural) if !is_translating => Arc::clone(&neural.synthesizer),
            _ => Arc::clone(&espeak),
        };
        let voice = voice.unwrap_or_else(|| Speech {
            synthesizer: espeak,
            voice: InterpreterVoice::default().voice,
        });
        let interpreter = match &whisper {
            Some(whisper) => simultaneous_interpreter(&whisper.sources, voice.clone())?,
            None => build_interpreter(Arc::new(CtcRecognizer::embedded()?), voice.clone())?,
        };
        let mut profiles = interpreter_profiles(interpreter);
        let mumbler = Mumbler::new(Arc::clone(&voice.synthesizer), voice.voice.clone())?;
        profiles.extend([
            Arc::new(Parrot) as Arc<dyn Profile>,
            Arc::new(mumbler),
            Arc::new(Silent),
        ]);
        let (visitors_profiles, scorer) = match &whisper {
            Some(whisper) => (
                interpreter_profiles(simultaneous_interpreter(&whisper.visitors, voice)?),
                scorer_with(Arc::clone(&whisper.replies) as _, &config, true, context)?,
            ),
            None => (Vec::new(), scorer(&config, None, true, context)?),
        };
        Ok(Self {
            config,
            synthesizer,
            profiles,
            visitors_profiles,
            scorer: Arc::new(scorer),
            validator: Arc::new(Keypair::from_uri(VALIDATOR)?),
            directory: directory.to_owned(),
        })
    }

    /// Returns the language into which the miners interpret.
    pub(crate) fn target_language(&self) -> &str {
        &self.config.scoring.target_language
    }

    /// Plays the challenges in sequence.
    pub(crate) async fn play(
        mut self,
        challenges: Vec<Challenge>,
        page: Option<&Page>,
        context: &Context,
    ) -> anyhow::Result<DemoReport> {
        run_demonstration(async |temporary_directory, shutdown| {
            Box::pin(self.play_all(challenges, temporary_directory, page, shutdown, context)).await
        })
        .await
    }

    async fn play_all(
        &mut self,
        challenges: Vec<Challenge>,
        temporary_directory: &Path,
        page: Option<&Page>,
        shutdown: &Shutdown,
        context: &Context,
    ) -> anyhow::Result<DemoReport> {
        let chain = DemoChain::start(Keypair::clone(&self.validator)).await?;
        if let Some(page) = page {
            page.show_chain(chain.network()?);
        }
        let services = Services::start(
            &chain,
            &self.validator,
            temporary_directory,
            &self.directory,
            page,
            shutdown,
        )
        .await?;
        if let Some(page) = page {
            page.show_weights(&services.weight_ledger);
            page.show_scores(services.scores_client(&self.validator)?);
        }
        // Visitors of the page may speak to the miners after the contest.
        let lifecycle = page.map_or(shutdown, Page::lifecycle);
        let entries = self.start_miners(&chain, &services, page, lifecycle).await?;
        let settings = RunnerSettings {
            play: self.config.play.clone(),
            rules: self.config.rules,
            submit: true,
            ..RunnerSettings::new(RunPaths::in_directory(&self.directory))
        };
        let miners = connect_miners(
            &entries,
            &self.validator,
            Ipv4Addr::LOCALHOST.into(),
            &self.config,
            &settings,
        )?;
        if let Some(page) = page {
            let entries = self.start_visitors_miners(&entries, page).await?;
            let miners = connect_miners(
                &entries,
                &self.validator,
                Ipv4Addr::LOCALHOST.into(),
                &self.config,
                &settings,
            )?;
            page.offer_miners(&miners);
        }
        let outbox_settings =
            OutboxSettings::new(services.scoring_url.clone(), settings.paths.clone());
        let runner = Runner::open(
            settings,
            &self.config.scoring.target_language,
            Arc::clone(&self.scorer) as _,
        )
        .await?;
        let outbox = Outbox::new(
            Arc::clone(runner.ledger()),
            Arc::clone(&self.validator),
            None,
            outbox_settings,
        )?;
        let state = temporary_directory.join("validator.json");
        let mut played = Vec::new();
        for (position, challenge) in challenges.iter().enumerate() {
            self.config.engine_url =
                self.start_engine(challenge.clone(), &services, page, shutdown).await?;
            let title = format!("{} of {}: {}", position + 1, challenges.len(), challenge.title);
            let start = Instant::now();
            let main = self.play_one(&runner, &title, &entries, &miners, context).await?;
            submit_results(&outbox).await?;

            services.refresh_winners(engine_client(&self.config, services.owner())?).await?;
            let arena = self.arena_client(&services)?.miners(&entries).await?;
            let arena_runner = runner.with_settings(RunnerSettings {
                challenge_type: ChallengeType::Arena,
                play: self.config.rounds.arena_play(&self.config.play),
                ..runner.settings().clone()
            });
            let title = format!("{title}, the arena");
            let arena = self.play_one(&arena_runner, &title, &entries, &arena, context).await?;
            submit_results(&outbox).await?;

            let settings = BabelbitSettings {
                current: CurrentChallenge::Speech,
                arena_share: self.config.arena_share,
                rules: self.config.rules,
                cache_dir: self.directory.clone(),
            };
            let epoch =
                set_weights(&self.config, settings, &services, &self.validator, &state).await?;
            let weights = epoch.weights.clone().unwrap_or_default();
            chain.pass_epoch().await?;
            let on_chain = chain.standings(&weights).await?;
            let challenge = challenge.clone();
            played.push(PlayedChallenge {
                challenge,
                main,
                arena,
                epoch,
                weights,
                on_chain,
                wall_time: start.elapsed(),
            });
        }
        if let Some(page) = page {
            let scores = services.scores_client(&self.validator)?;
            page.stop_services(&*chain.client(), &services.weight_ledger, &scores).await;
        }
        chain.stop().await;
        DemoReport::new(played, self.config.rules, self.config.arena_share)
    }

    /// Plays the engine's challenge to `miners`, with progress bars for the miners in `entries`.
    async fn play_one(
        &self,
        runner: &Runner,
        title: &str,
        entries: &[MinerEntry],
        miners: &[Miner],
        context: &Context,
    ) -> anyhow::Result<RunReport> {
        let is_participant =
            |entry: &&MinerEntry| miners.iter().any(|miner| miner.key.uid == entry.uid);
        let progress = Progress::new(title, entries.iter().filter(is_participant), context);
        let observer = {
            let progress = progress.clone();
            move |event: RunEvent| progress.observe(&event)
        };
        // Not `run_once`: with `--keep`, it would also resume unfinished rounds of earlier
        // demonstrations.
        let engine = engine_client(&self.config, &self.validator)?;
        engine.authenticate_with_retry().await?;
        let prefetched = engine.prefetch(ChallengeKind::Main).await?;
        let report = runner.play(prefetched, miners, Arc::new(observer)).await?;
        progress.finish();
        Ok(report)
    }

    fn arena_client(&self, services: &Services) -> anyhow::Result<Arena> {
        Ok(Arena::new(ArenaConfig {
            settings: self.config.arena.clone(),
            gateway: services.arena_url.clone(),
            keypair: Arc::clone(&self.validator),
            external_ip: Ipv4Addr::LOCALHOST.to_string(),
            policy: self.address_policy(),
            predict_path: self.config.predict_endpoint.clone(),
            max_response_bytes: self.config.play.max_response_bytes(1),
        })?)
    }

    fn address_policy(&self) -> AddressPolicy {
        AddressPolicy {
            local_miner_ip: self.config.local_miner_ip.clone(),
            ..AddressPolicy::private()
        }
    }

    /// Serves one miner per profile, each with its own key, registers them, and reads them back
    /// from the metagraph.
    async fn start_miners(
        &self,
        chain: &DemoChain,
        services: &Services,
        page: Option<&Page>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Vec<MinerEntry>> {
        let mut keys = BTreeMap::new();
        for profile in &self.profiles {
            let name = profile.name();
            let keypair = miner_key(&name)?;
            let url = self
                .serve_miner(profile, &keypair, &format!("{MINER_PREFIX}{name}"), page, shutdown)
                .await?;
            chain.register(&keypair, url.port().unwrap_or_default()).await?;
            keys.insert(keypair.hotkey(), (name.to_string(), keypair));
        }
        let view = ChainView::new(services.gateway.clone(), NETUID, None);
        let mut entries = registered_miners(&view, &self.address_policy()).await?;
        for entry in &mut entries {
            let Some((name, keypair)) = keys.get(&entry.hotkey) else { continue };
            entry.name = Some(name.clone());
            services.enter_arena(keypair, entry.uid, entry.address.url()).await?;
        }
        Ok(entries)
    }

    /// Serves a miner, which answers the validator.
    async fn serve_miner(
        &self,
        profile: &Arc<dyn Profile>,
        keypair: &Keypair,
        label: &str,
        page: Option<&Page>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Url> {
        let config = MinerConfig {
            predict_path: self
                .config
                .predict_endpoint
                .parse()
                .context("BB_MINER_PREDICT_ENDPOINT")?,
            ..MinerConfig::default()
        };
        let signature_layer = signed_requests(keypair.hotkey(), &config)
            .policy(Policy::only([self.validator.hotkey()]))
            .build();
        let server = Arc::new(MinerServer::new(config, Arc::clone(profile)));
        serve_listed(page, "miner", label, router(server, signature_layer), shutdown).await
    }

    /// Serves the additional miners for visitors, which do not take part in the contest: they
    /// detect the language spoken and translate it. Returns the entries of all miners on the page
    /// "Try it".
    async fn start_visitors_miners(
        &self,
        entries: &[MinerEntry],
        page: &Page,
    ) -> anyhow::Result<Vec<MinerEntry>> {
        let mut entries = entries.to_vec();
        for profile in &self.visitors_profiles {
            let name = profile.name().to_string();
            let url = self
                .serve_miner(
                    profile,
                    &miner_key(&name)?,
                    &format!("{VISITORS_MINER_PREFIX}{name}"),
                    Some(page),
                    page.lifecycle(),
                )
                .await?;
            for entry in entries.iter_mut().filter(|entry| entry.name.as_ref() == Some(&name)) {
                entry.address = self.address_policy().resolve(url.as_str())?;
            }
        }
        Ok(entries)
    }

    async fn start_engine(
        &self,
        challenge: Challenge,
        services: &Services,
        page: Option<&Page>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Url> {
        let engine = Engine::new(EngineConfig {
            allowed: Some([self.validator.hotkey(), services.owner().hotkey()].into()),
            ..EngineConfig::new(vec![challenge], Arc::clone(&self.synthesizer))
        })?;
        engine.prepare().await?;
        serve_listed(page, "engine", "engine", engine.router(), shutdown).await
    }
}

/// Builds an interpreter that recognises speech while it is spoken.
fn simultaneous_interpreter(
    recognizer: &Arc<Transcriber>,
    voice: Speech,
) -> anyhow::Result<Interpreter> {
    let policy = engines::simultaneous_recognizer(recognizer, SimultaneousPolicy::default())?;
    Ok(build_interpreter(Arc::clone(recognizer) as _, voice)?.simultaneous(policy))
}

/// Builds the profiles that recognise speech.
fn interpreter_profiles(interpreter: Interpreter) -> Vec<Arc<dyn Profile>> {
    vec![Arc::new(interpreter.clone()), Arc::new(Patient::new(interpreter))]
}

/// Submits all results to the scoring API.
async fn submit_results(outbox: &Outbox) -> anyhow::Result<()> {
    let remaining = outbox.drain().await?;
    anyhow::ensure!(
        remaining.waiting == 0 && remaining.refused == 0,
        "the scoring API did not accept every result: {remaining:?}"
    );
    Ok(())
}

/// Progress bars, one per miner; hidden if standard error is not a terminal.
#[derive(Clone)]
struct Progress {
    title_bar: ProgressBar,
    bars: Vec<(Uid, ProgressBar)>,
}

impl Progress {
    fn new<'a>(
        title: &str,
        miners: impl Iterator<Item = &'a MinerEntry>,
        context: &Context,
    ) -> Self {
        let multi_progress = MultiProgress::new();
        if context.json {
            multi_progress.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let title_bar = multi_progress
            .add(ProgressBar::new_spinner().with_style(style).with_message(title.to_owned()));
        title_bar.enable_steady_tick(Duration::from_millis(100));
        let style =
            ProgressStyle::with_template("  {prefix:12} {bar:30.cyan} {pos}/{len} {wide_msg:.dim}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bars = miners.map(|miner| {
            let name = miner.name.clone().unwrap_or_default();
            let bar =
                multi_progress.add(ProgressBar::new(0).with_style(style.clone()).with_prefix(name));
            (miner.uid, bar)
        });
        Self { bars: bars.collect(), title_bar }
    }

    fn observe(&self, event: &RunEvent) {
        match event {
            RunEvent::Challenge { utterances, .. } => {
                for (_, bar) in &self.bars {
                    bar.set_length(*utterances as u64);
                }
            }
            RunEvent::Played { miner, .. } => {
                if let Some(bar) = self.bar(*miner) {
                    bar.inc(1);
                }
            }
            RunEvent::Failed { miner, error, .. } => {
                if let Some(bar) = self.bar(*miner) {
                    bar.inc(1);
                    bar.set_message(error.clone());
                }
            }
            RunEvent::Scored { utterance_index, scores } => {
                for (miner, score) in scores {
                    if let Some(bar) = self.bar(*miner) {
                        bar.set_message(format!("utterance {}: {score:.3}", utterance_index + 1));
                    }
                }
            }
            _ => {}
        }
    }

    fn bar(&self, miner: Uid) -> Option<&ProgressBar> {
        self.bars.iter().find(|(uid, _)| *uid == miner).map(|(_, bar)| bar)
    }

    fn finish(&self) {
        for (_, bar) in &self.bars {
            bar.finish_and_clear();
        }
        self.title_bar.finish_and_clear();
    }
}
