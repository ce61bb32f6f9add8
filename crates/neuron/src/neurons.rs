use std::collections::HashMap;
use std::net::SocketAddr;

use taonet_chain::{At, Chain, ChainError, Detail, Metagraph};
use taonet_primitives::{BlockNumber, Hotkey, MechId, NetUid, Rao, Uid};
use taonet_wire::Registration;

/// The neurons of a subnet at one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neurons {
    /// The block at which the neurons were read.
    pub block: BlockNumber,
    /// Number of registered neurons: each uid is smaller. Larger than the list if hotkeys are
    /// malformed.
    pub registered: usize,
    /// Number of neurons with an axon whose hotkey or address is malformed; always 0 from a node.
    pub malformed: usize,
    /// The neurons with a valid hotkey, in the order of their uids.
    pub list: Vec<Neuron>,
}

/// A neuron of a subnet. The subtensor gateway of Babelbit's reference reports neither permits nor
/// stakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neuron {
    /// The neuron's uid.
    pub uid: Uid,
    /// The neuron's hotkey.
    pub hotkey: Hotkey,
    /// The address of the neuron's axon, never with port 0; `None` if it publishes none.
    pub address: Option<SocketAddr>,
    /// Whether the neuron has a validator permit; `None` if the source does not report it.
    pub validator_permit: Option<bool>,
    /// The neuron's stake weight; `None` if the source does not report it.
    pub stake: Option<Rao>,
    /// The block at which the neuron last set weights; `None` if the source does not report it.
    pub last_update: Option<BlockNumber>,
}

impl Neuron {
    /// Creates a neuron whose source reports neither permit, stake nor last update.
    pub const fn new(uid: Uid, hotkey: Hotkey, address: Option<SocketAddr>) -> Self {
        Self { uid, hotkey, address, validator_permit: None, stake: None, last_update: None }
    }
}

impl Neurons {
    /// Creates the list of all registered neurons, in the order of their uids.
    pub const fn new(block: BlockNumber, list: Vec<Neuron>) -> Self {
        Self { block, registered: list.len(), malformed: 0, list }
    }

    /// Reads the neurons of a subnet at the newest block of a node.
    ///
    /// # Errors
    /// [`ChainError`] when the node does not respond or has no such subnet.
    pub async fn read(chain: &dyn Chain, netuid: NetUid) -> Result<Self, ChainError> {
        Ok((&chain.metagraph(netuid, MechId(0), Detail::Lite, At::Head).await?).into())
    }

    /// Returns the uid of a hotkey, if it is registered.
    pub fn uid_of(&self, hotkey: &Hotkey) -> Option<Uid> {
        self.list.iter().find(|neuron| neuron.hotkey == *hotkey).map(|neuron| neuron.uid)
    }

    /// Returns stakes and permits, for servers that admit callers by them. A neuron whose stake the
    /// source does not report has stake 0, and one without a reported permit has none.
    pub fn registrations(&self) -> HashMap<Hotkey, Registration> {
        let registrations = self.list.iter().map(|neuron| {
            let registration = Registration {
                stake: neuron.stake.map_or(0, Rao::get),
                validator_permit: neuron.validator_permit == Some(true),
            };
            (neuron.hotkey, registration)
        });
        registrations.collect()
    }

    /// Returns the hotkey of a uid, if it is registered.
    pub fn hotkey_of(&self, uid: Uid) -> Option<Hotkey> {
        self.list.iter().find(|neuron| neuron.uid == uid).map(|neuron| neuron.hotkey)
    }
}

impl From<&Metagraph> for Neurons {
    fn from(metagraph: &Metagraph) -> Self {
        let neurons = metagraph.neurons.iter().map(|neuron| Neuron {
            validator_permit: Some(neuron.validator_permit),
            stake: Some(neuron.total_stake),
            last_update: Some(neuron.last_update),
            ..Neuron::new(neuron.uid, neuron.hotkey, neuron.axon.map(|axon| axon.address))
        });
        Self::new(metagraph.block.number, neurons.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_have_reported_stake_and_permit() {
        let neuron = |byte: u8| Neuron::new(Uid(byte.into()), Hotkey::from_bytes([byte; 32]), None);
        let reported =
            Neuron { stake: Some(Rao::new(5)), validator_permit: Some(true), ..neuron(1) };
        let registrations =
            Neurons::new(BlockNumber::new(1), vec![neuron(0), reported]).registrations();
        let expected = [(0, 0, false), (1, 5, true)].map(|(byte, stake, validator_permit)| {
            (Hotkey::from_bytes([byte; 32]), Registration { stake, validator_permit })
        });
        assert_eq!(registrations, HashMap::from(expected));
    }
}
