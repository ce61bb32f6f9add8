//! Converts scores to the chain's weights: parts of 65535 of the largest weight, within the
//! subnet's limits.
//!
//! [`within_limits`] and [`quantise`] give the same results as Bittensor's SDK, so that a
//! validator's weights do not depend on the client; [`refusal`] applies the chain's own checks.

use taonet_primitives::{Uid, counted};

use crate::{WeightRow, WeightRules};

/// Why scores cannot be converted to weights.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// A score is negative or not finite.
    #[error("weight {weight} of uid {uid} is negative or not finite")]
    Invalid {
        /// The neuron's uid.
        uid: Uid,
        /// The rejected score.
        weight: f64,
    },
    /// A uid appears twice.
    #[error("duplicate uid {0}")]
    Duplicate(Uid),
    /// The uid has no neuron.
    #[error("uid {uid} is not on the subnet, which has {}", counted(.neurons, "neuron"))]
    NoSuchNeuron {
        /// The uid without a neuron.
        uid: Uid,
        /// The number of neurons on the subnet.
        neurons: u16,
    },
}

/// Quantises weights to u16: the largest becomes 65535, the others are scaled and rounded to
/// nearest, and zeros are omitted. The order is preserved. Without a positive weight the row is
/// empty.
///
/// # Errors
/// [`WeightError`] if a weight is invalid or a uid is duplicated.
pub fn quantise(weights: &[(Uid, f64)]) -> Result<WeightRow, WeightError> {
    check_weights(weights, None)?;
    let largest = weights.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
    if largest == 0.0 {
        return Ok(WeightRow::new());
    }
    // Dividing first keeps the largest at exactly 1, regardless of its magnitude.
    let row = weights.iter().map(|&(uid, weight)| {
        (uid, (weight / largest * f64::from(u16::MAX)).round_ties_even() as u16)
    });
    Ok(row.filter(|(_, parts)| *parts > 0).collect())
}

/// Returns the uids whose positive weights [`quantise`] rounded to 0, and left out of `row`.
pub fn rounded_to_zero(weights: &[(Uid, f64)], row: &WeightRow) -> Vec<Uid> {
    weights
        .iter()
        .filter(|(uid, weight)| *weight > 0.0 && row.iter().all(|(stored, _)| stored != uid))
        .map(|(uid, _)| *uid)
        .collect()
}

/// Converts the scores of neurons to weights within a subnet's limits, without quantising them.
///
/// Without a positive score, or with fewer neurons than `min_allowed_weights`, all neurons get
/// equal weights. With fewer positive scores than `min_allowed_weights`, every neuron gets 10⁻⁵
/// plus its score. Weights are then normalised and limited to `max_weights_limit`, up to rounding
/// errors.
///
/// # Errors
/// [`WeightError`] if a score is invalid, or a uid is duplicated or not on the subnet.
pub fn within_limits(
    scores: &[(Uid, f64)],
    rules: &WeightRules,
) -> Result<Vec<(Uid, f64)>, WeightError> {
    check_weights(scores, Some(rules.neurons))?;
    let neurons = rules.neurons;
    let positive: Vec<(Uid, f64)> =
        scores.iter().copied().filter(|(_, score)| *score > 0.0).collect();
    let largest_share = f64::from(rules.max_weights_limit) / f64::from(u16::MAX);
    if positive.is_empty() || neurons < rules.min_allowed_weights {
        let equal_weight = 1.0 / f64::from(neurons.max(1));
        return Ok((0..neurons).map(|uid| (Uid(uid), equal_weight)).collect());
    }
    let mut weights = if positive.len() < usize::from(rules.min_allowed_weights) {
        let mut weights_by_uid: Vec<(Uid, f64)> =
            (0..neurons).map(|uid| (Uid(uid), FILLER_WEIGHT)).collect();
        for (uid, score) in positive {
            if let Some((_, weight)) = weights_by_uid.get_mut(usize::from(uid.0)) {
                *weight += score;
            }
        }
        weights_by_uid
    } else {
        positive
    };
    let shares = limit_shares(weights.iter().map(|(_, weight)| *weight).collect(), largest_share);
    for ((_, weight), share) in weights.iter_mut().zip(shares) {
        *weight = share;
    }
    Ok(weights)
}

/// The weight of a neuron without a score when too few neurons have one.
const FILLER_WEIGHT: f64 = 1e-5;
/// The guard against division by zero, as in Bittensor's SDK.
const EPSILON: f64 = 1e-7;

/// Normalises weights to shares of at most `largest`: larger shares are reduced to `largest`, and
/// the excess is distributed over the other shares in proportion.
///
/// If `largest` is at most an equal share, all shares are equal.
fn limit_shares(weights: Vec<f64>, largest: f64) -> Vec<f64> {
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
    // Finds the largest share that stays below the limit if all larger shares are reduced to its
    // value.
    let mut sum_below = 0.0;
    let mut uncut_count = 0_usize;
    for (index, value) in estimate.iter().enumerate() {
        sum_below += value;
        let sum_above = (count - index as f64 - 1.0) * value;
        if value / (sum_above + sum_below + EPSILON) < largest {
            uncut_count = index.saturating_add(1);
        }
    }
    let uncut_sum: f64 = estimate.iter().take(uncut_count).sum();
    let cut_count = count - uncut_count as f64;
    let cutoff = (largest * uncut_sum - EPSILON) / (1.0 - largest * cut_count);
    let capped: Vec<f64> = shares.iter().map(|share| share.min(cutoff)).collect();
    let sum: f64 = capped.iter().sum();
    capped.iter().map(|share| share / sum).collect()
}

/// Why the chain would refuse a row of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// Too few neurons have a weight.
    #[error("weights for only {}, but the subnet requires at least {minimum}", counted(.actual, "neuron"))]
    TooFew {
        /// The number of weights in the row.
        actual: usize,
        /// The minimum number of weights.
        minimum: u16,
    },
    /// A weight exceeds the largest allowed share.
    #[error("the weight of uid {uid} exceeds the subnet's maximum per neuron")]
    TooLarge {
        /// The neuron's uid.
        uid: Uid,
    },
}

/// Returns why the chain would refuse a quantised row of the neuron `own_uid`; `None` if it would
/// accept the row. A row with only a self-weight is always accepted.
pub fn refusal(row: &WeightRow, own_uid: Uid, rules: &WeightRules) -> Option<RowError> {
    if let [(uid, _)] = row.as_slice()
        && *uid == own_uid
    {
        return None;
    }
    let min_weights = rules.min_allowed_weights.min(rules.neurons);
    if row.len() < usize::from(min_weights) {
        return Some(RowError::TooFew { actual: row.len(), minimum: min_weights });
    }
    let sum: u64 = row.iter().map(|(_, weight)| u64::from(*weight)).fold(0, u64::saturating_add);
    let too_large = row.iter().find(|(_, weight)| {
        let share = u64::from(*weight)
            .saturating_mul(u64::from(u16::MAX))
            .checked_div(sum)
            .unwrap_or_default();
        share > u64::from(rules.max_weights_limit)
    });
    too_large.map(|(uid, _)| RowError::TooLarge { uid: *uid })
}

fn check_weights(weights: &[(Uid, f64)], neurons: Option<u16>) -> Result<(), WeightError> {
    let mut uids = std::collections::HashSet::with_capacity(weights.len());
    for (uid, weight) in weights {
        if !weight.is_finite() || *weight < 0.0 {
            return Err(WeightError::Invalid { uid: *uid, weight: *weight });
        }
        if !uids.insert(*uid) {
            return Err(WeightError::Duplicate(*uid));
        }
        if let Some(neurons) = neurons.filter(|neurons| uid.0 >= *neurons) {
            return Err(WeightError::NoSuchNeuron { uid: *uid, neurons });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
