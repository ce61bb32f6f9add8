//! Engines used by several commands: recogniser, sentence embedder, synthesiser.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use taonet_babelbit_config::Config;
use taonet_babelbit_scorer::EngineIdentity;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_primitives::with_causes;
use taonet_speech::models::{ModelError, ModelKind, ModelSpec, ModelStore, SMOLLM2_135M_INSTRUCT};
use taonet_speech::{
    CtcRecognizer, LocalAgreement, MiniLm, Recognizer, SentenceEmbedder, SimultaneousRecognizer,
};
use taonet_whisper::{
    AlignAtt, AlignAttOptions, EngineSize, Model, Options, SpeechTask, TranscribeError, Transcriber,
};

use crate::download;
use crate::named_model::{find_any_model, find_model};
use crate::settings;

/// Prefix of a language model on the hub in `--lm`, `MINER_MODEL_ID` and `BB_MINER_LM`.
pub const HUB_PREFIX: &str = "hub:";
/// Value of `--model` of `tao nineteen miner` for the painter, which draws images without a model.
pub const PAINTER: &str = "painter";
/// Name of the recogniser that ships with the product.
const EMBEDDED_RECOGNIZER: &str = "tiny-ctc";
/// Name of the reference's default recogniser.
const DEFAULT_RECOGNIZER: &str = "faster-whisper-small";
/// Name of the demonstration's recogniser: the largest one that keeps pace with speech on two
/// cores.
pub const DEMO_RECOGNIZER: &str = "faster-whisper-base";

/// Loads the recogniser for scoring or mining on the configured network.
///
/// # Errors
/// If the model is not installed. Beyond local networks, also if it is not a published model.
pub fn network_recognizer(config: &Config) -> anyhow::Result<Arc<dyn Recognizer>> {
    load_recognizer(network_recognizer_name(config)?, config)
}

/// Returns the identity of [`network_recognizer`] without loading its weights.
///
/// # Errors
/// As [`network_recognizer`].
pub fn network_identity(config: &Config) -> anyhow::Result<EngineIdentity> {
    let name = network_recognizer_name(config)?;
    if name == EMBEDDED_RECOGNIZER {
        return Ok(EngineIdentity::for_recognizer(&CtcRecognizer::embedded()?));
    }
    let (name, path) = whisper_path(name, config)?;
    let fingerprint = Transcriber::fingerprint_of(&path, &reference_options())
        .map_err(|error| usage_error(&error))?;
    Ok(EngineIdentity { name, fingerprint })
}

/// Returns the name or directory of the recogniser on the configured network.
pub fn network_recognizer_name(config: &Config) -> anyhow::Result<&str> {
    let default =
        if config.operator.network.is_local() { EMBEDDED_RECOGNIZER } else { DEFAULT_RECOGNIZER };
    let name = config.recognizer.as_deref().unwrap_or(default);
    if is_directory_name(name) && !config.operator.network.is_local() {
        return Err(ClassifiedError::usage(format!(
            "the recogniser in {name} is for local networks only, and subnet {} is on {}: its scores differ from \
                 those of other validators\nhint: set BB_AUDIO_SCORING_STT_MODEL={DEFAULT_RECOGNIZER}; `tao models pull \
                 {DEFAULT_RECOGNIZER} --from {name}` installs it from a directory",
            config.netuid, config.operator.network
        )));
    }
    if name == EMBEDDED_RECOGNIZER && !config.operator.network.is_local() {
        return Err(ClassifiedError::usage(format!(
            "the recogniser {EMBEDDED_RECOGNIZER} is for local networks only, and subnet {} is on {}: it understands \
                 synthesised English speech only, and its scores differ from those of other validators\nhint: set \
                 BT_NETWORK=local, or another BB_AUDIO_SCORING_STT_MODEL",
            config.netuid, config.operator.network
        )));
    }
    Ok(name)
}

/// Loads the recogniser for transcribing or translating files, independent of the network; by
/// default, it detects the language.
///
/// # Errors
/// If the model is not installed, or does not support the language or the task.
pub fn transcribing_recognizer(
    config: &Config,
    language: Option<&str>,
    task: SpeechTask,
) -> anyhow::Result<Arc<dyn Recognizer>> {
    if config.recognizer.is_none() {
        tracing::warn!(
            "transcribing with the test double {EMBEDDED_RECOGNIZER}, which understands synthesised English speech only"
        );
    }
    load_recognizer_with(
        config.recognizer.as_deref().unwrap_or(EMBEDDED_RECOGNIZER),
        config,
        language,
        task,
        None,
    )
}

/// Loads the recogniser of [`offline_scoring_recognizer`] for a measurement, optionally with a
/// fixed language and number of threads.
///
/// # Errors
/// As [`offline_scoring_recognizer`], or if the recogniser does not support the language.
pub fn benchmark_recognizer(
    config: &Config,
    language: Option<&str>,
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<Arc<dyn Recognizer>> {
    load_recognizer_with(
        offline_scoring_name(config)?,
        config,
        language,
        SpeechTask::Transcribe,
        threads,
    )
}

/// Loads the recogniser for offline scoring: outside local networks, the embedded one must be
/// selected explicitly.
pub fn offline_scoring_recognizer(config: &Config) -> anyhow::Result<Arc<dyn Recognizer>> {
    load_recognizer(offline_scoring_name(config)?, config)
}

fn offline_scoring_name(config: &Config) -> anyhow::Result<&str> {
    match &config.recognizer {
        Some(name) if name == EMBEDDED_RECOGNIZER || is_directory_name(name) => Ok(name.as_str()),
        _ => network_recognizer_name(config),
    }
}

/// Returns whether the name of a recogniser is the path of a directory.
pub fn is_directory_name(name: &str) -> bool {
    name.contains(std::path::is_separator)
}

fn load_recognizer(name: &str, config: &Config) -> anyhow::Result<Arc<dyn Recognizer>> {
    load_recognizer_with(name, config, None, SpeechTask::Transcribe, None)
}

/// Loads a recogniser by its name or directory, optionally with a fixed language and number of
/// threads.
///
/// # Errors
/// If the model is not installed, or does not support the language or the task.
fn load_recognizer_with(
    name: &str,
    config: &Config,
    language: Option<&str>,
    task: SpeechTask,
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<Arc<dyn Recognizer>> {
    if name != EMBEDDED_RECOGNIZER {
        let (name, model) = open_whisper(name, config)?;
        let options =
            Options { language: language.map(str::to_owned), task, ..reference_options() };
        let transcriber = start_engine(&name, &model, options, threads);
        return Ok(transcriber
            .map_err(|error| option_error(error, "--language", language, "--task translate"))?);
    }
    match (task, language) {
        (SpeechTask::Translate, _) => Err(ClassifiedError::usage(format!(
            "--task translate: {EMBEDDED_RECOGNIZER} does not translate\nhint: use --stt-model {DEMO_RECOGNIZER}"
        ))),
        (SpeechTask::Transcribe, None | Some("en")) => Ok(Arc::new(CtcRecognizer::embedded()?)),
        (SpeechTask::Transcribe, Some(code)) => Err(ClassifiedError::usage(format!(
            "--language {code}: {EMBEDDED_RECOGNIZER} understands English only\nhint: use --stt-model {DEFAULT_RECOGNIZER}"
        ))),
    }
}

/// Returns the options of the reference: its defaults, with word timestamps.
fn reference_options() -> Options {
    Options { word_timestamps: true, ..Options::default() }
}

/// Simultaneous policy of a Whisper model: when the words of unfinished speech are ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SimultaneousPolicy {
    /// Words on which two consecutive recognition passes agree.
    LocalAgreement,
    /// Words that the decoder attends to away from the end of the audio.
    AlignAtt(AlignAttOptions),
}

impl Default for SimultaneousPolicy {
    fn default() -> Self {
        Self::AlignAtt(AlignAttOptions::default())
    }
}

/// Creates a recogniser of unfinished speech.
///
/// # Errors
/// If an option of the policy is invalid.
pub fn simultaneous_recognizer(
    transcriber: &Arc<Transcriber>,
    policy: SimultaneousPolicy,
) -> anyhow::Result<Arc<dyn SimultaneousRecognizer>> {
    Ok(match policy {
        SimultaneousPolicy::LocalAgreement => {
            Arc::new(LocalAgreement::new(Arc::clone(transcriber) as _))
        }
        SimultaneousPolicy::AlignAtt(options) => {
            Arc::new(AlignAtt::new(Arc::clone(transcriber), options)?)
        }
    })
}

/// Loads a Whisper model for simultaneous recognition in a miner; `language` is the language
/// spoken, detected by default, and `option` the name of the option that needs the model.
///
/// # Errors
/// If the model is not installed, the configured recogniser is not Whisper, or the model does not
/// support the language or the task.
pub fn simultaneous_whisper(
    config: &Config,
    language: Option<&str>,
    task: SpeechTask,
    option: &str,
) -> anyhow::Result<Arc<Transcriber>> {
    let name = config.recognizer.as_deref().unwrap_or(DEFAULT_RECOGNIZER);
    if name == EMBEDDED_RECOGNIZER {
        return Err(ClassifiedError::usage(format!(
            "{option} needs a Whisper model, and BB_AUDIO_SCORING_STT_MODEL is {EMBEDDED_RECOGNIZER}\nhint: set it to \
                 {DEFAULT_RECOGNIZER} or to the path of a model directory"
        )));
    }
    let (name, model) = open_whisper(name, config)?;
    let options = Options { language: language.map(str::to_owned), task, ..simultaneous_options() };
    let task_name = "translate (--task or BB_MINER_TASK)";
    start_engine(&name, &model, options, None)
        .map_err(|error| option_error(error, "--source-language", language, task_name))
}

/// Classifies an error of a Whisper engine, and names a rejected language or task as on the command
/// line: `language_option` is the option with this `language`, and `task` the translation.
fn option_error(
    error: TranscribeError,
    language_option: &str,
    language: Option<&str>,
    task: &str,
) -> anyhow::Error {
    match (&error, language) {
        (TranscribeError::Option { option: "language", reason }, Some(code)) => {
            ClassifiedError::usage(format!(
                "{language_option} {code}: {reason}\nhint: omit {language_option}, or use a model that supports the \
                 language"
            ))
        }
        (TranscribeError::Option { option: "task", reason }, _) => ClassifiedError::usage(format!(
            "{task}: {reason}\nhint: use a multilingual model, such as {DEMO_RECOGNIZER}"
        )),
        _ => transcriber_error(error),
    }
}

/// Returns the options for simultaneous recognition: greedy decoding (beam size 1), without a
/// temperature fallback.
fn simultaneous_options() -> Options {
    Options {
        beam_size: 1,
        temperatures: vec![0.0],
        // Passes must be independent: LocalAgreement trusts words on which two of them agree.
        condition_on_previous_text: false,
        word_timestamps: true,
        ..Options::default()
    }
}

/// Loads the weights of Whisper base. With a `note`, downloads them if missing, and appends the
/// note to the message that announces the download.
///
/// # Errors
/// If the model is missing and not downloaded, or damaged.
pub fn demo_weights(
    models: Option<PathBuf>,
    note: Option<&str>,
    context: &Context,
) -> anyhow::Result<Arc<Model>> {
    let spec = ModelSpec::find(DEMO_RECOGNIZER)?;
    let models = match models {
        Some(directory) => Some(directory),
        None => settings::load_only(&["BB_MODELS_DIR"])?.models_dir,
    };
    let store = ModelStore::new(models);
    let dir = match (store.verify(spec), note) {
        (Err(ModelError::Missing { .. }), Some(note)) => {
            let megabytes = spec.bytes() as f64 / 1e6;
            context.print_notice(&format!(
                "{DEMO_RECOGNIZER} is not installed: downloading {megabytes:.0} MB{note}"
            ));
            context.block_on(download::pull(&store, spec, context))?
        }
        (result, _) => result.map_err(|error| usage_error(&error))?,
    };
    open_model(&dir)
}

/// Starts Whisper base for the replies of the demonstration, with the options of the reference.
///
/// # Errors
/// If the engine cannot be started.
pub fn demo_transcriber(weights: &Arc<Model>) -> anyhow::Result<Arc<Transcriber>> {
    start_transcriber(DEMO_RECOGNIZER, weights, reference_options(), None)
}

/// Returns a recogniser for unfinished speech on the engine of another one; `language` is the
/// language spoken, detected by default.
///
/// # Errors
/// If the model does not support the language or the task.
pub fn simultaneous_transcriber(
    shared: &Transcriber,
    language: Option<&str>,
    task: SpeechTask,
) -> anyhow::Result<Arc<Transcriber>> {
    let options = Options { language: language.map(str::to_owned), task, ..simultaneous_options() };
    Ok(Arc::new(shared.with_options(options).map_err(transcriber_error)?))
}

/// Opens a Whisper model by its name in the store, or by its path; returns its name.
fn open_whisper(name: &str, config: &Config) -> anyhow::Result<(String, Arc<Model>)> {
    let (name, path) = whisper_path(name, config)?;
    Ok((name, open_model(&path)?))
}

fn open_model(directory: &Path) -> anyhow::Result<Arc<Model>> {
    Ok(Arc::new(Model::open(directory).map_err(|error| usage_error(&error))?))
}

/// Finds the directory of a Whisper model by its name in the store, or by its path; returns its
/// name.
fn whisper_path(name: &str, config: &Config) -> anyhow::Result<(String, PathBuf)> {
    if is_directory_name(name) {
        let path = Path::new(name);
        return Ok((directory_name(path), path.to_owned()));
    }
    let hint = format!(
        "use {DEMO_RECOGNIZER}, for example, or the path of a model directory, such as ./model"
    );
    let spec = find_model(name, ModelKind::Recognizer, &hint)?;
    let dir = ModelStore::new(config.models_dir.clone())
        .verify(spec)
        .map_err(|error| usage_error(&error))?;
    Ok((spec.name.to_owned(), dir))
}

fn usage_error(error: &dyn std::error::Error) -> anyhow::Error {
    ClassifiedError::usage(with_causes(error))
}

/// Returns the name of the recogniser in a directory. The prefix distinguishes it from the
/// published models, whose transcript cache is shared with the reference system, which looks up
/// transcripts by audio alone.
fn directory_name(path: &Path) -> String {
    format!("dir:{}", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
}

/// Starts a Whisper engine, by default with one thread per core.
fn start_transcriber(
    name: &str,
    model: &Arc<Model>,
    options: Options,
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<Arc<Transcriber>> {
    start_engine(name, model, options, threads).map_err(transcriber_error)
}

/// Classifies an error of a Whisper engine.
fn transcriber_error(error: TranscribeError) -> anyhow::Error {
    match error {
        TranscribeError::Option { .. } => usage_error(&error),
        _ => error.into(),
    }
}

fn start_engine(
    name: &str,
    model: &Arc<Model>,
    options: Options,
    threads: Option<NonZeroUsize>,
) -> Result<Arc<Transcriber>, TranscribeError> {
    let size = match threads {
        Some(threads) => EngineSize::with_threads(model, threads),
        None => EngineSize::for_model(model),
    };
    tracing::info!(
        recognizer = name,
        kernels = model.kernels(),
        threads = size.threads,
        windows = size.windows,
        "recogniser loaded"
    );
    Ok(Arc::new(Transcriber::start(name, model, options, size)?))
}

/// Loads the sentence embedder, and downloads it if missing.
pub fn embedder(
    name: &str,
    models: Option<PathBuf>,
    context: &Context,
) -> anyhow::Result<Arc<dyn SentenceEmbedder>> {
    let spec = find_any_model(name)?;
    let store = ModelStore::new(models);
    // Loading verifies the files.
    let dir = match store.locate(spec) {
        Err(ModelError::Missing { .. }) => {
            context.block_on(download::pull(&store, spec, context))?
        }
        result => result?,
    };
    Ok(Arc::new(
        MiniLm::load(&dir).with_context(|| format!("cannot load {name} from {}", dir.display()))?,
    ))
}

/// Returns the GGUF file of an installed language model by its name in the catalogue; `None` if
/// `source` is not a name in the catalogue.
///
/// # Errors
/// If the model is not a language model, is not installed, or is damaged.
pub fn language_model_file(source: &Path, store: &ModelStore) -> Option<anyhow::Result<PathBuf>> {
    let spec = ModelSpec::find(source.to_str()?).ok()?;
    let file = spec
        .files
        .iter()
        .find(|file| Path::new(file.name).extension().is_some_and(|extension| extension == "gguf"));
    Some(match file {
        Some(file) => store
            .verify(spec)
            .map(|directory| directory.join(file.name))
            .map_err(|error| usage_error(&error)),
        None => Err(ClassifiedError::usage(format!(
            "{} is no language model\nhint: use {}, for example",
            spec.name, SMOLLM2_135M_INSTRUCT.name
        ))),
    })
}

#[cfg(test)]
mod tests {
    use taonet_cli_base::exit::error_document;

    use super::*;

    #[test]
    fn recogniser_identity_matches_the_loaded_model() {
        let whisper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../whisper/tests/model");
        for name in [EMBEDDED_RECOGNIZER, whisper.to_str().unwrap()] {
            let variables =
                [("BITTENSOR_SUBTENSOR_ENDPOINT", "local"), ("BB_AUDIO_SCORING_STT_MODEL", name)];
            let (config, _) = Config::from_variables(
                variables.map(|(name, value)| (name.into(), value.into())),
                None,
            )
            .unwrap();
            let loaded = EngineIdentity::for_recognizer(&*network_recognizer(&config).unwrap());
            assert_eq!(network_identity(&config).unwrap(), loaded);
        }
    }

    /// Columns: rejected option of the engine · language · error
    #[test]
    fn rejected_options_have_the_names_of_the_command_line() {
        for (option, language, expected) in [
            (
                "language",
                Some("yy"),
                "--source-language yy: a reason\nhint: omit --source-language, or use a model that supports the language",
            ),
            ("language", None, "option `language`: a reason"),
            (
                "task",
                Some("yy"),
                "--task translate: a reason\nhint: use a multilingual model, such as faster-whisper-base",
            ),
            ("beam_size", Some("yy"), "option `beam_size`: a reason"),
        ] {
            let error = TranscribeError::Option { option, reason: "a reason" };
            let error = option_error(error, "--source-language", language, "--task translate");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn unknown_embedder_is_a_usage_error() {
        let context = Context::with_writers(false, std::io::sink(), std::io::sink());
        let error = embedder("nosuch", None, &context).err().unwrap();
        assert_eq!(error_document(&error).exit_code, 2);
    }

    #[test]
    fn model_directory_name_has_dir_prefix() {
        for (path, name) in [
            ("/models/faster-whisper-small", "dir:faster-whisper-small"),
            ("./faster-whisper-large-v3/", "dir:faster-whisper-large-v3"),
            ("models/tiny-ctc", "dir:tiny-ctc"),
            ("../..", "dir:../.."),
        ] {
            assert_eq!(directory_name(Path::new(path)), name);
        }
    }
}
