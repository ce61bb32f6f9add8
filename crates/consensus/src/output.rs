//! The output of an epoch in the chain's storage format.

use serde::{Deserialize, Serialize};

use crate::input::Row;

/// The result of an epoch. Every list has one item per neuron, ordered by uid; each `u16` is a
/// share in parts of 65535.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochOutput {
    /// Whether each neuron is active: it set weights within the activity cutoff.
    pub active: Vec<bool>,
    /// Each neuron's share of the total stake.
    pub stake_weight: Vec<u16>,
    /// Whether each neuron has a validator permit until the next epoch.
    pub new_validator_permit: Vec<bool>,
    /// For each neuron, the weight that at least the share kappa of the stake supports.
    pub consensus: Vec<u16>,
    /// The share of each validator's weights that remains after clipping to consensus.
    pub validator_trust: Vec<u16>,
    /// Each neuron's share of the reward for serving.
    pub incentive: Vec<u16>,
    /// Each neuron's share of the reward for validating.
    pub dividends: Vec<u16>,
    /// Each neuron's reward for serving, in rao.
    pub server_emission: Vec<u64>,
    /// Each neuron's reward for validating, in rao.
    pub validator_emission: Vec<u64>,
    /// Each neuron's total reward, in rao. It is rounded down separately, so it may differ by 1
    /// from the sum of the two rewards.
    pub emission: Vec<u64>,
    /// The bonds of each neuron for the next epoch; empty for neurons without a new permit.
    pub bonds: Vec<Row>,
}
