//! Neurons of the subnet in the metagraph.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use taonet_chain::{At, Chain, ChainError, Detail};
use taonet_primitives::{Hotkey, MechId, NetUid, Uid};

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
