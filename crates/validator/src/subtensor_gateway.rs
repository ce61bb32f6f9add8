//! The subtensor gateway: the only process of a validator that connects to the chain and submits weights.
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
//! Weights go through the [weight ledger](taonet_ledger): an epoch's weights are signed once, regardless of how many
//! clients request them, and a repeated request only tracks the signed submission. [`Gateway::follow`] reveals commits
//! and resubmits lost transactions, block by block, even without requests.

mod client;
mod confirm;
mod routes;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::api::MetagraphSnapshot;
use axum::Router;
use taonet_chain::{At, Chain, ChainError, Detail};
use taonet_ledger::Submitter;
use taonet_primitives::{Hotkey, MechId, NetUid};
use taonet_service::Shutdown;

use crate::operator_http::{ApiError, OperatorLimits, protect};

pub(crate) use client::weights_answer;
pub use client::{GatewayClient, GatewayError};

/// Settings of a [`Gateway`].
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// The only subnet for which weights are submitted.
    pub netuid: NetUid,
    /// Hotkey that submits the weights.
    pub hotkey: Hotkey,
    /// Timeout of a request to set weights, after which the response reports the weights as unconfirmed. Shorter than
    /// the callers' timeouts, so that callers learn the state of the submission.
    pub confirm_within: Duration,
    /// Default timeout of a request for a new block.
    pub wait_within: Duration,
}

impl GatewaySettings {
    /// Creates settings with the default timeouts: 240 s for weights, since callers wait 270 s or longer, and 300 s for
    /// a block.
    pub const fn new(netuid: NetUid, hotkey: Hotkey) -> Self {
        Self { netuid, hotkey, confirm_within: Duration::from_mins(4), wait_within: Duration::from_mins(5) }
    }
}

/// The subtensor gateway. Cheap to clone; clones share state.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    settings: GatewaySettings,
    connected: OnceLock<Connected>,
}

/// The chain connection and the submitter.
struct Connected {
    chain: Arc<dyn Chain>,
    submitter: Submitter,
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
        if self.inner.connected.set(Connected { chain, submitter }).is_err() {
            tracing::error!("the gateway is already connected");
        }
    }

    /// Creates the gateway's HTTP router, with all limits applied.
    pub fn router(&self, limits: OperatorLimits) -> Router {
        protect(routes::routes(self.clone()), limits, "taonet_subtensor_gateway_requests_total")
    }

    /// Completes the ledger's unfinished submissions, now and after every block, until shutdown. The gateway must be
    /// connected.
    pub async fn follow(&self, shutdown: &Shutdown) {
        let Ok(Connected { chain, submitter }) = self.inner.connected() else { return };
        let mut heads = chain.heads();
        loop {
            let block = heads.borrow_and_update().map(|head| head.number);
            if let Some(block) = block {
                metrics::gauge!("taonet_subtensor_gateway_block").set(f64::from(block.get()));
            }
            // Interrupted work resumes at the next start, as after a kill.
            let advanced = tokio::select! {
                () = shutdown.requested() => return,
                advanced = submitter.advance() => advanced,
            };
            match advanced {
                Ok(intents) => {
                    for (key, result) in intents {
                        if let Err(error) = result {
                            tracing::warn!(
                                epoch = key.epoch, netuid = key.netuid.0, %error,
                                "cannot complete a weight submission"
                            );
                        }
                    }
                }
                Err(error) => tracing::error!(%error, "the weight ledger failed"),
            }
            tokio::select! {
                () = shutdown.requested() => return,
                changed = heads.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Registers the help texts of the gateway's metrics. Call it after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_subtensor_gateway_requests_total", "Requests by route and status");
        metrics::describe_counter!("taonet_subtensor_gateway_submissions_total", "Weight submissions by result");
        metrics::describe_gauge!("taonet_subtensor_gateway_block", "Height of the newest block");
    }
}

impl Inner {
    fn connected(&self) -> Result<&Connected, ApiError> {
        self.connected.get().ok_or(ApiError::NotConnected)
    }
}

impl Connected {
    async fn snapshot(&self, netuid: NetUid) -> Result<MetagraphSnapshot, ChainError> {
        Ok((&self.chain.metagraph(netuid, MechId(0), Detail::Lite, At::Head).await?).into())
    }
}

#[cfg(test)]
mod tests;
