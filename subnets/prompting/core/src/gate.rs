//! The gating model: which miners are likely to answer a message well.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use taonet_primitives::Hotkey;

use crate::{Draws, softmax};

/// Settings of a gate's training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateSettings {
    /// Step size of gradient descent.
    pub learning_rate: f64,
    /// Share of the last change that is added to the next one.
    pub momentum: f64,
}

impl Default for GateSettings {
    /// Returns the settings of the first text-prompting validators: a learning rate of 0.01 and a
    /// momentum of 0.9.
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.9 }
    }
}

/// Why a gate from a file is unusable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// The gate belongs to an embedding model with other dimensions.
    #[error("the gate has {found} dimensions, but the embedding model has {expected}")]
    Dimensions {
        /// Dimensions of the gate, or of one of its rows.
        found: usize,
        /// Dimensions of the embedding model.
        expected: usize,
    },
    /// A number of the gate is not finite.
    #[error("the gate has a number that is not finite, for {hotkey}")]
    NotFinite {
        /// Hotkey of the row with the number.
        hotkey: Hotkey,
    },
}

/// A linear layer: a row of weights and a bias for each hotkey. A hotkey without a row has the
/// score 0; rows start at 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    dimensions: usize,
    rows: BTreeMap<Hotkey, Row>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    weights: Vec<f64>,
    bias: f64,
    /// The last change of each weight, for momentum.
    velocity: Vec<f64>,
    bias_velocity: f64,
}

impl Row {
    fn zero(dimensions: usize) -> Self {
        Self {
            weights: vec![0.0; dimensions],
            bias: 0.0,
            velocity: vec![0.0; dimensions],
            bias_velocity: 0.0,
        }
    }

    fn score(&self, embedding: &[f32]) -> f64 {
        self.weights
            .iter()
            .zip(embedding)
            .map(|(weight, component)| weight * f64::from(*component))
            .sum::<f64>()
            + self.bias
    }

    /// One step of SGD with momentum; `gradient` is the derivative of the loss by the row's score.
    fn gradient_step(&mut self, embedding: &[f32], gradient: f64, settings: GateSettings) {
        let GateSettings { learning_rate, momentum } = settings;
        for ((weight, velocity), component) in
            self.weights.iter_mut().zip(&mut self.velocity).zip(embedding)
        {
            *velocity = momentum * *velocity + gradient * f64::from(*component);
            *weight -= learning_rate * *velocity;
        }
        self.bias_velocity = momentum * self.bias_velocity + gradient;
        self.bias -= learning_rate * self.bias_velocity;
    }

    fn numbers(&self) -> impl Iterator<Item = f64> {
        let biases = [self.bias, self.bias_velocity];
        self.weights.iter().chain(&self.velocity).copied().chain(biases)
    }
}

impl Gate {
    /// Creates an untrained gate for embeddings of this many dimensions.
    pub const fn new(dimensions: usize) -> Self {
        Self { dimensions, rows: BTreeMap::new() }
    }

    /// Returns the dimensions of the embeddings.
    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Returns the number of hotkeys with a row.
    pub fn miners(&self) -> usize {
        self.rows.len()
    }

    /// Checks a gate that was read from a file.
    ///
    /// # Errors
    /// [`GateError`] when the gate is for embeddings of another size, is incomplete, or has numbers
    /// that are not finite.
    pub fn check(&self, dimensions: usize) -> Result<(), GateError> {
        let sizes = self.rows.values().flat_map(|row| [row.weights.len(), row.velocity.len()]);
        if let Some(found) =
            std::iter::once(self.dimensions).chain(sizes).find(|found| *found != dimensions)
        {
            return Err(GateError::Dimensions { found, expected: dimensions });
        }
        match self.rows.iter().find(|(_, row)| !row.numbers().all(f64::is_finite)) {
            Some((hotkey, _)) => Err(GateError::NotFinite { hotkey: *hotkey }),
            None => Ok(()),
        }
    }

    /// Returns the score of each hotkey for a message with this embedding.
    pub fn scores(&self, embedding: &[f32], hotkeys: &[Hotkey]) -> Vec<f64> {
        hotkeys
            .iter()
            .map(|hotkey| self.rows.get(hotkey).map_or(0.0, |row| row.score(embedding)))
            .collect()
    }

    /// Learns from the rewards of the miners that were asked: one step of SGD with momentum on the
    /// mean squared error between the softmax of their scores and the softmax of their rewards.
    /// Returns this error before the step.
    ///
    /// As with any optimiser over all parameters, momentum also moves the rows of miners that were
    /// not asked.
    pub fn train(
        &mut self,
        embedding: &[f32],
        rewards: &[(Hotkey, f64)],
        settings: GateSettings,
    ) -> f64 {
        if rewards.is_empty() {
            return 0.0;
        }
        let hotkeys: Vec<_> = rewards.iter().map(|(hotkey, _)| *hotkey).collect();
        let shares = softmax(&self.scores(embedding, &hotkeys));
        let targets = softmax(&rewards.iter().map(|(_, reward)| *reward).collect::<Vec<_>>());
        let count = rewards.len() as f64;
        let errors: Vec<f64> =
            shares.iter().zip(&targets).map(|(share, target)| share - target).collect();
        // Chain rule: derivative of the mean squared error, then of the softmax.
        let mean: f64 =
            errors.iter().zip(&shares).map(|(error, share)| 2.0 * error / count * share).sum();
        let gradients =
            errors.iter().zip(&shares).map(|(error, share)| share * (2.0 * error / count - mean));
        let gradients: BTreeMap<Hotkey, f64> = hotkeys.into_iter().zip(gradients).collect();
        for hotkey in gradients.keys() {
            self.rows.entry(*hotkey).or_insert_with(|| Row::zero(self.dimensions));
        }
        for (hotkey, row) in &mut self.rows {
            row.gradient_step(
                embedding,
                gradients.get(hotkey).copied().unwrap_or_default(),
                settings,
            );
        }
        errors.iter().map(|error| error * error).sum::<f64>() / count
    }

    /// Removes the rows of hotkeys that are not registered, so that the gate does not grow without
    /// limit.
    pub fn retain(&mut self, registered: &BTreeSet<Hotkey>) {
        self.rows.retain(|hotkey, _| registered.contains(hotkey));
    }

    /// Chooses the `best` hotkeys by score, then `random` further ones, all distinct and in the
    /// order of choice. Ties are broken at random.
    pub fn choose(
        &self,
        embedding: &[f32],
        hotkeys: &[Hotkey],
        best: usize,
        random: usize,
        draws: &mut Draws,
    ) -> Vec<Hotkey> {
        let mut candidates: Vec<_> =
            hotkeys.iter().copied().zip(self.scores(embedding, hotkeys)).collect();
        draws.shuffle(&mut candidates);
        candidates.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let mut others = candidates.split_off(best.min(candidates.len()));
        draws.shuffle(&mut others);
        candidates
            .into_iter()
            .chain(others.into_iter().take(random))
            .map(|(hotkey, _)| hotkey)
            .collect()
    }
}

#[cfg(test)]
mod tests;
