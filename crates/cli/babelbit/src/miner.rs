//! The `bb miner` command.

mod language_model;
mod loading;
mod servers;
mod simultaneous;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_config::{Config, MinerTask};
use taonet_babelbit_miner::profile::{
    Interpreter, InterpreterVoice, Mumbler, Parrot, Patient, Profile, ProfileName, Silent,
};
use taonet_babelbit_miner::server::{Miner, router, signed_requests};
use taonet_babelbit_miner::{MinerConfig, describe_metrics};
use taonet_babelbit_text_miner::model::TextModel;
use taonet_babelbit_text_miner::ngram::NgramModel;
use taonet_babelbit_text_miner::server as text_server;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{CallerArgs, Daemon, MetricsArgs};
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_models::engines;
use taonet_cli_models::voice::{Speech, VoiceName};
use taonet_http::{disable_huge_pages, name_service};
use taonet_speech::Recognizer;

use crate::contest::Contest;
use crate::settings;
use language_model::LanguageModelArgs;
use servers::ServerArgs;

/// Default port of a miner.
pub(crate) const DEFAULT_PORT: u16 = 8092;

/// Run a miner
#[derive(Debug, Args)]
pub struct MinerArgs {
    /// Contest: speech or text (prediction of text)
    #[arg(long, value_name = "CONTEST", default_value = "speech", hide_possible_values = true)]
    contest: Contest,
    /// Model file of a text miner, written by `bb text train`; with --lm or --backend-url, the
    /// fallback
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Profile of a speech miner: interpreter, patient, parrot, mumbler or silent [default:
    /// interpreter]
    #[arg(long)]
    profile: Option<ProfileName>,
    /// Voice of a speech miner: of espeak-ng, or piper:FILE.onnx|MODEL (neural) [default: en-gb]
    #[arg(long, value_name = "VOICE")]
    voice: Option<VoiceName>,
    /// Listen address [default: 0.0.0.0 with the port MINER_AXON_PORT, or 127.0.0.1:8092]
    #[arg(long)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    language_model: LanguageModelArgs,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    callers: CallerArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &MinerArgs, context: &Context) -> anyhow::Result<()> {
    match (args.contest, &args.model, args.profile) {
        (Contest::Text, _, Some(_)) => Err(ClassifiedError::usage(
            "--profile is for speech miners\nhint: omit --profile or --contest text",
        )),
        (Contest::Text, _, None) if args.voice.is_some() => Err(ClassifiedError::usage(
            "--voice is for speech miners\nhint: omit --voice or --contest text",
        )),
        (Contest::Text, _, None) => run_text(args, context),
        (Contest::Speech, Some(_), _) => {
            Err(ClassifiedError::usage("--model is for text miners\nhint: add --contest text"))
        }
        (Contest::Speech, None, profile) => {
            let profile = profile.unwrap_or(ProfileName::Interpreter);
            args.language_model.check_speech(profile)?;
            let has_lm = args.language_model.has_option()
                || (may_shorten(args, profile)
                    && taonet_cli_models::settings::load_only(&["BB_MINER_LM"])?
                        .phrase_model
                        .is_some());
            args.servers.check_speech(profile, args.voice.as_ref(), has_lm)?;
            if args.voice.is_some() && !has_engine(profile) {
                return Err(ClassifiedError::usage(format!(
                    "--voice has no effect with --profile {profile}\nhint: omit it, or use another profile"
                )));
            }
            run_speech(args, profile, context)
        }
    }
}

/// Whether a language model of this process may shorten the phrases of a speech miner with this
/// profile.
const fn may_shorten(args: &MinerArgs, profile: ProfileName) -> bool {
    is_interpreter(profile) && !args.servers.has_rewriter()
}

/// Whether a profile interprets. Other profiles recognise no speech.
const fn is_interpreter(profile: ProfileName) -> bool {
    matches!(profile, ProfileName::Interpreter | ProfileName::Patient)
}

/// Whether a profile recognises or synthesises speech.
const fn has_engine(profile: ProfileName) -> bool {
    !matches!(profile, ProfileName::Parrot | ProfileName::Silent)
}

/// Returns the listen address. As in the reference, a miner with `MINER_AXON_PORT` listens on all
/// interfaces, but on loopback only if it answers unsigned requests.
fn listen_address(args: &MinerArgs, config: &Config) -> SocketAddr {
    if let Some(listen) = args.listen {
        return listen;
    }
    match config.axon_port {
        Some(port) if !config.unsigned_requests => {
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.get()))
        }
        Some(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port.get())),
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
    }
}

/// Serves the text contest.
fn run_text(args: &MinerArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let uses_lm = !args.servers.has_backend() && args.language_model.is_given(&config);
    args.servers.check_text(uses_lm || args.model.is_some(), uses_lm)?;
    args.language_model.check_text(uses_lm)?;
    if config.unsigned_requests && !config.operator.network.is_local() {
        let message = format!(
            "MINER_DEV_MODE answers unsigned requests, and cannot be used on {}\nhint: unset it, or set \
             BT_NETWORK=local",
            config.operator.network
        );
        return Err(ClassifiedError::usage(message));
    }
    if config.unsigned_requests && args.callers.is_given() {
        let message = "--allow and --replay-log check signatures, which MINER_DEV_MODE disables\nhint: unset MINER_DEV_MODE";
        return Err(ClassifiedError::usage(message));
    }
    if config.miner_task == MinerTask::Translate {
        tracing::warn!("BB_MINER_TASK is for speech miners: this miner does not translate");
    }
    if config.phrase_model.is_some() {
        tracing::warn!(
            "BB_MINER_LM is for speech miners: --lm or MINER_MODEL_ID names the model of a text miner"
        );
    }
    if args.servers.has_backend() && config.language_model.path.is_some() {
        tracing::warn!("MINER_MODEL_ID has no effect with --backend-url");
    }
    let hotkey = args.key.load(None)?.hotkey();
    context.block_on(async {
        let listen = listen_address(args, &config);
        let daemon = Daemon::bind(listen, &args.metrics).await?;
        let directories = if config.unsigned_requests {
            Vec::new()
        } else {
            args.callers.replay_directory(&hotkey, listen)
        };
        let daemon = daemon.with_write_directories(directories);
        text_server::describe_metrics();
        let signature_layer = if config.unsigned_requests {
            None
        } else {
            let layer = text_server::signed_requests(hotkey);
            Some(args.callers.build(layer, &hotkey, listen)?)
        };
        let model = daemon
            .load(
                name_service(loading::routes(), "text miner"),
                load_text_model(args, &config, context),
            )
            .await?;
        context.print_notice(&format!("hotkey {hotkey}"));
        let name = format!("text miner ({})", model.name());
        let router = if let Some(signature_layer) = signature_layer {
            text_server::router(model, signature_layer)
        } else {
            tracing::warn!("MINER_DEV_MODE is set: requests need no signature");
            text_server::unsigned_router(model)
        };
        daemon.serve_with_clock_check(&name, router, context).await
    })
}

/// Loads the model of a text miner and makes a few predictions.
async fn load_text_model(
    args: &MinerArgs,
    config: &Config,
    context: &Context,
) -> anyhow::Result<Arc<dyn TextModel>> {
    let ngram = args.model.as_deref().map(NgramModel::load).transpose()?;
    if let Some(model) = &ngram {
        tracing::info!(
            words = model.vocabulary_size(),
            contexts = model.contexts(),
            "n-gram model loaded"
        );
    }
    let ngram = ngram.map(Arc::new);
    let language_model = if args.servers.has_backend() {
        None
    } else {
        args.language_model.load(config, args.servers.timeout(), ngram.clone(), context).await?
    };
    let model: Arc<dyn TextModel> = match language_model {
        Some(model) => Arc::new(model),
        None => args.servers.text_model(ngram, config).await?,
    };
    let elapsed = text_server::warm_up(&*model).await;
    tracing::info!(model = model.name(), prediction_us = elapsed.as_micros(), "text model ready");
    Ok(model)
}

/// Serves the speech contest.
fn run_speech(
    args: &MinerArgs,
    profile_name: ProfileName,
    context: &Context,
) -> anyhow::Result<()> {
    let config = settings::load()?;
    if config.unsigned_requests {
        tracing::warn!(
            "MINER_DEV_MODE is for text miners: requests to this miner need a signature"
        );
    }
    if config.miner_task == MinerTask::Translate && !is_interpreter(profile_name) {
        tracing::warn!(
            "BB_MINER_TASK is for the profiles interpreter and patient: this miner does not translate"
        );
    }
    let may_shorten = may_shorten(args, profile_name);
    if config.phrase_model.is_some() && !may_shorten {
        tracing::warn!(
            "BB_MINER_LM is for the profiles interpreter and patient without --llm-url: this miner has no language model"
        );
    }
    let hotkey = args.key.load(None)?.hotkey();
    let miner_config = MinerConfig {
        predict_path: config.predict_endpoint.parse().context("BB_MINER_PREDICT_ENDPOINT")?,
        miner_id: Some(format!("taonet {profile_name}")),
        ..MinerConfig::default()
    };
    context.block_on(async {
        let listen = listen_address(args, &config);
        let daemon = Daemon::bind(listen, &args.metrics).await?;
        let daemon = daemon.with_write_directories(args.callers.replay_directory(&hotkey, listen));
        describe_metrics();
        let load = async {
            let shortener = if may_shorten {
                args.language_model.shortener(&config, args.servers.phrase_limit(), context).await?
            } else {
                None
            };
            if is_interpreter(profile_name)
                && (shortener.is_some() || args.servers.has_stages(config.miner_task))
            {
                args.servers.build_profile(profile_name, &config, args.voice.as_ref(), shortener)
            } else {
                build_profile(
                    profile_name,
                    || engines::network_recognizer(&config),
                    || load_speech(args.voice.as_ref(), &config),
                )
            }
        };
        let signature_layer =
            args.callers.build(signed_requests(hotkey, &miner_config), &hotkey, listen)?;
        let profile = daemon.load(name_service(loading::routes(), "miner"), load).await?;
        disable_huge_pages();
        let router = router(Arc::new(Miner::new(miner_config, profile)), signature_layer);
        context.print_notice(&format!("hotkey {hotkey}"));
        daemon.serve_with_clock_check(&format!("miner ({profile_name})"), router, context).await
    })
}

/// Loads the chosen voice of a miner, or that of espeak-ng, for its normal speaking rate.
fn load_speech(voice: Option<&VoiceName>, config: &Config) -> anyhow::Result<Speech> {
    let normal = InterpreterVoice::default().voice;
    let default = VoiceName::Espeak(normal.name);
    voice.unwrap_or(&default).load_speech(normal.words_per_minute, config.models_dir.clone())
}

/// Builds a profile by name; engines are loaded only if the profile needs them.
fn build_profile(
    name: ProfileName,
    recognizer: impl FnOnce() -> anyhow::Result<Arc<dyn Recognizer>>,
    speech: impl FnOnce() -> anyhow::Result<Speech>,
) -> anyhow::Result<Arc<dyn Profile>> {
    Ok(match name {
        ProfileName::Interpreter => Arc::new(build_interpreter(recognizer()?, speech()?)?),
        ProfileName::Patient => {
            Arc::new(Patient::new(build_interpreter(recognizer()?, speech()?)?))
        }
        ProfileName::Parrot => Arc::new(Parrot),
        ProfileName::Mumbler => {
            let speech = speech()?;
            Arc::new(Mumbler::new(speech.synthesizer, speech.voice)?)
        }
        ProfileName::Silent => Arc::new(Silent),
    })
}

/// Builds an interpreter that speaks with a voice.
pub fn build_interpreter(
    recognizer: Arc<dyn Recognizer>,
    speech: Speech,
) -> anyhow::Result<Interpreter> {
    let voice_settings = InterpreterVoice { voice: speech.voice, ..InterpreterVoice::default() };
    Ok(Interpreter::new(recognizer, speech.synthesizer, voice_settings)?)
}
