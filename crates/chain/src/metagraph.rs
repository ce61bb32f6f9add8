//! A subnet and its neurons at one block.

mod columns;
mod diff;
mod file;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use taonet_primitives::{Alpha, BlockNumber, Coldkey, Hotkey, MechId, NetUid, Rao, Uid};

use crate::Block;

pub use diff::{Difference, NeuronChange};

/// Level of detail of a metagraph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Only the subnet and its neurons.
    #[default]
    Lite,
    /// The subnet, its neurons, and their weights and bonds.
    Full,
}

/// A row of the weight or bond matrix: pairs of target uid and value, in parts of 65535.
pub type WeightRow = Vec<(Uid, u16)>;

/// A subnet and its neurons at one block. Neuron `i` has uid `i`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metagraph {
    /// The subnet's netuid.
    pub netuid: NetUid,
    /// The mechanism whose incentives, weights and bonds are listed.
    pub mech: MechId,
    /// The block at which the metagraph was read.
    pub block: Block,
    /// The subnet's name.
    pub name: String,
    /// The symbol of the subnet's alpha.
    pub symbol: String,
    /// The number of blocks between two epochs.
    pub tempo: u16,
    /// Maximum number of neurons that the subnet can have.
    pub max_uids: u16,
    /// The hotkey of the subnet's owner.
    pub owner_hotkey: Hotkey,
    /// The coldkey of the subnet's owner.
    pub owner_coldkey: Coldkey,
    /// The TAO in the subnet's pool.
    pub tao_in: Rao,
    /// The alpha in the subnet's pool.
    pub alpha_in: Alpha,
    /// The alpha outside the subnet's pool.
    pub alpha_out: Alpha,
    /// The current cost of a registration.
    pub burn: Rao,
    /// The neurons, in the order of their uids.
    pub neurons: Vec<Neuron>,
    /// The neurons' weights by uid; `None` with [`Detail::Lite`].
    pub weights: Option<Vec<WeightRow>>,
    /// The neurons' bonds by uid; `None` with [`Detail::Lite`].
    pub bonds: Option<Vec<WeightRow>>,
}

/// A neuron at one block. Shares are parts of 65535.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neuron {
    /// The neuron's uid.
    pub uid: Uid,
    /// The neuron's hotkey.
    pub hotkey: Hotkey,
    /// The coldkey that owns the hotkey.
    pub coldkey: Coldkey,
    /// Whether the neuron set weights recently.
    pub active: bool,
    /// Whether the neuron has a validator permit, so that its weights count.
    pub validator_permit: bool,
    /// The neuron's axon; `None` if it publishes none.
    pub axon: Option<Axon>,
    /// The stake weight: alpha plus weighted TAO.
    pub total_stake: Rao,
    /// The alpha staked on the neuron.
    pub alpha_stake: Alpha,
    /// The TAO staked on the neuron on the root network.
    pub tao_stake: Rao,
    /// The rank; always 0 on current chains.
    pub rank: u16,
    /// The trust; always 0 on current chains.
    pub trust: u16,
    /// The consensus weight of the neuron.
    pub consensus: u16,
    /// The neuron's share of the miners' emission.
    pub incentive: u16,
    /// The neuron's share of the validators' emission.
    pub dividends: u16,
    /// The share of the neuron's weights that remains after clipping to consensus.
    pub validator_trust: u16,
    /// The neuron's emission in the last epoch.
    pub emission: Alpha,
    /// The pruning score: the neuron with the lowest score is replaced first.
    pub pruning_score: u16,
    /// The block at which the neuron last set weights.
    pub last_update: BlockNumber,
    /// The block of the neuron's registration.
    pub registered_at: BlockNumber,
}

/// An axon: the address that a neuron publishes for its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axon {
    /// The socket address.
    pub address: SocketAddr,
    /// The protocol number; 4 by convention.
    pub protocol: u8,
    /// The version that the neuron published.
    pub version: u32,
    /// The block at which the axon was published.
    pub block: BlockNumber,
}

#[cfg(test)]
mod tests;
