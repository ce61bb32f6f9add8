//! The signer: the process that holds the validator's hotkey and signs for other processes.
//!
//! | Route | Response |
//! |---|---|
//! | `GET /healthz` | `{"ok": true}` |
//! | `POST /sign` | signatures of texts: `{"payloads": [text]}` or `{"data": text or [text]}` |
//! | `POST /set_weights` | `{"success": true, "details": …}` once the subtensor gateway has the weights in a block |
//!
//! The signer signs only texts that the subnet's [`SigningPolicy`] permits: those of the subnet's
//! protocols that contain this hotkey. Each text is written to the audit log before it is signed.

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

/// Dependencies and settings of a [`Signer`].
pub struct SignerConfig {
    /// Keypair of the validator's hotkey.
    pub keypair: Arc<Keypair>,
    /// The only subnet for which weights are submitted.
    pub netuid: NetUid,
    /// Client of the gateway that submits weights.
    pub gateway: GatewayClient,
    /// Maximum number of the gateway's attempts to confirm weights.
    pub retries: u32,
    /// Delay between two attempts.
    pub retry_delay: Duration,
    /// Policy that decides which texts are signed.
    pub policy: SigningPolicy,
    /// Audit log of signed texts and requested weight submissions.
    pub audit: AuditLog,
}

/// The signer service. Cheap to clone; clones share state.
#[derive(Clone)]
pub struct Signer {
    config: Arc<SignerConfig>,
}

impl Signer {
    /// Creates a signer from `config`.
    pub fn new(config: SignerConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Creates the signer's HTTP router, with `limits` applied.
    pub fn router(&self, limits: OperatorLimits) -> Router {
        protect(routes::routes(self.clone()), limits, "taonet_signer_requests_total")
    }

    /// Registers the help texts of the signer's metrics. Call it after the recorder is installed.
    pub fn describe_metrics() {
        metrics::describe_counter!("taonet_signer_requests_total", "Requests by route and status");
        metrics::describe_counter!("taonet_signer_signatures_total", "Payloads signed, by kind");
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("hotkey", &self.config.keypair.hotkey())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
