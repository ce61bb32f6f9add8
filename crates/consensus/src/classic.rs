//! Bittensor's original formulation of consensus, in floating point: small enough to compute by
//! hand.
//!
//! With the stake shares S (sum 1) and the weight matrix W (rows of sum 1, validators to neurons):
//!
//! | Quantity | Formula | Meaning |
//! |---|---|---|
//! | rank | R = Wᵀ · S | the weights given to a neuron, weighted by stake |
//! | trust | T = (W > 0)ᵀ · S | the stake that gave the neuron any weight |
//! | consensus | C = σ(ρ (T − κ)) | near 1 when more than κ of the stake trusts the neuron, near 0 when less |
//! | incentive | I = R · C / Σ (R · C) | the neurons' share of the reward |
//! | bonds | ΔB = W · S, B' = α ΔB + (1 − α) B | a validator's bond in a neuron; columns of sum 1 |
//! | dividends | D = B' · I | the validators' share of the reward |
//! | emission | E = ½ D + ½ I | the share of the total reward |
//!
//! Here σ(x) = 1 / (1 + e⁻ˣ). There are no permits, no clipping and no masks.

use serde::Serialize;

use crate::input::{EpochInput, InputError, Row};

/// The parameters of the consensus curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// ρ: the steepness of the curve.
    pub rho: f64,
    /// κ: the trust at which consensus is ½.
    pub kappa: f64,
}

impl Default for Curve {
    /// Returns the default curve: ρ = 10, κ = ½.
    fn default() -> Self {
        Self { rho: 10.0, kappa: 0.5 }
    }
}

impl Curve {
    /// Computes C, the consensus of a neuron with this trust.
    pub fn consensus(self, trust: f64) -> f64 {
        1.0 / (1.0 + (-self.rho * (trust - self.kappa)).exp())
    }
}

/// An epoch of the classic formulation. Vectors have one item per neuron, bonds one row per
/// validator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassicEpoch {
    /// S: each neuron's share of the stake.
    pub stake: Vec<f64>,
    /// R: each neuron's rank, the weights given to it, weighted by stake.
    pub rank: Vec<f64>,
    /// T: each neuron's trust, the share of stake that gave it any weight.
    pub trust: Vec<f64>,
    /// C: each neuron's consensus, from 0 to 1.
    pub consensus: Vec<f64>,
    /// I: each neuron's incentive, its share of the reward for serving.
    pub incentive: Vec<f64>,
    /// B': the new bonds, an input of the next epoch.
    pub bonds: Vec<Vec<f64>>,
    /// D: each neuron's dividends, its share of the reward for validating.
    pub dividends: Vec<f64>,
    /// E: each neuron's share of the emission.
    pub emission: Vec<f64>,
}

impl ClassicEpoch {
    /// Computes an epoch from stakes, weights and old bonds, one row per validator; α is the weight
    /// of new bonds in the moving average. Stakes, rows of weights and columns of bonds need not be
    /// normalised. Missing entries are zero.
    pub fn compute(
        stake: &[f64],
        weights: &[Vec<f64>],
        bonds: &[Vec<f64>],
        alpha: f64,
        curve: Curve,
    ) -> Self {
        let n = stake.len();
        let stake = normalize(stake);
        let weights: Vec<Vec<f64>> =
            (0..n).map(|row| normalize(&pad_row(weights.get(row), n))).collect();
        let rank = weighted_sum(&weights, &stake, |weight| weight);
        let trust = weighted_sum(&weights, &stake, |weight| if weight > 0.0 { 1.0 } else { 0.0 });
        let consensus: Vec<f64> = trust.iter().map(|&trust| curve.consensus(trust)).collect();
        let consensus_rank: Vec<f64> =
            rank.iter().zip(&consensus).map(|(rank, consensus)| rank * consensus).collect();
        let incentive = normalize(&consensus_rank);

        let new_bonds = weights
            .iter()
            .zip(&stake)
            .map(|(row, stake)| row.iter().map(|weight| weight * stake).collect());
        let new_bonds = normalize_columns(new_bonds.collect());
        let current_bonds =
            normalize_columns((0..n).map(|row| pad_row(bonds.get(row), n)).collect());
        let averaged_bonds = new_bonds.iter().zip(&current_bonds).map(|(new, old)| {
            new.iter().zip(old).map(|(new, old)| alpha * new + (1.0 - alpha) * old).collect()
        });
        let bonds = normalize_columns(averaged_bonds.collect());
        let dividends: Vec<f64> = bonds
            .iter()
            .map(|row| row.iter().zip(&incentive).map(|(bond, incentive)| bond * incentive).sum())
            .collect();
        let emission = dividends.iter().zip(&incentive).map(|(d, i)| 0.5 * d + 0.5 * i).collect();
        Self { stake, rank, trust, consensus, incentive, bonds, dividends, emission }
    }

    /// Computes an epoch from the stake, weights, bonds and moving average of an [`EpochInput`],
    /// ignoring its other fields.
    ///
    /// # Errors
    /// [`InputError`] when the input is inconsistent.
    pub fn of(input: &EpochInput, curve: Curve) -> Result<Self, InputError> {
        input.check()?;
        let stake: Vec<f64> = input.stake.iter().map(|&stake| stake as f64).collect();
        let to_dense =
            |rows: &[Row]| rows.iter().map(|row| dense_row(row, input.n)).collect::<Vec<_>>();
        let alpha = (1.0 - input.bonds_moving_average as f64 / 1e6).clamp(0.0, 1.0);
        Ok(Self::compute(&stake, &to_dense(&input.weights), &to_dense(&input.bonds), alpha, curve))
    }
}

fn dense_row(row: &Row, n: u16) -> Vec<f64> {
    let mut dense = vec![0.0; n.into()];
    for &(uid, value) in row {
        if let Some(slot) = dense.get_mut(usize::from(uid.0)) {
            *slot = value.into();
        }
    }
    dense
}

fn pad_row(row: Option<&Vec<f64>>, n: usize) -> Vec<f64> {
    let mut row = row.cloned().unwrap_or_default();
    row.resize(n, 0.0);
    row
}

/// Divides numbers by their sum; returns them unchanged when the sum is zero.
fn normalize(numbers: &[f64]) -> Vec<f64> {
    let sum: f64 = numbers.iter().sum();
    numbers.iter().map(|number| if sum > 0.0 { number / sum } else { *number }).collect()
}

/// Computes Σ stake · value(entry) for each column.
fn weighted_sum(rows: &[Vec<f64>], stake: &[f64], value: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; stake.len()];
    for (row, stake) in rows.iter().zip(stake) {
        for (sum, &entry) in sums.iter_mut().zip(row) {
            *sum += stake * value(entry);
        }
    }
    sums
}

fn normalize_columns(mut rows: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let sums = weighted_sum(&rows, &vec![1.0; rows.len()], |entry| entry);
    for row in &mut rows {
        for (entry, &sum) in row.iter_mut().zip(&sums) {
            if sum > 0.0 {
                *entry /= sum;
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests;
