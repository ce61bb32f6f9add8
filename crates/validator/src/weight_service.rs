//! Chain access of a [`Validator`](crate::Validator): blocks, neurons, and the submission of
//! weights.
//!
//! | Service | Used by | Submits weights |
//! |---|---|---|
//! | [`LocalWeights`] | `tao nineteen validator`, `tao proof validator` | in this process, through the weight ledger |
//! | [`HttpWeights`] | `bb validate` | through the signer, or else the subtensor gateway |
//!
//! The subtensor gateway serves a [`LocalWeights`] over HTTP, so weights are signed by the same
//! code in both cases.

mod confirm;
mod http;
mod local;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use taonet_chain::ChainError;
use taonet_neuron::Neurons;
use taonet_primitives::{BlockNumber, NetUid, Weights};
use taonet_service::Sleeper;

use crate::api::WeightsRequest;
use crate::subtensor_gateway::GatewayError;

pub(crate) use confirm::Retry;
pub use http::HttpWeights;
pub use local::{LocalWeights, OpenError};

/// Chain access of a validator. Cheap to clone; clones share state.
#[derive(Debug, Clone)]
pub enum WeightService {
    /// A chain client and the weight ledger in this process.
    Local(Arc<LocalWeights>),
    /// A subtensor gateway and a signer in other processes.
    Http(Arc<HttpWeights>),
}

impl From<HttpWeights> for WeightService {
    fn from(http: HttpWeights) -> Self {
        Self::Http(Arc::new(http))
    }
}

/// Outcome of the submission of weights.
#[derive(Debug, Clone, PartialEq)]
pub enum WeightsOutcome {
    /// A block includes the weights, or a commit to them.
    Submitted {
        /// Details of the submission, for logs and reports.
        details: Value,
    },
    /// Other weights were already submitted in this epoch of the chain, and remain in place.
    Unchanged {
        /// Details of the earlier submission.
        details: Value,
    },
    /// The weights are not on the chain.
    NotSet {
        /// Why the submission failed.
        error: String,
        /// Details of the last attempt; null if nothing is known.
        details: Value,
    },
    /// There were no weights to submit.
    NoWeights {
        /// Why the validator decided on no weights.
        reason: &'static str,
    },
}

impl WeightsOutcome {
    /// Whether nothing went wrong: weights are in place, or there were none to submit.
    pub const fn is_success(&self) -> bool {
        !matches!(self, Self::NotSet { .. })
    }

    /// Returns why no weights were set; `None` if weights are in place.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Submitted { .. } | Self::Unchanged { .. } => None,
            Self::NotSet { error, .. } => Some(error),
            Self::NoWeights { reason } => Some(reason),
        }
    }

    /// Returns the details of the submission; null if nothing was submitted.
    pub const fn details(&self) -> &Value {
        match self {
            Self::Submitted { details }
            | Self::Unchanged { details }
            | Self::NotSet { details, .. } => details,
            Self::NoWeights { .. } => &Value::Null,
        }
    }
}

/// Why the chain could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No node responded, or the response is malformed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The gateway is unreachable or failed.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
}

impl WeightService {
    /// Returns the newest block.
    ///
    /// # Errors
    /// [`ReadError`] when the chain is unreachable.
    pub(crate) async fn current_block(&self) -> Result<BlockNumber, ReadError> {
        Ok(match self {
            Self::Local(local) => local.current_block().await?,
            Self::Http(http) => http.current_block().await?,
        })
    }

    /// Waits for the next block; `None` after `timeout`.
    ///
    /// # Errors
    /// [`ReadError`] when the chain is unreachable.
    pub(crate) async fn wait_for_block(
        &self,
        timeout: Duration,
    ) -> Result<Option<BlockNumber>, ReadError> {
        match self {
            // The channel of new blocks closes only with the client.
            Self::Local(local) => Ok(local.wait_for_block(timeout).await.unwrap_or(None)),
            Self::Http(http) => Ok(http.wait_for_block(timeout).await?),
        }
    }

    /// Returns a subnet's neurons.
    ///
    /// # Errors
    /// [`ReadError`] when the chain is unreachable, or has no such subnet.
    pub async fn neurons(&self, netuid: NetUid) -> Result<Neurons, ReadError> {
        Ok(match self {
            Self::Local(local) => local.neurons(netuid).await?,
            Self::Http(http) => http.neurons(netuid).await?,
        })
    }

    /// Submits weights, with retries, until they are on the chain or refused for good. Gives up
    /// after `timeout`: the next epoch's weights are then due and must not be replaced by these.
    /// Retries are harmless: the weight ledger signs an epoch's weights once.
    ///
    /// `state_block` is the block of the scores, if it is not the newest.
    pub(crate) async fn set_weights(
        &self,
        netuid: NetUid,
        weights: &Weights,
        state_block: Option<BlockNumber>,
        timeout: Duration,
        sleeper: &Sleeper,
    ) -> WeightsOutcome {
        let request = WeightsRequest {
            state_block,
            ..WeightsRequest::new(netuid, weights.uids.clone(), weights.weights.clone())
        };
        match self {
            Self::Local(local) => local.set_weights(&request, timeout, sleeper).await,
            Self::Http(http) => http.set_weights(request, timeout, sleeper).await,
        }
    }
}

#[cfg(test)]
mod tests;
