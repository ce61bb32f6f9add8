//! The input of an epoch in the chain's storage format, and its JSON form.

mod check;

use serde::{Deserialize, Serialize};
use taonet_primitives::{Uid, bytes_without_bom};

use crate::output::EpochOutput;

pub use check::InputError;

/// A row of weights or bonds: pairs of uid and u16 value, in storage order.
pub type Row = Vec<(Uid, u16)>;

/// The state of one mechanism of a subnet at its epoch. Every list has one item per neuron, ordered
/// by uid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochInput {
    /// The number of neurons.
    pub n: u16,
    /// The block in which the epoch runs.
    pub block: u64,
    /// The number of blocks between epochs.
    pub tempo: u64,
    /// The activity cutoff: a neuron is inactive if it set no weights for more than this many
    /// blocks.
    pub activity_cutoff: u64,
    /// The block of the last epoch of this mechanism; 0 when there was none.
    #[serde(default)]
    pub last_mechanism_step: u64,
    /// The emission to distribute, in rao.
    pub emission: u64,
    /// The stake of each neuron: alpha plus weighted TAO, in rao.
    pub stake: Vec<u64>,
    /// The stake threshold, in rao: a neuron's stake below it counts as zero, unless the neuron is
    /// the owner's.
    pub stake_threshold: u64,
    /// The uid of the subnet owner's neuron, if registered. This neuron always has a permit and may
    /// set weight on itself.
    #[serde(default)]
    pub owner_uid: Option<Uid>,
    /// The maximum number of validator permits.
    pub max_validators: u16,
    /// Whether each neuron has a permit from the last epoch.
    pub validator_permit: Vec<bool>,
    /// The block in which each neuron last set weights.
    pub last_update: Vec<u64>,
    /// The block in which each neuron registered.
    pub block_at_registration: Vec<u64>,
    /// The block of each neuron's oldest unrevealed commit, if it has one; the list is `None` if
    /// commit-reveal is disabled.
    #[serde(default)]
    pub commit_blocks: Option<Vec<Option<u64>>>,
    /// The weights set by each neuron.
    pub weights: Vec<Row>,
    /// Each neuron's bonds after the last epoch.
    pub bonds: Vec<Row>,
    /// κ: the share of stake that must support a weight, in parts of 65535.
    pub kappa: u16,
    /// The bonds penalty: how far weights above consensus are reduced before they become bonds, in
    /// parts of 65535.
    pub bonds_penalty: u16,
    /// The weight of old bonds in the moving average, in parts of 1 000 000.
    pub bonds_moving_average: u64,
    /// Whether Yuma 3 is enabled instead of Yuma 2.
    pub yuma3: bool,
    /// Whether liquid alpha is enabled, which computes a separate α for each bond. It has no effect
    /// without Yuma 3.
    pub liquid_alpha: bool,
    /// The smallest α of liquid alpha, in parts of 65535.
    pub alpha_low: u16,
    /// The largest α of liquid alpha, in parts of 65535.
    pub alpha_high: u16,
    /// The steepness of liquid alpha's curve, in hundredths.
    pub alpha_sigmoid_steepness: i16,
    /// The consensus that liquid alpha compares weights with, in parts of 65535; `None` for this
    /// epoch's consensus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liquid_alpha_consensus: Option<Vec<u16>>,
}

/// A named epoch: the document read by `tao yuma`. Keys other than `id` and `input` are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The name of the case.
    #[serde(default)]
    pub id: String,
    /// The input of the epoch.
    pub input: EpochInput,
}

impl Case {
    /// Parses a JSON document and checks its epoch.
    ///
    /// # Errors
    /// [`InputError`] if the document or the input is invalid. The error names the field.
    pub fn from_json(document: &[u8]) -> Result<Self, InputError> {
        let mut json = serde_json::Deserializer::from_slice(bytes_without_bom(document));
        let case: Self = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            InputError::Document { field: error.path().to_string(), source: error.into_inner() }
        })?;
        json.end().map_err(|source| InputError::Document { field: ".".to_owned(), source })?;
        case.input.check()?;
        Ok(case)
    }
}

impl EpochInput {
    /// Carries an epoch's output over to this input for the next epoch: updates the permits, and
    /// the bonds of every neuron that has, or has just lost, a permit.
    pub fn carry_over(&mut self, output: &EpochOutput) {
        let had_permits = self
            .validator_permit
            .iter()
            .zip(&output.new_validator_permit)
            .map(|(&old, &new)| old || new);
        for ((bonds, new), had_permits) in self.bonds.iter_mut().zip(&output.bonds).zip(had_permits)
        {
            if had_permits {
                bonds.clone_from(new);
            }
        }
        self.validator_permit.clone_from(&output.new_validator_permit);
    }
}
