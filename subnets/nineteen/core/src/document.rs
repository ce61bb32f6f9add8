//! Period scores and weights from JSON documents, for verification by subnet owners.
//!
//! [`period_scores`] takes a document of counters, [`weights`] a document of tables; an array of
//! documents yields an array of results. Unknown fields are ignored. A document that a validator
//! exports also names its profiles, and has the counters of each period, from which [`weights`]
//! computes the period scores again.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taonet_primitives::Uid;

use crate::period::{PeriodCounts, PeriodProfile, period_score};
use crate::scoring::{
    Contender, PeriodRow, Reward, ScoringInput, ScoringProfile, TaskWeight, score,
};

/// Maximum difference between a period score and the score of its counters.
const TOLERANCE: f64 = 1e-9;
/// Maximum nesting depth of arrays around a document.
const MAX_DEPTH: usize = 8;

/// Why a document is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// A field is missing, out of range or has the wrong type.
    #[error("{path}: {reason}")]
    Field {
        /// Path of the field, such as `[3].capacity`.
        path: String,
        /// Why the field is invalid.
        reason: String,
    },
}

/// Computes period scores from counters. A document `{"total_requests", "capacity",
/// "consumed_capacity", "requests_429", "requests_500"}` yields a number, or null without requests
/// or capacity; an array yields an array.
///
/// # Errors
/// [`DocumentError`] with the path of the invalid field.
pub fn period_scores(document: &Value, profile: PeriodProfile) -> Result<Value, DocumentError> {
    map_documents(document, String::new(), &|value, path| {
        let counts: PeriodCounts = parse(value, path)?;
        Ok(validated_score(&counts, profile, path)?.into())
    })
}

/// Checks that no counter is below 0, and returns the period score.
fn validated_score(
    counts: &PeriodCounts,
    profile: PeriodProfile,
    path: &str,
) -> Result<Option<f64>, DocumentError> {
    let PeriodCounts { total_requests, capacity, consumed_capacity, requests_429, requests_500 } =
        *counts;
    for (field, number) in [
        ("total_requests", total_requests),
        ("capacity", capacity),
        ("consumed_capacity", consumed_capacity),
        ("requests_429", requests_429),
        ("requests_500", requests_500),
    ] {
        check_not_negative(number, || format!("{path}.{field}"))?;
    }
    Ok(period_score(counts, profile))
}

/// Uids and weights in the chain's format, ordered by the miners' first appearance in an enabled
/// task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weights {
    /// Uids of the miners.
    pub uids: Vec<Uid>,
    /// Weights of the miners, which sum to 1.
    pub weights: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Tables {
    scoring_profile: Option<ScoringProfile>,
    tasks: Vec<TaskEntry>,
    /// All registered hotkeys, in order of uid; by default those of the contenders.
    nodes: Option<Vec<String>>,
    contenders: Vec<ContenderEntry>,
    rewards: Vec<RewardEntry>,
    period_scores: Vec<PeriodEntry>,
}

#[derive(Debug, Deserialize)]
struct TaskEntry {
    task: String,
    weight: f64,
    #[serde(default = "enabled")]
    enabled: bool,
}

const fn enabled() -> bool {
    true
}

#[derive(Debug, Deserialize)]
struct ContenderEntry {
    hotkey: String,
    uid: Uid,
    task: String,
    capacity: f64,
}

#[derive(Debug, Deserialize)]
struct RewardEntry {
    task: String,
    hotkey: String,
    quality_score: Option<f64>,
    metric: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct PeriodEntry {
    task: String,
    hotkey: String,
    period_score: Option<f64>,
    consumed_capacity: Option<f64>,
    /// Formula of the period's score. With it, the counters below are required.
    period_profile: Option<PeriodProfile>,
    total_requests: Option<f64>,
    capacity: Option<f64>,
    requests_429: Option<f64>,
    requests_500: Option<f64>,
}

impl PeriodEntry {
    /// Returns the period score: that of the counters, if the document has them.
    fn score(&self, path: &str) -> Result<Option<f64>, DocumentError> {
        let Some(profile) = self.period_profile else { return Ok(self.period_score) };
        let counter = |name: &str, value: Option<f64>| {
            value.ok_or_else(|| {
                field_error(
                    format!("{path}.{name}"),
                    "missing, although there is a period_profile".to_owned(),
                )
            })
        };
        let counts = PeriodCounts {
            total_requests: counter("total_requests", self.total_requests)?,
            capacity: counter("capacity", self.capacity)?,
            consumed_capacity: counter("consumed_capacity", self.consumed_capacity)?,
            requests_429: counter("requests_429", self.requests_429)?,
            requests_500: counter("requests_500", self.requests_500)?,
        };
        let score = validated_score(&counts, profile, path)?;
        let is_consistent = match (score, self.period_score) {
            (Some(computed), Some(recorded)) => (computed - recorded).abs() <= TOLERANCE,
            (computed, recorded) => computed == recorded,
        };
        if is_consistent {
            return Ok(score);
        }
        let score_text =
            |score: Option<f64>| score.map_or_else(|| "null".to_owned(), |score| score.to_string());
        let reason = format!(
            "is {}, but its counters give {}",
            score_text(self.period_score),
            score_text(score)
        );
        Err(field_error(format!("{path}.period_score"), reason))
    }
}

/// Computes weights from tables: `tasks` of `{"task", "weight", "enabled"}`, `contenders` of
/// `{"hotkey", "uid", "task", "capacity"}`, `rewards` of `{"task", "hotkey", "quality_score",
/// "metric"}` and `period_scores` of `{"task", "hotkey", "period_score", "consumed_capacity"}`, the
/// last two in order from newest to oldest. Returns `{"uids", "weights"}`; an array yields an
/// array.
///
/// `nodes`, which can be omitted, lists all registered hotkeys in order of uid. By default, these
/// are the hotkeys of the contenders.
///
/// The rules are those of `profile`, or else of the document's `scoring_profile`, or else of the
/// reference. An entry of `period_scores` with a `period_profile` also has the period's counters,
/// as in [`period_scores`].
///
/// # Errors
/// [`DocumentError`] with the path of the invalid field: also if a period score differs from the
/// score of its counters.
pub fn weights(document: &Value, profile: Option<ScoringProfile>) -> Result<Value, DocumentError> {
    map_documents(document, String::new(), &|value, path| {
        let tables: Tables = parse(value, path)?;
        let weights = tables.weights(profile, path)?;
        Ok(serde_json::json!({ "uids": weights.uids, "weights": weights.weights }))
    })
}

impl Tables {
    fn weights(
        &self,
        profile: Option<ScoringProfile>,
        path: &str,
    ) -> Result<Weights, DocumentError> {
        for (index, task) in self.tasks.iter().enumerate() {
            check_not_negative(task.weight, || format!("{path}.tasks[{index}].weight"))?;
        }
        for (index, contender) in self.contenders.iter().enumerate() {
            check_not_negative(contender.capacity, || {
                format!("{path}.contenders[{index}].capacity")
            })?;
        }
        for (index, reward) in self.rewards.iter().enumerate() {
            check_not_negative(reward.quality_score.unwrap_or(0.0), || {
                format!("{path}.rewards[{index}].quality_score")
            })?;
        }
        for (index, row) in self.period_scores.iter().enumerate() {
            let entry = format!("{path}.period_scores[{index}]");
            check_not_negative(row.period_score.unwrap_or(0.0), || {
                format!("{entry}.period_score")
            })?;
            check_not_negative(row.consumed_capacity.unwrap_or(0.0), || {
                format!("{entry}.consumed_capacity")
            })?;
        }
        let scores = self.period_scores.iter().enumerate();
        let scores =
            scores.map(|(index, row)| row.score(&format!("{path}.period_scores[{index}]")));
        let input = self.scoring_input(&scores.collect::<Result<Vec<_>, _>>()?);
        input.check().map_err(|error| field_error(path.to_owned(), error.to_string()))?;
        let rules = profile.or(self.scoring_profile).unwrap_or_default().rules();
        let totals = score(&input, &rules).totals;
        let (uids, weights) = totals.into_iter().map(|total| (total.uid, total.weight)).unzip();
        Ok(Weights { uids, weights })
    }

    /// Returns the registered hotkeys, in order of uid.
    fn nodes(&self) -> Vec<&str> {
        if let Some(nodes) = &self.nodes {
            return nodes.iter().map(String::as_str).collect();
        }
        let mut hotkeys = HashSet::new();
        let mut nodes: Vec<_> =
            self.contenders.iter().map(|row| (row.uid, row.hotkey.as_str())).collect();
        nodes.retain(|(_, hotkey)| hotkeys.insert(*hotkey));
        nodes.sort_by_key(|(uid, _)| *uid);
        nodes.into_iter().map(|(_, hotkey)| hotkey).collect()
    }

    fn scoring_input(&self, period_scores: &[Option<f64>]) -> ScoringInput<&str, &str> {
        let weight_and_enabled = |row: &'_ TaskEntry| (row.weight, row.enabled);
        let tasks = self.tasks.iter().map(|row| {
            let (weight, enabled) = weight_and_enabled(row);
            TaskWeight { task: row.task.as_str(), weight, enabled }
        });
        let contenders = self.contenders.iter().map(|row| Contender {
            hotkey: row.hotkey.as_str(),
            uid: row.uid,
            task: row.task.as_str(),
            capacity: row.capacity,
        });
        let rewards = self.rewards.iter().map(|row| Reward {
            task: row.task.as_str(),
            hotkey: row.hotkey.as_str(),
            quality: row.quality_score,
            metric: row.metric,
        });
        let periods = self.period_scores.iter().zip(period_scores).map(|(row, score)| PeriodRow {
            task: row.task.as_str(),
            hotkey: row.hotkey.as_str(),
            score: *score,
            volume: row.consumed_capacity.unwrap_or(0.0),
        });
        ScoringInput {
            tasks: tasks.collect(),
            nodes: self.nodes(),
            contenders: contenders.collect(),
            rewards: rewards.collect(),
            periods: periods.collect(),
        }
    }
}

type Convert<'a> = &'a dyn Fn(&Value, &str) -> Result<Value, DocumentError>;

/// Applies `convert` to each document, in arrays nested up to [`MAX_DEPTH`] levels.
fn map_documents(
    document: &Value,
    path: String,
    convert: Convert<'_>,
) -> Result<Value, DocumentError> {
    match document {
        Value::Array(_) if path.matches('[').count() >= MAX_DEPTH => {
            Err(field_error(path, format!("arrays are nested deeper than {MAX_DEPTH}")))
        }
        Value::Array(documents) => {
            let results = documents
                .iter()
                .enumerate()
                .map(|(index, value)| map_documents(value, format!("{path}[{index}]"), convert));
            results.collect::<Result<_, _>>().map(Value::Array)
        }
        document => convert(document, if path.is_empty() { "document" } else { &path }),
    }
}

fn parse<T: DeserializeOwned>(value: &Value, path: &str) -> Result<T, DocumentError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let location = error.path().to_string();
        let path = if location == "." { path.to_owned() } else { format!("{path}.{location}") };
        field_error(path, error.into_inner().to_string())
    })
}

fn check_not_negative(number: f64, path: impl FnOnce() -> String) -> Result<(), DocumentError> {
    if number >= 0.0 { Ok(()) } else { Err(field_error(path(), format!("{number} is below 0"))) }
}

fn field_error(path: String, reason: String) -> DocumentError {
    DocumentError::Field { path, reason }
}

#[cfg(test)]
mod tests;
