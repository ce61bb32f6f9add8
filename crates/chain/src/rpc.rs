//! Requests to nodes in order of preference, with failover and a deadline.
//!
//! A failed node is skipped for several block times, unless all have failed. A request that times
//! out marks its connection as dead, regardless of the state of the socket: the next request opens
//! a new one.

mod block_timing;
mod node;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use subxt::ext::futures::future::BoxFuture;
use taonet_primitives::{BlockHash, with_causes};
use tokio::time::{Instant, timeout};

use crate::error::BoxError;
use crate::{ChainError, Network, TransportError};

pub use block_timing::time_for_blocks;
pub(crate) use block_timing::{BlockTiming, equal_part};
pub(crate) use node::{RpcError, Subscription};

use node::{Node, NodeRequest, NodeResponse};

/// The nodes of one chain.
#[derive(Debug)]
pub(crate) struct Rpc {
    nodes: Vec<Arc<Node>>,
    pub(crate) timing: BlockTiming,
}

impl Rpc {
    pub(crate) fn new(network: &Network, timing: BlockTiming) -> Self {
        let nodes =
            network.nodes().iter().map(|url| Arc::new(Node::new(url.clone(), network.genesis())));
        Self { nodes: nodes.collect(), timing }
    }

    /// Sets the genesis hash: from now on nodes of other chains are rejected.
    pub(crate) fn set_genesis(&self, genesis: BlockHash) {
        for node in &self.nodes {
            node.set_genesis(genesis);
        }
    }

    /// Sends a request and parses the result.
    pub(crate) async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Json,
    ) -> Result<T, ChainError> {
        self.request_within(method, params, self.timing.read_timeout()).await
    }

    /// Sends a request with a custom timeout and parses the result.
    pub(crate) async fn request_within<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Json,
        total_timeout: Duration,
    ) -> Result<T, ChainError> {
        let node_request = NodeRequest { method, params: &params, unsubscribe: None };
        self.first_response(&node_request, total_timeout, &mut 0, |response| {
            parse_result(method, response)
        })
        .await?
    }

    /// Sends a request at most once to each node and parses the result. Used for the first request,
    /// to report unreachable nodes immediately.
    pub(crate) async fn request_once<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Json,
    ) -> Result<T, ChainError> {
        let node_request = NodeRequest { method, params: &params, unsubscribe: None };
        let deadline =
            Deadline { started: Instant::now(), total_timeout: self.timing.read_timeout() };
        self.try_each_node(&node_request, deadline, &mut 0, &|response| {
            parse_result(method, response)
        })
        .await?
    }

    /// Runs all requests of one read, which together have the timeout of a single request.
    pub(crate) fn with_timeout<'a, T: Send>(
        &'a self,
        subject: &'static str,
        read: impl Future<Output = Result<T, ChainError>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, ChainError>> {
        self.run_with_timeout(subject, self.timing.read_timeout(), read)
    }

    /// Runs all requests of one read within a timeout.
    pub(crate) fn run_with_timeout<'a, T: Send>(
        &'a self,
        subject: &'static str,
        total_timeout: Duration,
        read: impl Future<Output = Result<T, ChainError>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, ChainError>> {
        Box::pin(async move {
            timeout(total_timeout, read).await.unwrap_or_else(|_| {
                let endpoint = self
                    .ordered_nodes()
                    .first()
                    .map(|node| node.url().to_string())
                    .unwrap_or_default();
                let source =
                    TransportError::TimedOut { method: subject.to_owned(), after: total_timeout };
                Err(ChainError::Unreachable { endpoint, source })
            })
        })
    }

    /// Opens a subscription on the first node that responds.
    pub(crate) async fn subscribe(
        &self,
        method: &str,
        params: Json,
        unsubscribe: &str,
    ) -> Result<OpenedSubscription, ChainError> {
        let node_request = NodeRequest { method, params: &params, unsubscribe: Some(unsubscribe) };
        let mut tries = 0;
        let opening = self.first_response(
            &node_request,
            self.timing.read_timeout(),
            &mut tries,
            |response| match response {
                NodeResponse::Subscription(subscription) => Ok(Ok(subscription)),
                NodeResponse::Error(error) => Ok(Err(error)),
                NodeResponse::Result(_) => Err(UnexpectedResponse.into()),
            },
        );
        let result = opening.await?;
        Ok(OpenedSubscription { result, tries })
    }

    /// Tries the nodes until one responds or the deadline passes, and counts the attempts. A
    /// malformed response counts as a failure.
    async fn first_response<T>(
        &self,
        node_request: &NodeRequest<'_>,
        total_timeout: Duration,
        tries: &mut u32,
        parse: impl Fn(NodeResponse) -> Result<T, BoxError> + Send + Sync,
    ) -> Result<T, ChainError> {
        let deadline = Deadline { started: Instant::now(), total_timeout };
        loop {
            let error = match self.try_each_node(node_request, deadline, tries, &parse).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            if deadline.remaining() <= self.timing.retry_delay() {
                return Err(error);
            }
            tokio::time::sleep(self.timing.retry_delay()).await;
        }
    }

    /// Tries each node once. Returns the last node's error if all fail.
    async fn try_each_node<T>(
        &self,
        node_request: &NodeRequest<'_>,
        deadline: Deadline,
        tries: &mut u32,
        parse: &(impl Fn(NodeResponse) -> Result<T, BoxError> + Send + Sync),
    ) -> Result<T, ChainError> {
        let (mut endpoint, mut source) =
            (String::new(), timeout_error(node_request, deadline.total_timeout));
        for node in self.ordered_nodes() {
            let remaining = deadline.remaining();
            if remaining.is_zero() {
                break;
            }
            *tries = tries.saturating_add(1);
            let attempt_timeout = self
                .timing
                .attempt_timeout(self.nodes.len())
                .max(equal_part(deadline.total_timeout, 4))
                .min(remaining);
            let error = match timeout(attempt_timeout, node.request(node_request)).await {
                Ok(Ok(response)) => match parse(response) {
                    Ok(output) => {
                        node.record_success();
                        return Ok(output);
                    }
                    Err(error) => TransportError::Malformed(error),
                },
                Ok(Err(error)) => error,
                Err(_) => timeout_error(node_request, attempt_timeout),
            };
            tracing::debug!(
                node = %node.url(), method = node_request.method, error = with_causes(&error),
                "request to a node failed"
            );
            node.record_failure(self.timing.skip_duration());
            (endpoint, source) = (node.url().to_string(), error);
        }
        Err(ChainError::Unreachable { endpoint, source })
    }

    /// Returns the order in which nodes are tried: healthy nodes by preference, then failed ones,
    /// the earliest failure first.
    fn ordered_nodes(&self) -> Vec<Arc<Node>> {
        let mut nodes: Vec<_> =
            self.nodes.iter().map(|node| (node.skipped_until(), Arc::clone(node))).collect();
        nodes.sort_by_key(|(skipped_until, _)| *skipped_until);
        nodes.into_iter().map(|(_, node)| node).collect()
    }
}

/// The result of opening a subscription.
#[derive(Debug)]
pub(crate) struct OpenedSubscription {
    pub(crate) result: Result<Subscription, RpcError>,
    /// The number of requests sent, including the successful one.
    pub(crate) tries: u32,
}

/// The deadline of a request, stored as its start time and timeout.
#[derive(Clone, Copy)]
struct Deadline {
    started: Instant,
    total_timeout: Duration,
}

impl Deadline {
    fn remaining(&self) -> Duration {
        self.total_timeout.saturating_sub(self.started.elapsed())
    }
}

fn timeout_error(node_request: &NodeRequest<'_>, after: Duration) -> TransportError {
    TransportError::TimedOut { method: node_request.method.to_owned(), after }
}

/// Parses the result of a request, or the node's error.
fn parse_result<T: DeserializeOwned>(
    method: &str,
    response: NodeResponse,
) -> Result<Result<T, ChainError>, BoxError> {
    match response {
        NodeResponse::Error(error) => Ok(Err(rpc_refusal(method, error))),
        NodeResponse::Result(raw) => Ok(Ok(serde_json::from_str(raw.get())?)),
        NodeResponse::Subscription(_) => Err(UnexpectedResponse.into()),
    }
}

fn rpc_refusal(method: &str, error: RpcError) -> ChainError {
    let message = match error.data {
        Some(data) if !data.is_empty() => format!("{}: {data}", error.message),
        _ => error.message,
    };
    ChainError::Refused { method: method.to_owned(), code: error.code, message }
}

/// A plain request got a subscription, or a subscription request got a plain result.
#[derive(Debug, thiserror::Error)]
#[error("the response type does not match the request")]
struct UnexpectedResponse;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_of_one_read_share_a_deadline() {
        let block = Duration::from_secs(12);
        let rpc = Rpc::new(&"local".parse().unwrap(), BlockTiming::new(block));
        let start = Instant::now();
        let read = async {
            for _ in 0..100 {
                tokio::time::sleep(block).await;
            }
            Ok(())
        };
        let result: Result<(), ChainError> = rpc.with_timeout("metagraph", read).await;
        let error = result.unwrap_err();
        assert!(with_causes(&error).ends_with("metagraph timed out after 24000 ms"), "{error}");
        assert_eq!(start.elapsed(), block * 2);
        assert!(error.is_retryable());
    }
}
