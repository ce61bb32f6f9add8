//! The validator's side of the transport: handshakes and encrypted requests.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use taonet_primitives::Hotkey;
use taonet_wallet::{Keypair, Signature};
use taonet_wire::{
    Call, CallError, CallResponse, CallResponseStream, ClientConfig, Clock, Peer, Retry,
    SignedClient, Signer,
};

use crate::keys::KEY_LIFETIME;
use crate::payload::seal_payload;
use crate::proof::{
    EXCHANGE_SIGNATURE, KEY_SIGNATURE, verify_exchange_signature, verify_key_signature,
};
use crate::{
    ExchangeMessage, ExchangeReply, FernetKey, FiberScheme, PublicEncryptionKey, PublicKeyMessage,
    RsaError,
};

/// Timeout of each of the two calls of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum size of a handshake response, in bytes.
const MAX_HANDSHAKE_BYTES: usize = 16 * 1024;
/// Maximum difference between the clocks of miner and validator, in seconds.
const CLOCK_TOLERANCE: f64 = 120.0;
/// Maximum length of the response excerpt in an error, in characters.
const MAX_EXCERPT_CHARS: usize = 300;

/// Header of a request whose sender accepts stream chunks without text. The reference's validators
/// treat such chunks as errors, so miners send them, including the finish reason, only to
/// validators that set this header.
pub const STREAM_END: &str = "x-taonet-stream-end";
/// Header of a miner's response to `/capacity`: the number of concurrent requests that the miner
/// accepts from the caller, over all tasks. Fiber's validators ignore it.
pub const CONCURRENCY: &str = "x-taonet-concurrency";
/// Header of a buyer's request beyond the number that the miner has announced to its sender. The
/// miner may reject it without loss, so that other validators find free slots. Fiber's miners
/// ignore it.
pub const PROBE: &str = "x-taonet-probe";
/// Maximum size in bytes of an encrypted request that `tao nineteen miner` accepts; see
/// [`sealed_size`](crate::sealed_size).
pub const MAX_REQUEST_BYTES: usize = 16 << 20;

/// Trust policy for miners' keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Accepts keys with a valid hotkey signature and, like fiber, unsigned keys. Rejects invalid
    /// signatures. Callers that know that a miner signs use [`FiberClient::handshake_with_signer`].
    #[default]
    Any,
    /// Accepts only keys with a valid hotkey signature.
    Signed,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The miner is unreachable or did not respond.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The miner refused the handshake.
    #[error("miner returned {status}: {text}")]
    Refused {
        /// HTTP status of the response.
        status: StatusCode,
        /// The first 300 characters of the response.
        text: String,
    },
    /// A response is not a valid handshake message.
    #[error("miner's handshake response is malformed")]
    Malformed,
    /// The miner's public key is malformed, or encryption with it failed.
    #[error(transparent)]
    Key(#[from] RsaError),
    /// The miner's hotkey did not sign the miner's public key.
    #[error(
        "miner's hotkey did not sign its encryption key; hint: the miner may run fiber, which does not sign it"
    )]
    Unsigned,
    /// The signature does not match the miner's hotkey and the received key, which may have been
    /// tampered with.
    #[error("signature of the miner's encryption key does not verify")]
    Forged,
    /// The timestamp of the signed key differs from the validator's clock by more than 120 s.
    #[error("clocks of miner and validator differ by more than 120 s; hint: check both clocks")]
    Clock,
}

/// A session with a miner: a symmetric key that the miner has accepted.
#[derive(Debug, Clone)]
pub struct Session {
    peer: Peer,
    id: String,
    key: FernetKey,
    expires_at_ns: u64,
    is_signed: bool,
}

impl Session {
    /// Restores a session from its stored parts. `expires_at_ns` is the expiry of the key, in
    /// nanoseconds since the Unix epoch.
    pub const fn restore(
        peer: Peer,
        id: String,
        key: FernetKey,
        expires_at_ns: u64,
        is_signed: bool,
    ) -> Self {
        Self { peer, id, key, expires_at_ns, is_signed }
    }

    /// Returns the miner's hotkey and address.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Returns the ID of the symmetric key: 64 hex characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the symmetric key.
    pub const fn key(&self) -> &FernetKey {
        &self.key
    }

    /// Returns whether the miner's hotkey signed its public key and the key exchange.
    pub const fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// Returns the expiry of the key, in nanoseconds since the Unix epoch.
    pub const fn expires_at_ns(&self) -> u64 {
        self.expires_at_ns
    }
}

/// Client for requests to miners: performs handshakes, then sends signed and encrypted requests.
/// Clones share connections and nonces.
#[derive(Clone)]
pub struct FiberClient {
    http: SignedClient,
    hotkey: Hotkey,
    trust: Trust,
    clock: Arc<dyn Clock>,
}

impl FiberClient {
    /// Creates a client that signs with `keypair`.
    ///
    /// # Errors
    /// [`CallError::Setup`] when TLS cannot be set up.
    pub fn new(
        keypair: Keypair,
        trust: Trust,
        config: ClientConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CallError> {
        let hotkey = keypair.hotkey();
        let signer =
            Signer::with_clock(keypair, "0.0.0.0", FiberScheme::default(), Arc::clone(&clock));
        Ok(Self { http: SignedClient::new(signer, config)?, hotkey, trust, clock })
    }

    /// Exchanges a new symmetric key with a miner, within 6 s.
    ///
    /// # Errors
    /// [`HandshakeError`] when the miner is unreachable, rejects the handshake, or returns an
    /// invalid key or signature.
    pub async fn handshake(&self, peer: &Peer) -> Result<Session, HandshakeError> {
        self.handshake_with(peer, self.trust).await
    }

    /// Exchanges a new symmetric key with a miner whose hotkey has signed an earlier key, within 6
    /// s. The miner must sign again, under every trust policy: otherwise anybody who can alter the
    /// responses could replace the key by removing the signature.
    ///
    /// # Errors
    /// [`HandshakeError`] as [`Self::handshake`], and [`HandshakeError::Unsigned`] for an unsigned
    /// key.
    pub async fn handshake_with_signer(&self, peer: &Peer) -> Result<Session, HandshakeError> {
        self.handshake_with(peer, Trust::Signed).await
    }

    async fn handshake_with(&self, peer: &Peer, trust: Trust) -> Result<Session, HandshakeError> {
        let (message, is_signed) = self.fetch_public_key(peer, trust).await?;
        let public_key = PublicEncryptionKey::from_pem(&message.public_key)?;
        let key = FernetKey::random();
        let id = hex::encode(rand::random::<[u8; 32]>());
        let expires_at_ns = self
            .clock
            .now_ns()
            .saturating_add(u64::try_from(KEY_LIFETIME.as_nanos()).unwrap_or(u64::MAX));
        let exchange = ExchangeMessage { encrypted_symmetric_key: public_key.encrypt(&key)? };
        let body = serde_json::to_vec(&exchange).map_err(|_| HandshakeError::Malformed)?;
        let mut call = handshake_call(Method::POST, "/exchange-symmetric-key", body);
        call.name.clone_from(&id);
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.http.call(peer, &call).await?;
        let _: ExchangeReply = parse_response(&response)?;
        match parse_signature(&response.headers, EXCHANGE_SIGNATURE)? {
            Some(signature)
                if verify_exchange_signature(
                    peer.hotkey(),
                    &self.hotkey,
                    &id,
                    &key,
                    &signature,
                ) => {}
            Some(_) => return Err(HandshakeError::Forged),
            // A miner that signs its public key must sign the exchange as well.
            None if is_signed => return Err(HandshakeError::Forged),
            None => {}
        }
        Ok(Session { peer: peer.clone(), id, key, expires_at_ns, is_signed })
    }

    /// Sends a payload, an object, in a session; returns the response as a stream, for any status.
    /// Dropping the response cancels the request, so that the miner can stop its work.
    ///
    /// # Errors
    /// [`CallError`] when the miner is unreachable or does not respond within `timeout`.
    pub async fn send(
        &self,
        session: &Session,
        path: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> Result<CallResponseStream, CallError> {
        let call = self.sealed_call(session, path, &payload, timeout);
        self.http.stream(&session.peer, &call).await
    }

    /// Sends a payload like [`Self::send`], with the header [`PROBE`].
    ///
    /// # Errors
    /// [`CallError`] as [`Self::send`].
    pub async fn send_probe(
        &self,
        session: &Session,
        path: &str,
        payload: impl Serialize,
        timeout: Duration,
    ) -> Result<CallResponseStream, CallError> {
        let mut call = self.sealed_call(session, path, &payload, timeout);
        call.headers.insert(PROBE, HeaderValue::from_static("1"));
        self.http.stream(&session.peer, &call).await
    }

    fn sealed_call(
        &self,
        session: &Session,
        path: &str,
        payload: &impl Serialize,
        timeout: Duration,
    ) -> Call {
        let mut call =
            Call::new(Method::POST, path, seal_payload(&session.key, payload, self.clock.now_ns()));
        call.name.clone_from(&session.id);
        call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        call.headers.insert(STREAM_END, HeaderValue::from_static("1"));
        call.deadline = timeout;
        call.retry = Retry::Never;
        call
    }

    /// Fetches the miner's public key; returns it, and whether the miner's hotkey signed it.
    async fn fetch_public_key(
        &self,
        peer: &Peer,
        trust: Trust,
    ) -> Result<(PublicKeyMessage, bool), HandshakeError> {
        let response = self
            .http
            .call(peer, &handshake_call(Method::GET, "/public-encryption-key", Vec::new()))
            .await?;
        let message: PublicKeyMessage = parse_response(&response)?;
        match parse_signature(&response.headers, KEY_SIGNATURE)? {
            None if trust == Trust::Signed => Err(HandshakeError::Unsigned),
            None => Ok((message, false)),
            Some(signature) => {
                if !verify_key_signature(
                    peer.hotkey(),
                    &message.public_key,
                    message.timestamp,
                    &signature,
                ) {
                    return Err(HandshakeError::Forged);
                }
                let now = Duration::from_nanos(self.clock.now_ns()).as_secs_f64();
                if (now - message.timestamp).abs() > CLOCK_TOLERANCE {
                    return Err(HandshakeError::Clock);
                }
                Ok((message, true))
            }
        }
    }
}

fn handshake_call(method: Method, path: &str, body: Vec<u8>) -> Call {
    let mut call = Call::new(method, path, body);
    call.deadline = HANDSHAKE_TIMEOUT;
    call.max_response_bytes = MAX_HANDSHAKE_BYTES;
    call
}

fn parse_response<T: DeserializeOwned>(response: &CallResponse) -> Result<T, HandshakeError> {
    if response.status != StatusCode::OK {
        let text =
            String::from_utf8_lossy(&response.body).chars().take(MAX_EXCERPT_CHARS).collect();
        return Err(HandshakeError::Refused { status: response.status, text });
    }
    serde_json::from_slice(&response.body).map_err(|_| HandshakeError::Malformed)
}

fn parse_signature(headers: &HeaderMap, name: &str) -> Result<Option<Signature>, HandshakeError> {
    let text = headers.get(name).map(HeaderValue::to_str);
    text.map(|text| text.ok().and_then(|text| text.parse().ok()).ok_or(HandshakeError::Forged))
        .transpose()
}

#[cfg(test)]
mod tests;
