//! One typed configuration of the Babelbit daemons, from the environment variables that operators know.
//!
//! Nothing here reads the environment: the caller hands the variables in. Each known name stands in one table with its
//! meaning and its way into [`Config`]; an unknown `BB_*` or `BABELBIT_*` name gives a warning, as does one that has no
//! effect here.

mod arena;
mod network;
mod operator;
mod rounds;
mod s3;
mod secret;
mod submission;
mod value;
mod variables;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_babelbit_core::Rules;
use taonet_babelbit_core::scoring::ScoreOptions;
use taonet_babelbit_core::weights::ArenaShare;
use taonet_primitives::{NetUid, Uid};
use url::Url;

pub use arena::ArenaSettings;
pub use network::Network;
pub use operator::OperatorSettings;
pub use rounds::{ArenaRoundSettings, RoundSettings};
pub use s3::{S3Addressing, S3Settings};
pub use secret::Secret;
pub use submission::SubmissionSettings;
pub use variables::{Apply, Variable, variables};

use crate::runner::PlaySettings;

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
            s3: S3Settings::defaults(),
            operator: OperatorSettings::defaults(),
            rounds: RoundSettings::defaults(),
            arena: ArenaSettings::defaults(),
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
        let mut set: Vec<(String, String)> = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in pairs {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) if value.trim().is_empty() => {}
                Err(value) if variables().iter().any(|known| known.name == name && known.apply.is_some()) => {
                    let value = value.to_string_lossy().into_owned();
                    problems.push(Problem { name, value, expected: "text in UTF-8" });
                }
                Ok(value) => set.push((name, value)),
                // Nobody reads the value; the name may be worth a warning.
                Err(_) => set.push((name, String::new())),
            }
        }
        let cache_dir = set
            .iter()
            .find(|(name, _)| name == "BABELBIT_CACHE_DIR")
            .map(|(_, value)| PathBuf::from(value))
            .or_else(|| home.map(|home| home.join(".babelbit")))
            .unwrap_or_else(|| PathBuf::from(".babelbit"));
        let mut config = Self::defaults(&cache_dir);
        let mut warnings = Vec::new();
        for (name, value) in &set {
            match variables().iter().find(|variable| variable.name == name) {
                Some(Variable { apply: Some(apply), .. }) => {
                    if let Err(expected) = apply(&mut config, value.trim()) {
                        problems.push(Problem {
                            name: name.clone(),
                            value: network::without_credentials(value),
                            expected,
                        });
                    }
                }
                Some(Variable { apply: None, help, .. }) => {
                    warnings.push(Warning::NoEffect { name: name.clone(), instead: help });
                }
                None if name.starts_with("BB_") || name.starts_with("BABELBIT_") => {
                    warnings.push(Warning::Unknown(name.clone()));
                }
                None => {}
            }
        }
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

/// A variable that was set but changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// No part of taonet knows the name.
    Unknown(String),
    /// The reference system lists the name; it has no effect here.
    NoEffect {
        /// The name.
        name: String,
        /// What to use instead; empty where there is nothing.
        instead: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => match nearest(name) {
                Some(known) => write!(f, "{name} is set, but no such setting exists; did you mean {known}?"),
                None => write!(f, "{name} is set, but no such setting exists"),
            },
            Self::NoEffect { name, instead: "" } => write!(f, "{name} is set, but has no effect in this version"),
            Self::NoEffect { name, instead } => write!(f, "{name} is set, but has no effect: {instead}"),
        }
    }
}

/// The known name that `name` was probably meant to be.
fn nearest(name: &str) -> Option<&'static str> {
    variables()
        .iter()
        .map(|variable| (strsim::damerau_levenshtein(variable.name, name), variable.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, known)| known)
}

/// A variable whose value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What would have fitted.
    pub expected: &'static str,
}

/// The environment holds values that do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Every variable concerned.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the environment holds settings that do not fit")?;
        for Problem { name, value, expected } in &self.problems {
            write!(f, "\n  {name}={value}: expected {expected}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
