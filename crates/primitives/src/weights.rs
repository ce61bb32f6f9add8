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
