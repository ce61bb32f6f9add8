//! `tao demo --contest text`: the text-prediction contest on this machine, chain included.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use taonet_babelbit_challenges::{ChallengeFile, Challenges, Source, TextChallenge};
use taonet_babelbit_config::Config;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::weights::ArenaShare;
use taonet_babelbit_engine::server::{Engine, EngineConfig};
use taonet_babelbit_runner::submission::{Outbox, OutboxSettings};
use taonet_babelbit_runner::{AddressPolicy, ChainView, MinerEntry, RunPaths, registered_miners};
use taonet_babelbit_text_miner::model::{RandomWords, Silent, TextModel};
use taonet_babelbit_text_miner::ngram::{NgramModel, Trainer};
use taonet_babelbit_text_miner::server::{router, signed_requests};
use taonet_babelbit_text_runner::{PlayOptions, TextReport, TextRunner, open_ledger};
use taonet_babelbit_validator::{BabelbitSettings, CurrentChallenge};
use taonet_cli_babelbit::runner::{connect_text_miners, engine_client, text_leaderboard};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{run_demonstration, serve_on_loopback};
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::{decimals, table};
use taonet_cli_base::tables::TEXT_STANDINGS;
use taonet_cli_localnet::demo_chain::{DemoChain, MinerOnChain, NETUID, VALIDATOR};
use taonet_cli_models::engines;
use taonet_primitives::{Uid, Weights, counted};
use taonet_service::Shutdown;
use taonet_speech::SentenceEmbedder;
use taonet_validator::EpochReport;
use taonet_wallet::Keypair;
use taonet_wire::Policy;

use super::epoch::set_weights;
use super::page::{is_interactive, serve_text_results};
use super::services::Services;
use super::{DemoArgs, OutputDirectory, local_config, miner_key};

/// Maximum context length of the model in words: small, since there are few training texts.
const MAX_CONTEXT_WORDS: usize = 3;

pub(crate) fn run(args: &DemoArgs, context: &Context) -> anyhow::Result<()> {
    if args.stt.is_some() {
        return Err(ClassifiedError::usage(
            "--stt is for the speech contest\nhint: omit --stt or --contest text",
        ));
    }
    let challenge = load_challenge(args)?;
    let output_directory = OutputDirectory::open(args.keep.clone())?;
    let config = local_config(args.rules)?;
    let models = args.models.clone().or_else(|| config.models_dir.clone());
    let demo = TextDemo {
        embedder: engines::embedder(&config.embedder, models, context)?,
        validator: Arc::new(Keypair::from_uri(VALIDATOR)?),
        ngram: Arc::new(train_model()?),
        config,
    };
    let report = context.block_on(demo.play(challenge, output_directory.path()))?;
    if context.json {
        return context.print_json(&report.document());
    }
    context.print(&report.to_string())?;
    if args.no_page || !is_interactive() {
        return Ok(());
    }
    context.block_on(serve_text_results(output_directory.path(), context))
}

/// Loads the challenge of `--challenge`, by default the shipped one.
fn load_challenge(args: &DemoArgs) -> anyhow::Result<TextChallenge> {
    match args.challenge.as_deref() {
        None | Some("1") => Ok(Challenges::text()?),
        Some(file) => match ChallengeFile::load(Path::new(file))
            .with_context(|| format!("--challenge {file}"))?
        {
            ChallengeFile::Text(challenge) => Ok(challenge),
            ChallengeFile::Speech(_) => {
                Err(ClassifiedError::usage(format!("--challenge {file}: not a text challenge")))
            }
        },
    }
}

/// Trains a model on the sentences of the shipped speech challenges, which are not played.
fn train_model() -> anyhow::Result<NgramModel> {
    let mut trainer = Trainer::new(MAX_CONTEXT_WORDS)?;
    for utterance in Challenges::english()?.iter().flat_map(|challenge| &challenge.utterances) {
        if let Source::Text { text, .. } = &utterance.source {
            add_sentences(&mut trainer, text)?;
        }
        add_sentences(&mut trainer, &utterance.target.text)?;
    }
    Ok(trainer.finish(|_| ())?)
}

fn add_sentences(trainer: &mut Trainer, text: &str) -> anyhow::Result<()> {
    for sentence in text.split_inclusive(['.', '?', '!']) {
        trainer.add(sentence)?;
    }
    Ok(())
}

struct TextDemo {
    config: Config,
    embedder: Arc<dyn SentenceEmbedder>,
    ngram: Arc<NgramModel>,
    validator: Arc<Keypair>,
}

impl TextDemo {
    async fn play(
        &self,
        challenge: TextChallenge,
        directory: &Path,
    ) -> anyhow::Result<TextDemoReport> {
        run_demonstration(async |temporary_directory, shutdown| {
            self.play_once(challenge, directory, temporary_directory, shutdown).await
        })
        .await
    }

    async fn play_once(
        &self,
        challenge: TextChallenge,
        directory: &Path,
        temporary_directory: &Path,
        shutdown: &Shutdown,
    ) -> anyhow::Result<TextDemoReport> {
        let chain = DemoChain::start(Keypair::clone(&self.validator)).await?;
        let services = Services::start(
            &chain,
            &self.validator,
            temporary_directory,
            directory,
            None,
            shutdown,
        )
        .await?;
        let entries = self.start_miners(&chain, &services, shutdown).await?;
        let engine = Engine::new(EngineConfig {
            allowed: Some([self.validator.hotkey()].into()),
            ..EngineConfig::for_texts(vec![challenge])
        })?;
        let mut config = self.config.clone();
        config.engine_url = serve_on_loopback("engine", engine.router(), shutdown).await?;

        let paths = RunPaths::in_directory(directory);
        let runner = TextRunner {
            ledger: open_ledger(&paths).await?,
            paths: paths.clone(),
            submit: true,
            challenge_type: ChallengeType::Main,
            main_challenge_uid: None,
            options: PlayOptions {
                step_timeout: config.play.miner_timeout,
                ..PlayOptions::default()
            },
            steps: None,
            embedder: Arc::clone(&self.embedder),
            vectors: config.text_vectors,
            rules: config.rules,
        };
        let client = engine_client(&config, &self.validator)?;
        let miners = connect_text_miners(&entries, &self.validator, Ipv4Addr::LOCALHOST.into())?;
        let run = runner.run_once(&client, &miners, |_| ()).await?;
        anyhow::ensure!(
            !run.files.is_empty(),
            "{} already contains scores for this challenge\nhint: choose another directory with --keep",
            directory.display()
        );
        let settings = OutboxSettings::new(services.scoring_url.clone(), paths);
        let outbox =
            Outbox::new(Arc::clone(&runner.ledger), Arc::clone(&self.validator), None, settings)?;
        let counts = outbox.drain().await?;
        anyhow::ensure!(
            counts.waiting + counts.refused == 0,
            "the scoring API did not accept {}; see the log",
            counted(counts.waiting + counts.refused, "file")
        );

        let babelbit = BabelbitSettings {
            current: CurrentChallenge::Text,
            // The text contest has no arena here: weights are proportional to main scores.
            arena_share: ArenaShare::NONE,
            rules: config.rules,
            cache_dir: directory.to_owned(),
        };
        let state = temporary_directory.join("validator.json");
        let epoch = set_weights(&config, babelbit, &services, &self.validator, &state).await?;
        let weights = epoch.weights.clone().unwrap_or_default();
        chain.pass_epoch().await?;
        let on_chain = chain.standings(&weights).await?;
        chain.stop().await;
        TextDemoReport::new(run, epoch, weights, on_chain)
    }

    /// Serves the miners, each with its own key, registers them, and reads them back from the
    /// metagraph.
    async fn start_miners(
        &self,
        chain: &DemoChain,
        services: &Services,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Vec<MinerEntry>> {
        let random_words = RandomWords::new(self.ngram.words().map(str::to_owned).collect());
        let models: [Arc<dyn TextModel>; 3] =
            [Arc::clone(&self.ngram) as _, Arc::new(random_words), Arc::new(Silent)];
        let mut names = BTreeMap::new();
        for model in models {
            let name = model.name().to_owned();
            let keypair = miner_key(&name)?;
            let signature_layer = signed_requests(keypair.hotkey())
                .policy(Policy::only([self.validator.hotkey()]))
                .build();
            let url =
                serve_on_loopback("text miner", router(model, signature_layer), shutdown).await?;
            chain.register(&keypair, url.port().unwrap_or_default()).await?;
            names.insert(keypair.hotkey(), name);
        }
        let policy = AddressPolicy {
            local_miner_ip: self.config.local_miner_ip.clone(),
            ..AddressPolicy::private()
        };
        let view = ChainView::new(services.gateway.clone(), NETUID, None);
        let mut entries = registered_miners(&view, &policy).await?;
        for entry in &mut entries {
            entry.name = names.get(&entry.hotkey).cloned();
        }
        Ok(entries)
    }
}

/// Report of `tao demo --contest text`.
struct TextDemoReport {
    run: TextReport,
    epoch: EpochReport,
    weights: Weights,
    on_chain: BTreeMap<Uid, MinerOnChain>,
}

impl TextDemoReport {
    /// Builds the report; the miners are sorted by score, best first.
    fn new(
        mut run: TextReport,
        epoch: EpochReport,
        weights: Weights,
        on_chain: BTreeMap<Uid, MinerOnChain>,
    ) -> anyhow::Result<Self> {
        run.miners.sort_by(|a, b| {
            let [a_score, b_score] = [a, b].map(|miner| miner.score.unwrap_or_default());
            b_score.total_cmp(&a_score).then(a.uid.cmp(&b.uid))
        });
        for miner in &run.miners {
            anyhow::ensure!(
                on_chain.contains_key(&miner.uid),
                "miner {} is missing on the chain",
                miner.uid
            );
        }
        Ok(Self { run, epoch, weights, on_chain })
    }

    fn on_chain(&self, uid: Uid) -> MinerOnChain {
        self.on_chain.get(&uid).copied().unwrap_or_default()
    }

    /// Returns the report as JSON.
    fn document(&self) -> Value {
        let miners = self.run.miners.iter().map(|miner| {
            let chain = self.on_chain(miner.uid);
            json!({
                "name": miner.name, "uid": miner.uid, "hotkey": miner.hotkey, "score": miner.score.unwrap_or_default(),
                "dialogue_scores": miner.dialogue_scores, "errors": miner.errors,
                "weight": self.weights.of(miner.uid), "weight_submitted": chain.weight_submitted,
                "weight_on_chain": chain.weight_stored, "incentive": chain.incentive, "emission": chain.emission,
            })
        });
        json!({
            "schema": "taonet.demo-text/1",
            "challenge_uid": self.run.challenge_uid,
            "outcome": self.run.outcome,
            "dialogues": self.run.dialogues,
            "utterances": self.run.utterances,
            "wall_sec": self.run.wall_sec,
            "miners": miners.collect::<Vec<_>>(),
            "epoch": {
                "decision": self.epoch.decision,
                "weights": self.weights,
                "confirmation": self.epoch.outcome.details().pointer("/confirmation"),
            },
        })
    }
}

impl fmt::Display for TextDemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", text_leaderboard(&self.run))?;
        let mut rows = table(&TEXT_STANDINGS);
        for miner in &self.run.miners {
            let name = miner.name.clone().unwrap_or_else(|| miner.uid.to_string());
            let emission = decimals(Some(self.on_chain(miner.uid).emission as f64 / 1e9), 3);
            rows.add_row([name, decimals(Some(self.weights.of(miner.uid)), 3), emission]);
        }
        writeln!(f, "{rows}\n")?;
        write!(f, "Weights are proportional to scores. The chain ran in memory.")
    }
}
