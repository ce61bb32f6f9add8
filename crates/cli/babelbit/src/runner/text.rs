//! The text contest (`bb runner --contest text`).

use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use taonet_babelbit_config::Config;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::text_api::PREDICT_PATH;
use taonet_babelbit_engine::client::{ChallengeKind, EngineClient};
use taonet_babelbit_runner::{
    ChainView, HttpMiner, MinerEntry, MinerSource, RoundDependencies, RoundError, Rounds, RunPaths,
};
use taonet_babelbit_text_runner::{
    AxonMiners, BlockSteps, CommittedMiners, ConnectTextMiner, MAX_PREDICTION_BYTES,
    MinerSelection, PlayError, PlayOptions, PublishedText, ReadCommitments, ReadHeight, Startup,
    TextArena, TextArenaRounds, TextConnection, TextMiner, TextMiners, TextOutcome, TextReport,
    TextRounds, TextRunError, TextRunner, open_ledger,
};
use taonet_chain::{At, Client, DatedCommitment};
use taonet_cli_base::chain::configured_network;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::printable::printable;
use taonet_cli_base::progress::Progress;
use taonet_cli_base::table::{decimals, table, wrap_text};
use taonet_cli_base::tables::TEXT_SCORES;
use taonet_cli_models::engines;
use taonet_primitives::{Hotkey, counted};
use taonet_service::{Shutdown, sleeper, system_clock};
use taonet_speech::SentenceEmbedder;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, ClientConfig, SignedClient, Signer};
use tokio::sync::OnceCell;

use super::follow::{arena_client, round_printer, run_rounds, serve_loop_metrics};
use super::{
    RunnerArgs, chain_view, engine_client, fallback, miner_source, once, outbox, run_paths,
};
use crate::settings;

pub(super) fn run(args: &RunnerArgs, context: &Context) -> anyhow::Result<()> {
    let setup = setup(args, context)?;
    if args.once { run_once(args, &setup, context) } else { run_loop(args, setup, context) }
}

/// Shared setup of `--once` and the loop.
struct TextSetup {
    config: Config,
    keypair: Arc<Keypair>,
    engine: EngineClient,
    embedder: Arc<dyn SentenceEmbedder>,
    paths: RunPaths,
    chain: Arc<ChainView>,
    /// Source of the registered miners, for arena rounds.
    source: MinerSource,
    miners: Arc<dyn TextMiners>,
    /// External address in signed headers.
    external_ip: IpAddr,
}

fn setup(args: &RunnerArgs, context: &Context) -> anyhow::Result<TextSetup> {
    let mut config = settings::load()?;
    config.rules = args.rules.unwrap_or(config.rules);
    if let Some(engine) = &args.engine {
        config.engine_url = engine.clone();
    }
    let keypair = Arc::new(args.key.load(None)?);
    let models = args.models.clone().or_else(|| config.models_dir.clone());
    let chain = Arc::new(chain_view(args, &config)?);
    let axons = AxonMiners {
        source: miner_source(args, &config)?,
        chain: Arc::clone(&chain),
        connect: connector(&keypair, args.external_ip)?,
        selection: MinerSelection::random(config.max_miners),
    };
    let source = axons.source.clone();
    let miners: Arc<dyn TextMiners> = match source.clone() {
        MinerSource::Listed(_) => Arc::new(axons),
        MinerSource::Metagraph(policy) => Arc::new(CommittedMiners::new(
            axons,
            policy,
            commitments(&config)?,
            config.chutes.clone(),
        )?),
    };
    Ok(TextSetup {
        chain,
        engine: engine_client(&config, &keypair)?,
        embedder: engines::embedder(&config.embedder, models, context)?,
        paths: run_paths(args.keep.as_deref(), &config),
        keypair,
        source,
        miners,
        external_ip: args.external_ip,
        config,
    })
}

impl TextSetup {
    /// Creates the settings of arena rounds, if they are enabled.
    fn arena(&self) -> anyhow::Result<Option<TextArenaRounds>> {
        let config = &self.config;
        if !config.rounds.arena.enabled {
            return Ok(None);
        }
        let client = arena_client(
            config,
            &self.keypair,
            self.external_ip,
            (PREDICT_PATH, MAX_PREDICTION_BYTES),
        )?;
        let startup = Startup::new(
            config.rounds.arena.startup_timeout,
            config.rounds.arena.startup_request_timeout,
        );
        let (source, chain) = (self.source.clone(), Arc::clone(&self.chain));
        let miners = TextArena { arena: client.into_text_list(), source, chain, startup };
        Ok(Some(TextArenaRounds {
            miners: Arc::new(miners),
            step_timeout: config.rounds.arena.miner_timeout,
        }))
    }

    /// Creates the steps that begin and end at blocks, if they are enabled.
    fn steps(&self) -> Option<BlockSteps> {
        let blocks = NonZeroU32::new(self.config.rounds.step_blocks)?;
        let chain = Arc::clone(&self.chain);
        let height: ReadHeight = Arc::new(move || {
            let chain = Arc::clone(&chain);
            Box::pin(async move { Ok(chain.block().await?) })
        });
        Some(BlockSteps {
            chain: self.config.operator.network.to_string(),
            blocks,
            height,
            sleeper: sleeper(),
        })
    }

    async fn runner(&self, solo: bool) -> anyhow::Result<TextRunner> {
        let config = &self.config;
        let (challenge_type, stream) = if solo {
            (ChallengeType::Solo, ChallengeKind::Solo)
        } else {
            (ChallengeType::Main, ChallengeKind::Main)
        };
        Ok(TextRunner {
            paths: self.paths.clone(),
            ledger: open_ledger(&self.paths).await?,
            submit: config.submits(),
            challenge_type,
            main_challenge_uid: None,
            options: PlayOptions {
                stream,
                step_timeout: config.play.miner_timeout,
                ..PlayOptions::default()
            },
            steps: self.steps(),
            embedder: Arc::clone(&self.embedder),
            vectors: config.text_vectors,
            rules: config.rules,
        })
    }
}

/// Plays one round (`--once`).
fn run_once(args: &RunnerArgs, setup: &TextSetup, context: &Context) -> anyhow::Result<()> {
    let report = context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let play = async {
            let runner = setup.runner(args.solo).await?;
            let outbox = outbox(&setup.config, &setup.keypair, &runner.ledger, &runner.paths)?;
            let miners = setup.miners.miners().await.map_err(|error| round_error(&error))?;
            if miners.is_empty() {
                return Err(once::no_miners_error(setup.config.netuid));
            }
            // A counter of revealed words.
            let progress = Progress::new(ProgressBar::no_length(), "{spinner} {msg}: {pos} words");
            let report = runner.run_once(&setup.engine, &miners, |token| {
                progress.0.set_message(token.dialogue_uid.clone().unwrap_or_default());
                progress.0.inc(1);
            });
            let report = report.await.map_err(classify)?;
            drop(progress);
            if let Some(outbox) = outbox {
                once::drain(&outbox, context).await?;
            }
            Ok::<_, anyhow::Error>(report)
        };
        tokio::select! {
            report = play => report.map(Some),
            () = shutdown.requested() => Ok(None),
        }
    })?;
    let Some(report) = report else {
        context.print_notice(
            "stopped; the next run plays the challenge again, or submits its files if they are complete",
        );
        return Ok(());
    };
    print_report(&report, context)
}

/// Plays rounds, scheduled by block number, until SIGTERM or Ctrl-C.
fn run_loop(args: &RunnerArgs, setup: TextSetup, context: &Context) -> anyhow::Result<()> {
    context.print_notice(&format!("hotkey {}", setup.keypair.hotkey()));
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let readiness = serve_loop_metrics(args, &setup.config, &shutdown).await?;
        TextRounds::describe_metrics();
        let runner = setup.runner(false).await?;
        let outbox = outbox(&setup.config, &setup.keypair, &runner.ledger, &runner.paths)?;
        let arena = setup.arena()?;
        let TextSetup { config, engine, chain, miners, .. } = setup;
        let schedule = config.rounds.schedule();
        let dependencies = RoundDependencies {
            ledger: Arc::clone(&runner.ledger),
            engine: engine.clone(),
            chain,
            player: Arc::new(TextRounds { runner, engine, miners, arena }),
            on_round: round_printer(context),
            clock: system_clock(),
            sleeper: sleeper(),
        };
        run_rounds(Rounds::new(dependencies, schedule).await?, outbox, readiness, &shutdown).await
    })
}

/// Creates a reader of the subnet's commitments, which keeps its connection to the chain. On a
/// local network, which has no drand beacon to reveal timelocked commitments, it also reads
/// unencrypted ones.
fn commitments(config: &Config) -> anyhow::Result<ReadCommitments> {
    let (network, netuid, is_local) =
        (configured_network(fallback(config))?, config.netuid, config.operator.network.is_local());
    let connection = Arc::new(OnceCell::<Client>::new());
    let read_commitments: ReadCommitments = Arc::new(move || {
        let (network, connection) = (network.clone(), Arc::clone(&connection));
        Box::pin(async move {
            let client = connection.get_or_try_init(|| Client::connect(&network)).await?;
            let mut commitments = client.revealed_commitments(netuid, At::Head).await?;
            if is_local {
                let revealed: HashSet<Hotkey> =
                    commitments.iter().map(|commitment| commitment.hotkey).collect();
                let public_commitments = client.dated_commitments(netuid, At::Head).await?;
                commitments.extend(
                    public_commitments
                        .into_iter()
                        .filter(|commitment| !revealed.contains(&commitment.hotkey)),
                );
            }
            let published_text =
                |DatedCommitment { hotkey, block, text }| PublishedText { hotkey, block, text };
            Ok(commitments.into_iter().map(published_text).collect())
        })
    });
    Ok(read_commitments)
}

fn round_error(error: &RoundError) -> anyhow::Error {
    ClassifiedError::error(Failure::Network, error.to_string())
}

/// Creates a factory of signed connections to miners, which share an HTTP client and its pool.
fn connector(keypair: &Keypair, external_ip: IpAddr) -> anyhow::Result<ConnectTextMiner> {
    let signer = Signer::new(keypair.clone(), external_ip.to_string(), BabelbitScheme::axon());
    let client = SignedClient::new(signer, ClientConfig::default())?;
    Ok(Arc::new(move |entry| {
        let miner = HttpMiner::new(client.clone(), entry, PREDICT_PATH)?;
        Ok(Arc::new(miner) as Arc<dyn TextConnection>)
    }))
}

/// Opens one signed connection per miner.
pub fn connect_miners(
    entries: &[MinerEntry],
    keypair: &Keypair,
    external_ip: IpAddr,
) -> anyhow::Result<Vec<TextMiner>> {
    let connector = connector(keypair, external_ip)?;
    let miners = entries.iter().map(|entry| {
        let connection =
            connector(entry).with_context(|| format!("cannot call miner {}", entry.uid))?;
        let key = MinerKey { uid: entry.uid, hotkey: entry.hotkey };
        Ok(TextMiner { key, name: entry.name.clone(), connection })
    });
    miners.collect()
}

fn classify(error: TextRunError) -> anyhow::Error {
    match &error {
        TextRunError::Play(PlayError::Engine(engine)) if engine.is_auth() => {
            ClassifiedError::error(Failure::Authentication, error.to_string())
        }
        TextRunError::Play(_) => ClassifiedError::error(Failure::Network, error.to_string()),
        _ => error.into(),
    }
}

fn print_report(report: &TextReport, context: &Context) -> anyhow::Result<()> {
    if context.json {
        context.print_json(report)?;
    } else {
        context.print(&leaderboard(report))?;
    }
    if report.outcome == TextOutcome::NoChallenge {
        bail!("the engine has no challenge");
    }
    if !report.unscored.is_empty() {
        let unscored_dialogues = report
            .unscored
            .iter()
            .map(|dialogue| format!("{:?}: {}", dialogue.dialogue_uid, dialogue.error));
        bail!("cannot score all dialogues: {}", unscored_dialogues.collect::<Vec<_>>().join(", "));
    }
    let write_errors =
        report.miners.iter().filter_map(|miner| Some((miner.uid, miner.unwritten.as_ref()?)));
    let write_errors: Vec<_> =
        write_errors.map(|(uid, error)| format!("miner {uid}: {error}")).collect();
    if !write_errors.is_empty() {
        bail!("cannot write the result files of {}", write_errors.join(", "));
    }
    Ok(())
}

/// Formats the miners with their scores, best first.
pub fn leaderboard(report: &TextReport) -> String {
    let outcome = match report.outcome {
        TextOutcome::Finished => "played",
        TextOutcome::EndedEarly => "ended early: no active miner, or too many words",
        TextOutcome::AlreadyDone => "already done",
        _ => "no challenge",
    };
    let mut miners: Vec<_> = report.miners.iter().collect();
    miners.sort_by(|a, b| {
        b.score.unwrap_or(-1.0).total_cmp(&a.score.unwrap_or(-1.0)).then(a.uid.cmp(&b.uid))
    });
    let mut rows = table(&TEXT_SCORES);
    for miner in miners {
        let name = miner.name.clone().unwrap_or_else(|| miner.uid.to_string());
        rows.add_row([name, decimals(miner.score, 4), miner.errors.to_string()]);
    }
    let heading = format!(
        "{} · {outcome} · {} in {:.1} s",
        printable(report.challenge_uid.as_deref().unwrap_or("unknown")),
        counted(report.utterances, "utterance"),
        report.wall_sec
    );
    format!("{}\n{rows}", wrap_text(&heading))
}
