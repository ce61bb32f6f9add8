//! `tao demo`: a complete contest on this machine, chain included.

mod contest;
mod epoch;
mod page;
mod report;
mod services;
mod text;
mod whisper;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_challenges::{Challenge, Challenges};
use taonet_babelbit_config::Config;
use taonet_babelbit_core::Rules;
use taonet_primitives::Uid;
use taonet_settings::Network;
use taonet_speech::Recognizer;
use taonet_wallet::Keypair;
use tempfile::TempDir;

use super::dashboard::try_settings;
use crate::context::Context;
use crate::demo_chain::{ANNOUNCED, NETUID};
use crate::exit::{Classified, Failure};
use crate::{run_log, settings};
use contest::{Contest, Recognizers};
use page::BoundPage;
use whisper::{Visitors, WhisperBase};

/// Run a complete contest on this machine: chain, utterance engine, five miners, validator
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Contest: speech or text (prediction of text)
    #[arg(long, value_name = "CONTEST", default_value = "speech", hide_possible_values = true)]
    contest: crate::contest::Contest,
    /// Play one challenge instead of all
    #[arg(long)]
    once: bool,
    /// Challenge to play: 1 to 8 (English), de-1, es-1, fr-1 (German, Spanish, French), or a challenge file
    #[arg(long, value_name = "NAME|FILE")]
    challenge: Option<String>,
    /// Keep recordings, logs, scores and weights in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Scoring rules: reference or strict [env: BB_RULES] [default: reference]
    #[arg(long)]
    rules: Option<Rules>,
    /// Recogniser of the page "Try it": base (Whisper, for any speaker) or tiny (for synthesised English) [default: base
    /// if it is installed or can be downloaded]
    #[arg(long, value_name = "RECOGNIZER", conflicts_with = "no_page", hide_possible_values = true)]
    stt: Option<Visitors>,
    /// Do not serve the web page; with --json it is never served
    #[arg(long)]
    no_page: bool,
}

pub(crate) fn run(args: &DemoArgs, context: &Context) -> anyhow::Result<()> {
    if args.contest == crate::contest::Contest::Text {
        return text::run(args, context);
    }
    let challenges = select(args)?;
    let mut whisper = WhisperBase::new(args.stt, args.models.clone(), context);
    let translator = whisper.translator(&challenges)?;
    let workplace = Workplace::open(args.keep.clone())?;
    run_log::record(workplace.path())?;
    let page = if args.no_page || context.json { None } else { Some(BoundPage::bind()?) };
    let mut visitors = None;
    if let Some(page) = &page {
        context.print(&format!("The contest is shown at {}\n", page.url()))?;
        visitors = whisper.visitors()?;
    }
    let recognizers = Recognizers { translator, visitors: visitors.clone() };
    let contest = Contest::prepare(args.models.clone(), args.rules, &recognizers, workplace.path(), context)?;
    context.block_on(async {
        let page = match page {
            Some(page) => {
                let recordings = args.keep.is_some().then(|| workplace.path().join("try-it"));
                let captions = visitors.map(|whisper| -> Arc<dyn Recognizer> { whisper });
                let settings = try_settings(contest.target_language(), captions, recordings)?;
                Some(page.serve(workplace.path(), settings).await?)
            }
            None => None,
        };
        let report = Box::pin(contest.play(challenges, page.as_ref(), context)).await?;
        if context.json {
            return context.print_json(&report.document());
        }
        context.print(&report.to_string())?;
        match &args.keep {
            Some(dir) => context.print(&format!("Recordings, logs, scores and weights are in {}.", dir.display()))?,
            None => context.print("To keep the recordings, use --keep DIR.")?,
        }
        match page {
            Some(page) => page.finish(context).await,
            None => Ok(()),
        }
    })
}

/// Returns the settings of the environment, on the demonstration's own network.
fn local_config(rules: Option<Rules>) -> anyhow::Result<Config> {
    let mut config = settings::load()?;
    config.operator.network = Network::Local;
    config.netuid = NETUID;
    config.dev_mode = true;
    config.local_miner_ip = Some(ANNOUNCED.to_string());
    // Uid 0 is the owner of the subnet.
    config.burn_uid = Uid(0);
    if let Some(rules) = rules {
        (config.rules, config.scoring.rules) = (rules, rules);
    }
    Ok(config)
}

/// Returns the development key of the miner with this name.
fn miner_key(name: &dyn std::fmt::Display) -> anyhow::Result<Keypair> {
    Ok(Keypair::from_uri(&format!("//miner//{name}"))?)
}

/// Loads the challenges that the arguments select.
fn select(args: &DemoArgs) -> anyhow::Result<Vec<Challenge>> {
    match args.challenge.as_deref() {
        None if args.once => Ok(Challenges::english()?.into_iter().take(1).collect()),
        None => Ok(Challenges::english()?),
        Some(text) => Ok(vec![find(&format!("--challenge {text}"), text)?]),
    }
}

/// Finds a shipped challenge by name, or reads one from a file. Errors begin with `label`, the argument of the command
/// line.
pub(crate) fn find(label: &str, text: &str) -> anyhow::Result<Challenge> {
    if let Some(challenge) = Challenges::find(text)? {
        return Ok(challenge);
    }
    let path = Path::new(text);
    if path.extension().is_none() && !path.exists() {
        let names = Challenges::names().collect::<Vec<_>>().join(", ");
        return Err(Classified::error(
            Failure::Usage,
            format!("{label}: neither a shipped challenge nor a file\nhint: the shipped challenges are {names}"),
        ));
    }
    Challenge::load(path).with_context(|| format!("{label}: not a readable challenge file"))
}

/// Output directory: permanent (`--keep`) or temporary.
pub(crate) enum Workplace {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Workplace {
    pub(crate) fn open(keep: Option<PathBuf>) -> anyhow::Result<Self> {
        match keep {
            Some(dir) => {
                std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
                Ok(Self::Kept(dir))
            }
            None => Ok(Self::Temporary(tempfile::tempdir().context("cannot create a temporary directory")?)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }
}
