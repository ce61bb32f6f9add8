//! Normalised period score: the weighted mean of a contender's latest periods.

use super::ScoringRules;

/// Normalised period score of a contender, with its components.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormalisedPeriod {
    /// Number of periods with a score.
    pub periods: usize,
    /// Mean of the period scores, weighted by volume and age; 0 without volume.
    pub mean: f64,
    /// Multiplier of the mean: 1, or [`ScoringRules::probation_factor`] during probation.
    pub factor: f64,
    /// Normalised period score: `mean · factor`.
    pub score: f64,
}

/// Computes the normalised period score from `(score, volume)` of periods with a score, newest
/// first:
///
/// ```text
/// wᵢ = vᵢ / Σv · 0.5^i        score = factor · Σ scoreᵢ·wᵢ / Σ wᵢ
/// ```
pub fn normalised_period(rows: &[(f64, f64)], rules: &ScoringRules) -> NormalisedPeriod {
    let periods = rows.len();
    let factor = if periods >= rules.full_periods { 1.0 } else { rules.probation_factor };
    let volume: f64 = rows.iter().map(|(_, volume)| volume).sum();
    let (mut weighted_sum, mut weight_sum) = (0.0, 0.0);
    if volume > 0.0 {
        for (age, (score, period_volume)) in (0..).zip(rows) {
            let weight = period_volume / volume * rules.period_decay.powi(age);
            weighted_sum += score * weight;
            weight_sum += weight;
        }
    }
    let mean = if weight_sum > 0.0 { weighted_sum / weight_sum } else { 0.0 };
    NormalisedPeriod { periods, mean, factor, score: factor * mean }
}
