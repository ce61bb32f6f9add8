//! The subtensor gateway: the only process of a validator that connects to the chain and submits
//! weights. It serves a [`LocalWeights`] over HTTP.
//!
//! | Route | Response |
//! |---|---|
//! | `GET /healthz` | `{"ok": true}` |
//! | `POST /v1/block/current` | `{"block": 123}` |
//! | `POST /v1/block/wait` | the same, once there is a newer block; 504 after `timeout_s` |
//! | `POST /v1/metagraph/snapshot` | block, hotkeys, last updates, endpoints, permits and stakes of a subnet |
//! | `POST /v1/registry/context` | the snapshot as `metagraph`, and an empty `commitments` object |
//! | `POST /v1/weights/set_and_confirm` | `{"success": true, "details": …}` once the weights are in a block |
//!
//! Weights go through the [weight ledger](taonet_ledger): an epoch's weights are signed once,
//! regardless of how many clients request them, and a repeated request only tracks the signed
//! submission. [`Gateway::follow`] reveals commits and resubmits lost transactions, block by block,
//! even without requests.

mod client;
mod routes;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use taonet_chain::Chain;
use taonet_ledger::Submitter;
use taonet_primitives::{Hotkey, NetUid};
use taonet_service::Shutdown;

use crate::operator_http::{ApiError, OperatorLimits, protect};
use crate::weight_service::LocalWeights;

pub(crate) use client::weights_response;
pub use client::{GatewayClient, GatewayError};

/// Settings of a [`Gateway`].
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The only subnet for which weights are submitted.
    pub netuid: NetUid,
    /// Hotkey that submits the weights.
    pub hotkey: Hotkey,
    /// Timeout of a request to set weights, after which the response reports the weights as
    /// unconfirmed. Shorter than the callers' timeouts, so that callers learn the state of the
    /// submission.
    pub confirm_timeout: Duration,
    /// Default timeout of a request for a new block.
    pub wait_timeout: Duration,
}

impl GatewaySettings {
    /// Creates settings with the default timeouts: 240 s for weights, since callers wait 270 s or
    /// longer, and 300 s for a block.
    pub const fn new(netuid: NetUid, hotkey: Hotkey) -> Self {
        Self {
            netuid,
            hotkey,
            confirm_timeout: Duration::from_mins(4),
            wait_timeout: Duration::from_mins(5),
        }
    }
}

/// The subtensor gateway. Cheap to clone; clones share state.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    settings: GatewaySettings,
    connected: OnceLock<LocalWeights>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Creates a gateway that responds with 503 until it is [connected](Self::connect).
    pub fn new(settings: GatewaySettings) -> Self {
        Self { inner: Arc::new(Inner { settings, connected: OnceLock::new() }) }
    }

    /// Sets the chain and the submitter. Only the first call has an effect.
    pub fn connect(&self, chain: Arc<dyn Chain>, submitter: Submitter) {
        if self.inner.connected.set(LocalWeights::new(chain, submitter)).is_err() {
            tracing::error!("the gateway is already connected");
        }
    }

    /// Creates the gateway's HTTP router, with all limits applied.
    pub fn router(&self, limits: OperatorLimits) -> Router {
        protect(routes::routes(self.clone()), limits, "taonet_subtensor_gateway_requests_total")
    }

    /// Completes the ledger's unfinished submissions, now and after every block, until shutdown.
    /// The gateway must be connected.
    pub async fn follow(&self, shutdown: &Shutdown) {
        if let Ok(weights) = self.inner.connected() {
            weights.follow(shutdown).await;
        }
    }

    /// Registers the help texts of the gateway's metrics. Call it after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!(
            "taonet_subtensor_gateway_requests_total",
            "Requests by route and status"
        );
        LocalWeights::describe_metrics();
    }
}

impl Inner {
    fn connected(&self) -> Result<&LocalWeights, ApiError> {
        self.connected.get().ok_or(ApiError::NotConnected)
    }
}

#[cfg(test)]
mod tests;
