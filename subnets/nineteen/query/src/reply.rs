//! Requests to miners, sent by this process or by query workers.

use std::sync::Arc;

use crate::answer::Interrupted;
use crate::queue::{RemoteAnswer, Workers};
use crate::{Answer, Chunk, Market, Querier, QueryError, Request};

/// Sends requests to miners: from this process, or through query workers. Clones share state.
#[derive(Debug, Clone)]
pub enum Queries {
    /// Sends requests from this process.
    Local(Querier),
    /// Sends requests through query workers.
    Workers(Arc<Workers>),
}

impl From<Querier> for Queries {
    fn from(querier: Querier) -> Self {
        Self::Local(querier)
    }
}

impl From<Workers> for Queries {
    fn from(workers: Workers) -> Self {
        Self::Workers(Arc::new(workers))
    }
}

impl Queries {
    /// Sends a request; returns the answer once its first chunk has arrived.
    ///
    /// # Errors
    /// [`QueryError`] when no miner answers.
    pub async fn query(&self, request: Request) -> Result<Reply, QueryError> {
        Ok(match self {
            Self::Local(querier) => Reply::Miner(Box::new(querier.query(request).await?)),
            Self::Workers(workers) => Reply::Worker(Box::new(workers.query(request).await?)),
        })
    }

    /// Returns the handle to the market's open period.
    pub fn market(&self) -> &Market {
        match self {
            Self::Local(querier) => querier.market(),
            Self::Workers(workers) => workers.market(),
        }
    }

    /// Returns whether any miner can accept an organic request for a task now. In an entry process,
    /// the result ignores failures of miners, which only the query workers record.
    pub fn is_served(&self, task: &str) -> bool {
        match self {
            Self::Local(querier) => querier.is_served(task),
            Self::Workers(workers) => {
                let period_miners = workers.market().period_miners();
                period_miners.is_some_and(|period_miners| {
                    period_miners.task(task).is_some_and(|task_miners| task_miners.is_served(0.0))
                })
            }
        }
    }
}

/// A streaming answer. Dropping it cancels the miner's work.
#[derive(Debug)]
pub enum Reply {
    /// An answer read from the miner's connection.
    Miner(Box<Answer>),
    /// An answer relayed by a query worker.
    Worker(Box<RemoteAnswer>),
}

impl Reply {
    /// Returns the next chunk; `None` at the end. Reads from the miner only on demand.
    ///
    /// # Errors
    /// [`Interrupted`] when the answer is incomplete; no further chunk follows.
    pub async fn next(&mut self) -> Option<Result<Chunk, Interrupted>> {
        match self {
            Self::Miner(answer) => answer.next().await,
            Self::Worker(answer) => answer.next().await,
        }
    }
}
