use std::net::Ipv4Addr;

use taonet_neuron::{AddressPolicy, MinerDirectory, MinerEntry};
use taonet_primitives::{Hotkey, Uid};
use taonet_wire::Peer;

/// A miner that receives requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProofMiner {
    /// Hotkey and address of the miner.
    pub peer: Peer,
    /// Protocol for requests to the miner.
    pub wire: Wire,
}

/// Protocol between validator and miner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wire {
    /// Signed requests over HTTP.
    #[default]
    Http,
    /// The published QUIC protocol, on UDP.
    Quic,
}

impl ProofMiner {
    /// Creates a miner of the metagraph. The chain does not record the protocol: every miner
    /// announces protocol number 4. Over QUIC, only miners with an IPv4 address can be called;
    /// `None` for others.
    pub fn new(miner: &MinerEntry, wire: Wire) -> Option<Self> {
        let is_callable = wire == Wire::Http || miner.address.host().parse::<Ipv4Addr>().is_ok();
        let peer = miner.peer().ok().filter(|_| is_callable)?;
        Some(Self { peer, wire })
    }

    /// Returns the miner's hotkey.
    pub const fn hotkey(&self) -> &Hotkey {
        self.peer.hotkey()
    }
}

/// Returns the directory of the subnet's miners: neurons without a validator permit at addresses
/// that the policy permits. `targets` limits them to some uids; `own_hotkey` is never included.
pub fn miner_directory(
    own_hotkey: Hotkey,
    targets: Vec<Uid>,
    policy: AddressPolicy,
) -> MinerDirectory {
    MinerDirectory { policy, own_hotkey: Some(own_hotkey), excludes_permits: true, targets }
}

#[cfg(test)]
mod tests {
    use taonet_neuron::{Neuron, Neurons};
    use taonet_primitives::BlockNumber;

    use super::*;

    #[test]
    fn only_neurons_with_public_address_and_without_permit_are_miners() {
        let key = |byte| Hotkey::from_bytes([byte; 32]);
        let neuron = |uid: u8, address: Option<&str>| Neuron {
            validator_permit: Some(uid == 0),
            ..Neuron::new(
                Uid(uid.into()),
                key(uid + 1),
                address.map(|address| address.parse().unwrap()),
            )
        };
        let addresses = [
            Some("8.8.8.8:1"),
            Some("8.8.8.8:2"),
            Some("10.0.0.1:3"),
            None,
            Some("[2606:4700::1111]:5"),
        ];
        let list = (0..).zip(addresses).map(|(uid, address)| neuron(uid, address)).collect();
        let neurons = Neurons::new(BlockNumber::new(1), list);
        let hotkeys = |targets: &[Uid], me, wire| {
            let directory = miner_directory(key(me), targets.to_vec(), AddressPolicy::default());
            let selected = directory.select(&neurons).miners;
            let miners: Vec<_> =
                selected.iter().filter_map(|miner| ProofMiner::new(miner, wire)).collect();
            assert!(miners.iter().all(|miner| miner.wire == wire));
            miners.iter().map(|miner| *miner.hotkey()).collect::<Vec<_>>()
        };
        assert_eq!(hotkeys(&[], 99, Wire::Http), [key(2), key(5)]);
        assert_eq!(hotkeys(&[], 99, Wire::Quic), [key(2)], "QUIC requires IPv4");
        assert_eq!(hotkeys(&[], 2, Wire::Http), [key(5)], "the validator itself is excluded");
        assert_eq!(hotkeys(&[Uid(4), Uid(0)], 99, Wire::Http), [key(5)]);
    }
}
