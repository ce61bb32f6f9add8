//! One QUIC connection: its handshakes, its requests, and their limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use btlightning::types::{read_frame, write_frame_and_finish};
use btlightning::{
    HandshakeRequest, HandshakeResponse, MessageType, SynapsePacket, SynapseResponse,
};
use quinn::{Connection, Incoming, RecvStream, SendStream};
use serde::Serialize;
use taonet_http::{ConnectionSlot, Progress};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::admission::{Admission, Registration, Validators, unix_seconds};
use super::requests::Handlers;
use super::{Limits, RECEIVE_WINDOW};

/// Maximum size of a handshake, in bytes.
const MAX_HANDSHAKE_BYTES: usize = 4096;

/// State shared by all connections of a server.
pub(super) struct ServerState {
    pub(super) admission: Admission,
    pub(super) validators: Arc<Validators>,
    pub(super) handlers: Handlers,
    pub(super) limits: Limits,
    /// Timeout of a handler.
    pub(super) timeout: Duration,
}

impl ServerState {
    /// Serves a connection until it ends, is evicted, or exceeds a timeout.
    pub(super) async fn serve(self: Arc<Self>, incoming: Incoming, slot: ConnectionSlot) {
        let (progress, from) = (slot.progress(), incoming.remote_address());
        let connect = async { incoming.accept()?.await };
        let connection = tokio::select! {
            () = progress.evicted() => return,
            connected = timeout(self.limits.handshake_timeout, connect) => match connected {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => return tracing::debug!(%from, %error, "QUIC connection failed"),
                Err(_) => return tracing::debug!(%from, "QUIC connection closed: handshake timeout"),
            },
        };
        let reason = tokio::select! {
            () = progress.evicted() => "connection evicted: all connection slots are in use",
            reason = self.serve_connection(&connection, &progress) => reason,
        };
        tracing::debug!(%from, reason, "QUIC connection ended");
        connection.close(0_u32.into(), reason.as_bytes());
    }

    /// Admits the validator and serves its requests; returns why the connection ends.
    async fn serve_connection(
        self: &Arc<Self>,
        connection: &Connection,
        progress: &Progress,
    ) -> &'static str {
        let registration =
            match timeout(self.limits.handshake_timeout, self.admit(connection)).await {
                Ok(Some(registration)) => registration,
                Ok(None) => return "done",
                Err(_) => return "handshake timeout",
            };
        let caller = Arc::new(Caller::new(connection.clone(), registration, progress.clone()));
        let validator_progress = caller.registration.progress.clone();
        tokio::select! {
            () = validator_progress.evicted() => "connection evicted: too many validators",
            () = self.serve_requests(&caller) => "done",
        }
    }

    /// Answers handshakes, one at a time, until one is accepted; `None` if the connection ends
    /// first.
    async fn admit(&self, connection: &Connection) -> Option<Registration> {
        loop {
            let (mut send, mut recv) = connection.accept_bi().await.ok()?;
            let (kind, payload) = read_frame(&mut recv, MAX_HANDSHAKE_BYTES).await.ok()?;
            let (kind, reply, registration) = match kind {
                MessageType::HandshakeRequest => {
                    let (reply, registration) = self.handle_handshake(&payload, connection);
                    (MessageType::HandshakeResponse, encode(&reply)?, registration)
                }
                MessageType::SynapsePacket => (
                    MessageType::SynapseResponse,
                    encode(&refusal_response("authentication failed"))?,
                    None,
                ),
                _ => return None,
            };
            if registration.is_some() {
                connection.set_receive_window(RECEIVE_WINDOW.into());
                connection.set_max_concurrent_bi_streams(self.limits.max_streams.into());
            }
            write_frame_and_finish(&mut send, kind, &reply).await.ok()?;
            if registration.is_some() {
                return registration;
            }
        }
    }

    fn handle_handshake(
        &self,
        payload: &[u8],
        connection: &Connection,
    ) -> (HandshakeResponse, Option<Registration>) {
        let from = connection.remote_address();
        let verified = match rmp_serde::from_slice::<HandshakeRequest>(payload) {
            Ok(request) => {
                self.admission.verify(&request, from.ip()).map(|hotkey| (request, hotkey))
            }
            Err(_) => Err("malformed handshake"),
        };
        let admitted = verified.and_then(|(request, hotkey)| {
            let registration =
                self.validators.register(hotkey, connection).ok_or("too many validators")?;
            Ok((self.admission.accept(&request, connection), Some(registration)))
        });
        admitted.unwrap_or_else(|reason| {
            tracing::debug!(%from, reason, "QUIC handshake rejected");
            (self.admission.reject(), None)
        })
    }

    /// Serves requests until the connection ends.
    async fn serve_requests(self: &Arc<Self>, caller: &Arc<Caller>) {
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = streams.join_next() => {}
                opened = caller.connection.accept_bi() => {
                    let Ok((send, recv)) = opened else { return };
                    streams.spawn(Arc::clone(self).serve_stream(Arc::clone(caller), send, recv));
                }
            }
        }
    }

    /// Answers the message of one stream.
    async fn serve_stream(
        self: Arc<Self>,
        caller: Arc<Caller>,
        mut send: SendStream,
        mut recv: RecvStream,
    ) {
        let from = caller.connection.remote_address();
        let (kind, payload) = match timeout(
            self.limits.transfer_timeout,
            read_frame(&mut recv, self.limits.max_message_bytes),
        )
        .await
        {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => return tracing::debug!(%from, %error, "QUIC request incomplete"),
            Err(_) => return tracing::debug!(%from, "QUIC request incomplete: timeout"),
        };
        let Some(request_guard) = caller.begin_request() else { return };
        let (kind, reply) = match kind {
            // A permit may be revoked while the connection is open.
            MessageType::SynapsePacket
                if !self.admission.is_permitted(&caller.registration.hotkey) =>
            {
                tracing::debug!(%from, hotkey = %caller.registration.hotkey, "QUIC request refused: no validator permit");
                (MessageType::SynapseResponse, encode(&refusal_response("authentication failed")))
            }
            MessageType::SynapsePacket => {
                (MessageType::SynapseResponse, encode(&self.handle_packet(&payload).await))
            }
            MessageType::HandshakeRequest => {
                (MessageType::HandshakeResponse, encode(&self.repeat_handshake(&payload, &caller)))
            }
            _ => return,
        };
        // A client that does not read its answer may be evicted.
        drop(request_guard);
        let Some(reply) = reply else { return };
        if timeout(self.limits.transfer_timeout, write_frame_and_finish(&mut send, kind, &reply))
            .await
            .is_err()
        {
            tracing::debug!(%from, "QUIC answer not read: timeout");
        }
    }

    /// Answers another handshake of an admitted validator. The published client sends one for each
    /// hotkey that miners announce at this address.
    fn repeat_handshake(&self, payload: &[u8], caller: &Caller) -> HandshakeResponse {
        let Ok(request) = rmp_serde::from_slice::<HandshakeRequest>(payload) else {
            return self.admission.reject();
        };
        match self.admission.verify(&request, caller.connection.remote_address().ip()) {
            Ok(hotkey) if hotkey == caller.registration.hotkey => {
                self.admission.accept(&request, &caller.connection)
            }
            _ => self.admission.reject(),
        }
    }

    async fn handle_packet(&self, payload: &[u8]) -> SynapseResponse {
        let Ok(packet) = rmp_serde::from_slice::<SynapsePacket>(payload) else {
            return refusal_response("invalid request format");
        };
        let Some(handler) = self.handlers.get(packet.synapse_type.as_str()) else {
            return refusal_response("unrecognized synapse type");
        };
        match timeout(self.timeout, handler.handle(&packet.synapse_type, packet.data)).await {
            Ok(Ok(data)) => SynapseResponse {
                success: true,
                data,
                timestamp: unix_seconds(SystemTime::now()),
                error: None,
            },
            Ok(Err(error)) => {
                tracing::debug!(%error, "QUIC request refused");
                refusal_response("request processing failed")
            }
            Err(_) => refusal_response("handler timed out"),
        }
    }
}

fn refusal_response(reason: &str) -> SynapseResponse {
    SynapseResponse {
        success: false,
        data: HashMap::new(),
        timestamp: unix_seconds(SystemTime::now()),
        error: Some(reason.to_owned()),
    }
}

fn encode(message: &impl Serialize) -> Option<Vec<u8>> {
    rmp_serde::to_vec(message)
        .map_err(|error| tracing::error!(%error, "cannot serialise a QUIC response"))
        .ok()
}

/// The validator of a connection. The connection is evictable while no request is in progress.
struct Caller {
    connection: Connection,
    registration: Registration,
    /// Progress in the set of all connections, and in that of authenticated ones.
    progress: [Progress; 2],
    in_progress: Mutex<usize>,
}

impl Caller {
    fn new(
        connection: Connection,
        registration: Registration,
        connection_progress: Progress,
    ) -> Self {
        let progress = [connection_progress, registration.progress.clone()];
        progress.iter().for_each(Progress::mark_upgraded_idle);
        Self { connection, registration, progress, in_progress: Mutex::default() }
    }

    /// Begins a request; `None` if the connection is already evicted.
    fn begin_request(self: &Arc<Self>) -> Option<RequestGuard> {
        let mut in_progress = self.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        if *in_progress == 0 && !self.progress.iter().all(Progress::complete) {
            return None;
        }
        *in_progress += 1;
        Some(RequestGuard(Arc::clone(self)))
    }
}

/// A request in progress, which ends on drop.
struct RequestGuard(Arc<Caller>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut in_progress = self.0.in_progress.lock().unwrap_or_else(PoisonError::into_inner);
        *in_progress -= 1;
        if *in_progress == 0 {
            self.0.progress.iter().for_each(Progress::mark_upgraded_idle);
        }
    }
}
