//! Combined quality: quality and relative speed of a contender's results.

use super::ScoringRules;

/// Returns the mean of the qualities, each raised to [`ScoringRules::quality_exponent`]; `None` if
/// there are none.
pub fn average_quality(
    qualities: impl IntoIterator<Item = f64>,
    rules: &ScoringRules,
) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for quality in qualities {
        sum += quality.powf(rules.quality_exponent);
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}

/// Returns the element at index `⌊fraction · n⌋` of the `n` sorted numbers; `None` if there are
/// none.
pub fn percentile(mut numbers: Vec<f64>, fraction: f64) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let index = (fraction * numbers.len() as f64).floor() as usize;
    numbers.get(index).or(numbers.last()).copied()
}

/// A contender's rank by speed, and the bonus for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeedRank {
    /// Rank from 0 (fastest) to `count − 1`.
    pub rank: usize,
    /// Number of ranked contenders.
    pub count: usize,
    /// Bonus for the rank: `bonus_span · (0.5 − rank / (count − 1))`; 0 for a single contender.
    pub bonus: f64,
}

/// Ranks speeds in descending order, ties in input order. Contenders without a speed are not
/// ranked.
pub fn rank_by_speed(speeds: &[Option<f64>], rules: &ScoringRules) -> Vec<Option<SpeedRank>> {
    let mut order: Vec<(usize, f64)> = speeds
        .iter()
        .enumerate()
        .filter_map(|(index, speed)| speed.map(|speed| (index, speed)))
        .collect();
    order.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let count = order.len();
    let mut ranks = vec![None; speeds.len()];
    for (rank, (index, _)) in order.into_iter().enumerate() {
        let bonus = if count > 1 {
            rules.bonus_span * (0.5 - rank as f64 / (count - 1) as f64)
        } else {
            0.0
        };
        if let Some(slot) = ranks.get_mut(index) {
            *slot = Some(SpeedRank { rank, count, bonus });
        }
    }
    ranks
}

/// Components of a contender's combined quality.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Number of the contender's rewards in the task.
    pub rewards: usize,
    /// Number of further rewards that count because the contender has few in the task: its newest
    /// in any task, or, with strict rules, in other tasks.
    pub filled: usize,
    /// Mean of the rewards' qualities, each raised to [`ScoringRules::quality_exponent`].
    pub average: f64,
    /// Average quality, squared if [`ScoringRules::squared_up_to`] applies.
    pub adjusted: f64,
    /// Speed used for the ranking; `None` without a reward whose speed counts.
    pub metric: Option<f64>,
    /// Rank among all registered hotkeys with rewards, or, with strict rules, among the task's
    /// contenders; `None` without a speed.
    pub rank: Option<SpeedRank>,
    /// Combined quality: `adjusted · (1 + bonus)`, with a bonus of 0 without a rank.
    pub combined: f64,
}
