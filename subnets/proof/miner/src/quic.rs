//! QUIC server of the miner, on the published protocol crate.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use btlightning::{
    CallbackSigner, LightningError, LightningServer, LightningServerConfig, ValidatorPermitResolver,
    typed_async_handler,
};
use taonet_primitives::Hotkey;
use taonet_proof_core::messages::{
    QUERY_ZK_PROOF, QueryZkProof, QueryZkProofResponse, SLICE_PROOF, SliceProofRequest, SliceProofResponse,
};
use taonet_proof_core::query::{ProofQuery, SliceQuery};
use taonet_wallet::Keypair;

use crate::{Miner, Refusal, measures};

/// Maximum message size in bytes, as in the reference.
const LARGEST_MESSAGE: usize = 128 << 20;
/// Minimum idle timeout of a connection.
const IDLE: Duration = Duration::from_secs(150);

/// Returns the hotkeys that may connect: those with a validator permit.
pub type Permits = Arc<dyn Fn() -> HashSet<Hotkey> + Send + Sync>;

/// Settings of a [`QuicServer`].
#[derive(Clone)]
pub struct QuicSettings {
    /// UDP address.
    pub listen: SocketAddr,
    /// Hotkeys that may connect; anyone with a valid signature if absent.
    pub permits: Option<Permits>,
    /// Interval at which `permits` is called.
    pub permit_refresh: Duration,
}

/// A miner's QUIC server, bound to its UDP port.
///
/// A handshake signed by the validator's hotkey authenticates a connection. The protocol then attributes all requests
/// from its address to that hotkey.
pub struct QuicServer(LightningServer);

impl QuicServer {
    /// Binds the port and creates a certificate, whose fingerprint `keypair` signs in each handshake. `timeout` is that
    /// of a request.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn bind(
        miner: Miner,
        keypair: &Keypair,
        timeout: Duration,
        settings: QuicSettings,
    ) -> Result<Self, LightningError> {
        let config = LightningServerConfig::builder()
            .handler_timeout_secs(timeout.as_secs().max(1))
            .idle_timeout_secs(timeout.saturating_mul(2).max(IDLE).as_secs())
            .max_frame_payload_bytes(LARGEST_MESSAGE)
            .require_validator_permit(settings.permits.is_some())
            .validator_permit_refresh_secs(settings.permit_refresh.as_secs().max(1))
            .build()?;
        let (host, port) = (settings.listen.ip(), settings.listen.port());
        let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
        let mut server = LightningServer::with_config(keypair.hotkey().to_string(), host, port, config)?;
        let signing = keypair.clone();
        server.set_miner_signer(Box::new(CallbackSigner::new(move |text: &[u8]| {
            Ok(signing.sign(text).as_bytes().to_vec())
        })));
        if let Some(permits) = settings.permits {
            server.set_validator_permit_resolver(Box::new(Resolver(permits)));
        }
        let serving = miner.clone();
        let whole = typed_async_handler(move |message: QueryZkProof| {
            let miner = serving.clone();
            async move { prove(&miner, &message).await }
        });
        server.register_async_synapse_handler(QUERY_ZK_PROOF.to_owned(), whole).await?;
        let slice = typed_async_handler(move |message: SliceProofRequest| {
            let miner = miner.clone();
            async move { prove_slice(&miner, &message).await }
        });
        server.register_async_synapse_handler(SLICE_PROOF.to_owned(), slice).await?;
        server.start().await?;
        Ok(Self(server))
    }

    /// Returns the bound address, with the actual port.
    ///
    /// # Errors
    /// When the operating system does not report the address.
    pub fn address(&self) -> Result<SocketAddr, LightningError> {
        self.0.local_addr()
    }

    /// Serves until `stop` completes, then closes all connections.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            served = self.0.serve_forever() => if let Err(error) = served {
                tracing::error!(%error, "the QUIC server stopped");
            },
        }
        if let Err(error) = self.0.stop().await {
            tracing::warn!(%error, "cannot close QUIC connections");
        }
    }
}

impl std::fmt::Debug for QuicServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("QuicServer").field(&self.0.local_addr().ok()).finish()
    }
}

struct Resolver(Permits);

impl ValidatorPermitResolver for Resolver {
    fn resolve_permitted_validators(&self) -> btlightning::Result<HashSet<String>> {
        let permitted: HashSet<String> = (self.0)().iter().map(Hotkey::to_string).collect();
        // An empty set means that the chain was not read. On an error, the crate keeps its previous set.
        if permitted.is_empty() {
            Err(LightningError::Config("no permits are known".to_owned()))
        } else {
            Ok(permitted)
        }
    }
}

async fn prove(miner: &Miner, message: &QueryZkProof) -> Result<QueryZkProofResponse, Refusal> {
    let answer = async { Ok(miner.answer(&ProofQuery::from_message(message)?).await?.to_message()?) };
    counted(answer.await, || QueryZkProofResponse { busy: true, ..QueryZkProofResponse::default() })
}

async fn prove_slice(miner: &Miner, message: &SliceProofRequest) -> Result<SliceProofResponse, Refusal> {
    let answer = async { Ok(miner.answer_slice(&SliceQuery::from_message(message)?).await?.to_slice_message()?) };
    counted(answer.await, || SliceProofResponse { busy: true, ..SliceProofResponse::default() })
}

/// Counts an outcome by its HTTP status. The protocol has the same text for all refusals, so a miner at capacity sends
/// `busy` in an answer.
fn counted<T>(answer: Result<T, Refusal>, busy: impl FnOnce() -> T) -> Result<T, Refusal> {
    measures::request(answer.as_ref().map_or_else(Refusal::status, |_| http::StatusCode::OK));
    match answer {
        Err(Refusal::Full) => Ok(busy()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests;
