//! From rewards and period scores to weights (§4.5–4.7).
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
//! [`score`] returns every number on the way ([`Scores`]), and the numbers multiply to the weight exactly as they stand.
//!
//! Three faults of the reference are mended (§11.3), in every profile. Where a contender has fewer rewards in a task than
//! [`ScoringRules::minimum_rewards`], its newest rewards of *other* tasks fill up the mean quality: a row never counts
//! twice. Speeds of other tasks, in other units, never enter the ranking. Only contenders of the task are ranked, so that
//! strangers occupy no ranks.

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

/// What names a task or a miner in the rows: `&str`, `Hotkey` and the like.
pub trait Key: Copy + Eq + Hash {}

impl<T: Copy + Eq + Hash> Key for T {}

/// A task's share of the incentive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskWeight<T> {
    /// Its name.
    pub task: T,
    /// Its share; the sum over all tasks is normalised away.
    pub weight: f64,
    /// Whether it counts.
    pub enabled: bool,
}

/// A miner's current offer for one task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contender<T, K> {
    /// The miner.
    pub hotkey: K,
    /// Its slot on the chain.
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
    /// What the checker gave, in `0..=1`.
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
    /// The period score; `None` where nothing was asked of it.
    pub score: Option<f64>,
    /// The volume that it delivered.
    pub volume: f64,
}

/// The rows that weights follow from. Rewards and periods stand newest first, within their windows.
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
