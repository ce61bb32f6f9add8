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

/// The largest answer: metadata is half a MiB, all metagraphs some.
const MAX_ANSWER_BYTES: u32 = 64 << 20;
/// How many notifications may wait; where the reader is slower, the subscription ends and is made anew.
const MAX_WAITING: usize = 256;

/// One node, and the connection to it while there is one.
#[derive(Debug)]
pub(crate) struct Node {
    url: NodeUrl,
    connection: tokio::sync::Mutex<Option<Arc<Client>>>,
    health: Mutex<Health>,
}

#[derive(Debug)]
struct Health {
    genesis: Option<BlockHash>,
    shunned_until: Option<Instant>,
}

/// What a node is asked.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    pub(crate) params: &'a Json,
    /// The method that ends the subscription, where this begins one.
    pub(crate) unsubscribe: Option<&'a str>,
}

/// What a node said.
pub(crate) enum Answer {
    Result(Box<RawValue>),
    Subscription(Subscription),
    Error(RpcError),
}

/// A node's refusal.
#[derive(Debug, Clone)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) data: Option<String>,
}

/// Notifications from one node. Ends with the connection.
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
    /// The next notification; `None` once the connection is lost or what came is no JSON.
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
        let health = Mutex::new(Health { genesis, shunned_until: None });
        Self { url, connection: tokio::sync::Mutex::new(None), health }
    }

    pub(crate) fn url(&self) -> &NodeUrl {
        &self.url
    }

    pub(crate) fn set_genesis(&self, genesis: BlockHash) {
        self.health().genesis = Some(genesis);
    }

    /// Until when it is left alone; `None` while it is well.
    pub(crate) fn shunned_until(&self) -> Option<Instant> {
        self.health().shunned_until.filter(|until| *until > Instant::now())
    }

    pub(crate) fn succeeded(&self) {
        self.health().shunned_until = None;
    }

    /// Lets go of the connection; the next request makes another one.
    pub(crate) fn failed(&self, shun: std::time::Duration) {
        self.health().shunned_until = Instant::now().checked_add(shun);
        // Where somebody holds it, they are making another one.
        if let Ok(mut connection) = self.connection.try_lock() {
            connection.take();
        }
    }

    pub(crate) async fn ask(&self, question: &Question<'_>) -> Result<Answer, TransportError> {
        let client = self.client().await?;
        let params = Params(question.params.clone());
        let answer = match question.unsubscribe {
            None => ClientT::request(&*client, question.method, params).await.map(Answer::Result),
            Some(unsubscribe) => {
                let stream = client.subscribe::<Box<RawValue>, _>(question.method, params, unsubscribe).await;
                stream.map(|stream| {
                    Answer::Subscription(Subscription { stream: Box::pin(stream), _connection: Arc::clone(&client) })
                })
            }
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(Error::Call(error)) => Ok(Answer::Error(said(&error))),
            Err(error) => Err(TransportError::Connection(Box::new(error))),
        }
    }

    /// The connection, made anew where there is none. A node of another chain is none of ours.
    async fn client(&self) -> Result<Arc<Client>, TransportError> {
        let mut connection = self.connection.lock().await;
        if let Some(client) = connection.as_ref().filter(|client| client.is_connected()) {
            return Ok(Arc::clone(client));
        }
        let failed = |error: Error| TransportError::Connection(Box::new(error));
        let client = WsClientBuilder::default()
            .max_response_size(MAX_ANSWER_BYTES)
            .max_buffer_capacity_per_subscription(MAX_WAITING)
            .build(self.url.as_str())
            .await
            .map_err(failed)?;
        let wanted = self.health().genesis;
        if let Some(wanted) = wanted {
            let genesis: BlockHash = ClientT::request(&client, "chain_getBlockHash", Params(serde_json::json!([0])))
                .await
                .map_err(failed)?;
            if genesis != wanted {
                return Err(TransportError::AnotherChain(genesis));
            }
        }
        let client = Arc::new(client);
        *connection = Some(Arc::clone(&client));
        Ok(client)
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A JSON-RPC error; its data is text where the node wrote text.
fn said(error: &ErrorObjectOwned) -> RpcError {
    let data = error.data().map(|data| serde_json::from_str(data.get()).unwrap_or_else(|_| data.get().to_owned()));
    RpcError { code: error.code(), message: error.message().to_owned(), data }
}
