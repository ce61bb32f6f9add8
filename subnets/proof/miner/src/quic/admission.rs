//! Admission of validators: signed handshakes, and one connection for each hotkey.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use btlightning::{HandshakeRequest, HandshakeResponse};
use quinn::Connection;
use taonet_http::{
    ConnectionSlot, ConnectionSlots, Progress, RateLimit, SlidingWindow, subscriber,
};
use taonet_primitives::Hotkey;
use taonet_proof_core::handshake::{
    decode_signature, encode_signature, request_text, response_text,
};
use taonet_wallet::{Keypair, Signature, verify};

use super::Permits;

/// Maximum age of a handshake, in seconds.
const MAX_AGE_SECONDS: u64 = 300;
/// Maximum time by which a validator's clock may be ahead, in seconds.
const MAX_CLOCK_LEAD_SECONDS: u64 = 60;
/// Maximum number of stored nonces.
const MAX_NONCES: usize = 100_000;
/// Maximum number of handshakes from one address.
const MAX_HANDSHAKES: RateLimit = RateLimit { requests: 30, window: Duration::from_mins(1) };

/// Verifies the handshakes of validators.
pub(super) struct Admission {
    keypair: Keypair,
    /// Fingerprint of the miner's certificate.
    fingerprint: String,
    permits: Option<Permits>,
    attempts: SlidingWindow<IpAddr>,
    nonces: Mutex<Nonces>,
}

/// Used nonces, the oldest first.
#[derive(Default)]
struct Nonces {
    used: HashSet<String>,
    order: VecDeque<(u64, String)>,
}

impl Nonces {
    /// Marks a nonce as used. Returns `false` if it was used before.
    fn insert(&mut self, nonce: &str, now: u64) -> bool {
        let is_expired =
            |used_at: u64| now.saturating_sub(used_at) > MAX_AGE_SECONDS + MAX_CLOCK_LEAD_SECONDS;
        while self.order.len() >= MAX_NONCES
            || self.order.front().is_some_and(|(used_at, _)| is_expired(*used_at))
        {
            if let Some((_, oldest)) = self.order.pop_front() {
                self.used.remove(&oldest);
            }
        }
        let is_new = self.used.insert(nonce.to_owned());
        if is_new {
            self.order.push_back((now, nonce.to_owned()));
        }
        is_new
    }
}

impl Admission {
    pub(super) fn new(keypair: Keypair, fingerprint: String, permits: Option<Permits>) -> Self {
        Self {
            keypair,
            fingerprint,
            permits,
            attempts: SlidingWindow::new(MAX_HANDSHAKES),
            nonces: Mutex::default(),
        }
    }

    /// Verifies a handshake; returns the validator's hotkey, or why the handshake is rejected.
    pub(super) fn verify(
        &self,
        request: &HandshakeRequest,
        from: IpAddr,
    ) -> Result<Hotkey, &'static str> {
        let time = SystemTime::now();
        let now = unix_seconds(time);
        self.attempts.admit(subscriber(from), time).map_err(|_| "rate limit exceeded")?;
        if now.saturating_sub(request.timestamp) >= MAX_AGE_SECONDS
            || request.timestamp > now + MAX_CLOCK_LEAD_SECONDS
        {
            return Err("the timestamp is too old or in the future");
        }
        if request.nonce.len() != 32 || !request.nonce.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err("malformed nonce");
        }
        let hotkey: Hotkey = request.validator_hotkey.parse().map_err(|_| "malformed hotkey")?;
        let signature = decode_signature(&request.signature).ok_or("malformed signature")?;
        let text = request_text(
            &request.validator_hotkey,
            request.timestamp,
            &request.nonce,
            &self.fingerprint,
        );
        if !verify(&hotkey, text.as_bytes(), &Signature::from_bytes(signature)) {
            return Err("invalid signature");
        }
        if !self.is_permitted(&hotkey) {
            return Err("no validator permit");
        }
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.insert(&request.nonce, now) {
            Ok(hotkey)
        } else {
            Err("the nonce was used before")
        }
    }

    /// Returns whether a hotkey has a validator permit now.
    pub(super) fn is_permitted(&self, hotkey: &Hotkey) -> bool {
        self.permits.as_ref().is_none_or(|permits| permits().contains(hotkey))
    }

    /// Returns the signed response to an accepted handshake.
    pub(super) fn accept(
        &self,
        request: &HandshakeRequest,
        connection: &Connection,
    ) -> HandshakeResponse {
        let (timestamp, miner) =
            (unix_seconds(SystemTime::now()), self.keypair.hotkey().to_string());
        let text = response_text(
            &request.validator_hotkey,
            &miner,
            timestamp,
            &request.nonce,
            &self.fingerprint,
        );
        HandshakeResponse {
            miner_hotkey: miner,
            timestamp,
            signature: encode_signature(self.keypair.sign(text.as_bytes()).as_bytes()),
            accepted: true,
            connection_id: format!("conn_{}_{}", request.validator_hotkey, connection.stable_id()),
            cert_fingerprint: Some(self.fingerprint.clone()),
        }
    }

    /// Returns the response to a rejected handshake.
    pub(super) fn reject(&self) -> HandshakeResponse {
        HandshakeResponse {
            miner_hotkey: self.keypair.hotkey().to_string(),
            timestamp: unix_seconds(SystemTime::now()),
            signature: String::new(),
            accepted: false,
            connection_id: String::new(),
            cert_fingerprint: None,
        }
    }
}

pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Authenticated connections, one for each hotkey.
pub(super) struct Validators {
    slots: ConnectionSlots,
    by_hotkey: Mutex<HashMap<Hotkey, RegisteredConnection>>,
}

struct RegisteredConnection {
    connection: Connection,
    slot: ConnectionSlot,
}

impl Validators {
    pub(super) fn new(slots: ConnectionSlots) -> Self {
        Self { slots, by_hotkey: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hotkey, RegisteredConnection>> {
        self.by_hotkey.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the connection of a validator, and closes its previous one. Returns `None` if no
    /// slot is available, because all connections, or all from this address, have a request in
    /// progress; the previous connection then remains.
    pub(super) fn register(
        self: &Arc<Self>,
        hotkey: Hotkey,
        connection: &Connection,
    ) -> Option<Registration> {
        let mut by_hotkey = self.lock();
        let address = connection.remote_address().ip();
        let slot = match by_hotkey.get(&hotkey) {
            Some(previous) => self.slots.try_replace(&previous.slot, address)?,
            None => self.slots.try_acquire(address)?,
        };
        let progress = slot.progress();
        if let Some(previous) =
            by_hotkey.insert(hotkey, RegisteredConnection { connection: connection.clone(), slot })
        {
            previous.connection.close(0_u32.into(), b"replaced");
        }
        Some(Registration {
            validators: Arc::clone(self),
            hotkey,
            connection: connection.stable_id(),
            progress,
        })
    }
}

/// A registered connection, removed on drop.
pub(super) struct Registration {
    validators: Arc<Validators>,
    pub(super) hotkey: Hotkey,
    /// The connection's stable ID.
    connection: usize,
    /// Progress of the connection in the set of authenticated ones.
    pub(super) progress: Progress,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut by_hotkey = self.validators.lock();
        if by_hotkey
            .get(&self.hotkey)
            .is_some_and(|entry| entry.connection.stable_id() == self.connection)
        {
            by_hotkey.remove(&self.hotkey);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_used_once_and_expire() {
        let mut nonces = Nonces::default();
        assert!(nonces.insert("a", 1_000) && !nonces.insert("a", 1_000 + MAX_AGE_SECONDS));
        assert!(nonces.insert("b", 1_001 + MAX_AGE_SECONDS + MAX_CLOCK_LEAD_SECONDS));
        assert_eq!((nonces.used.len(), nonces.order.len()), (1, 1), "the first has expired");
        for count in 0..MAX_NONCES + 10 {
            assert!(nonces.insert(&format!("{count}"), 2_000));
        }
        assert_eq!((nonces.used.len(), nonces.order.len()), (MAX_NONCES, MAX_NONCES));
    }
}
