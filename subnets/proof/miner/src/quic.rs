//! QUIC server of the miner: the protocol of the published crate `btlightning`, with its frames and
//! messages.
//!
//! That crate's own server limits neither connections without an accepted handshake nor the time of
//! a handshake or a message, so a few clients could exhaust its memory. This server limits all of
//! these, and serves the clients of that crate.

mod admission;
mod connection;
mod requests;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn::{Endpoint, Incoming, ServerConfig, TransportConfig, VarInt};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::TLS13;
use taonet_http::ConnectionSlots;
use taonet_primitives::Hotkey;
use taonet_proof_core::handshake::{ALPN, fingerprint};
use taonet_wallet::Keypair;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::Miner;
use admission::{Admission, Validators};
use connection::ServerState;
use requests::{RequestTracker, create_handlers};

/// Maximum size of one input in a message, in bytes: integers as text would have 20 digits and a
/// separator.
const MAX_INTEGER_BYTES: usize = 21;
/// Lower bound of the maximum message size, in bytes.
const MIN_MESSAGE_LIMIT_BYTES: usize = 64 << 10;
/// Maximum size of all messages in flight together, in bytes.
const MAX_IN_FLIGHT_BYTES: usize = 512 << 20;
/// Maximum number of authenticated connections. A subnet has at most 64 validators with a permit.
const MAX_VALIDATORS: usize = 64;
/// Slowest transfer of a message, in bytes per second.
const MIN_TRANSFER_RATE: usize = 1 << 20;
/// Grace period for proofs in progress at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time at shutdown to send the last answers.
const FLUSH_TIME: Duration = Duration::from_millis(200);
/// Idle timeout of a connection, in milliseconds.
const IDLE_TIMEOUT_MILLISECONDS: u32 = 150_000;
/// Interval of keep-alive packets.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Receive window of an authenticated connection, in bytes.
const RECEIVE_WINDOW: u32 = 1 << 20;
/// Receive window of a connection before its handshake is accepted, in bytes.
const HANDSHAKE_WINDOW: u32 = 16 << 10;
/// Send window of a connection, in bytes.
const SEND_WINDOW: u64 = 2 << 20;

/// Callback that returns the hotkeys that may connect: those with a validator permit.
pub type Permits = Arc<dyn Fn() -> HashSet<Hotkey> + Send + Sync>;

/// Settings of a [`QuicServer`].
#[derive(Clone)]
pub struct QuicSettings {
    /// UDP address to listen on.
    pub listen: SocketAddr,
    /// Hotkeys that may connect, read at each handshake and request; `None` admits every hotkey
    /// with a valid signature.
    pub permits: Option<Permits>,
}

/// Why the QUIC server cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QuicError {
    /// The certificate cannot be generated.
    #[error("cannot generate a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate is unusable.
    #[error("cannot configure TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The TLS library has no cipher suite for QUIC.
    #[error("cannot configure QUIC: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
    /// The UDP port cannot be bound, or its address cannot be read.
    #[error("cannot bind a UDP port: {0}")]
    Bind(#[from] io::Error),
}

/// Limits of a server on its connections and their messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    /// Maximum number of connections. At the limit, a new connection evicts another, as
    /// [`ConnectionSlots`] describes.
    connections: usize,
    /// Maximum number of connections from one address (for IPv6, one /64).
    connections_per_address: usize,
    /// Maximum number of authenticated connections.
    validators: usize,
    /// Maximum number of authenticated connections from one address (for IPv6, one /64).
    validators_per_address: usize,
    /// Maximum number of concurrent requests of a connection.
    max_streams: u32,
    /// Maximum size of a message, in bytes.
    max_message_bytes: usize,
    /// Timeout of the TLS handshake, and of the signed handshake after it.
    handshake_timeout: Duration,
    /// Timeout for the transfer of a message.
    transfer_timeout: Duration,
}

impl Limits {
    /// Returns the limits for circuits with at most `inputs` inputs: 512 connections, 64 of them
    /// from one address.
    fn for_inputs(inputs: usize) -> Self {
        let max_message_bytes = inputs
            .saturating_mul(MAX_INTEGER_BYTES)
            .saturating_add(4096)
            .clamp(MIN_MESSAGE_LIMIT_BYTES, MAX_IN_FLIGHT_BYTES);
        let validators = (MAX_IN_FLIGHT_BYTES / max_message_bytes).clamp(1, MAX_VALIDATORS);
        let max_streams = MAX_IN_FLIGHT_BYTES / validators / max_message_bytes;
        Self {
            connections: 512,
            connections_per_address: 64,
            validators,
            validators_per_address: validators.div_ceil(4),
            max_streams: u32::try_from(max_streams).unwrap_or(u32::MAX).clamp(1, 128),
            max_message_bytes,
            handshake_timeout: Duration::from_secs(10),
            transfer_timeout: Duration::from_secs(
                10 + (max_message_bytes / MIN_TRANSFER_RATE) as u64,
            ),
        }
    }
}

/// A miner's QUIC server, bound to its UDP port.
///
/// A handshake signed by the validator's hotkey authenticates a connection.
///
/// Clients prove their address before the server stores any state, and complete both handshakes
/// within 10 s each. At a limit, a new connection evicts one that has no request in progress,
/// starting with the address that has the most connections. No request is longer than the largest
/// input of a circuit, and its transfer has a timeout. All messages in flight take at most 512 MiB
/// together.
pub struct QuicServer {
    endpoint: Endpoint,
    state: Arc<ServerState>,
    slots: ConnectionSlots,
    requests: RequestTracker,
}

impl QuicServer {
    /// Binds the port and creates a certificate, whose fingerprint `keypair` signs in each
    /// handshake. `timeout` is the timeout of a request. Requires a tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub fn bind(
        miner: &Miner,
        keypair: &Keypair,
        timeout: Duration,
        settings: QuicSettings,
    ) -> Result<Self, QuicError> {
        Self::bind_with(
            miner,
            keypair,
            timeout,
            settings,
            Limits::for_inputs(miner.largest_input()),
        )
    }

    fn bind_with(
        miner: &Miner,
        keypair: &Keypair,
        timeout: Duration,
        settings: QuicSettings,
        limits: Limits,
    ) -> Result<Self, QuicError> {
        let (config, fingerprint) = server_config()?;
        let endpoint = Endpoint::server(config, settings.listen)?;
        let requests = RequestTracker::default();
        let state = ServerState {
            admission: Admission::new(keypair.clone(), fingerprint, settings.permits),
            validators: Arc::new(Validators::new(ConnectionSlots::new(
                limits.validators,
                limits.validators_per_address,
            ))),
            handlers: create_handlers(miner, &requests),
            limits,
            timeout,
        };
        let slots = ConnectionSlots::new(limits.connections, limits.connections_per_address);
        Ok(Self { endpoint, state: Arc::new(state), slots, requests })
    }

    /// Returns the bound address, with the actual port.
    ///
    /// # Errors
    /// When the operating system does not report the address.
    pub fn address(&self) -> Result<SocketAddr, QuicError> {
        Ok(self.endpoint.local_addr()?)
    }

    /// Serves until `stop` completes. Proofs in progress then have 10 s to complete; new requests
    /// get the response of a miner at capacity.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        let drain = async {
            stop.await;
            if tokio::time::timeout(DRAIN_TIMEOUT, self.requests.drain()).await.is_err() {
                tracing::warn!("shutdown timeout: proofs in progress aborted");
            }
            tokio::time::sleep(FLUSH_TIME).await;
        };
        tokio::select! {
            () = drain => {}
            () = self.accept() => tracing::error!("the QUIC server stopped"),
        }
        self.endpoint.close(0_u32.into(), b"server_shutdown");
        let _ = tokio::time::timeout(FLUSH_TIME, self.endpoint.wait_idle()).await;
    }

    /// Accepts connections until the endpoint is closed.
    async fn accept(&self) {
        let mut connections = JoinSet::new();
        while let Some(incoming) = self.endpoint.accept().await {
            while connections.try_join_next().is_some() {}
            let Some(incoming) = require_validated(incoming) else { continue };
            let from = incoming.remote_address();
            if let Some(slot) = self.slots.try_acquire(from.ip()) {
                connections.spawn(Arc::clone(&self.state).serve(incoming, slot));
            } else {
                tracing::debug!(%from, "QUIC connection refused: no connection slot");
                incoming.refuse();
            }
        }
    }
}

/// Returns a connection whose client has proved its address, and asks other clients for the proof.
fn require_validated(incoming: Incoming) -> Option<Incoming> {
    if incoming.remote_address_validated() {
        return Some(incoming);
    }
    if let Err(error) = incoming.retry() {
        error.into_incoming().ignore();
    }
    None
}

/// Creates a certificate, and returns the configuration with it and its fingerprint.
fn server_config() -> Result<(ServerConfig, String), QuicError> {
    let key_pair = rcgen::KeyPair::generate()?;
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key_pair)?;
    let fingerprint = fingerprint(certificate.der());
    let mut tls =
        rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key_pair.serialize_der()).into(),
            )?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        // One handshake at a time. An authenticated connection has more.
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .receive_window(VarInt::from_u32(HANDSHAKE_WINDOW))
        .stream_receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MILLISECONDS).into()))
        .keep_alive_interval(Some(KEEP_ALIVE_INTERVAL));
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport));
    Ok((config, fingerprint))
}

#[cfg(test)]
mod tests;
