//! The market's configuration: a TOML file with the tasks and their scoring rules.
//!
//! `tasks.toml` in this crate's directory is the default, with every field. An invalid file changes
//! nothing: the error names the field, and the current configuration remains active.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use taonet_primitives::Seconds;

use crate::period::PeriodProfile;
use crate::scoring::ScoringProfile;
use crate::task::{CheckingFunction, Endpoint, Generator, ServerKind, Task, TaskName, TaskType};

mod votes;

pub use votes::{VOTE_UNITS, Votes, stake_weighted};

/// Length of the reference's scoring period, in seconds, relative to which the number of synthetic
/// requests scales.
const REFERENCE_PERIOD: f64 = 1_800.0;
/// Maximum length of a scoring period, in seconds.
const MAX_PERIOD: f64 = 86_400.0;
/// Maximum number of tasks in a market.
const MAX_TASKS: usize = 256;
/// Maximum number of tasks of an alias.
const MAX_ALIAS_TASKS: usize = 16;

const DEFAULT_TOML: &str = include_str!("../tasks.toml");

/// A validator's tasks and scoring rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketConfig {
    /// Formula of the period score.
    #[serde(default)]
    pub period_profile: PeriodProfile,
    /// Release of the reference implementation whose rules determine qualities and weights.
    #[serde(default)]
    pub scoring_profile: ScoringProfile,
    /// Length of a scoring period. Default: 3 600 s with the period profile `seed`, otherwise 1 800
    /// s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    period: Option<Seconds>,
    /// Multiplier of the part of each capacity that synthetic requests test: above 0, at most 1.
    #[serde(default = "default_score_multiplier")]
    pub capacity_to_score_multiplier: f64,
    /// Further names of models for buyers. Each alias stands for a list of tasks; if one
    /// cannot serve a request, the next one does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<TaskName, Vec<TaskName>>,
    /// Tasks, in scoring order.
    pub tasks: Vec<Task>,
}

const fn default_score_multiplier() -> f64 {
    1.0
}

/// Why a configuration is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not valid TOML.
    #[error("invalid TOML: {0}")]
    Syntax(String),
    /// A field is unknown, missing or has the wrong type.
    #[error("{path}: {reason}")]
    Type {
        /// Path of the field, such as `tasks[2].max_capacity`.
        path: String,
        /// The parser's error message.
        reason: String,
    },
    /// A field's value is out of range.
    #[error("{path} is {value}; hint: {expected}")]
    Value {
        /// Path of the field, such as `tasks[2].max_capacity`.
        path: String,
        /// The invalid value.
        value: String,
        /// Remedy: the permitted values.
        expected: &'static str,
    },
}

impl Default for MarketConfig {
    /// Returns the reference's ten tasks of October 2024, a task of completions and one of
    /// embeddings.
    #[expect(clippy::expect_used, reason = "the shipped file is parsed by a test")]
    fn default() -> Self {
        Self::from_toml(DEFAULT_TOML).expect("the shipped configuration is valid")
    }
}

impl MarketConfig {
    /// Returns the content of the default configuration file, with comments.
    pub const fn default_toml() -> &'static str {
        DEFAULT_TOML
    }

    /// Parses and validates a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`] with the path of the invalid field.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let deserializer = toml::Deserializer::parse(text)
            .map_err(|error| ConfigError::Syntax(error.to_string()))?;
        let config: Self = serde_path_to_error::deserialize(deserializer).map_err(|error| {
            let path = error.path().to_string();
            ConfigError::Type { path, reason: error.into_inner().message().to_owned() }
        })?;
        config.validate()?;
        Ok(config)
    }

    /// Returns the length of a scoring period.
    pub fn period(&self) -> Seconds {
        let seconds = match self.period_profile {
            PeriodProfile::Seed => 3_600.0,
            PeriodProfile::Reference | PeriodProfile::Later => REFERENCE_PERIOD,
        };
        self.period.unwrap_or(Seconds::new(seconds).unwrap_or_default())
    }

    /// Returns the ratio of the period's length to the reference's 1 800 s, which scales the number
    /// of synthetic requests.
    pub fn period_multiplier(&self) -> f64 {
        self.period().get() / REFERENCE_PERIOD
    }

    /// Returns the task with this name, enabled or not.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.task.as_str() == name)
    }

    /// Returns the tasks for which an alias stands, without disabled ones; `None` if there is no
    /// such alias. As in names of tasks, buyers can write underscores.
    pub fn alias(&self, name: &str) -> Option<impl Iterator<Item = &Task>> {
        let names = self.aliases.get(name.replace('_', "-").as_str())?;
        Some(
            names
                .iter()
                .filter_map(move |name| self.task(name.as_str()))
                .filter(|task| task.enabled),
        )
    }

    /// Returns the enabled tasks, which are offered to miners and scored.
    pub fn enabled(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.enabled)
    }

    /// Returns whether requests to a task's miners name the task in the field `model`. As in the
    /// reference, those on the avatar and inpaint routes do not, unless the market has several
    /// tasks of the route.
    pub fn names_task(&self, task: &Task) -> bool {
        let is_model_optional = matches!(task.endpoint, Endpoint::Avatar | Endpoint::Inpaint);
        !is_model_optional
            || self.enabled().filter(|other| other.endpoint == task.endpoint).count() > 1
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let period = self.period().get();
        ensure(
            period > 0.0 && period <= MAX_PERIOD,
            || "period".into(),
            &period,
            "use 1..=86400 seconds",
        )?;
        let multiplier = self.capacity_to_score_multiplier;
        let path = || "capacity_to_score_multiplier".to_owned();
        ensure(
            multiplier > 0.0 && multiplier <= 1.0,
            path,
            &multiplier,
            "use a number above 0, at most 1",
        )?;
        let count = self.tasks.len();
        ensure(
            (1..=MAX_TASKS).contains(&count),
            || "tasks".into(),
            &format!("{count} tasks"),
            "use 1..=256 tasks",
        )?;
        let mut names = HashSet::new();
        for (index, task) in self.tasks.iter().enumerate() {
            ensure(
                names.insert(&task.task),
                || format!("tasks[{index}].task"),
                &task.task,
                "name each task once",
            )?;
            check_task(index, task)?;
        }
        let count = self.aliases.len();
        ensure(
            count <= MAX_TASKS,
            || "aliases".into(),
            &format!("{count} aliases"),
            "use at most 256 aliases",
        )?;
        for (alias, tasks) in &self.aliases {
            let path = || format!("aliases.{alias}");
            let is_unused = !self.tasks.iter().any(|task| task.is_named(alias.as_str()));
            ensure(
                is_unused,
                path,
                alias,
                "use a name that buyers use for no task, nor a short form of one",
            )?;
            let count = format!("{} tasks", tasks.len());
            ensure((1..=MAX_ALIAS_TASKS).contains(&tasks.len()), path, &count, "use 1..=16 tasks")?;
            for (index, task) in tasks.iter().enumerate() {
                ensure(names.contains(task), path, task, "use names of tasks in the file")?;
                let is_first = !tasks.iter().take(index).any(|earlier| earlier == task);
                ensure(is_first, path, task, "name each task once")?;
            }
        }
        let sum: f64 = self.enabled().map(|task| task.weight).sum();
        ensure(
            sum > 0.0,
            || "tasks".into(),
            &format!("a list with a total weight of {sum}"),
            "enable a task with a weight above 0",
        )
    }
}

fn check_task(index: usize, task: &Task) -> Result<(), ConfigError> {
    let path = |field: &'static str| move || format!("tasks[{index}].{field}");
    let is_positive = |number: f64| number.is_finite() && number > 0.0;
    let (capacity, volume, weight) =
        (task.max_capacity, task.volume_to_requests_conversion, task.weight);
    ensure(is_positive(capacity), path("max_capacity"), &capacity, "use a number above 0")?;
    ensure(
        is_positive(volume),
        path("volume_to_requests_conversion"),
        &volume,
        "use a number above 0",
    )?;
    ensure(
        weight.is_finite() && weight >= 0.0,
        path("weight"),
        &weight,
        "use a number of at least 0",
    )?;
    let timeout = task.timeout.get();
    ensure(
        timeout > 0.0 && timeout <= 600.0,
        path("timeout"),
        &timeout,
        "use more than 0 and at most 600 seconds",
    )?;
    let has_matching_type = task.endpoint.task_type() == task.task_type;
    ensure(
        has_matching_type,
        path("endpoint"),
        &task.endpoint.path(),
        "use a route of the task's type",
    )?;
    // Without synthetic requests, a task's miners could be neither scored nor checked.
    let generator = Generator::for_endpoint(task.endpoint);
    ensure(
        generator.is_some(),
        path("endpoint"),
        &task.endpoint.path(),
        "use a route with a generator of tests",
    )?;
    let func = task.synthetic_generation_config.func;
    let is_endpoint_generator = generator == Some(func);
    ensure(
        is_endpoint_generator,
        path("synthetic_generation_config.func"),
        &generator_name(func),
        "use the generator of the task's endpoint",
    )?;
    let checker = &task.orchestrator_server_config;
    let expected = match task.task_type {
        TaskType::Image => (ServerKind::ImageServer, CheckingFunction::CheckImageResult),
        TaskType::Text | TaskType::Embedding => {
            (ServerKind::LlmServer, CheckingFunction::CheckTextResult)
        }
    };
    let is_expected_checker = (checker.server_needed, checker.checking_function) == expected;
    let checker_name = format!("{:?} with {:?}", checker.server_needed, checker.checking_function);
    ensure(
        is_expected_checker,
        path("orchestrator_server_config"),
        &checker_name,
        "use the server and function of the task's type",
    )
}

/// Returns the name of a generator in the file.
fn generator_name(func: Generator) -> String {
    serde_json::to_value(func)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn ensure(
    is_valid: bool,
    path: impl FnOnce() -> String,
    value: &impl ToString,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if is_valid {
        Ok(())
    } else {
        Err(ConfigError::Value { path: path(), value: value.to_string(), expected })
    }
}

#[cfg(test)]
mod tests;
