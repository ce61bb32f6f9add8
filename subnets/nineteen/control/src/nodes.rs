//! Miners in the metagraph, and rules for their addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use taonet_chain::{At, Chain, ChainError, Detail};
use taonet_primitives::{Hotkey, MechId, NetUid, Uid};
use taonet_wire::{Peer, is_public};

/// Published address that represents the local machine on the reference's development networks.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(0, 0, 0, 1));

/// A neuron with a published address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundNode {
    /// Uid of the neuron.
    pub uid: Uid,
    /// Hotkey of the neuron.
    pub hotkey: Hotkey,
    /// Published address of the neuron.
    pub address: SocketAddr,
}

/// The subnet's neurons cannot be read from the chain.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the subnet's neurons from the chain")]
pub struct NodesError(#[from] ChainError);

/// Source of a subnet's neurons.
#[async_trait]
pub trait NodeSource: Send + Sync {
    /// Returns all neurons that publish an address.
    async fn nodes(&self) -> Result<Vec<FoundNode>, NodesError>;
}

/// Source of a subnet's neurons that reads the metagraph from the chain.
pub struct ChainNodes {
    chain: Arc<dyn Chain>,
    netuid: NetUid,
}

impl ChainNodes {
    /// Creates a source of the neurons of the subnet `netuid`.
    pub fn new(chain: Arc<dyn Chain>, netuid: NetUid) -> Self {
        Self { chain, netuid }
    }
}

#[async_trait]
impl NodeSource for ChainNodes {
    async fn nodes(&self) -> Result<Vec<FoundNode>, NodesError> {
        let metagraph = self.chain.metagraph(self.netuid, MechId(0), Detail::Lite, At::Head).await?;
        let node = |neuron: &taonet_chain::Neuron| {
            let address = neuron.axon.as_ref()?.address;
            Some(FoundNode { uid: neuron.uid, hotkey: neuron.hotkey, address })
        };
        Ok(metagraph.neurons.iter().filter_map(node).collect())
    }
}

/// Rules for the published addresses that the validator calls.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    /// Address substitutions, as pairs `(published, called)`, for development networks.
    pub substitutes: Vec<(IpAddr, IpAddr)>,
    /// Whether private addresses are allowed. If so, a miner can make the validator call hosts in the validator's own
    /// network.
    pub allow_private: bool,
}

impl AddressRules {
    /// Returns the peer to call for a node; `None` if its address is not allowed.
    pub fn peer(&self, node: &FoundNode) -> Option<Peer> {
        let ip = node.address.ip();
        let substitute = self.substitutes.iter().find(|(from, _)| *from == ip).map(|(_, to)| *to);
        let ip = match substitute {
            Some(ip) => ip,
            None if ip == LOCAL && self.allow_private => Ipv4Addr::LOCALHOST.into(),
            None if self.allow_private || is_public(ip) => ip,
            None => return None,
        };
        let port = Some(node.address.port()).filter(|port| *port > 0)?;
        Peer::new(node.hotkey, ip.to_string(), port).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(rules: &AddressRules, address: &str) -> Option<String> {
        let node = FoundNode { uid: Uid(1), hotkey: Hotkey::from_bytes([1; 32]), address: address.parse().unwrap() };
        rules.peer(&node).map(|peer| peer.host().to_owned())
    }

    #[test]
    fn private_addresses_are_not_called() {
        let rules = AddressRules::default();
        for address in ["8.8.8.8:1", "[2001:4860::1]:1"] {
            assert!(host(&rules, address).is_some(), "{address}");
        }
        for address in [
            "127.0.0.1:1",
            "10.0.0.1:1",
            "192.168.1.1:1",
            "169.254.169.254:80",
            "100.64.0.1:1",
            "0.0.0.0:1",
            "0.0.0.1:1",
            "224.0.0.1:1",
            "192.0.2.1:1",
            "[::1]:1",
            "[fd00::1]:1",
            "[fe80::1]:1",
            "[::ffff:127.0.0.1]:1",
            "8.8.8.8:0",
        ] {
            assert_eq!(host(&rules, address), None, "{address}");
        }
    }

    #[test]
    fn development_networks_have_their_own_rules() {
        let announced = ("192.0.2.1".parse().unwrap(), "127.0.0.1".parse().unwrap());
        let rules = AddressRules { substitutes: vec![announced], allow_private: false };
        assert_eq!(host(&rules, "192.0.2.1:7").as_deref(), Some("127.0.0.1"));
        assert_eq!(host(&rules, "192.0.2.2:7"), None);
        let rules = AddressRules { allow_private: true, ..AddressRules::default() };
        assert_eq!(host(&rules, "0.0.0.1:7").as_deref(), Some("127.0.0.1"));
        assert_eq!(host(&rules, "10.0.0.1:7").as_deref(), Some("10.0.0.1"));
    }
}
