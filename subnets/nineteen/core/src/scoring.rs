//! Scoring: weights from rewards and period scores.
//!
//! For each enabled task, over its contenders:
//!
//! ```text
//! combined quality = mean(quality^1.5) · (1 + bonus by rank of speed)
//! effective        = combined quality · normalised period score · capacity
//! net              = (effective / Σ effective)^3, normalised over the task
//! weight           = Σ net · task weight over the tasks, normalised
//! ```
//!
//! [`score`] returns all intermediate numbers ([`Scores`]), which multiply to the weight exactly.
//!
//! Three bugs of the reference are fixed in every profile. If a contender has fewer rewards in a task than
//! [`ScoringRules::minimum_rewards`], its newest rewards of *other* tasks complete the mean quality: no row counts
//! twice. Speeds of other tasks, in other units, are not ranked. Only contenders of the task are ranked, so that other
//! miners occupy no ranks.

mod periods;
mod quality;
mod rules;
mod weights;

use std::hash::Hash;

use taonet_primitives::Uid;

pub use periods::{NormalisedPeriod, normalised_period};
pub use quality::{Quality, SpeedRank, average_quality, percentile, rank_by_speed};
pub use rules::{ScoringProfile, ScoringRules};
pub use weights::{ContenderScore, DuplicateContender, Scores, TaskScores, Total, score, shares};

/// Key of a task or a miner in the rows, such as `&str` or `Hotkey`.
pub trait Key: Copy + Eq + Hash {}

impl<T: Copy + Eq + Hash> Key for T {}

/// A task's share of the incentive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskWeight<T> {
    /// Its name.
    pub task: T,
    /// Its share, normalised over all tasks.
    pub weight: f64,
    /// Whether the task is enabled.
    pub enabled: bool,
}

/// A miner's current offer for one task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contender<T, K> {
    /// The miner.
    pub hotkey: K,
    /// Its uid on the chain.
    pub uid: Uid,
    /// The task.
    pub task: T,
    /// The accepted capacity, in the unit of the task.
    pub capacity: f64,
}

/// One checked result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reward<T, K> {
    /// The task.
    pub task: T,
    /// The miner.
    pub hotkey: K,
    /// Quality according to the checker, in `0..=1`.
    pub quality: Option<f64>,
    /// Work per second, in the unit of the task.
    pub metric: Option<f64>,
}

/// One closed period of a contender.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeriodRow<T, K> {
    /// The task.
    pub task: T,
    /// The miner.
    pub hotkey: K,
    /// The period score; `None` without requests.
    pub score: Option<f64>,
    /// The delivered volume.
    pub volume: f64,
}

/// Input rows of the weights. Rewards and periods are ordered newest first, within their windows.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoringInput<T, K> {
    /// Tasks, in the order in which they are scored.
    pub tasks: Vec<TaskWeight<T>>,
    /// Current contenders; one for each miner and task.
    pub contenders: Vec<Contender<T, K>>,
    /// Checked results within [`ScoringRules::reward_window`].
    pub rewards: Vec<Reward<T, K>>,
    /// Closed periods within [`ScoringRules::period_window`].
    pub periods: Vec<PeriodRow<T, K>>,
}

#[cfg(test)]
mod tests;
