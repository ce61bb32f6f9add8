//! A subnet and its neurons at one block.

mod columns;
mod diff;
mod file;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use taonet_primitives::{Alpha, BlockNumber, Coldkey, Hotkey, MechId, NetUid, Rao, Uid};

use crate::Block;

pub use diff::{Difference, NeuronChange};

/// How much of a metagraph is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// The subnet and its neurons.
    #[default]
    Lite,
    /// Their weights and bonds too.
    Full,
}

/// One row of a matrix between neurons: to whom, how much (65535 being all).
pub type WeightRow = Vec<(Uid, u16)>;

/// A subnet and its neurons at one block. Neuron `i` has uid `i`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metagraph {
    /// The subnet.
    pub netuid: NetUid,
    /// The mechanism whose incentives these are.
    pub mech: MechId,
    /// The block that was read.
    pub block: Block,
    /// The subnet's name.
    pub name: String,
    /// The symbol of its alpha.
    pub symbol: String,
    /// Blocks between two epochs.
    pub tempo: u16,
    /// How many neurons it can have.
    pub max_uids: u16,
    /// Whose subnet it is.
    pub owner_hotkey: Hotkey,
    /// Whose subnet it is.
    pub owner_coldkey: Coldkey,
    /// The TAO in its pool.
    pub tao_in: Rao,
    /// The alpha in the pool.
    pub alpha_in: Alpha,
    /// The alpha outside the pool.
    pub alpha_out: Alpha,
    /// What a registration costs now.
    pub burn: Rao,
    /// The neurons by uid.
    pub neurons: Vec<Neuron>,
    /// Their weights by uid, where read.
    pub weights: Option<Vec<WeightRow>>,
    /// Their bonds by uid, where read.
    pub bonds: Option<Vec<WeightRow>>,
}

/// A neuron at one block. Shares are parts of 65535.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neuron {
    /// Its slot.
    pub uid: Uid,
    /// Its key.
    pub hotkey: Hotkey,
    /// Its owner.
    pub coldkey: Coldkey,
    /// Whether it set weights lately.
    pub active: bool,
    /// Whether its weights count.
    pub validator_permit: bool,
    /// Where it serves, where it said so.
    pub axon: Option<Axon>,
    /// Stake by its weight: alpha and its share of TAO.
    pub total_stake: Rao,
    /// The alpha staked on it.
    pub alpha_stake: Alpha,
    /// The TAO staked on it on the root network.
    pub tao_stake: Rao,
    /// The historic rank; today's chains give 0.
    pub rank: u16,
    /// The historic trust; today's chains give 0.
    pub trust: u16,
    /// How much the validators agree on it.
    pub consensus: u16,
    /// Its share of what miners get.
    pub incentive: u16,
    /// Its share of what validators get.
    pub dividends: u16,
    /// How much of its weights the consensus took.
    pub validator_trust: u16,
    /// What it got at the last epoch.
    pub emission: Alpha,
    /// The lower, the sooner it is replaced.
    pub pruning_score: u16,
    /// When it last set weights.
    pub last_update: BlockNumber,
    /// When it was registered.
    pub registered_at: BlockNumber,
}

/// Where a neuron serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axon {
    /// The address.
    pub address: SocketAddr,
    /// The protocol's number; 4 by convention.
    pub protocol: u8,
    /// The version it says it has.
    pub version: u32,
    /// When it said so.
    pub block: BlockNumber,
}

#[cfg(test)]
mod tests;
