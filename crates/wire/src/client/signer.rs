use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method};
use taonet_primitives::Hotkey;
use taonet_wallet::{CryptoType, Keypair};
use uuid::Uuid;

use crate::clock::nanoseconds;
use crate::{Clock, CompactError, Identity, OutgoingRequest, Peer, Scheme, SystemClock};

/// Why signing a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// A value has characters that are invalid in a header.
    #[error("invalid value of header {0}")]
    Header(&'static str),
    /// The scheme signs only registered message classes.
    #[error("unknown message class {0:?}")]
    UnknownClass(String),
    /// The scheme supports only sr25519 keys.
    #[error("the scheme requires an sr25519 key, but the key is {0}")]
    CryptoType(CryptoType),
    /// The body lacks a field that its class signs.
    #[error("a signed field is missing in the body")]
    FieldMissing,
    /// The scheme signs the body as JSON, and the body is not JSON.
    #[error(transparent)]
    Body(#[from] CompactError),
}

/// A signer of outgoing requests, which creates their headers with strictly increasing nonces.
///
/// Create one signer per key and process, and clone it: clones share the last nonce, whereas two
/// signers of one key could use the same nonce.
///
/// If the clock is set back so far that receivers would refuse the next nonce as one of the future,
/// the nonces restart at the clock's time, and requests have a new process UUID: receivers with the
/// Bittensor SDK accept nonces of any future time, and then no lower ones of the same process.
#[derive(Clone)]
pub struct Signer {
    identity: Arc<Identity>,
    scheme: Arc<dyn Scheme>,
    clock: Arc<dyn Clock>,
    nonces: Arc<Mutex<Nonces>>,
}

/// The nonces of a signer and its clones.
#[derive(Debug, Clone, Copy, Default)]
struct Nonces {
    last: u64,
    /// Number of restarts, each after the clock was set back by more than the window of nonces.
    restarts: u64,
}

impl Signer {
    /// Creates a signer for `keypair` at the address `external_ip`, with a new random process UUID.
    pub fn new(keypair: Keypair, external_ip: impl Into<String>, scheme: impl Scheme) -> Self {
        Self::with_clock(keypair, external_ip, scheme, Arc::new(SystemClock))
    }

    /// Creates a signer with a custom clock and a new random process UUID.
    pub fn with_clock(
        keypair: Keypair,
        external_ip: impl Into<String>,
        scheme: impl Scheme,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let identity = Identity { keypair, uuid: Uuid::new_v4(), external_ip: external_ip.into() };
        Self {
            identity: Arc::new(identity),
            scheme: Arc::new(scheme),
            clock,
            nonces: Arc::default(),
        }
    }

    /// Returns a signer of the same key for another process: with a new random UUID. Axons of the
    /// dendrite scheme accept increasing nonces only from each process, so that of concurrent
    /// requests, those that arrive late are refused.
    #[must_use]
    pub fn with_new_process(&self) -> Self {
        let identity = Identity { uuid: Uuid::new_v4(), ..(*self.identity).clone() };
        Self { identity: Arc::new(identity), ..self.clone() }
    }

    /// Returns the hotkey that signs.
    pub fn hotkey(&self) -> Hotkey {
        self.identity.keypair.hotkey()
    }

    /// Whether the signature covers the request body, which must then be complete before sending.
    pub fn signs_body(&self) -> bool {
        self.scheme.signs_body()
    }

    /// Creates the signed headers of one request.
    ///
    /// # Errors
    /// [`SigningError`] if the scheme cannot sign the request.
    pub fn headers(
        &self,
        peer: &Peer,
        method: &Method,
        path: &str,
        name: &str,
        timeout: Duration,
        body: &[u8],
    ) -> Result<HeaderMap, SigningError> {
        let Nonces { last: nonce, restarts } = self.next_nonce();
        let identity = self.identity_after(restarts);
        self.scheme
            .sign(&identity, &OutgoingRequest { peer, method, path, name, timeout, nonce, body })
    }

    fn next_nonce(&self) -> Nonces {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that a thread that waits for it does not take the clock for one
        // that was set back.
        let now = self.clock.now_ns();
        let max_lead_ns = nanoseconds(self.scheme.window().future);
        if nonces.last > now.saturating_add(max_lead_ns) {
            *nonces = Nonces { last: now, restarts: nonces.restarts.saturating_add(1) };
        } else {
            nonces.last = now.max(nonces.last.saturating_add(1));
        }
        *nonces
    }

    /// Returns the identity with the process UUID that it has after a number of restarts.
    fn identity_after(&self, restarts: u64) -> Cow<'_, Identity> {
        if restarts == 0 {
            return Cow::Borrowed(self.identity.as_ref());
        }
        let uuid = Uuid::from_u128(self.identity.uuid.as_u128() ^ u128::from(restarts));
        Cow::Owned(Identity { uuid, ..(*self.identity).clone() })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("identity", &self.identity).finish_non_exhaustive()
    }
}
