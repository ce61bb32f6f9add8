//! A single round of the text contest (`bb runner --contest text --once`).

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use taonet_babelbit_config::Config;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::text_api::PREDICT_PATH;
use taonet_babelbit_engine::client::ChallengeKind;
use taonet_babelbit_runner::{HttpMiner, MinerEntry};
use taonet_babelbit_text_runner::{
    PlayError, PlayOptions, Submitter, TextMiner, TextOutcome, TextReport, TextRunError, TextRunner,
};
use taonet_primitives::counted;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, ClientConfig, SignedClient, Signer};

use super::{RunnerArgs, chain, engine_client, miners, once, run_paths};
use crate::context::Context;
use crate::engines;
use crate::exit::{Classified, Failure};
use crate::printable::printable;
use crate::settings;
use crate::table::{decimals, facts};

pub(super) fn run(args: &RunnerArgs, context: &Context) -> anyhow::Result<()> {
    if !args.once {
        let message = "--contest text needs --once\nhint: run it at intervals, for example from a systemd timer";
        return Err(Classified::error(Failure::Usage, message));
    }
    let mut config = settings::load()?;
    if let Some(engine) = &args.engine {
        config.engine_url = engine.clone();
    }
    let keypair = Arc::new(args.key.load(&config.network)?);
    let (source, chain) = (miners(args, &config)?, chain(args, &config)?);
    let models = args.models.clone().or_else(|| config.models_dir.clone());
    let (challenge_type, stream) =
        if args.solo { (ChallengeType::Solo, ChallengeKind::Solo) } else { (ChallengeType::Main, ChallengeKind::Main) };
    let runner = TextRunner {
        paths: run_paths(args.keep.as_deref(), &config),
        challenge_type,
        options: PlayOptions { stream, step_timeout: config.play.miner_timeout, ..PlayOptions::default() },
        embedder: engines::embedder(&config.embedder, models, context)?,
    };
    let engine = engine_client(&config, &keypair)?;
    let report = context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let play = async {
            let entries = once::miners(&source, &chain, config.netuid).await?;
            let miners = connect(&entries, &keypair, args.external_ip)?;
            let progress = Progress::new();
            let report = runner.run_once(&engine, &miners, |token| {
                progress.0.set_message(token.dialogue_uid.clone().unwrap_or_default());
                progress.0.inc(1);
            });
            let mut report = report.await.map_err(classify)?;
            drop(progress);
            if config.submits() {
                report.files = runner.unsubmitted(&report).context("cannot read the stored result files")?;
                if !report.files.is_empty() {
                    submit(&config, &keypair, &report).await?;
                    runner.record_submission(&report).context("cannot record the submission")?;
                }
            }
            Ok::<_, anyhow::Error>(report)
        };
        tokio::select! {
            report = play => report.map(Some),
            () = shutdown.requested() => Ok(None),
        }
    })?;
    let Some(report) = report else {
        context.say("stopped; the next run plays the challenge again, or submits its files if they are complete");
        return Ok(());
    };
    show(&report, context)
}

/// Opens one signed connection per miner.
pub(crate) fn connect(
    entries: &[MinerEntry],
    keypair: &Keypair,
    external_ip: IpAddr,
) -> anyhow::Result<Vec<TextMiner>> {
    let signer = Signer::new(keypair.clone(), external_ip.to_string(), BabelbitScheme::axon());
    let client = SignedClient::new(signer, ClientConfig::default())?;
    let connect = |entry: &MinerEntry| {
        let connection = HttpMiner::new(client.clone(), entry, PREDICT_PATH);
        let connection = connection.with_context(|| format!("cannot call miner {}", entry.uid))?;
        let key = MinerKey { uid: entry.uid, hotkey: entry.hotkey };
        Ok(TextMiner { key, name: entry.name.clone(), connection: Arc::new(connection) })
    };
    entries.iter().map(connect).collect()
}

async fn submit(config: &Config, keypair: &Arc<Keypair>, report: &TextReport) -> anyhow::Result<()> {
    let submitter = Submitter::new(&config.submit_api_url(), Arc::clone(keypair), config.submission.timeout)?;
    submitter.submit(report).await.map_err(|error| {
        let hint = "hint: the files are kept; the next run submits them again, or plays again if no miner has a score";
        Classified::error(Failure::Network, format!("{error}\n{hint}"))
    })
}

fn classify(error: TextRunError) -> anyhow::Error {
    match &error {
        TextRunError::Play(PlayError::Engine(engine)) if engine.is_auth() => {
            Classified::error(Failure::Authentication, error.to_string())
        }
        TextRunError::Play(_) => Classified::error(Failure::Network, error.to_string()),
        _ => error.into(),
    }
}

/// A counter of revealed words that is cleared on drop.
struct Progress(ProgressBar);

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::no_length();
        Self(match ProgressStyle::with_template("{spinner} {msg}: {pos} words") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn show(report: &TextReport, context: &Context) -> anyhow::Result<()> {
    if context.json {
        context.print_json(report)?;
    } else {
        context.print(&leaderboard(report))?;
    }
    if report.outcome == TextOutcome::NoChallenge {
        bail!("the engine has no challenge");
    }
    let unwritten = report.miners.iter().filter_map(|miner| Some((miner.uid, miner.unwritten.as_ref()?)));
    let unwritten: Vec<_> = unwritten.map(|(uid, error)| format!("miner {uid}: {error}")).collect();
    if !unwritten.is_empty() {
        bail!("cannot write the result files of {}", unwritten.join(", "));
    }
    Ok(())
}

/// The miners with their scores, best first.
pub(crate) fn leaderboard(report: &TextReport) -> String {
    let outcome = match report.outcome {
        TextOutcome::Finished => "played",
        TextOutcome::EndedEarly => "ended early: no miner answers",
        TextOutcome::AlreadyDone => "already done",
        _ => "no challenge",
    };
    let mut miners: Vec<_> = report.miners.iter().collect();
    miners.sort_by(|a, b| b.score.unwrap_or(-1.0).total_cmp(&a.score.unwrap_or(-1.0)).then(a.uid.cmp(&b.uid)));
    let mut rows = facts();
    for miner in miners {
        let name = miner.name.clone().unwrap_or_else(|| miner.uid.to_string());
        let errors =
            if miner.errors > 0 { format!(", {}", counted(miner.errors as usize, "error")) } else { String::new() };
        rows.add_row([name, format!("{}{errors}", decimals(miner.score, 4))]);
    }
    format!(
        "{} · {outcome} · {} in {:.1} s\n{rows}",
        printable(report.challenge_uid.as_deref().unwrap_or("unknown")),
        counted(report.utterances, "utterance"),
        report.wall_sec
    )
}
