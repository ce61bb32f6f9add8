//! The signer: the process that holds the validator's hotkey for others.
//!
//! | Route | Answer |
//! |---|---|
//! | `GET /healthz` | `{"ok": true}` |
//! | `POST /sign` | signatures of texts: `{"payloads": [text]}` or `{"data": text or [text]}` |
//! | `POST /set_weights` | `{"success": true, "details": …}` once the subtensor gateway has the weights in a block |
//!
//! Only texts are signed that the subnet's own protocols sign, in the name of this hotkey: see [`SigningPolicy`]. Each one
//! is in the audit log before it is signed.

mod audit;
mod client;
mod policy;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use taonet_primitives::NetUid;
use taonet_wallet::Keypair;

use crate::operator_http::{OperatorLimits, protect};
use crate::subtensor_gateway::GatewayClient;

pub use audit::AuditLog;
pub use client::SignerClient;
pub use policy::{PayloadRefusal, SigningPolicy};

/// Everything that a [`Signer`] needs.
pub struct SignerConfig {
    /// What signs.
    pub keypair: Arc<Keypair>,
    /// The subnet that weights are set on; no other is.
    pub netuid: NetUid,
    /// Who submits them.
    pub gateway: GatewayClient,
    /// How often the gateway tries to have weights confirmed.
    pub retries: u32,
    /// The time between two of its attempts.
    pub retry_delay: Duration,
    /// What is signed.
    pub policy: Box<dyn SigningPolicy>,
    /// Where everything is recorded.
    pub audit: AuditLog,
}

/// A signer. Cheap to clone; clones are one signer.
#[derive(Clone)]
pub struct Signer {
    config: Arc<SignerConfig>,
}

impl Signer {
    /// A signer that does what `config` says.
    pub fn new(config: SignerConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// The routes, with all limits.
    pub fn router(&self, limits: OperatorLimits) -> Router {
        protect(routes::routes(self.clone()), limits, "taonet_signer_requests_total")
    }

    /// Gives the signer's metrics their help texts. Call after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_signer_requests_total", "Requests by route and status");
        metrics::describe_counter!("taonet_signer_signatures_total", "Texts signed, by kind");
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("hotkey", &self.config.keypair.hotkey()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
