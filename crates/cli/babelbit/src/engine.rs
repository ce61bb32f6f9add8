//! The `bb engine` command.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use taonet_babelbit_challenges::{Challenge, ChallengeFile, Challenges, TextChallenge};
use taonet_babelbit_engine::server::{Engine, EngineConfig, Rotation};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs};
use taonet_cli_base::exit::ClassifiedError;
use taonet_http::disable_huge_pages;
use taonet_primitives::Hotkey;
use taonet_speech::Espeak;

use crate::settings;

/// Serve challenges to validators
#[derive(Debug, Args)]
pub struct EngineArgs {
    /// Challenge files, or directories of challenge files [default: the shipped English challenges]
    challenges: Vec<PathBuf>,
    /// Listen address
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Hotkeys allowed to authenticate [default: any, on loopback only]
    #[arg(long, value_name = "HOTKEY")]
    allow: Vec<Hotkey>,
    /// Rotation interval of the challenges, in seconds [default: always serve the first challenge]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    rotate: Option<u64>,
    /// Token lifetime, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    token_lifetime: u64,
    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(crate) fn run(args: &EngineArgs, context: &Context) -> anyhow::Result<()> {
    settings::load()?;
    if args.allow.is_empty() && !args.listen.ip().is_loopback() {
        let message = format!(
            "{} is not a loopback address: --allow is required\nhint: pass the allowed hotkeys with --allow",
            args.listen
        );
        return Err(ClassifiedError::usage(message));
    }
    let (speech, texts) = load_challenges(&args.challenges)?;
    let config = if speech.is_empty() {
        EngineConfig::for_texts(texts)
    } else {
        EngineConfig { texts, ..EngineConfig::new(speech, Arc::new(Espeak::find()?)) }
    };
    let config = EngineConfig {
        rotation: args
            .rotate
            .map_or(Rotation::Fixed, |seconds| Rotation::Every(Duration::from_secs(seconds))),
        allowed: (!args.allow.is_empty()).then(|| args.allow.iter().copied().collect()),
        token_lifetime: Duration::from_secs(args.token_lifetime),
        ..config
    };
    let engine = Engine::new(config)?;
    disable_huge_pages();
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        Engine::describe_metrics();
        engine.prepare().await?;
        daemon.serve_with_clock_check("utterance engine", engine.router(), context).await
    })
}

/// Loads challenges of both contests; without any path, the shipped English ones and the text
/// challenge.
fn load_challenges(paths: &[PathBuf]) -> anyhow::Result<(Vec<Challenge>, Vec<TextChallenge>)> {
    if paths.is_empty() {
        return Ok((Challenges::english()?, vec![Challenges::text()?]));
    }
    let (mut speech, mut texts) = (Vec::new(), Vec::new());
    for file in expand_directories(paths)? {
        match ChallengeFile::load(&file)
            .with_context(|| format!("cannot use {}", file.display()))?
        {
            ChallengeFile::Speech(challenge) => speech.push(challenge),
            ChallengeFile::Text(challenge) => texts.push(challenge),
        }
    }
    Ok((speech, texts))
}

/// Replaces each directory in `paths` by the files in it.
fn expand_directories(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { files.extend(json_files_in(path)?) } else { files.push(path.clone()) }
    }
    Ok(files)
}

fn json_files_in(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    if files.is_empty() {
        bail!("{} contains no .json file", directory.display());
    }
    files.sort();
    Ok(files)
}
