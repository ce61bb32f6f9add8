use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use serde_json::value::RawValue;
use subxt::ext::futures::{Stream, StreamExt};
use subxt::ext::jsonrpsee::core::client::{Client, ClientT, Error, SubscriptionClientT};
use subxt::ext::jsonrpsee::core::traits::ToRpcParams;
use subxt::ext::jsonrpsee::types::ErrorObjectOwned;
use subxt::ext::jsonrpsee::ws_client::WsClientBuilder;
use taonet_primitives::BlockHash;
use tokio::time::Instant;

use crate::{NodeUrl, TransportError};

/// Maximum size of a response in bytes: metadata takes about half a MiB, large queries several MiB.
const MAX_RESPONSE_BYTES: u32 = 64 << 20;
/// Maximum number of buffered notifications; when a slow reader exceeds it, the subscription ends
/// and is renewed.
const MAX_BUFFERED_NOTIFICATIONS: usize = 256;

/// A node, with its connection while one is open.
#[derive(Debug)]
pub(crate) struct Node {
    url: NodeUrl,
    connection: tokio::sync::Mutex<Option<Arc<Client>>>,
    health: Mutex<NodeHealth>,
}

#[derive(Debug)]
struct NodeHealth {
    genesis: Option<BlockHash>,
    skipped_until: Option<Instant>,
}

/// A request to a node.
#[derive(Debug)]
pub(crate) struct NodeRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) params: &'a Json,
    /// The unsubscribe method, if this request subscribes.
    pub(crate) unsubscribe: Option<&'a str>,
}

/// A node's response.
pub(crate) enum NodeResponse {
    Result(Box<RawValue>),
    Subscription(Subscription),
    Error(RpcError),
}

/// A JSON-RPC error from a node.
#[derive(Debug, Clone)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) data: Option<String>,
}

/// Notifications from one node. The stream ends with the connection.
pub(crate) struct Subscription {
    stream: Pin<Box<dyn Stream<Item = Result<Box<RawValue>, serde_json::Error>> + Send>>,
    _connection: Arc<Client>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

impl Subscription {
    /// Returns the next notification; `None` once the connection is lost or a notification is not
    /// JSON.
    pub(crate) async fn next(&mut self) -> Option<Box<RawValue>> {
        self.stream.next().await?.ok()
    }
}

struct Params(Json);

impl ToRpcParams for Params {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        serde_json::value::to_raw_value(&self.0).map(Some)
    }
}

impl Node {
    pub(crate) fn new(url: NodeUrl, genesis: Option<BlockHash>) -> Self {
        let health = Mutex::new(NodeHealth { genesis, skipped_until: None });
        Self { url, connection: tokio::sync::Mutex::new(None), health }
    }

    pub(crate) fn url(&self) -> &NodeUrl {
        &self.url
    }

    pub(crate) fn set_genesis(&self, genesis: BlockHash) {
        self.health().genesis = Some(genesis);
    }

    /// Returns the time until which the node is skipped after a failure; `None` while it is
    /// healthy.
    pub(crate) fn skipped_until(&self) -> Option<Instant> {
        self.health().skipped_until.filter(|until| *until > Instant::now())
    }

    pub(crate) fn record_success(&self) {
        self.health().skipped_until = None;
    }

    /// Drops the connection; the next request opens a new one.
    pub(crate) fn record_failure(&self, skip_duration: std::time::Duration) {
        self.health().skipped_until = Instant::now().checked_add(skip_duration);
        // If the mutex is locked, another task is already reconnecting.
        if let Ok(mut connection) = self.connection.try_lock() {
            connection.take();
        }
    }

    pub(crate) async fn request(
        &self,
        node_request: &NodeRequest<'_>,
    ) -> Result<NodeResponse, TransportError> {
        let client = self.connected_client().await?;
        let params = Params(node_request.params.clone());
        let result = match node_request.unsubscribe {
            None => ClientT::request(&*client, node_request.method, params)
                .await
                .map(NodeResponse::Result),
            Some(unsubscribe) => {
                let stream = client
                    .subscribe::<Box<RawValue>, _>(node_request.method, params, unsubscribe)
                    .await;
                stream.map(|stream| {
                    NodeResponse::Subscription(Subscription {
                        stream: Box::pin(stream),
                        _connection: Arc::clone(&client),
                    })
                })
            }
        };
        match result {
            Ok(response) => Ok(response),
            Err(Error::Call(error)) => Ok(NodeResponse::Error(rpc_error(&error))),
            Err(error) => Err(connection_error(error)),
        }
    }

    /// Returns the open connection, or opens one. Fails if the node serves a different chain.
    async fn connected_client(&self) -> Result<Arc<Client>, TransportError> {
        let mut connection = self.connection.lock().await;
        if let Some(client) = connection.as_ref().filter(|client| client.is_connected()) {
            return Ok(Arc::clone(client));
        }
        let client = WsClientBuilder::default()
            .max_response_size(MAX_RESPONSE_BYTES)
            .max_buffer_capacity_per_subscription(MAX_BUFFERED_NOTIFICATIONS)
            .build(self.url.as_str())
            .await
            .map_err(connection_error)?;
        let expected_genesis = self.health().genesis;
        if let Some(expected_genesis) = expected_genesis {
            let genesis: BlockHash =
                ClientT::request(&client, "chain_getBlockHash", Params(serde_json::json!([0])))
                    .await
                    .map_err(connection_error)?;
            if genesis != expected_genesis {
                return Err(TransportError::AnotherChain(genesis));
            }
        }
        let client = Arc::new(client);
        *connection = Some(Arc::clone(&client));
        Ok(client)
    }

    fn health(&self) -> MutexGuard<'_, NodeHealth> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connection_error(error: Error) -> TransportError {
    TransportError::Connection(Box::new(error))
}

/// Converts a JSON-RPC error. Its data becomes text: strings unchanged, other values as JSON.
fn rpc_error(error: &ErrorObjectOwned) -> RpcError {
    let data = error
        .data()
        .map(|data| serde_json::from_str(data.get()).unwrap_or_else(|_| data.get().to_owned()));
    RpcError { code: error.code(), message: error.message().to_owned(), data }
}
