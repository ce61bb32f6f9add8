//! The metagraph: all data of a subnet and its neurons, complete or by selected fields.

mod fields;
mod source;

pub use fields::{Metagraph, SelectiveMetagraph};

use crate::commitments;
use crate::subtensor::MechanismCountCurrent;
use crate::types::{MechId, NetUid};

/// Returns the metagraphs of all mechanisms of a subnet.
pub fn all_mechanisms<T: commitments::Config>(netuid: NetUid) -> Vec<Metagraph> {
    let mechanisms = MechanismCountCurrent::<T>::get(netuid).0;
    (0..mechanisms).filter_map(|mecid| Metagraph::read::<T>(netuid, MechId(mecid))).collect()
}
