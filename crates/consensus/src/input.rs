//! What one epoch is computed from, as the chain stores it, and its form as a JSON document.

mod check;

use serde::{Deserialize, Serialize};
use taonet_primitives::Uid;

use crate::output::EpochOutput;

pub use check::InputError;

/// One row of weights or bonds: uids with a u16 each, in the order in which they were stored.
pub type Row = Vec<(Uid, u16)>;

/// One mechanism of one subnet at the moment of its epoch. Every list has one item per neuron, ordered by uid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochInput {
    /// Number of neurons.
    pub n: u16,
    /// The block in which the epoch runs.
    pub block: u64,
    /// Blocks between epochs.
    pub tempo: u64,
    /// A neuron is inactive when it set no weights for more than this many blocks.
    pub activity_cutoff: u64,
    /// The block of the last epoch of this mechanism; 0 when there was none.
    #[serde(default)]
    pub last_mechanism_step: u64,
    /// What the epoch shares out, in rao.
    pub emission: u64,
    /// Alpha plus weighted TAO of each neuron, in rao.
    pub stake: Vec<u64>,
    /// Stake below this counts as none, except for the owner.
    pub stake_threshold: u64,
    /// The neuron of the subnet's owner, when it is registered. It always has a permit and may weigh itself.
    #[serde(default)]
    pub owner_uid: Option<Uid>,
    /// How many validator permits there are.
    pub max_validators: u16,
    /// Who holds a permit from the last epoch.
    pub validator_permit: Vec<bool>,
    /// The block in which each neuron last set weights.
    pub last_update: Vec<u64>,
    /// The block in which each neuron registered.
    pub block_at_registration: Vec<u64>,
    /// With commit-reveal on: the block of each neuron's oldest commit that is not yet revealed.
    #[serde(default)]
    pub commit_blocks: Option<Vec<Option<u64>>>,
    /// The weights that each neuron set.
    pub weights: Vec<Row>,
    /// The bonds that the last epoch left.
    pub bonds: Vec<Row>,
    /// The share of stake that must support a weight, as parts of 65535.
    pub kappa: u16,
    /// How far weights above consensus are cut before they become bonds, as parts of 65535.
    pub bonds_penalty: u16,
    /// The share of the old bonds in the moving average, as parts of 1 000 000.
    pub bonds_moving_average: u64,
    /// Yuma 3 instead of Yuma 2.
    pub yuma3: bool,
    /// An α of its own for each bond. Only with Yuma 3.
    pub liquid_alpha: bool,
    /// The smallest α of liquid alpha, as parts of 65535.
    pub alpha_low: u16,
    /// The largest α of liquid alpha, as parts of 65535.
    pub alpha_high: u16,
    /// Steepness of liquid alpha's curve, in hundredths.
    pub alpha_sigmoid_steepness: i16,
    /// The consensus that liquid alpha compares weights with, as parts of 65535, where it is not that of this epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liquid_alpha_consensus: Option<Vec<u16>>,
}

/// A named epoch, the document that `tao yuma` reads. Keys next to `input` are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What the case is called.
    #[serde(default)]
    pub id: String,
    /// The epoch.
    pub input: EpochInput,
}

impl Case {
    /// Reads a JSON document and checks that an epoch can be computed from it.
    ///
    /// # Errors
    /// [`InputError`], naming the field.
    pub fn from_json(document: &[u8]) -> Result<Self, InputError> {
        let mut json = serde_json::Deserializer::from_slice(document);
        let case: Self = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| InputError::Document { field: error.path().to_string(), source: error.into_inner() })?;
        json.end().map_err(|source| InputError::Document { field: ".".to_owned(), source })?;
        case.input.check()?;
        Ok(case)
    }
}

impl EpochInput {
    /// Takes over what an epoch leaves behind: the permits, and the bonds of everyone who has or just lost one.
    pub fn carry(&mut self, output: &EpochOutput) {
        let held = self.validator_permit.iter().zip(&output.new_validator_permit).map(|(&old, &new)| old || new);
        for ((bonds, new), held) in self.bonds.iter_mut().zip(&output.bonds).zip(held) {
            if held {
                bonds.clone_from(new);
            }
        }
        self.validator_permit.clone_from(&output.new_validator_permit);
    }
}
