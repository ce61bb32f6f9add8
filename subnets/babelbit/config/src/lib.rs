//! Typed configuration of the Babelbit daemons, from the environment variables of the reference system.
//!
//! Nothing here reads the environment: the caller passes the variables in. One table lists each known name with its
//! help, its parser and its field in [`Config`]. An unknown `BB_*` or `BABELBIT_*` name produces a warning, as does one
//! without effect.
//!
//! Uses `taonet-settings` (the table's machinery) and the crates whose settings it fills in. Used by the `bb` commands.

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
use taonet_settings::{ConfigError, Environment, Network, Problem, Secret, Warning};
use url::Url;

pub use operator::OperatorSettings;
pub use rounds::{ArenaRoundSettings, RoundSettings};
pub use submission::SubmissionSettings;
pub use variables::variables;

/// The reference's number of epochs without scores before all weight goes to the burn uid.
const MAX_SKIPPED_EPOCHS: u32 = 12;

/// Operator settings of the Babelbit daemons: engine access, playing, scoring and weights.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chain's network; decides whether development keys and the embedded recogniser are allowed.
    pub network: Network,
    /// The subnet, 59.
    pub netuid: NetUid,
    /// Scoring rules: reference (compatible) or strict.
    pub rules: Rules,
    /// URL of the utterance engine.
    pub engine_url: Url,
    /// Timeout of one call of the engine.
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
    /// Gates, latency and duplication.
    pub scoring: ScoreOptions,
    /// Name of the recogniser, if configured.
    pub recognizer: Option<String>,
    /// Name of the sentence embedder.
    pub embedder: String,
    /// Directory of caches that have no setting of their own.
    pub cache_dir: PathBuf,
    /// Path of the transcript cache.
    pub transcript_cache: PathBuf,
    /// Fallback directory of reference documents, for challenges without references from the engine.
    pub metadata_root: PathBuf,
    /// First directory in which models are searched.
    pub models_dir: Option<PathBuf>,
    /// The arena's share of the weights.
    pub arena_share: ArenaShare,
    /// Receives unearned weight.
    pub burn_uid: Uid,
    /// URL of the scoring API for results and scores; see [`Config::submit_api_url`].
    pub submit_api_url: Option<Url>,
    /// Submission of results to the scoring API.
    pub submission: SubmissionSettings,
    /// Object storage for result files.
    pub s3: S3Settings,
    /// URL of the NATS server of the transcription workers; replies are transcribed in the runner if unset.
    pub nats_url: Option<Secret>,
    /// Settings of validator, signer and subtensor gateway.
    pub operator: OperatorSettings,
    /// Settings of the runner's loop.
    pub rounds: RoundSettings,
    /// Settings of the arena's miners.
    pub arena: ArenaSettings,
}

impl Config {
    /// Default settings, with file paths below `cache_dir` (the reference's `~/.babelbit`) where applicable.
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
            nats_url: None,
            operator: OperatorSettings::defaults(),
            rounds: RoundSettings::defaults(),
            arena: ArenaSettings::default(),
        }
    }

    /// Reads the configuration from `(name, value)` pairs; `home` is the user's home directory.
    ///
    /// Blank values count as unset. A value that is not UTF-8 is a problem only for a known variable.
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
        let warnings = environment.apply(variables(), &["BB_", "BABELBIT_"], &mut config, &mut problems);
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

#[cfg(test)]
mod tests;
