//! Access to the chain through the gateway, with a fallback to a node.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use taonet_chain::{Chain, ChainError};
use taonet_neuron::Neurons;
use taonet_primitives::NetUid;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use taonet_validator::subtensor_gateway::{GatewayClient, GatewayError};

/// Timeout for reading the newest block, as in the reference system.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout for connecting to the fallback node and querying it, as in the reference system.
const FALLBACK_TIMEOUT: Duration = Duration::from_mins(1);

/// Function that connects to a chain node.
pub type ConnectChain =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Chain>, ChainError>> + Send + Sync>;

/// Reads blocks and neurons of a subnet from the subtensor gateway, or else from a chain node.
pub struct ChainView {
    gateway: GatewayClient,
    netuid: NetUid,
    connect: Option<ConnectChain>,
    fallback_node: OnceCell<Arc<dyn Chain>>,
}

/// Why neither the gateway nor a fallback node responded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainViewError {
    /// The gateway failed, and there is no fallback.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The gateway and the node failed.
    #[error("gateway {} {}; the fallback node failed too: {chain}", gateway.path, gateway.source)]
    GatewayAndNode {
        /// The gateway's error.
        gateway: GatewayError,
        /// The node's error.
        #[source]
        chain: ChainError,
    },
    /// The gateway failed, and the node timed out.
    #[error("gateway {} {}; the fallback node timed out too", gateway.path, gateway.source)]
    GatewayAndNodeTimeout {
        /// The gateway's error.
        #[source]
        gateway: GatewayError,
    },
}

impl ChainView {
    /// Creates a view through `gateway`; `connect` connects to the fallback node, if there is one.
    pub fn new(gateway: GatewayClient, netuid: NetUid, connect: Option<ConnectChain>) -> Self {
        Self { gateway, netuid, connect, fallback_node: OnceCell::new() }
    }

    /// Returns the height of the newest block.
    ///
    /// # Errors
    /// [`ChainViewError`] when the gateway fails, and the fallback node is missing or fails, too.
    pub async fn block(&self) -> Result<u32, ChainViewError> {
        match self.gateway.current_block(READ_TIMEOUT).await {
            Ok(block) => Ok(block.get()),
            Err(gateway) => {
                let head = |chain: Arc<dyn Chain>| async move { chain.head().await };
                self.query_chain(gateway, head).await.map(|head| head.number.get())
            }
        }
    }

    /// Waits for a newer block; returns false on timeout.
    ///
    /// # Errors
    /// [`GatewayError`] when the gateway fails.
    pub(super) async fn wait_for_block(&self, time_limit: Duration) -> Result<bool, GatewayError> {
        self.gateway.wait_for_block(time_limit).await.map(|block| block.is_some())
    }

    /// Fetches the subnet's neurons.
    ///
    /// # Errors
    /// [`ChainViewError`] when the gateway fails, and the fallback node is missing or fails, too.
    pub async fn neurons(&self) -> Result<Neurons, ChainViewError> {
        let netuid = self.netuid;
        match self.gateway.neurons(netuid).await {
            Ok(neurons) => Ok(neurons),
            Err(gateway) => {
                let read_neurons =
                    |chain: Arc<dyn Chain>| async move { Neurons::read(&*chain, netuid).await };
                self.query_chain(gateway, read_neurons).await
            }
        }
    }

    /// Reads from the fallback node after a gateway error.
    async fn query_chain<T, F: Future<Output = Result<T, ChainError>>>(
        &self,
        gateway: GatewayError,
        read: impl FnOnce(Arc<dyn Chain>) -> F,
    ) -> Result<T, ChainViewError> {
        let Some(connect) = &self.connect else { return Err(gateway.into()) };
        let query = async {
            let chain = self.fallback_node.get_or_try_init(|| connect()).await?;
            read(Arc::clone(chain)).await
        };
        match timeout(FALLBACK_TIMEOUT, query).await {
            Ok(Ok(value)) => {
                tracing::debug!(%gateway, "using the fallback node");
                Ok(value)
            }
            Ok(Err(chain)) => Err(ChainViewError::GatewayAndNode { gateway, chain }),
            Err(_) => Err(ChainViewError::GatewayAndNodeTimeout { gateway }),
        }
    }
}

impl std::fmt::Debug for ChainView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainView")
            .field("gateway", &self.gateway)
            .field("netuid", &self.netuid)
            .finish_non_exhaustive()
    }
}
