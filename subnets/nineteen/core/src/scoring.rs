//! Scoring: weights from rewards and period scores.
//!
//! For each enabled task, over its contenders:
//!
//! ```text
//! combined quality = mean(quality^1.5) · (1 + bonus by speed rank)
//! effective        = combined quality · normalised period score · capacity
//! net              = (effective / Σ effective)^3, normalised over the task
//! weight           = Σ net · task weight over the tasks, normalised
//! ```
//!
//! [`score`] returns all intermediate values ([`Scores`]), from which each weight can be recomputed
//! exactly.
//!
//! If a miner has fewer rewards in a task than [`ScoringRules::minimum_rewards`], its newest
//! rewards in *any* task fill up to that number. The profiles `reference` and `later` compute
//! exactly the reference's weights, including three flaws: rewards in the task can count twice, the
//! speeds of the filled rewards have other units, and registered hotkeys that do not serve the task
//! are ranked too. The profiles `strict` and `later-strict` fix them ([`ScoringRules::strict`]).

mod periods;
mod quality;
mod rules;
mod weights;

use taonet_primitives::Uid;

pub use periods::{NormalisedPeriod, normalised_period};
pub use quality::{Quality, SpeedRank, average_quality, percentile, rank_by_speed};
pub use rules::{ScoringProfile, ScoringRules};
pub use weights::{ContenderScore, DuplicateRow, MinerTotal, Scores, TaskScores, score, shares};

/// A task's share of the incentive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskWeight<T> {
    /// Name of the task.
    pub task: T,
    /// Weight of the task, relative to the other tasks.
    pub weight: f64,
    /// Whether the task is enabled.
    pub enabled: bool,
}

/// A miner's current offer for one task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contender<T, K> {
    /// Hotkey of the miner.
    pub hotkey: K,
    /// Uid of the miner.
    pub uid: Uid,
    /// Name of the task.
    pub task: T,
    /// Accepted capacity, in the unit of the task.
    pub capacity: f64,
}

/// Quality and speed of a checked answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reward<T, K> {
    /// Name of the task.
    pub task: T,
    /// Hotkey of the miner.
    pub hotkey: K,
    /// Quality according to the checker, in `0..=1`.
    pub quality: Option<f64>,
    /// Speed: work per second, in the unit of the task.
    pub metric: Option<f64>,
}

/// Period score and volume of a contender in a closed period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeriodRow<T, K> {
    /// Name of the task.
    pub task: T,
    /// Hotkey of the miner.
    pub hotkey: K,
    /// Period score in `0..=1`; `None` without requests.
    pub score: Option<f64>,
    /// Delivered volume, in the unit of the task.
    pub volume: f64,
}

/// Input of the weight computation. `T` identifies a task, `K` a miner, such as `&str` and
/// `Hotkey`. Rewards and periods are ordered newest first, within their windows.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoringInput<T, K> {
    /// Tasks, in scoring order.
    pub tasks: Vec<TaskWeight<T>>,
    /// All registered hotkeys, also without an axon, in order of uid. Equal speeds rank in this
    /// order, or, with strict rules, in that of the contenders.
    pub nodes: Vec<K>,
    /// Current contenders, one per miner and task.
    pub contenders: Vec<Contender<T, K>>,
    /// Checked results within [`ScoringRules::reward_window`].
    pub rewards: Vec<Reward<T, K>>,
    /// Closed periods within [`ScoringRules::period_window`].
    pub periods: Vec<PeriodRow<T, K>>,
}

#[cfg(test)]
mod tests;
