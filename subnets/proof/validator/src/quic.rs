//! QUIC client of the validator, on the published protocol crate.

use std::net::IpAddr;
use std::time::Duration;

use btlightning::{
    CallbackSigner, LightningClient, LightningClientConfig, LightningError, QuicAxonInfo, QuicRequest, QuicResponse,
};
use serde::Serialize;
use taonet_proof_core::messages::{QUERY_ZK_PROOF, QueryZkProofResponse, SLICE_PROOF, SliceProofResponse};
use taonet_proof_core::query::ProofAnswer;
use taonet_proof_core::scoring::Fault;
use taonet_wallet::Keypair;
use taonet_wire::Peer;

use crate::request::{Asked, Missing};
use crate::{MinerEntry, Wire};

/// Maximum message size in bytes, as in the reference.
const LARGEST_MESSAGE: usize = 128 << 20;
/// Timeout of a connection attempt, including the handshake.
const CONNECTING: Duration = Duration::from_secs(10);
/// First pause after a failed connection attempt.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(500);
/// Protocol number of announced endpoints.
const PROTOCOL: u8 = 4;

/// Connections to miners, each authenticated by a mutually signed handshake.
pub struct QuicClient(LightningClient);

impl QuicClient {
    /// Binds a UDP port. Requires a tokio runtime.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn bind(keypair: &Keypair) -> Result<Self, LightningError> {
        let config = LightningClientConfig::builder()
            .connect_timeout(CONNECTING)
            .reconnect_initial_backoff(SHORTEST_BACKOFF)
            .max_frame_payload_bytes(LARGEST_MESSAGE)
            .max_stream_payload_bytes(LARGEST_MESSAGE)
            .build()?;
        let mut client = LightningClient::with_config(keypair.hotkey().to_string(), config)?;
        let signing = keypair.clone();
        client.set_signer(Box::new(CallbackSigner::new(move |text: &[u8]| Ok(signing.sign(text).as_bytes().to_vec()))));
        client.create_endpoint().await?;
        Ok(Self(client))
    }

    /// Connects to new miners on the list and drops connections to those that left it.
    pub(crate) async fn follow(&self, miners: &[MinerEntry]) {
        let axons = miners.iter().filter(|miner| miner.wire == Wire::Quic).filter_map(|miner| axon(&miner.peer));
        if let Err(error) = self.0.update_miner_registry(axons.collect()).await {
            tracing::warn!(%error, "cannot update QUIC connections");
        }
    }

    /// Sends a request to a miner and returns its answer.
    pub(crate) async fn ask(&self, peer: &Peer, asked: &Asked, timeout: Duration) -> Result<ProofAnswer, Missing> {
        let malformed = |_| Missing::Fault(Fault::Malformed);
        match asked {
            Asked::Circuit(query) => {
                let response = self.call(peer, QUERY_ZK_PROOF, &query.to_message(), timeout).await?;
                let message: QueryZkProofResponse = response.deserialize_data().map_err(malformed)?;
                if message.busy { Err(Missing::Busy) } else { Ok(ProofAnswer::from_message(message)) }
            }
            Asked::Slice(query, proof_system) => {
                let response = self.call(peer, SLICE_PROOF, &query.to_message(*proof_system), timeout).await?;
                let message: SliceProofResponse = response.deserialize_data().map_err(malformed)?;
                if message.busy { Err(Missing::Busy) } else { Ok(ProofAnswer::from_slice_message(message)) }
            }
        }
    }

    async fn call(
        &self,
        peer: &Peer,
        synapse: &str,
        message: &impl Serialize,
        timeout: Duration,
    ) -> Result<QuicResponse, Missing> {
        let request = QuicRequest::from_typed(synapse, message).map_err(|error| Missing::Local(error.to_string()))?;
        let axon = axon(peer).ok_or_else(|| Missing::Local(format!("{} is not an IP address", peer.host())))?;
        // The crate bounds each phase separately; this bounds the whole request.
        let whole = timeout.saturating_add(CONNECTING);
        let query = self.0.query_axon_with_timeout(axon, request, timeout);
        let response = match tokio::time::timeout(whole, query).await {
            Ok(response) => response.map_err(|error| missing(&error))?,
            Err(_) => return Err(Missing::Fault(Fault::Timeout)),
        };
        if response.success {
            return Ok(response);
        }
        tracing::debug!(miner = %peer.hotkey(), error = response.error, "request refused by the miner");
        Err(Missing::Fault(match response.error.as_deref() {
            Some("handler timed out") => Fault::Timeout,
            _ => Fault::Refused,
        }))
    }
}

fn axon(peer: &Peer) -> Option<QuicAxonInfo> {
    let address: IpAddr = peer.host().parse().ok()?;
    Some(QuicAxonInfo::new(peer.hotkey().to_string(), address.to_string(), peer.port(), PROTOCOL))
}

/// Classifies an error as the miner's fault or a local one.
fn missing(error: &LightningError) -> Missing {
    match error {
        LightningError::Transport(text) if text.contains("timed out") => Missing::Fault(Fault::Timeout),
        LightningError::Connection(text) if text.contains("not initialized") => Missing::Local(error.to_string()),
        LightningError::Connection(_) | LightningError::Transport(_) => Missing::Fault(Fault::Unreachable),
        LightningError::Handshake(_) | LightningError::Handler(_) => Missing::Fault(Fault::Refused),
        LightningError::Serialization(_) | LightningError::Stream(_) => Missing::Fault(Fault::Malformed),
        _ => Missing::Local(error.to_string()),
    }
}

impl std::fmt::Debug for QuicClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QuicClient")
    }
}
