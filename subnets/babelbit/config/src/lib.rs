//! Typed configuration of the Babelbit daemons, from the environment variables of the reference
//! system, the subnet's own Python programs.
//!
//! Operators of the reference system have their settings in an environment file. This crate reads
//! the same names into one [`Config`], with the same defaults, and reports invalid values before a
//! daemon starts.
//!
//! - [`variables()`] is the table: each known name with its help, its parser and its field.
//!   `env.example`, `bb config show`, the help of the commands and the warnings about unknown names
//!   all come from it.
//! - [`Config::from_variables`] reads `(name, value)` pairs. It reports all invalid values
//!   together, with the expected form, and returns a warning for unknown `BB_*` and `BABELBIT_*`
//!   names and for names without effect.
//! - [`differences`] lists the variables of the reference that this program reads differently.
//! - [`ServiceSettings`], [`RoundSettings`], [`ArenaRoundSettings`], [`SubmissionSettings`] and
//!   [`ModelKeys`] are parts of the configuration. Methods such as [`Config::gateway_url`] derive a
//!   value that depends on others.
//!
//! ```
//! use taonet_babelbit_config::Config;
//!
//! let pairs = [("BABELBIT_NETUID".into(), "7".into()), ("BB_MAX_MINERS".into(), "9".into())];
//! let (config, warnings) = Config::from_variables(pairs, None).unwrap();
//! assert_eq!(config.netuid.to_string(), "7");
//! assert!(warnings[0].to_string().starts_with("unknown setting BB_MAX_MINERS"));
//!
//! let error = Config::from_variables([("BABELBIT_NETUID".into(), "x".into())], None).unwrap_err();
//! assert!(error.to_string().contains("BABELBIT_NETUID=x"));
//! ```
//!
//! The crate does not read the environment and opens no file: the caller passes the variables.
//! Secrets are never printed. The crate is separate from `taonet-babelbit-core`, because it depends
//! on the daemons whose settings it defines. Command-line options override its values; the commands
//! apply them.
//!
//! A new setting is a row in the table and a field with a default; tests fail until `env.example`
//! and the help of the commands that read it are updated.
//!
//! Uses `taonet-settings` (tables of variables, parsers), and the crates whose settings it
//! contains: `taonet-babelbit-arena`, `taonet-babelbit-chutes`, `taonet-babelbit-core`,
//! `taonet-babelbit-runner`, `taonet-neuron` and `taonet-validator`; also `taonet-primitives`. Used
//! by the `bb` commands, and by the other commands that open a model.

mod miner_task;
mod reference;
mod rounds;
mod services;
mod submission;
mod variables;

use std::ffi::OsString;
use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_babelbit_arena::ArenaSettings;
use taonet_babelbit_chutes::ChutesSettings;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_babelbit_core::text::VectorOptions;
use taonet_babelbit_core::weights::ArenaShare;
use taonet_babelbit_runner::PlaySettings;
use taonet_neuron::OperatorConfig;
use taonet_primitives::{NetUid, Uid};
use taonet_settings::{ConfigError, Environment, Problem, Secret, Warning};
use url::Url;

pub use miner_task::{MinerTask, UnknownMinerTask};
pub use reference::{Difference, DifferenceKind, differences};
pub use rounds::{ArenaRoundSettings, RoundSettings};
pub use services::ServiceSettings;
pub use submission::SubmissionSettings;
pub use variables::variables;

/// Default number of consecutive epochs without scores after which all weight goes to the burn uid,
/// as in the reference.
const DEFAULT_MAX_SKIPPED_EPOCHS: u32 = 12;

/// Operator settings of the Babelbit daemons: engine access, playing, scoring and weights.
#[derive(Debug, Clone)]
pub struct Config {
    /// Settings that are the same for every subnet. The network decides whether services default to
    /// addresses on this machine, and whether the embedded recogniser is allowed.
    pub operator: OperatorConfig,
    /// Netuid of the subnet; 59 by default.
    pub netuid: NetUid,
    /// Scoring rules: reference (compatible) or strict.
    pub rules: Rules,
    /// URL of the utterance engine.
    pub engine_url: Url,
    /// Timeout of one request to the engine.
    pub api_timeout: Duration,
    /// Directory of run logs and audio.
    pub logs_dir: PathBuf,
    /// Directory of challenge runs and challenge scores.
    pub scores_dir: PathBuf,
    /// Directory of status files, one per processed challenge.
    pub status_dir: PathBuf,
    /// Maximum number of miners in a run.
    pub max_miners: usize,
    /// Path of the miners' predict route.
    pub predict_endpoint: String,
    /// Timeouts and limits for one utterance with one miner.
    pub play: PlaySettings,
    /// Whether miners on loopback and private addresses are allowed.
    pub dev_mode: bool,
    /// In development mode, an additional address that maps to this machine.
    pub local_miner_ip: Option<String>,
    /// Scoring parameters: gates, latency and duplication.
    pub scoring: ScoreOptions,
    /// Options of the semantic similarity in the text contest.
    pub text_vectors: VectorOptions,
    /// Name of the recogniser, if configured.
    pub recognizer: Option<String>,
    /// Name of the sentence embedder.
    pub embedder: String,
    /// Directory of the caches without a separate setting.
    pub cache_dir: PathBuf,
    /// Path of the transcript cache.
    pub transcript_cache: PathBuf,
    /// Fallback directory of reference documents, for challenges without references from the
    /// engine.
    pub metadata_root: PathBuf,
    /// Directory that is searched first for models.
    pub models_dir: Option<PathBuf>,
    /// Share of the weights that the arena receives.
    pub arena_share: ArenaShare,
    /// Uid that receives unearned weight.
    pub burn_uid: Uid,
    /// URL of the scoring API for results and scores; see [`Config::submit_api_url`].
    pub submit_api_url: Option<Url>,
    /// Submission of results to the scoring API.
    pub submission: SubmissionSettings,
    /// API keys of a miner's inference servers, and of the hub of its language model.
    pub model_keys: ModelKeys,
    /// Output of a speech miner: the words, or their English translation.
    pub miner_task: MinerTask,
    /// Language model that shortens the phrases of a speech miner: a path, the name of an installed
    /// model, or `hub:` and a name on the Hugging Face hub.
    pub phrase_model: Option<String>,
    /// Language model of a text miner.
    pub language_model: LanguageModelSettings,
    /// Port of a miner, if configured.
    pub axon_port: Option<NonZeroU16>,
    /// External address of a miner to publish, if configured.
    pub external_ip: Option<IpAddr>,
    /// Whether a text miner on a local network answers unsigned requests.
    pub unsigned_requests: bool,
    /// Settings of validator, signer and subtensor gateway.
    pub services: ServiceSettings,
    /// Settings of the runner's loop.
    pub rounds: RoundSettings,
    /// Accounts and addresses of Chutes and of the Hugging Face hub, for text miners.
    pub chutes: ChutesSettings,
    /// Settings of the arena client: its gateway, the list of miners, and miners on RunPod.
    pub arena: ArenaSettings,
}

/// Language model of a text miner, under the reference's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LanguageModelSettings {
    /// Directory or GGUF file of the model, or its name on the Hugging Face hub.
    pub path: Option<PathBuf>,
    /// Revision of a model on the hub; `main` if unset.
    pub revision: Option<String>,
    /// Device that computes: `cpu`, `cuda` or `mps`; `cpu` if unset.
    pub device: Option<String>,
    /// Whether weights are quantised to 8 bits.
    pub in_8_bits: bool,
    /// Whether weights are quantised to 4 bits.
    pub in_4_bits: bool,
    /// Maximum number of tokens of a completion; the miner's default if unset.
    pub max_new_tokens: Option<NonZeroU32>,
    /// Text added to a prefix that the model does not continue; none if unset.
    pub fallback_completion: Option<String>,
}

/// API keys of a miner's inference servers, one per server, and of the hub from which it downloads
/// its model.
#[derive(Debug, Clone, Default)]
pub struct ModelKeys {
    /// API key for the completions of a text miner.
    pub backend: Option<Secret>,
    /// API key for transcriptions.
    pub stt: Option<Secret>,
    /// API key for chat completions.
    pub llm: Option<Secret>,
    /// API key for speech synthesis.
    pub tts: Option<Secret>,
    /// Access token of the Hugging Face hub, for gated and private language models.
    pub hub: Option<Secret>,
}

impl AsRef<OperatorConfig> for Config {
    fn as_ref(&self) -> &OperatorConfig {
        &self.operator
    }
}

impl AsMut<OperatorConfig> for Config {
    fn as_mut(&mut self) -> &mut OperatorConfig {
        &mut self.operator
    }
}

impl Config {
    /// Creates the default settings, with cache paths below `cache_dir` (`~/.babelbit` in the
    /// reference).
    fn defaults(cache_dir: &Path) -> Self {
        let audio_cache = cache_dir.join("audio_scoring");
        Self {
            operator: OperatorConfig::default(),
            netuid: NetUid(59),
            rules: Rules::Reference,
            #[expect(
                clippy::expect_used,
                reason = "a constant, covered by every test that builds a Config"
            )]
            engine_url: Url::parse("https://api.babelbit.ai").expect("a valid URL"),
            api_timeout: Duration::from_secs(10),
            logs_dir: "logs".into(),
            scores_dir: "scores".into(),
            status_dir: "data/challenge_status".into(),
            max_miners: 256,
            predict_endpoint: "v1/predict".to_owned(),
            play: PlaySettings::default(),
            dev_mode: false,
            local_miner_ip: None,
            scoring: ScoreOptions::default(),
            text_vectors: VectorOptions::default(),
            recognizer: None,
            embedder: "all-MiniLM-L6-v2".to_owned(),
            cache_dir: cache_dir.to_owned(),
            transcript_cache: audio_cache.join("stt_cache.jsonl"),
            metadata_root: audio_cache.join("metadata"),
            models_dir: None,
            arena_share: ArenaShare::from_percent(90.0),
            burn_uid: Uid(248),
            submit_api_url: None,
            submission: SubmissionSettings::defaults(),
            model_keys: ModelKeys::default(),
            miner_task: MinerTask::default(),
            phrase_model: None,
            language_model: LanguageModelSettings::default(),
            axon_port: None,
            external_ip: None,
            unsigned_requests: false,
            services: ServiceSettings::defaults(),
            rounds: RoundSettings::defaults(),
            chutes: ChutesSettings::default(),
            arena: ArenaSettings::default(),
        }
    }

    /// Reads the configuration from `(name, value)` pairs; `home` is the user's home directory.
    ///
    /// Blank values count as unset. A value that is not UTF-8 is an error only for a known
    /// variable.
    ///
    /// # Errors
    /// [`ConfigError`] lists every invalid variable, with its value and the expected form.
    pub fn from_variables(
        pairs: impl IntoIterator<Item = (OsString, OsString)>,
        home: Option<&Path>,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let environment = Environment::new(pairs, variables());
        let cache_dir = environment
            .get("BABELBIT_CACHE_DIR")
            .map(PathBuf::from)
            .or_else(|| home.map(|home| home.join(".babelbit")))
            .unwrap_or_else(|| PathBuf::from(".babelbit"));
        let mut config = Self::defaults(&cache_dir);
        let mut problems = Vec::new();
        let prefixes = ["BB_", "BABELBIT_"];
        let network_warning = overridden_network(&environment);
        let mut warnings =
            OperatorConfig::apply(environment, variables(), &prefixes, &mut config, &mut problems);
        warnings.extend(network_warning);
        config.scoring.rules = config.rules;
        match config.scoring.clone().checked() {
            Ok(scoring) => config.scoring = scoring,
            Err(error) => problems.push(Problem {
                name: "BB_AUDIO_SCORING_*".to_owned(),
                value: error.to_string(),
                expected: "a consistent combination of settings",
            }),
        }
        if problems.is_empty() { Ok((config, warnings)) } else { Err(ConfigError { problems }) }
    }
}

/// Returns a warning if `BT_NETWORK`, which may be left over from a rehearsal, overrides another
/// network of the reference's variable.
fn overridden_network(environment: &Environment) -> Option<Warning> {
    let name = "BITTENSOR_SUBTENSOR_ENDPOINT";
    let (selected, overridden) = (environment.get("BT_NETWORK")?, environment.get(name)?);
    let instead = "BT_NETWORK takes precedence: unset one of them";
    (selected.trim() != overridden.trim())
        .then(|| Warning::NoEffect { name: name.to_owned(), instead })
}

#[cfg(test)]
mod tests;
