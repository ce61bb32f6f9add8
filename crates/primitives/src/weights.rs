use serde::{Deserialize, Serialize};

use crate::Uid;

/// Sums and residuals nearer than this to what they should be are left alone.
const TOLERANCE: f64 = 1e-9;

/// Weights to set, in the order in which uids were first given some. They sum to 1, or there are none.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Weights {
    /// Who gets weight.
    pub uids: Vec<Uid>,
    /// How much, in the order of `uids`.
    pub weights: Vec<f64>,
}

impl Weights {
    /// The weight of a uid; 0 where it has none.
    pub fn of(&self, uid: Uid) -> f64 {
        self.uids.iter().zip(&self.weights).find(|(other, _)| **other == uid).map_or(0.0, |(_, weight)| *weight)
    }

    /// Adds to the weight of a uid.
    pub fn add(&mut self, uid: Uid, weight: f64) {
        if let Some((_, sum)) = self.uids.iter().zip(&mut self.weights).find(|(other, _)| **other == uid) {
            *sum += weight;
        } else {
            self.uids.push(uid);
            self.weights.push(weight);
        }
    }

    /// The same proportions with a sum of 1; empty where the sum is 0 or not finite.
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
