//! What an epoch gives, in the form in which the chain stores it.

use serde::{Deserialize, Serialize};

use crate::input::Row;

/// The result of an epoch. Every list has one item per neuron, ordered by uid; a u16 is a share in parts of 65535.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochOutput {
    /// Who set weights recently enough.
    pub active: Vec<bool>,
    /// Share of all stake.
    pub stake_weight: Vec<u16>,
    /// Who holds a validator permit until the next epoch.
    pub new_validator_permit: Vec<bool>,
    /// The weight that a majority of stake supports.
    pub consensus: Vec<u16>,
    /// How much of a validator's weights is left after clipping to consensus.
    pub validator_trust: Vec<u16>,
    /// Share of the reward for being weighed.
    pub incentive: Vec<u16>,
    /// Share of the reward for weighing.
    pub dividends: Vec<u16>,
    /// Rao for being weighed.
    pub server_emission: Vec<u64>,
    /// Rao for weighing.
    pub validator_emission: Vec<u64>,
    /// Rao together. Rounded down on its own, therefore it may differ by 1 from the sum of both.
    pub emission: Vec<u64>,
    /// Bonds to carry into the next epoch; empty without a new permit.
    pub bonds: Vec<Row>,
}
