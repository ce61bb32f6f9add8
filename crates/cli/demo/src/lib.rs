//! `tao demo`: a complete contest of Babelbit on this machine, chain included.
//!
//! The demonstration starts a chain in memory, the utterance engine, five miners and the daemons of
//! a validator in this process, plays the shipped challenges, submits the weights, pays an epoch's
//! emission, and shows who earned what and why. The miners differ in quality, so that the rules of
//! the score are visible.
//!
//! - `contest` prepares and plays the speech contest, `text` the text contest; `services` starts
//!   the validator's daemons, and `epoch` computes and submits the weights.
//! - `whisper` loads Whisper base, which transcribes speech for validator, miners and captions, and
//!   downloads its weights if they are missing.
//! - `page` serves the dashboard while the contest runs, and the page "Try it" on which visitors
//!   speak to a miner; `samples` synthesises speech for visitors without a microphone.
//! - `report` is the result as text and as JSON.
//!
//! The parts are those of the real daemons, connected within one process; nothing beyond loopback
//! is contacted, except for the download of a recogniser that is not installed.
//!
//! The chain, its keys and its addresses are for this purpose only; they have no value. The miners
//! publish 192.0.2.1, an address for documentation that stands for this machine: the chain rejects
//! loopback addresses. The output directory is temporary unless `--keep` names one.
//!
//! Demonstrations of the other subnets are commands of those subnets, such as `tao nineteen demo`.
//!
//! Uses `taonet-babelbit-arena`, `taonet-babelbit-challenges`, `taonet-babelbit-config`,
//! `taonet-babelbit-core`, `taonet-babelbit-dashboard`, `taonet-babelbit-engine`,
//! `taonet-babelbit-miner`, `taonet-babelbit-runner`, `taonet-babelbit-scorer`,
//! `taonet-babelbit-scoring-api`, `taonet-babelbit-text-miner`, `taonet-babelbit-text-runner`,
//! `taonet-babelbit-validator`, `taonet-chain`, `taonet-cli-babelbit`, `taonet-cli-base`,
//! `taonet-cli-dashboard`, `taonet-cli-localnet`, `taonet-cli-models`, `taonet-dashboard`,
//! `taonet-http`, `taonet-ledger`, `taonet-primitives`, `taonet-service`, `taonet-settings`,
//! `taonet-speech`, `taonet-telemetry`, `taonet-validator`, `taonet-wallet`, `taonet-whisper` and
//! `taonet-wire`. Used by `taonet-cli`.

#![allow(
    clippy::missing_errors_doc,
    reason = "errors are messages for the user, with an exit code"
)]

mod contest;
mod epoch;
mod page;
mod report;
mod samples;
mod services;
mod text;
mod whisper;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use taonet_babelbit_challenges::{Challenge, Challenges};
use taonet_babelbit_config::Config;
use taonet_babelbit_core::Rules;
use taonet_babelbit_dashboard::TrySettings;
use taonet_babelbit_miner::profile::InterpreterVoice;
use taonet_cli_babelbit::challenge;
use taonet_cli_babelbit::settings;
use taonet_cli_base::context::Context;
use taonet_cli_base::run_log;
use taonet_cli_dashboard::try_settings;
use taonet_cli_localnet::demo_chain::{NETUID, PLACEHOLDER_ADDRESS};
use taonet_cli_localnet::output_directory::OutputDirectory;
use taonet_cli_models::engines::DEMO_RECOGNIZER;
use taonet_cli_models::voice::{NEURAL_VOICE, Speech};
use taonet_primitives::Uid;
use taonet_settings::Network;
use taonet_speech::Recognizer;
use taonet_wallet::Keypair;

use contest::{Contest, ContestModels};
use page::BoundPage;
use whisper::{SttModel, WhisperBase};

/// Run a complete contest on this machine: chain, utterance engine, five miners, validator
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Contest: speech or text (prediction of text)
    #[arg(long, value_name = "CONTEST", default_value = "speech", hide_possible_values = true)]
    contest: taonet_cli_babelbit::contest::Contest,
    /// Play one challenge instead of all
    #[arg(long)]
    once: bool,
    /// Challenge to play: 1 to 8 (English), de-1, es-1, fr-1 (German, Spanish, French), or a
    /// challenge file
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
    /// Recogniser of validator and miners: base (Whisper, for any speaker) or tiny (a test double,
    /// for synthesised English) [default: base if it is installed or can be downloaded]
    #[arg(long, value_name = "RECOGNIZER", hide_possible_values = true)]
    stt: Option<SttModel>,
    /// Do not serve the web page; with --json it is never served
    #[arg(long)]
    no_page: bool,
}

/// Runs `tao demo`.
pub fn run(args: &DemoArgs, context: &Context) -> anyhow::Result<()> {
    if args.contest == taonet_cli_babelbit::contest::Contest::Text {
        return text::run(args, context);
    }
    let challenges = select_challenges(args)?;
    whisper::check_model(args.stt, &challenges)?;
    let mut config = local_config(args.rules)?;
    config.models_dir = args.models.clone().or(config.models_dir);
    let output_directory = OutputDirectory::open(args.keep.clone())?;
    run_log::record(output_directory.path())?;
    let page = if args.no_page || context.json { None } else { Some(BoundPage::bind()?) };
    if let Some(page) = &page {
        context.print(&format!("The contest is shown at {}\n", page.url()))?;
    }
    let models = load_models(args, &challenges, &config, page.is_some(), context)?;
    let samples = match &page {
        Some(_) => samples::synthesize(models.whisper.is_some(), models.voice.as_ref())?,
        None => Vec::new(),
    };
    let captions: Option<Arc<dyn Recognizer>> =
        models.whisper.as_ref().map(|whisper| Arc::clone(&whisper.captions) as _);
    let contest = Contest::prepare(config, models, output_directory.path(), context)?;
    context.block_on(async {
        let page = match page {
            Some(page) => {
                let recordings =
                    args.keep.is_some().then(|| output_directory.path().join("try-it"));
                let settings = TrySettings {
                    samples,
                    recordings,
                    ..try_settings(contest.target_language(), captions)?
                };
                Some(page.serve(output_directory.path(), settings).await?)
            }
            None => None,
        };
        let report = Box::pin(contest.play(challenges, page.as_ref(), context)).await?;
        if context.json {
            return context.print_json(&report.document());
        }
        context.print(&report.to_string())?;
        match &args.keep {
            Some(dir) => context.print(&format!(
                "Recordings, logs, scores and weights are in {}.",
                dir.display()
            ))?,
            None => context.print("To keep the recordings, use --keep DIR.")?,
        }
        match page {
            Some(page) => page.finish(context).await,
            None => Ok(()),
        }
    })
}

/// Loads Whisper base and, if it is used, the neural voice, which the embedded recogniser does not
/// understand. Prints which of them the contest uses. Scripts, which show no page, download nothing
/// unless their arguments require it.
fn load_models(
    args: &DemoArgs,
    challenges: &[Challenge],
    config: &Config,
    has_page: bool,
    context: &Context,
) -> anyhow::Result<ContestModels> {
    let directory = config.models_dir.clone();
    let whisper = WhisperBase::load(args.stt, challenges, has_page, directory.clone(), context)?;
    if whisper.is_none() {
        return Ok(ContestModels { whisper, voice: None });
    }
    let voice =
        Speech::load_installed(InterpreterVoice::default().voice.words_per_minute, directory)?;
    let voice_name = match &voice {
        Some(_) => NEURAL_VOICE.to_owned(),
        None => {
            format!(
                "espeak-ng, since {NEURAL_VOICE} is not installed: `tao models pull {NEURAL_VOICE}`"
            )
        }
    };
    context.print_notice(&format!(
        "the demonstration recognises any speaker with {DEMO_RECOGNIZER}; the miners speak \
         with {voice_name}"
    ));
    Ok(ContestModels { whisper, voice })
}

/// Returns the settings of the environment, on the demonstration's own network.
fn local_config(rules: Option<Rules>) -> anyhow::Result<Config> {
    let mut config = settings::load()?;
    config.operator.network = Network::Local;
    config.netuid = NETUID;
    config.dev_mode = true;
    config.local_miner_ip = Some(PLACEHOLDER_ADDRESS.to_string());
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
fn select_challenges(args: &DemoArgs) -> anyhow::Result<Vec<Challenge>> {
    match args.challenge.as_deref() {
        None if args.once => Ok(Challenges::english()?.into_iter().take(1).collect()),
        None => Ok(Challenges::english()?),
        Some(text) => Ok(vec![challenge::find(&format!("--challenge {text}"), Path::new(text))?]),
    }
}
