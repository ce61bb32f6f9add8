//! One typed configuration of the Babelbit daemons, from the environment variables that operators know.
//!
//! Nothing here reads the environment: the caller hands the variables in. Each known name stands in one table with its
//! meaning and its way into [`Config`]; an unknown `BB_*` or `BABELBIT_*` name gives a warning, as does one that has no
//! effect here.

mod operator;
mod rounds;
mod submission;
mod variables;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_babelbit_arena::ArenaSettings;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_babelbit_core::weights::ArenaShare;
use taonet_babelbit_runner::PlaySettings;
use taonet_objects::S3Settings;
use taonet_primitives::{NetUid, Uid};
use taonet_settings::{ConfigError, Environment, Network, Problem, Warning};
use url::Url;

pub use operator::OperatorSettings;
pub use rounds::{ArenaRoundSettings, RoundSettings};
pub use submission::SubmissionSettings;
pub use variables::variables;

/// The reference's epochs without scores before everything goes to the burn uid.
const MAX_SKIPPED_EPOCHS: u32 = 12;

/// Everything that operators set for engine access, playing, scoring and weights.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chain's network; decides whether development keys and the embedded recogniser are allowed.
    pub network: Network,
    /// The subnet, 59.
    pub netuid: NetUid,
    /// Whose rules count where the reference system has a defect.
    pub rules: Rules,
    /// Where the utterance engine is.
    pub engine_url: Url,
    /// Deadline of one call to the engine.
    pub api_timeout: Duration,
    /// Run logs and audio.
    pub logs_dir: PathBuf,
    /// Challenge runs and challenge scores.
    pub scores_dir: PathBuf,
    /// One status file per processed challenge.
    pub status_dir: PathBuf,
    /// Most miners played in one run.
    pub max_miners: usize,
    /// Path of the miners' predict route.
    pub predict_endpoint: String,
    /// Deadlines and limits for one utterance with one miner.
    pub play: PlaySettings,
    /// Whether miners on loopback and private addresses are called.
    pub dev_mode: bool,
    /// In development mode, the address that stands for this machine.
    pub local_miner_ip: Option<String>,
    /// Gates, latency and duplication.
    pub scoring: ScoreOptions,
    /// Name of the recogniser, where one is asked for.
    pub recognizer: Option<String>,
    /// Name of the sentence embedder.
    pub embedder: String,
    /// Where caches are kept, unless a setting of their own says otherwise.
    pub cache_dir: PathBuf,
    /// Where the transcript cache is kept.
    pub transcript_cache: PathBuf,
    /// Where reference documents are looked up when the engine gives none.
    pub metadata_root: PathBuf,
    /// Where models are looked for first.
    pub models_dir: Option<PathBuf>,
    /// The arena's share of the weights.
    pub arena_share: ArenaShare,
    /// Receives what nobody has earned.
    pub burn_uid: Uid,
    /// The scoring API: where results go, and where scores come from; see [`Config::submit_api_url`].
    pub submit_api_url: Option<Url>,
    /// How results go to the scoring API.
    pub submission: SubmissionSettings,
    /// Where files are uploaded.
    pub s3: S3Settings,
    /// Validator, signer and subtensor gateway.
    pub operator: OperatorSettings,
    /// The runner's loop.
    pub rounds: RoundSettings,
    /// The arena's miners.
    pub arena: ArenaSettings,
}

impl Config {
    /// The defaults, with paths below `cache_dir` (the reference's `~/.babelbit`) where they belong there.
    fn defaults(cache_dir: &Path) -> Self {
        let audio = cache_dir.join("audio_scoring");
        Self {
            network: Network::Finney,
            netuid: NetUid(59),
            rules: Rules::Reference,
            #[expect(clippy::expect_used, reason = "a constant, covered by every test that builds a Config")]
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
            recognizer: None,
            embedder: "all-MiniLM-L6-v2".to_owned(),
            cache_dir: cache_dir.to_owned(),
            transcript_cache: audio.join("stt_cache.jsonl"),
            metadata_root: audio.join("metadata"),
            models_dir: None,
            arena_share: ArenaShare::from_percent(90.0),
            burn_uid: Uid(248),
            submit_api_url: None,
            submission: SubmissionSettings::defaults(),
            s3: S3Settings::default(),
            operator: OperatorSettings::defaults(),
            rounds: RoundSettings::defaults(),
            arena: ArenaSettings::default(),
        }
    }

    /// Reads the configuration from `(name, value)` pairs; `home` is the user's home directory.
    ///
    /// Blank values count as unset. What is not UTF-8 matters only as the value of a setting.
    ///
    /// # Errors
    /// [`ConfigError`] lists every variable whose value does not fit, with the value and what was expected.
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
        let warnings = environment.apply(variables(), &["BB_", "BABELBIT_"], &mut config, &mut problems);
        config.scoring.rules = config.rules;
        match config.scoring.clone().checked() {
            Ok(scoring) => config.scoring = scoring,
            Err(error) => problems.push(Problem {
                name: "BB_AUDIO_SCORING_*".to_owned(),
                value: error.to_string(),
                expected: "settings that fit together",
            }),
        }
        if problems.is_empty() { Ok((config, warnings)) } else { Err(ConfigError { problems }) }
    }
}

#[cfg(test)]
mod tests;
