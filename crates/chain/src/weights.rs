//! From scores to what the chain takes: parts of 65535 of the largest weight, within the subnet's limits.
//!
//! [`within_limits`] and [`quantise`] are the way of the reference's clients, so that one validator's weights are the same
//! whichever program set them; [`refusal`] is the chain's own check.

use taonet_primitives::{Uid, counted};

use crate::{WeightRow, WeightRules};

/// Why scores are no weights.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// A score is not a number from 0 on.
    #[error("the weight {weight} of uid {uid} is not a number from 0 on")]
    NotAWeight {
        /// Whose.
        uid: Uid,
        /// Which.
        weight: f64,
    },
    /// A neuron is named twice.
    #[error("uid {0} is named twice")]
    Twice(Uid),
    /// There is no such neuron.
    #[error("uid {uid} is not on the subnet, which has {}", counted(.neurons, "neuron"))]
    NoSuchNeuron {
        /// Whose.
        uid: Uid,
        /// How many there are.
        neurons: u16,
    },
}

/// Weights as the chain stores them: the largest is 65535, each other one is rounded to the nearest part, those that come
/// to nothing are left out. The order stays. Without a weight above 0 the row is empty.
///
/// # Errors
/// [`WeightError`].
pub fn quantise(weights: &[(Uid, f64)]) -> Result<WeightRow, WeightError> {
    check(weights, None)?;
    let largest = weights.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
    if largest == 0.0 {
        return Ok(WeightRow::new());
    }
    // Dividing first keeps the largest at exactly 1, however small or large it is.
    let parts = |weight: f64| (weight / largest * f64::from(u16::MAX)).round_ties_even() as u16;
    let row = weights.iter().map(|(uid, weight)| (*uid, parts(*weight)));
    Ok(row.filter(|(_, parts)| *parts > 0).collect())
}

/// Scores of neurons as weights within a subnet's limits, not yet quantised.
///
/// With no score above 0 all neurons are equal. With fewer than `min_allowed_weights`, all neurons get 10⁻⁵, those with
/// a score that and their score. Then no share is above `max_weights_limit` by more than rounding.
///
/// # Errors
/// [`WeightError`].
pub fn within_limits(scores: &[(Uid, f64)], rules: &WeightRules) -> Result<Vec<(Uid, f64)>, WeightError> {
    check(scores, Some(rules.neurons))?;
    let neurons = rules.neurons;
    let chosen: Vec<(Uid, f64)> = scores.iter().copied().filter(|(_, score)| *score > 0.0).collect();
    let largest_share = f64::from(rules.max_weights_limit) / f64::from(u16::MAX);
    if chosen.is_empty() || neurons < rules.min_allowed_weights {
        let equal = 1.0 / f64::from(neurons.max(1));
        return Ok((0..neurons).map(|uid| (Uid(uid), equal)).collect());
    }
    let mut weights = if chosen.len() < usize::from(rules.min_allowed_weights) {
        let mut all: Vec<(Uid, f64)> = (0..neurons).map(|uid| (Uid(uid), TRACE)).collect();
        for (uid, score) in chosen {
            if let Some((_, weight)) = all.get_mut(usize::from(uid.0)) {
                *weight += score;
            }
        }
        all
    } else {
        chosen
    };
    let shares = limit(weights.iter().map(|(_, weight)| *weight).collect(), largest_share);
    for ((_, weight), share) in weights.iter_mut().zip(shares) {
        *weight = share;
    }
    Ok(weights)
}

/// What a neuron without a score gets where there are too few with one.
const TRACE: f64 = 1e-5;
/// What the reference adds to the smallest sums to keep from dividing by 0.
const EPSILON: f64 = 1e-7;

/// Shares of the whole, none above `largest`: what is above is cut, and the others share what that frees.
///
/// Where `largest` is less than an equal share, all are equal.
fn limit(weights: Vec<f64>, largest: f64) -> Vec<f64> {
    let count = weights.len() as f64;
    let sum: f64 = weights.iter().sum();
    if sum == 0.0 || count * largest <= 1.0 {
        return vec![1.0 / count; weights.len()];
    }
    let shares: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
    let mut sorted = weights;
    sorted.sort_by(f64::total_cmp);
    let sorted_sum: f64 = sorted.iter().sum();
    let estimate: Vec<f64> = sorted.iter().map(|weight| weight / sorted_sum).collect();
    if shares.iter().copied().fold(0.0, f64::max) <= largest {
        return shares;
    }
    // With the k smallest as they are and the others cut at the value of the k-th, the k-th has this share of the whole.
    let mut below = 0.0;
    let mut cut_at = 0_usize;
    for (index, value) in estimate.iter().enumerate() {
        below += value;
        let above = (count - index as f64 - 1.0) * value;
        if value / (above + below + EPSILON) < largest {
            cut_at = index.saturating_add(1);
        }
    }
    let kept: f64 = estimate.iter().take(cut_at).sum();
    let cut_count = count - cut_at as f64;
    let cutoff = (largest * kept - EPSILON) / (1.0 - largest * cut_count);
    let cut: Vec<f64> = shares.iter().map(|share| share.min(cutoff)).collect();
    let sum: f64 = cut.iter().sum();
    cut.iter().map(|share| share / sum).collect()
}

/// Why the chain would not take a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// Too few neurons have a weight.
    #[error("weights for only {}: the subnet wants {wanted}", counted(.found, "neuron"))]
    TooFew {
        /// How many have one.
        found: usize,
        /// How many must.
        wanted: u16,
    },
    /// One has too large a share.
    #[error("uid {uid} has more than the subnet allows one neuron")]
    TooLarge {
        /// Whose.
        uid: Uid,
    },
}

/// What the chain would have against a quantised row of the neuron `own`; nothing against a weight for itself alone.
pub fn refusal(row: &WeightRow, own: Uid, rules: &WeightRules) -> Option<RowError> {
    if let [(uid, _)] = row.as_slice()
        && *uid == own
    {
        return None;
    }
    let wanted = rules.min_allowed_weights.min(rules.neurons);
    if row.len() < usize::from(wanted) {
        return Some(RowError::TooFew { found: row.len(), wanted });
    }
    let sum: u64 = row.iter().map(|(_, weight)| u64::from(*weight)).fold(0, u64::saturating_add);
    let is_too_large = |weight: u16| {
        let share = u64::from(weight).saturating_mul(u64::from(u16::MAX)).checked_div(sum).unwrap_or_default();
        share > u64::from(rules.max_weights_limit)
    };
    row.iter().find(|(_, weight)| is_too_large(*weight)).map(|(uid, _)| RowError::TooLarge { uid: *uid })
}

fn check(weights: &[(Uid, f64)], neurons: Option<u16>) -> Result<(), WeightError> {
    let mut seen = std::collections::HashSet::with_capacity(weights.len());
    for (uid, weight) in weights {
        if !weight.is_finite() || *weight < 0.0 {
            return Err(WeightError::NotAWeight { uid: *uid, weight: *weight });
        }
        if !seen.insert(*uid) {
            return Err(WeightError::Twice(*uid));
        }
        if let Some(neurons) = neurons.filter(|neurons| uid.0 >= *neurons) {
            return Err(WeightError::NoSuchNeuron { uid: *uid, neurons });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
