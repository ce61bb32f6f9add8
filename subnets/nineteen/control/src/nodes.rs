//! Neurons of the subnet in the metagraph.

use std::sync::Arc;

use async_trait::async_trait;
use taonet_chain::{Chain, ChainError};
use taonet_neuron::Neurons;
use taonet_primitives::NetUid;

/// The subnet's neurons cannot be read from the chain.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the subnet's neurons from the chain")]
pub struct NodesError(#[from] ChainError);

/// Source of a subnet's neurons.
#[async_trait]
pub trait NodeSource: Send + Sync {
    /// Returns the subnet's neurons.
    async fn nodes(&self) -> Result<Neurons, NodesError>;
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
    async fn nodes(&self) -> Result<Neurons, NodesError> {
        Ok(Neurons::read(&*self.chain, self.netuid).await?)
    }
}
