//! The language model of `bb miner`: it predicts the text in the text contest, and shortens phrases
//! in the speech contest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_chutes::{ChutesSettings, HubApi, HubModel, HubProgress};
use taonet_babelbit_config::Config;
use taonet_babelbit_miner::profile::ProfileName;
use taonet_babelbit_miner::shorten::{ChatPhraseModel, Propose, Shortener};
use taonet_babelbit_text_miner::causal::{Causal, Limits};
use taonet_babelbit_text_miner::model::CompletionOptions;
use taonet_babelbit_text_miner::ngram::NgramModel;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_models::download;
use taonet_cli_models::engines::{self, HUB_PREFIX};
use taonet_lm::{Bits, CausalModel, Compute, LanguageModel, LoadOptions};
use taonet_speech::MiniLm;
use taonet_speech::models::{ALL_MINILM_L6_V2, ModelError, ModelStore};

use super::is_interpreter;

/// Directory of downloaded language models, in the model directory.
const DOWNLOAD_DIRECTORY: &str = "hub";
/// Default of `--lm-sessions`.
const DEFAULT_SESSIONS: u32 = 8;
/// Default of `--lm-memory`.
const DEFAULT_MEMORY_MIB: u32 = 1_024;

/// Language model in the process
#[derive(Debug, Args)]
#[command(next_help_heading = "Language model options")]
pub(super) struct LanguageModelArgs {
    /// Language model: for text, it predicts (GPT-2, Llama, Qwen or Gemma 3); for speech, it
    /// shortens the phrases (a chat model of these, but GPT-2). A directory, a GGUF file, a name in
    /// `tao models list`, or hub:OWNER/NAME on the Hugging Face Hub [default: MINER_MODEL_ID for
    /// text, BB_MINER_LM for speech]
    #[arg(long, value_name = "PATH|hub:MODEL", value_parser = parse_model_origin, conflicts_with_all = ["backend_url", "llm_url"])]
    lm: Option<ModelOrigin>,
    /// Maximum number of utterances whose caches are kept between their words [default: 8]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lm_sessions: Option<u32>,
    /// Maximum memory of the key-value caches, in MiB [default: 1024]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    lm_memory: Option<u32>,
}

/// Location of a language model.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ModelOrigin {
    /// A directory or GGUF file.
    Local(PathBuf),
    /// A model on the Hugging Face hub.
    Hub(HubModel),
}

/// Parses the location of a language model.
fn parse_model_origin(text: &str) -> Result<ModelOrigin, String> {
    if text.is_empty() {
        let expected = "expected a directory, a GGUF file, a model name or hub:OWNER/NAME";
        return Err(format!("the value is empty, {expected}"));
    }
    let Some(name) = text.strip_prefix(HUB_PREFIX) else {
        return Ok(ModelOrigin::Local(text.into()));
    };
    name.parse()
        .map(ModelOrigin::Hub)
        .map_err(|expected| format!("expected {HUB_PREFIX} and {expected}"))
}

/// Returns the location of the configured model: as in the reference, a name that is not a local
/// path is a model on the hub.
fn configured_origin(path: &Path) -> anyhow::Result<ModelOrigin> {
    let Some(text) = path.to_str() else { return Ok(ModelOrigin::Local(path.to_owned())) };
    let origin = parse_model_origin(text)
        .map_err(|error| ClassifiedError::usage(format!("MINER_MODEL_ID: {error}")))?;
    Ok(match origin {
        ModelOrigin::Local(path) if !path.exists() => {
            text.parse().map_or(ModelOrigin::Local(path), ModelOrigin::Hub)
        }
        origin => origin,
    })
}

/// Downloads a model from the hub, unless it is downloaded already; returns its path.
async fn download(model: &HubModel, config: &Config, context: &Context) -> anyhow::Result<PathBuf> {
    let settings = &config.language_model;
    let hub_key = config.model_keys.hub.clone().or_else(|| config.chutes.hub_key.clone());
    let hub = ChutesSettings {
        hub_url: config.chutes.hub_url.clone(),
        hub_key,
        ..ChutesSettings::default()
    };
    let store = ModelStore::new(config.models_dir.clone());
    let directory = store.directory()?.join(DOWNLOAD_DIRECTORY);
    let revision = model.revision.clone().or_else(|| settings.revision.clone());
    let model = HubModel { revision, ..model.clone() };
    let bar = download::progress_bar(0)?;
    let hub_api = HubApi::new(&hub)?;
    let mut is_announced = false;
    let download = hub_api.download(&model, &directory, |HubProgress { file, done, total }| {
        if !std::mem::replace(&mut is_announced, true) {
            context.print_notice(&format!("downloading {model} from {}", hub.hub_url));
        }
        bar.set_message(file.to_owned());
        bar.set_length(total);
        bar.set_position(done);
    });
    let result = download.await;
    bar.finish_and_clear();
    result.map_err(|error| {
        let failure = match &error {
            error if error.is_auth() => Failure::Authentication,
            error if error.is_retryable() => Failure::Network,
            _ => return error.into(),
        };
        ClassifiedError::error(failure, error.to_string())
    })
}

impl LanguageModelArgs {
    /// Whether a text miner has a language model of its own.
    pub(super) fn is_given(&self, config: &Config) -> bool {
        self.lm.is_some() || config.language_model.path.is_some()
    }

    const fn has_limits(&self) -> bool {
        self.lm_sessions.is_some() || self.lm_memory.is_some()
    }

    /// Whether a speech miner has a language model by an option.
    pub(super) const fn has_option(&self) -> bool {
        self.lm.is_some()
    }

    /// Checks the options of a speech miner: only interpreting profiles have a language model.
    pub(super) fn check_speech(&self, profile: ProfileName) -> anyhow::Result<()> {
        if self.has_limits() {
            let message =
                "--lm-sessions and --lm-memory are for text miners\nhint: add --contest text";
            return Err(ClassifiedError::usage(message));
        }
        if self.has_option() && !is_interpreter(profile) {
            let message =
                "--lm needs an interpreting profile\nhint: use --profile interpreter or patient";
            return Err(ClassifiedError::usage(message));
        }
        Ok(())
    }

    /// Checks that a text miner without a language model has no limits for it.
    pub(super) fn check_text(&self, is_used: bool) -> anyhow::Result<()> {
        if self.has_limits() && !is_used {
            let message = "--lm-sessions and --lm-memory need a language model in this process\nhint: add --lm";
            return Err(ClassifiedError::usage(message));
        }
        Ok(())
    }

    /// Loads the model, if there is one, and starts its thread.
    pub(super) async fn load(
        &self,
        config: &Config,
        timeout: Duration,
        ngram: Option<Arc<NgramModel>>,
        context: &Context,
    ) -> anyhow::Result<Option<Causal>> {
        let settings = &config.language_model;
        let origin = match (&self.lm, &settings.path) {
            (Some(origin), _) => origin.clone(),
            (None, Some(path)) => configured_origin(path)?,
            (None, None) => return Ok(None),
        };
        let bits = match (settings.in_8_bits, settings.in_4_bits) {
            (false, false) => None,
            (true, false) => Some(Bits::Eight),
            (false, true) => Some(Bits::Four),
            (true, true) => {
                let message = "MINER_LOAD_IN_8BIT and MINER_LOAD_IN_4BIT exclude each other\nhint: unset one of them";
                return Err(ClassifiedError::usage(message));
            }
        };
        let device = settings.device.as_deref().map_or(Ok(Compute::Cpu), str::parse);
        let device = device.map_err(|expected| {
            ClassifiedError::usage(format!("MINER_DEVICE: expected {expected}"))
        })?;
        let (name, path) = find_model_file(&origin, config, context).await?;
        let start = Instant::now();
        let model = CausalModel::open(&path, LoadOptions { device, bits })
            .context("cannot load the language model")?;
        tracing::info!(
            path = %path.display(),
            architecture = model.architecture(),
            context = model.context(),
            device = %device,
            seconds = start.elapsed().as_secs_f64(),
            "language model loaded"
        );
        if bits.is_some() && model.has_quantized_file() {
            tracing::warn!(
                path = %path.display(),
                "the file is already quantised: MINER_LOAD_IN_8BIT and MINER_LOAD_IN_4BIT do not change its matrices"
            );
        }
        let limits = Limits {
            sessions: usize::try_from(self.lm_sessions.unwrap_or(DEFAULT_SESSIONS))?,
            cache_bytes: usize::try_from(self.lm_memory.unwrap_or(DEFAULT_MEMORY_MIB))?
                .saturating_mul(1 << 20),
            deadline: timeout,
        };
        Ok(Some(Causal::start(name, model, limits, completion_options(config), ngram)?))
    }

    /// Loads the model that shortens the phrases of an interpreter, if there is one, with a time
    /// `limit` for each phrase.
    pub(super) async fn shortener(
        &self,
        config: &Config,
        limit: Duration,
        context: &Context,
    ) -> anyhow::Result<Option<Arc<Shortener>>> {
        let origin = match (&self.lm, &config.phrase_model) {
            (Some(origin), _) => origin.clone(),
            (None, Some(text)) => parse_model_origin(text)
                .map_err(|expected| ClassifiedError::usage(format!("BB_MINER_LM: {expected}")))?,
            (None, None) => return Ok(None),
        };
        let (name, path) = find_model_file(&origin, config, context).await?;
        let start = Instant::now();
        let model = LanguageModel::open(name, &path).context("cannot load the language model")?;
        let (name, architecture) = (model.name().to_owned(), model.llama().architecture());
        let model = ChatPhraseModel::new(model)
            .with_context(|| format!("cannot shorten phrases with {name}"))?;
        let store = ModelStore::new(config.models_dir.clone());
        let directory = match store.locate(&ALL_MINILM_L6_V2) {
            Err(ModelError::Missing { .. }) => {
                download::pull(&store, &ALL_MINILM_L6_V2, context).await?
            }
            result => result?,
        };
        let embedder =
            MiniLm::load(&directory).context("cannot load the model that compares meanings")?;
        tracing::info!(
            path = %path.display(),
            architecture,
            seconds = start.elapsed().as_secs_f64(),
            "language model loaded"
        );
        let propose: Propose = Box::new(move |phrase, limits| model.propose(phrase, limits));
        Ok(Some(Arc::new(Shortener::new(propose, Arc::new(embedder), limit))))
    }
}

/// Returns the name and the path of a model, which is downloaded if it is on the hub and not in the
/// model directory.
async fn find_model_file(
    origin: &ModelOrigin,
    config: &Config,
    context: &Context,
) -> anyhow::Result<(String, PathBuf)> {
    Ok(match origin {
        ModelOrigin::Local(path) if path.exists() => (file_name(path), path.clone()),
        ModelOrigin::Local(path) => {
            let store = ModelStore::new(config.models_dir.clone());
            let installed = engines::language_model_file(path, &store).transpose()?;
            let installed = installed.with_context(|| {
                format!(
                    "{} does not exist\nhint: --lm names a directory, a GGUF file or a model in `tao models list`; --lm \
                     {HUB_PREFIX}OWNER/NAME downloads a model from the Hugging Face Hub",
                    path.display()
                )
            })?;
            (file_name(path), installed)
        }
        ModelOrigin::Hub(model) => (model.to_string(), download(model, config, context).await?),
    })
}

/// Returns the options of completions by a language model or a completion server.
pub(super) fn completion_options(config: &Config) -> CompletionOptions {
    let default = CompletionOptions::default();
    CompletionOptions {
        max_tokens: config.language_model.max_new_tokens.unwrap_or(default.max_tokens),
        fallback: config.language_model.fallback_completion.clone(),
    }
}

/// Returns the name of a local model.
fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: text of --lm · repository on the hub; none for a path
    #[test]
    fn model_argument_is_local_path_or_hub_name() {
        for (text, expected) in [
            ("gpt2", None),
            ("models/gpt2", None),
            ("model-q4_0.gguf", None),
            ("hub:gpt2", Some("gpt2")),
            ("hub:al/m/m.gguf@v1", Some("al/m/m.gguf@v1")),
        ] {
            let hub_model = match parse_model_origin(text).unwrap() {
                ModelOrigin::Local(path) => {
                    assert_eq!(path, Path::new(text));
                    None
                }
                ModelOrigin::Hub(model) => Some(model.to_string()),
            };
            assert_eq!(hub_model.as_deref(), expected, "{text}");
        }
        assert!(
            parse_model_origin("")
                .unwrap_err()
                .starts_with("the value is empty, expected a directory")
        );
        assert!(
            parse_model_origin("hub:../x").unwrap_err().starts_with("expected hub: and OWNER/NAME")
        );
    }

    /// Columns: value of MINER_MODEL_ID · whether it is on the hub
    #[test]
    fn configured_name_without_path_is_hub_model() {
        let folder = tempfile::tempdir().unwrap();
        let existing = folder.path().to_str().unwrap().to_owned();
        for (text, is_on_hub) in [
            (existing.as_str(), false),
            ("gpt2", true),
            ("meta-llama/Llama-3.1-8B", true),
            ("hub:gpt2", true),
            ("/no/such/directory", false),
            ("./gpt2", false),
        ] {
            let actual = configured_origin(Path::new(text)).unwrap();
            assert_eq!(matches!(actual, ModelOrigin::Hub(_)), is_on_hub, "{text}: {actual:?}");
        }
        assert!(configured_origin(Path::new("hub:a b")).is_err());
    }
}
