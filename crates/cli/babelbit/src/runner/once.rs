//! A single round (`bb runner --once`).

use std::sync::Arc;
use taonet_primitives::{NetUid, counted};

use anyhow::{Context as _, anyhow, bail};
use indicatif::ProgressBar;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_runner::submission::Outbox;
use taonet_babelbit_runner::{
    ChainView, MinerEntry, MinerSource, RunError, RunEvent, RunOutcome, RunReport, Runner,
    random_order, registered_miners,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::printable::printable;
use taonet_cli_base::progress::Progress;
use taonet_service::Shutdown;

use super::{RunnerArgs, Setup, connect_all};
use crate::leaderboard;

pub(super) fn run(args: &RunnerArgs, mut setup: Setup, context: &Context) -> anyhow::Result<()> {
    if args.solo {
        setup.settings.challenge_type = ChallengeType::Solo;
    }
    let report = context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        tokio::select! {
            report = play_round(setup, context) => report.map(Some),
            () = shutdown.requested() => Ok(None),
        }
    })?;
    let Some(report) = report else {
        context.print_notice("stopped; the next run resumes from here");
        return Ok(());
    };
    print_report(&report, args.metrics.is_some(), context)
}

async fn play_round(setup: Setup, context: &Context) -> anyhow::Result<RunReport> {
    let language = setup.config.scoring.target_language.clone();
    let runner = Runner::open(setup.settings.clone(), &language, Arc::clone(&setup.scorer) as _)
        .await
        .map_err(classify)?;
    let outbox = setup.outbox(&runner)?;
    let miners = {
        let entries = find_miners(&setup.miners, &setup.chain, setup.config.netuid).await?;
        connect_all(&entries, &setup.connect)?
    };
    let progress = Progress::new(ProgressBar::new(0), "{msg} [{wide_bar}] {pos}/{len}");
    let bar = progress.0.clone();
    let observer = Arc::new(move |event: RunEvent| observe(&bar, &event));
    let report = runner.run_once(&setup.engine, &miners, observer).await.map_err(classify)?;
    drop(progress);
    if let Some(outbox) = outbox {
        drain(&outbox, context).await?;
    }
    Ok(report)
}

/// Submits the queued files, and reports the number of files that remain.
pub(super) async fn drain(outbox: &Outbox, context: &Context) -> anyhow::Result<()> {
    let counts = outbox.drain().await?;
    if counts.waiting > 0 {
        context.print_notice(&format!(
            "{} not submitted yet; the next run resumes the submission",
            counted(counts.waiting, "file")
        ));
    }
    if counts.refused > 0 {
        context.print_notice(&format!(
            "{} refused by the scoring API; see the log",
            counted(counts.refused, "file")
        ));
    }
    Ok(())
}

/// Returns the listed miners, or those of the metagraph in random order.
async fn find_miners(
    source: &MinerSource,
    chain: &ChainView,
    netuid: NetUid,
) -> anyhow::Result<Vec<MinerEntry>> {
    let policy = match source {
        MinerSource::Listed(miners) => return Ok(miners.clone()),
        MinerSource::Metagraph(policy) => policy,
    };
    let registered = registered_miners(chain, policy).await;
    let mut miners =
        registered.map_err(|error| ClassifiedError::error(Failure::Network, error.to_string()))?;
    if miners.is_empty() {
        return Err(no_miners_error(netuid));
    }
    random_order()(&mut miners);
    Ok(miners)
}

/// Returns the error of a round without miners.
pub(super) fn no_miners_error(netuid: NetUid) -> anyhow::Error {
    anyhow!(
        "no miner on subnet {netuid} has published a public address\nhint: `tao metagraph {netuid}` lists all; BB_DEV_MODE=1 permits private addresses; --miners reads a file",
    )
}

fn classify(error: RunError) -> anyhow::Error {
    match &error {
        RunError::Engine(engine) if engine.is_auth() => {
            ClassifiedError::error(Failure::Authentication, error.to_string())
        }
        RunError::Engine(_) => ClassifiedError::error(Failure::Network, error.to_string()),
        _ => error.into(),
    }
}

fn observe(progress: &ProgressBar, event: &RunEvent) {
    match event {
        RunEvent::Challenge { challenge_uid, title, utterances, miners, .. } => {
            // Interrupted challenges can resume after the current one, so this event can repeat.
            progress.set_position(0);
            progress.set_length((utterances * miners) as u64);
            let name = title.as_ref().unwrap_or(challenge_uid);
            progress.set_message(printable(name).into_owned());
        }
        RunEvent::Played { .. } => progress.inc(1),
        RunEvent::Failed { miner, utterance_index, error } => {
            progress.inc(1);
            tracing::info!(%miner, utterance_index, error, "miner failed on an utterance");
        }
        _ => {}
    }
}

fn print_report(report: &RunReport, has_metrics: bool, context: &Context) -> anyhow::Result<()> {
    if context.json {
        context.print_json(report)?;
    } else {
        context.print(&leaderboard::format_challenge(report))?;
        if has_metrics {
            context.print(&leaderboard::format_field_metrics(report))?;
        }
    }
    match report.outcome {
        RunOutcome::Partial => {
            bail!("the engine delivered only part of the challenge; the next run requests the rest")
        }
        RunOutcome::NoChallenge => bail!("the engine has no challenge"),
        _ => Ok(()),
    }
}
