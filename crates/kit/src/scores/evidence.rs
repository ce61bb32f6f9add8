//! Recorded steps, from which scores can be recomputed.

use taonet_primitives::{Hotkey, Uid};

use super::CompletedStep;
use crate::request_hash::RequestHash;

/// Largest difference between a score and the recomputed one that is rounding.
const TOLERANCE: f64 = 1e-9;

/// A step of the record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordedStep {
    /// Number of the step, from 1; consecutive, also after a restart.
    pub number: u64,
    /// Block and time of the step.
    pub completed: CompletedStep,
    /// Share of the newest reward in the averages.
    pub alpha: f64,
    /// Hash of the request that the miners got.
    pub request: RequestHash,
}

/// Effect of a step on a miner's score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordedReward {
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Uid of the miner at the block of the step.
    pub uid: Uid,
    /// The reward: 0 also for a miner that could not be called.
    pub reward: f64,
    /// The score before the step.
    pub score_before: f64,
    /// The score after the step.
    pub score_after: f64,
}

/// Explanation of a miner's score: the recorded rewards, from which it can be recomputed.
///
/// A step moves a score by `alpha` × (reward − score). So each reward still counts
/// `alpha` × (1 − `alpha`)^(number of later rewards), and a score is the sum of these contributions
/// and of the remainder of the score before the oldest recorded reward.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// The miner's score.
    pub score: f64,
    /// The recorded rewards with their steps, the oldest first. Empty if the last reward is no
    /// longer recorded.
    pub rewards: Vec<(RecordedStep, RecordedReward)>,
}

impl Explanation {
    /// Returns the score before the oldest recorded reward; 0 if all rewards of the miner are
    /// recorded.
    pub fn initial_score(&self) -> f64 {
        self.rewards.first().map_or(self.score, |(_, first)| first.score_before)
    }

    /// Recomputes the score from the recorded rewards.
    pub fn recomputed_score(&self) -> f64 {
        self.rewards.iter().fold(self.initial_score(), |score, (step, reward)| {
            moving_average(score, step.alpha, reward.reward)
        })
    }

    /// Returns how much each recorded reward contributes to the score, in their order.
    pub fn contributions(&self) -> Vec<f64> {
        let mut remaining = 1.0;
        let mut contributions: Vec<f64> = self
            .rewards
            .iter()
            .rev()
            .map(|(step, reward)| {
                let contribution = remaining * step.alpha * reward.reward;
                remaining *= 1.0 - step.alpha;
                contribution
            })
            .collect();
        contributions.reverse();
        contributions
    }

    /// Returns the part of the score that stems from [`Self::initial_score`].
    pub fn remainder(&self) -> f64 {
        self.rewards
            .iter()
            .fold(self.initial_score(), |score, (step, _)| score * (1.0 - step.alpha))
    }

    /// Whether the score follows from the record: each step starts from the score after the
    /// previous step and moves it towards its reward, and the last step results in the miner's
    /// score.
    pub fn is_consistent(&self) -> bool {
        let mut score = self.initial_score();
        let are_steps_consistent = self.rewards.iter().all(|(step, reward)| {
            let is_continuous = is_close(reward.score_before, score);
            score = moving_average(score, step.alpha, reward.reward);
            is_continuous && is_close(reward.score_after, score)
        });
        are_steps_consistent && is_close(self.score, score)
    }
}

/// Moves a score towards a reward.
pub(super) fn moving_average(score: f64, alpha: f64, reward: f64) -> f64 {
    score + alpha * (reward - score)
}

fn is_close(one: f64, other: f64) -> bool {
    (one - other).abs() <= TOLERANCE
}
