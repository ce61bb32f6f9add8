use std::collections::{BTreeMap, HashMap};

use super::MarketConfig;
use crate::task::TaskName;

/// Sum of the units of a validator's vote: each unit is a millionth of all task weights.
pub const VOTE_UNITS: u32 = 1_000_000;

/// Task weights from the validators' last valid vote.
///
/// A failed or empty vote keeps the previous weights. (In the reference, a failed vote breaks every
/// lookup of a task, and a vote of 0 keeps the default weight.)
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Votes(HashMap<String, f64>);

impl Votes {
    /// Replaces the weights with the result of a vote. Ignores negative and non-finite entries, and
    /// empty votes.
    pub fn update(&mut self, vote: impl IntoIterator<Item = (String, f64)>) {
        let vote: HashMap<_, _> =
            vote.into_iter().filter(|(_, weight)| weight.is_finite() && *weight >= 0.0).collect();
        if !vote.is_empty() {
            self.0 = vote;
        }
    }
}

/// Returns the mean of validators' votes, weighted by their stakes: each validator divides its stake
/// among the tasks in proportion to the units of its vote. The weights sum to 1; there are none
/// without a vote that has both stake and units.
pub fn stake_weighted<'a>(
    votes: impl IntoIterator<Item = (u64, &'a BTreeMap<TaskName, u32>)>,
) -> BTreeMap<String, f64> {
    let (mut weights, mut total) = (BTreeMap::<String, f64>::new(), 0.0);
    for (stake, vote) in votes {
        let sum: u64 = vote.values().map(|units| u64::from(*units)).sum();
        if stake == 0 || sum == 0 {
            continue;
        }
        let stake = stake as f64;
        total += stake;
        for (task, units) in vote {
            let share = stake * f64::from(*units) / sum as f64;
            *weights.entry(task.as_str().to_owned()).or_default() += share;
        }
    }
    for weight in weights.values_mut() {
        *weight /= total;
    }
    weights
}

impl MarketConfig {
    /// Returns the configuration with the voted weights, normalised to sum to 1; unchanged before
    /// the first vote.
    ///
    /// A vote of 0 disables a task; a task without a vote keeps its weight. Votes that would
    /// disable every task have no effect.
    #[must_use]
    pub fn with_votes(&self, votes: &Votes) -> Self {
        let mut config = self.clone();
        if votes.0.is_empty() {
            return config;
        }
        for task in &mut config.tasks {
            if let Some(weight) = votes.0.get(task.task.as_str()) {
                task.weight = *weight;
                task.enabled &= *weight > 0.0;
            }
        }
        if config.enabled().map(|task| task.weight).sum::<f64>() <= 0.0 {
            config = self.clone();
        }
        let sum: f64 = config.tasks.iter().map(|task| task.weight).sum();
        for task in &mut config.tasks {
            task.weight /= sum;
        }
        config
    }
}
