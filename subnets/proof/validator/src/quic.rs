//! QUIC client of the validator: the protocol of the published crate `btlightning`, with its frames
//! and messages.
//!
//! That crate's own client lets a miner open streams and send data that nobody reads, does not
//! limit the total size of answers, and does not check that a server has the key of its
//! certificate. This client refuses streams from miners, limits the answers, and checks the key.

mod connections;
mod handshake;
mod stopwatch;
mod tls;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use btlightning::types::write_frame_and_finish;
use btlightning::{MessageType, QuicRequest, QuicResponse, SynapsePacket, SynapseResponse};
use quinn::crypto::rustls::NoInitialCipherSuite;
use quinn::{Connection, ConnectionError, Endpoint, ReadError, ReadExactError, RecvStream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use taonet_primitives::Hotkey;
use taonet_proof_backends::{groth16, stark};
use taonet_proof_core::messages::{
    QUERY_ZK_PROOF, QueryZkProofResponse, SLICE_PROOF, SliceProofResponse,
};
use taonet_proof_core::metadata::CircuitMetadata;
use taonet_proof_core::query::ProofAnswer;
use taonet_proof_core::scoring::Fault;
use taonet_wallet::Keypair;
use taonet_wire::{MemoryReservation, Peer, ResponseMemory};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::request::{ProofRequest, RequestError};
use crate::{ProofMiner, Wire};
use connections::Connections;
use stopwatch::PausableDeadline;

/// Maximum size of a STARK proof, in bytes: seven times that of the largest shipped circuit.
const MAX_STARK_BYTES: usize = 2 << 20;
/// Maximum size of a proof of an external backend, in bytes.
const MAX_EXTERNAL_PROOF_BYTES: usize = 16 << 20;
/// Maximum size of an output in a message, in bytes: a double with its type.
const MAX_OUTPUT_BYTES: usize = 9;
/// Lower bound of the maximum size of an answer, in bytes.
const MIN_ANSWER_LIMIT_BYTES: usize = 64 << 10;
/// Maximum size of all answers in flight together, in bytes, besides the first 768 KiB of each.
const MAX_IN_FLIGHT_BYTES: usize = 256 << 20;
/// Step in which an answer is read, in bytes.
const READ_CHUNK_BYTES: usize = 64 << 10;
/// Maximum number of answers that are parsed at the same time: values in memory may take 40 times
/// their size in a message.
const MAX_PARSERS: usize = 2;
/// Slowest transfer of an answer, in bytes per second.
const MIN_TRANSFER_RATE: usize = 1 << 20;
/// Timeout for the transfer of an answer, in addition to the time at the slowest rate.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of a connection attempt, including both handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Size of a frame's header: its kind, and the size of its payload.
const FRAME_HEADER_BYTES: usize = 5;

/// Connections to miners, each authenticated by a mutually signed handshake.
///
/// A connection attempt takes at most 10 s. An answer begins within the request's timeout, and is
/// complete within 10 s plus a second for each MiB after that; neither time includes waiting for
/// memory in this process. Large answers in flight take at most 256 MiB together, which they
/// reserve as they arrive.
pub struct QuicClient(Arc<Inner>);

struct Inner {
    connections: Connections,
    limits: Limits,
    memory: ResponseMemory,
    parsers: Semaphore,
}

/// Limits of a client on connections and answers.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Timeout of a connection attempt.
    connect_timeout: Duration,
    /// Maximum size of all answers in flight, in bytes, besides the first 768 KiB of each.
    max_in_flight_bytes: usize,
    /// Timeout for the transfer of an answer after its first bytes, in addition to the time at the
    /// slowest rate.
    transfer_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            max_in_flight_bytes: MAX_IN_FLIGHT_BYTES,
            transfer_timeout: TRANSFER_TIMEOUT,
        }
    }
}

/// Why the QUIC client cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QuicError {
    /// TLS cannot be configured.
    #[error("cannot configure TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The TLS library has no cipher suite for QUIC.
    #[error("cannot configure QUIC: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
    /// No UDP port can be bound.
    #[error("cannot bind a UDP port: {0}")]
    Bind(#[from] io::Error),
}

impl QuicClient {
    /// Binds a UDP port. Requires a tokio runtime.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn bind(keypair: &Keypair) -> Result<Self, QuicError> {
        Self::bind_with(keypair, Limits::default())
    }

    fn bind_with(keypair: &Keypair, limits: Limits) -> Result<Self, QuicError> {
        let mut endpoint = Endpoint::client(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0))?;
        endpoint.set_default_client_config(tls::client_config()?);
        let connections = Connections::new(endpoint, keypair.clone(), limits.connect_timeout);
        let (memory, parsers) =
            (ResponseMemory::new(limits.max_in_flight_bytes), Semaphore::new(MAX_PARSERS));
        Ok(Self(Arc::new(Inner { connections, limits, memory, parsers })))
    }

    /// Connects to new miners on the list and drops connections to those that left it.
    pub(crate) async fn follow(&self, miners: &[ProofMiner]) {
        let quic_miners = miners.iter().filter(|miner| miner.wire == Wire::Quic);
        let listed: Vec<_> = quic_miners
            .filter_map(|miner| Some((*miner.peer.hotkey(), socket_address(&miner.peer)?)))
            .collect();
        let mut hotkeys_by_address = HashMap::<SocketAddr, HashSet<Hotkey>>::new();
        for (hotkey, address) in &listed {
            hotkeys_by_address.entry(*address).or_default().insert(*hotkey);
        }
        self.0.connections.retain(&hotkeys_by_address);
        let mut connection_attempts = JoinSet::new();
        for (hotkey, address) in listed {
            let inner = Arc::clone(&self.0);
            connection_attempts.spawn(async move {
                if let Err(error) = inner.connections.get(&hotkey, address).await {
                    tracing::debug!(miner = %hotkey, %address, ?error, "cannot connect over QUIC");
                }
            });
        }
        while connection_attempts.join_next().await.is_some() {}
    }

    /// Sends a request for a circuit to a miner. Returns the answer, and the time for which it
    /// waited for memory in this process.
    pub(crate) async fn request_proof(
        &self,
        peer: &Peer,
        proof_request: &ProofRequest,
        circuit: &CircuitMetadata,
        timeout: Duration,
    ) -> Result<(ProofAnswer, Duration), RequestError> {
        let limit = max_answer_bytes(circuit);
        let (is_busy, answer, paused) = match proof_request {
            ProofRequest::Circuit(query) => {
                let (message, paused): (QueryZkProofResponse, _) =
                    self.call(peer, QUERY_ZK_PROOF, &query.to_message(), limit, timeout).await?;
                (message.busy, ProofAnswer::from_message(message), paused)
            }
            ProofRequest::Slice(query, proof_system) => {
                let (message, paused): (SliceProofResponse, _) = self
                    .call(peer, SLICE_PROOF, &query.to_message(*proof_system), limit, timeout)
                    .await?;
                (message.busy, ProofAnswer::from_slice_message(message), paused)
            }
        };
        if is_busy { Err(RequestError::Busy) } else { Ok((answer, paused)) }
    }

    /// Sends a request, whose answer has at most `limit` bytes.
    async fn call<T: DeserializeOwned>(
        &self,
        peer: &Peer,
        synapse: &str,
        message: &impl Serialize,
        limit: usize,
        timeout: Duration,
    ) -> Result<(T, Duration), RequestError> {
        let request = QuicRequest::from_typed(synapse, message)
            .map_err(|error| RequestError::Local(error.to_string()))?;
        let timestamp = unix_seconds();
        let packet =
            SynapsePacket { synapse_type: request.synapse_type, data: request.data, timestamp };
        let packet =
            rmp_serde::to_vec(&packet).map_err(|error| RequestError::Local(error.to_string()))?;
        let address = socket_address(peer).ok_or_else(|| {
            RequestError::Local(format!("{} is not an IPv4 address", peer.host()))
        })?;
        let connection = self.0.connections.get(peer.hotkey(), address).await?;
        let mut deadline = PausableDeadline::new(timeout);
        let exchange =
            self.0.exchange(&connection, &packet, limit, &mut deadline).await.inspect_err(
                |error| {
                    tracing::debug!(miner = %peer.hotkey(), ?error, "no answer over QUIC");
                },
            );
        Ok((exchange?, deadline.paused()))
    }
}

impl Inner {
    /// Sends a packet on a new stream and reads the answer.
    async fn exchange<T: DeserializeOwned>(
        &self,
        connection: &Connection,
        packet: &[u8],
        limit: usize,
        deadline: &mut PausableDeadline,
    ) -> Result<T, RequestError> {
        let (mut send, mut recv) = deadline
            .wait_for_miner(connection.open_bi())
            .await?
            .map_err(|error| connection_fault(&error))?;
        deadline
            .wait_for_miner(write_frame_and_finish(&mut send, MessageType::SynapsePacket, packet))
            .await?
            .map_err(|_| RequestError::Fault(Fault::Unreachable))?;
        let (payload, _memory) = self.read_answer(&mut recv, limit, deadline).await?;
        let parser = deadline.wait_for_local(self.parsers.acquire()).await;
        let _parser = parser.map_err(|error| RequestError::Local(error.to_string()))?;
        parse_answer(&payload)
    }

    /// Reads an answer of at most `limit` bytes. Its memory is reserved as it arrives.
    async fn read_answer(
        &self,
        recv: &mut RecvStream,
        limit: usize,
        deadline: &mut PausableDeadline,
    ) -> Result<(Vec<u8>, MemoryReservation<'_>), RequestError> {
        let mut header = [0; FRAME_HEADER_BYTES];
        deadline
            .wait_for_miner(recv.read_exact(&mut header))
            .await?
            .map_err(|error| read_fault(&error))?;
        let [kind, size @ ..] = header;
        let size = u32::from_be_bytes(size) as usize;
        if kind != MessageType::SynapseResponse as u8 || size > limit {
            return Err(RequestError::Fault(Fault::Malformed));
        }
        let max_transfer_time = Duration::from_secs_f64(size as f64 / MIN_TRANSFER_RATE as f64);
        deadline.shorten(self.limits.transfer_timeout + max_transfer_time);
        let (mut payload, mut reservation) = (Vec::new(), self.memory.reservation());
        while payload.len() < size {
            let bytes_read = payload.len();
            let next_length = (bytes_read + READ_CHUNK_BYTES).min(size);
            deadline.wait_for_local(reservation.reserve(next_length, size)).await;
            payload.resize(next_length, 0);
            let (_, chunk) = payload.split_at_mut(bytes_read);
            deadline
                .wait_for_miner(recv.read_exact(chunk))
                .await?
                .map_err(|error| read_fault(&error))?;
        }
        Ok((payload, reservation))
    }
}

/// Parses an answer.
fn parse_answer<T: DeserializeOwned>(payload: &[u8]) -> Result<T, RequestError> {
    let malformed = RequestError::Fault(Fault::Malformed);
    let Ok(SynapseResponse { success, data, error, .. }) = rmp_serde::from_slice(payload) else {
        return Err(malformed);
    };
    if success {
        return QuicResponse { success, data, latency_ms: 0.0, error }
            .deserialize_data()
            .map_err(|_| malformed);
    }
    Err(RequestError::Fault(match error.as_deref() {
        Some("handler timed out") => Fault::Timeout,
        _ => Fault::Refused,
    }))
}

/// Classifies a failed read as the miner's fault.
fn read_fault(error: &ReadExactError) -> RequestError {
    match error {
        ReadExactError::ReadError(ReadError::ConnectionLost(error)) => connection_fault(error),
        ReadExactError::ReadError(_) | ReadExactError::FinishedEarly(_) => {
            RequestError::Fault(Fault::Malformed)
        }
    }
}

/// Classifies a lost connection as the miner's fault or a local one.
fn connection_fault(error: &ConnectionError) -> RequestError {
    match error {
        ConnectionError::LocallyClosed => RequestError::Local(error.to_string()),
        _ => RequestError::Fault(Fault::Unreachable),
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns the maximum size of an answer to a request for a circuit, in bytes.
fn max_answer_bytes(circuit: &CircuitMetadata) -> usize {
    let proof = match circuit.backend.as_str() {
        groth16::ID => groth16::PROOF_BYTES,
        stark::ID => MAX_STARK_BYTES,
        _ => MAX_EXTERNAL_PROOF_BYTES,
    };
    (proof + circuit.output.shape.elements().saturating_mul(MAX_OUTPUT_BYTES) + 4096)
        .max(MIN_ANSWER_LIMIT_BYTES)
}

/// Returns the address of a miner; `None` if it is not an IPv4 address.
fn socket_address(peer: &Peer) -> Option<SocketAddr> {
    let address: IpAddr = peer.host().parse().ok()?;
    address.is_ipv4().then(|| SocketAddr::new(address, peer.port()))
}

impl std::fmt::Debug for QuicClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QuicClient")
    }
}

#[cfg(test)]
mod tests;
