//! Asking nodes: in their order, the next one where one fails, never longer than a deadline.
//!
//! A node that failed is left alone for some blocks, unless all have. A request that was not answered in time is taken
//! for a dead connection, whatever the socket says: the next request makes a new one.

mod node;
mod pace;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use taonet_primitives::BlockHash;
use tokio::time::{Instant, timeout};

use crate::error::Source;
use crate::{ChainError, Network, TransportError};

pub(crate) use node::{RpcError, Subscription};
pub(crate) use pace::{Pace, part};

use node::{Answer, Node, Question};

/// The nodes of one chain.
#[derive(Debug)]
pub(crate) struct Rpc {
    nodes: Vec<Arc<Node>>,
    pub(crate) pace: Pace,
}

impl Rpc {
    pub(crate) fn new(network: &Network, pace: Pace) -> Self {
        let node = |url: &crate::NodeUrl| Arc::new(Node::new(url.clone(), network.genesis()));
        Self { nodes: network.nodes().iter().map(node).collect(), pace }
    }

    /// From now on only nodes of this chain are talked to.
    pub(crate) fn set_genesis(&self, genesis: BlockHash) {
        for node in &self.nodes {
            node.set_genesis(genesis);
        }
    }

    /// Asks, and reads the answer.
    pub(crate) async fn request<T: DeserializeOwned>(&self, method: &str, params: Json) -> Result<T, ChainError> {
        self.request_within(method, params, self.pace.total()).await
    }

    /// As [`Self::request`], with more time or less.
    pub(crate) async fn request_within<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Json,
        total: Duration,
    ) -> Result<T, ChainError> {
        let read = |answer| match answer {
            Answer::Error(error) => Ok(Err(refused(method, error))),
            Answer::Result(raw) => Ok(Ok(serde_json::from_str(raw.get())?)),
            Answer::Subscription(_) => Err(WrongAnswer.into()),
        };
        self.first(&Question { method, params: &params, unsubscribe: None }, total, read).await?
    }

    /// Subscribes with the first node that answers.
    pub(crate) async fn subscribe(
        &self,
        method: &str,
        params: Json,
        unsubscribe: &str,
    ) -> Result<Result<Subscription, RpcError>, ChainError> {
        let read = |answer| match answer {
            Answer::Subscription(subscription) => Ok(Ok(subscription)),
            Answer::Error(error) => Ok(Err(error)),
            Answer::Result(_) => Err(WrongAnswer.into()),
        };
        let question = Question { method, params: &params, unsubscribe: Some(unsubscribe) };
        self.first(&question, self.pace.total(), read).await
    }

    /// Tries the nodes until one answers or the time is over. An answer that cannot be read is none.
    async fn first<T>(
        &self,
        question: &Question<'_>,
        total: Duration,
        read: impl Fn(Answer) -> Result<T, Source> + Send,
    ) -> Result<T, ChainError> {
        let started = Instant::now();
        let left = || total.saturating_sub(started.elapsed());
        let mut last = None;
        loop {
            for node in self.order() {
                if left().is_zero() {
                    break;
                }
                let limit = self.pace.attempt(self.nodes.len()).max(part(total, 4)).min(left());
                let error = match timeout(limit, node.ask(question)).await {
                    Ok(Ok(answer)) => match read(answer) {
                        Ok(answer) => {
                            node.succeeded();
                            return Ok(answer);
                        }
                        Err(error) => TransportError::Garbage(error),
                    },
                    Ok(Err(error)) => error,
                    Err(_) => TransportError::TimedOut { method: question.method.to_owned(), after: limit },
                };
                tracing::debug!(node = %node.url(), question.method, %error, "a node failed");
                node.failed(self.pace.shun());
                last = Some((node.url().to_string(), error));
            }
            if left() <= self.pace.pause() {
                let never = || TransportError::TimedOut { method: question.method.to_owned(), after: total };
                let (endpoint, source) = last.unwrap_or_else(|| (String::new(), never()));
                return Err(ChainError::Unreachable { endpoint, source });
            }
            tokio::time::sleep(self.pace.pause()).await;
        }
    }

    /// Those that are well in their order, then the others, the longest shunned first.
    fn order(&self) -> Vec<Arc<Node>> {
        let mut nodes: Vec<_> = self.nodes.iter().map(|node| (node.shunned_until(), Arc::clone(node))).collect();
        nodes.sort_by_key(|(until, _)| *until);
        nodes.into_iter().map(|(_, node)| node).collect()
    }
}

fn refused(method: &str, error: RpcError) -> ChainError {
    let message = match error.data {
        Some(data) if !data.is_empty() => format!("{}: {data}", error.message),
        _ => error.message,
    };
    ChainError::Refused { method: method.to_owned(), code: error.code, message }
}

/// A subscription is answered like a request, or a request like a subscription.
#[derive(Debug, thiserror::Error)]
#[error("it is of another kind than the question")]
struct WrongAnswer;
