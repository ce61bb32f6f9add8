use serde::{Deserialize, Serialize};

use crate::Uid;

/// The tolerance of normalisation: smaller deviations from a sum of 1 are not corrected.
const TOLERANCE: f64 = 1e-9;

/// Weights by uid, in the order in which uids were first added. [`Self::normalised`] scales them to
/// a sum of 1.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Weights {
    /// The uids with a weight.
    pub uids: Vec<Uid>,
    /// The weights, in the order of `uids`.
    pub weights: Vec<f64>,
}

impl Weights {
    /// Returns weights in proportion to scores, with a sum of 1; `None` without scores. Only
    /// positive scores earn weight; if none is positive, or their sum is not finite, `burn_uid`
    /// gets all weight. Without `burn_uid`, the weights are then empty.
    pub fn proportional(scores: &[(Uid, f64)], burn_uid: Option<Uid>) -> Option<Self> {
        if scores.is_empty() {
            return None;
        }
        let (uids, weights) = scores.iter().copied().filter(|(_, score)| *score > 0.0).unzip();
        let weights = Self { uids, weights }.normalised();
        if !weights.uids.is_empty() {
            return Some(weights);
        }
        let all_burned = burn_uid.map(|uid| Self { uids: vec![uid], weights: vec![1.0] });
        Some(all_burned.unwrap_or_default())
    }

    /// Returns the weight of a uid; 0 if it has none.
    pub fn of(&self, uid: Uid) -> f64 {
        self.uids
            .iter()
            .zip(&self.weights)
            .find(|(other, _)| **other == uid)
            .map_or(0.0, |(_, weight)| *weight)
    }

    /// Adds `weight` to the weight of a uid.
    pub fn add(&mut self, uid: Uid, weight: f64) {
        if let Some((_, sum)) =
            self.uids.iter().zip(&mut self.weights).find(|(other, _)| **other == uid)
        {
            *sum += weight;
        } else {
            self.uids.push(uid);
            self.weights.push(weight);
        }
    }

    /// Returns the weights scaled to a sum of 1; empty if the sum is 0 or not finite.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        let sum: f64 = self.weights.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return Self::default();
        }
        if (sum - 1.0).abs() > TOLERANCE {
            for weight in &mut self.weights {
                *weight /= sum;
            }
        }
        let residual = 1.0 - self.weights.iter().sum::<f64>();
        if let Some(last) = self.weights.last_mut().filter(|_| residual.abs() > TOLERANCE) {
            *last += residual;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: scores of the uids 0, 1, … · weights by uid
    #[test]
    fn positive_scores_earn_weight_in_proportion() {
        for (scores, pairs) in [
            (&[1.0, 3.0][..], &[(0, 0.25), (1, 0.75)][..]),
            (&[0.0, 0.5, -1.0, 0.5], &[(1, 0.5), (3, 0.5)]),
            (&[f64::NAN, 2.0], &[(1, 1.0)]),
            (&[0.0, -1.0], &[(9, 1.0)]),
            (&[f64::MAX, f64::MAX], &[(9, 1.0)]),
        ] {
            let scores: Vec<_> = (0..).map(Uid).zip(scores.iter().copied()).collect();
            let (uids, weights) = pairs.iter().map(|(uid, weight)| (Uid(*uid), *weight)).unzip();
            let expected = Weights { uids, weights };
            assert_eq!(Weights::proportional(&scores, Some(Uid(9))), Some(expected), "{scores:?}");
        }
        assert_eq!(Weights::proportional(&[(Uid(1), 0.0)], None), Some(Weights::default()));
        assert_eq!(Weights::proportional(&[], Some(Uid(9))), None);
    }
}
