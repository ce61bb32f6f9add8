//! Connections to miners: one for each address, authenticated for each hotkey at it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::{Connection, Endpoint};
use taonet_neuron::Backoff;
use taonet_primitives::Hotkey;
use taonet_proof_core::scoring::Fault;
use taonet_wallet::Keypair;
use tokio::time::{Instant, timeout_at};

use super::handshake::authenticate;
use crate::request::RequestError;

/// Pauses after failed attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(1));

pub(super) struct Connections {
    endpoint: Endpoint,
    keypair: Keypair,
    /// Timeout of a connection attempt.
    connect_timeout: Duration,
    by_address: Mutex<HashMap<SocketAddr, Arc<tokio::sync::Mutex<PeerConnection>>>>,
}

/// The connection to an address. Hotkeys share it: a miner closes a validator's connection when the
/// validator opens another, so anyone who announces the address of another miner could otherwise
/// interrupt its requests.
#[derive(Default)]
struct PeerConnection {
    connection: Option<Connection>,
    /// Hotkeys with an accepted handshake on the connection.
    authenticated: HashSet<Hotkey>,
    connect_pause: RetryPause,
    handshake_pauses: HashMap<Hotkey, RetryPause>,
}

impl PeerConnection {
    fn is_authenticated(&self, miner: &Hotkey) -> bool {
        self.connection.is_some() && self.authenticated.contains(miner)
    }

    /// Returns the pause before the next step: the connection, or the handshake with this miner.
    fn retry_pause(&mut self, miner: &Hotkey) -> &mut RetryPause {
        if self.connection.is_none() {
            &mut self.connect_pause
        } else {
            self.handshake_pauses.entry(*miner).or_default()
        }
    }
}

/// Pauses after failed attempts.
#[derive(Default)]
struct RetryPause {
    failures: u32,
    ends_at: Option<Instant>,
}

impl RetryPause {
    fn is_over(&self) -> bool {
        self.ends_at.is_none_or(|ends_at| ends_at <= Instant::now())
    }

    fn record_failure(&mut self) {
        self.ends_at = Some(Instant::now() + BACKOFF.delay(self.failures));
        self.failures = self.failures.saturating_add(1);
    }
}

impl Connections {
    pub(super) fn new(endpoint: Endpoint, keypair: Keypair, connect_timeout: Duration) -> Self {
        Self { endpoint, keypair, connect_timeout, by_address: Mutex::default() }
    }

    /// Drops the connections to other addresses than these, and the state of other hotkeys at each
    /// address. A connection with requests in progress closes when they end.
    pub(super) fn retain(&self, listed: &HashMap<SocketAddr, HashSet<Hotkey>>) {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        by_address.retain(|address, peer| {
            let Some(hotkeys) = listed.get(address) else { return false };
            // A connection that is being opened is cleaned up with the next list.
            if let Ok(mut peer) = peer.try_lock() {
                peer.authenticated.retain(|hotkey| hotkeys.contains(hotkey));
                peer.handshake_pauses.retain(|hotkey, _| hotkeys.contains(hotkey));
            }
            true
        });
    }

    /// Returns a connection that is authenticated for this miner, within the timeout of a
    /// connection attempt.
    pub(super) async fn get(
        &self,
        miner: &Hotkey,
        address: SocketAddr,
    ) -> Result<Connection, RequestError> {
        let peer = {
            let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_address.entry(address).or_default())
        };
        let deadline = Instant::now() + self.connect_timeout;
        let Ok(mut peer) = timeout_at(deadline, peer.lock()).await else {
            return Err(RequestError::Fault(Fault::Unreachable));
        };
        peer.connection.take_if(|connection| connection.close_reason().is_some());
        if !peer.is_authenticated(miner) && !peer.retry_pause(miner).is_over() {
            let is_connected = peer.connection.is_some();
            return Err(RequestError::Fault(if is_connected {
                Fault::Refused
            } else {
                Fault::Unreachable
            }));
        }
        let result = timeout_at(deadline, self.connect(&mut peer, miner, address)).await;
        let result = result.unwrap_or(Err(RequestError::Fault(Fault::Unreachable)));
        if result.is_err() {
            peer.retry_pause(miner).record_failure();
        }
        result
    }

    async fn connect(
        &self,
        peer: &mut PeerConnection,
        miner: &Hotkey,
        address: SocketAddr,
    ) -> Result<Connection, RequestError> {
        let connection = if let Some(connection) = &peer.connection {
            connection.clone()
        } else {
            peer.authenticated.clear();
            let connecting = self.endpoint.connect(address, &address.ip().to_string());
            let connecting = connecting.map_err(|error| RequestError::Local(error.to_string()))?;
            let connection = connecting.await.map_err(|error| {
                tracing::debug!(%address, %error, "cannot open a QUIC connection");
                RequestError::Fault(Fault::Unreachable)
            })?;
            peer.connect_pause = RetryPause::default();
            peer.connection.insert(connection).clone()
        };
        if !peer.is_authenticated(miner) {
            authenticate(&connection, &self.keypair, miner).await.map_err(|reason| {
                tracing::debug!(%miner, %address, reason, "QUIC handshake failed");
                RequestError::Fault(Fault::Refused)
            })?;
            peer.handshake_pauses.remove(miner);
            peer.authenticated.insert(*miner);
        }
        Ok(connection)
    }
}
