use std::net::IpAddr;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::request::Parts;
use taonet_primitives::Hotkey;
use taonet_wallet::{CryptoType, Keypair, Signature};
use uuid::Uuid;

use crate::Refusal;

/// A way of signing HTTP requests: which headers, over which message, fresh for how long, and how a refusal reads.
///
/// The server asks [`Scheme::claim`] before it reads the body, [`Scheme::message`] too unless
/// [`Scheme::message_needs_body`], and [`Scheme::check_body`] once the signature holds; everything between and around
/// them (limits, receiver, freshness, signature, admission, replay, load) is the same for every scheme.
pub trait Scheme: Send + Sync + 'static {
    /// Reads what the request's head claims. Nothing in it is proven yet.
    ///
    /// # Errors
    /// [`Refusal::Missing`], [`Refusal::Duplicate`], [`Refusal::Malformed`], or what the scheme asks for besides.
    fn claim(&self, head: &Parts) -> Result<Claim, Refusal>;

    /// The bytes that the claimed sender must have signed. A scheme that signs the body itself puts the hash of the
    /// received bytes into them; one that sends a hash takes the claimed one, which [`Scheme::check_body`] checks, and
    /// gets an empty body here.
    ///
    /// # Errors
    /// [`Refusal::Missing`] when the claim lacks what this scheme signs.
    fn message(&self, head: &Parts, claim: &Claim, body: &[u8]) -> Result<Vec<u8>, Refusal>;

    /// Whether [`Scheme::message`] is made of the received body. Where it is not, the server knows who calls, and whether
    /// that is welcome, before it reads any of the body.
    fn message_needs_body(&self) -> bool {
        true
    }

    /// Checks the body against the hash that was signed, where the scheme sends one. Asked only when the signature
    /// holds, so that nothing a stranger sends is parsed.
    ///
    /// # Errors
    /// [`Refusal::BodyMismatch`], or [`Refusal::NotJson`] where the hash is one of parsed values.
    fn check_body(&self, head: &Parts, claim: &Claim, body: &[u8]) -> Result<(), Refusal> {
        let _ = (head, claim, body);
        Ok(())
    }

    /// How old and how far in the future a nonce may be.
    fn window(&self) -> Window;

    /// Which nonces of one sender may follow each other.
    fn replay_rule(&self) -> ReplayRule {
        ReplayRule::Once
    }

    /// The answer to a refused request, in the scheme's own status codes and shape.
    fn refuse(&self, refusal: &Refusal, request: &Refused<'_>) -> Response {
        let _ = request;
        refusal.into_response()
    }

    /// The headers that the answer to an accepted request repeats of it.
    fn echo(&self, head: &Parts, claim: &Claim) -> HeaderMap {
        let _ = (head, claim);
        HeaderMap::new()
    }

    /// Completes the handler's answer, which took `took` from the request's head on, with what [`Scheme::echo`] gave.
    fn complete(&self, echo: HeaderMap, took: Duration, response: &mut Response) {
        let _ = took;
        response.headers_mut().extend(echo);
    }

    /// Whether the signature of an outgoing request covers its body, which then must be there before it is sent.
    fn signs_body(&self) -> bool {
        true
    }

    /// The headers that sign an outgoing request.
    ///
    /// # Errors
    /// [`crate::SigningError`] when a value cannot be a header, or when the body cannot be hashed.
    fn sign(&self, identity: &Identity, request: &Outgoing<'_>) -> Result<HeaderMap, crate::SigningError>;
}

/// A request that is turned away, as far as its answer needs it.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// The request's head.
    pub head: &'a Parts,
    /// What it claimed, where that could be read. Nothing in it is proven.
    pub claim: Option<&'a Claim>,
    /// Our clock, in nanoseconds since the Unix epoch.
    pub now_ns: u64,
    /// Since the request's head arrived.
    pub took: Duration,
}

/// Which nonces of one sender are accepted after each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayRule {
    /// Each nonce once, in any order.
    Once,
    /// For each process (UUID) of the sender, only nonces larger than every one before within the window.
    Increasing,
    /// The same, and nothing is ever forgotten: for schemes that accept nonces without dates.
    IncreasingForEver,
}

/// What a request says of itself, parsed and well-formed, but unproven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who says to have signed.
    pub sender: Hotkey,
    /// For whom; `None` only in schemes that leave it open.
    pub receiver: Option<Hotkey>,
    /// When, in nanoseconds since the Unix epoch.
    pub nonce: u64,
    /// The sender's process, in schemes that name it.
    pub uuid: Option<String>,
    /// The hash of the body as a header states it, in schemes that send it.
    pub body_hash: Option<String>,
    /// How long the sender waits for the answer, as it says.
    pub timeout: Duration,
    /// Whether the nonce is a time, which must be fresh; otherwise only its order counts.
    pub dated: bool,
    /// The kind of the sender's key.
    pub crypto_type: CryptoType,
    /// The signature to check.
    pub signature: Signature,
}

/// Which nonces are fresh: `now − past − timeout ≤ nonce ≤ now + future`, where the timeout is the sender's own word
/// and therefore counts only up to `max_timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// How old a nonce may be, the timeout not counted.
    pub past: Duration,
    /// How far a nonce may be ahead of our clock.
    pub future: Duration,
    /// The longest timeout that is added to `past`.
    pub max_timeout: Duration,
}

/// Who signs outgoing requests.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The signing key.
    pub keypair: Keypair,
    /// Names the process; fixed for its life.
    pub uuid: Uuid,
    /// The sender's address as others see it.
    pub external_ip: String,
}

/// One outgoing request, as far as schemes sign it.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// To whom.
    pub peer: &'a Peer,
    /// The method, upper case.
    pub method: &'a http::Method,
    /// The path with its query, from the leading `/`.
    pub path: &'a str,
    /// The kind of message, e.g. `BBAudioMinerInitPayload`.
    pub name: &'a str,
    /// How long the sender will wait.
    pub timeout: Duration,
    /// Nanoseconds since the Unix epoch, larger than in every request before.
    pub nonce: u64,
    /// The body's bytes.
    pub body: &'a [u8],
}

/// A host that cannot stand in a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The host is neither an IP address nor a host name.
    #[error("{0:?} is neither an IP address nor a host name")]
    Host(String),
}

/// A neuron to call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    hotkey: Hotkey,
    host: String,
    port: u16,
}

impl Peer {
    /// A neuron at an IP address or host name. No name is looked up.
    ///
    /// # Errors
    /// [`PeerError::Host`] when the host holds anything that could change the meaning of a URL.
    pub fn new(hotkey: Hotkey, host: impl Into<String>, port: u16) -> Result<Self, PeerError> {
        let host = host.into();
        if Self::can_be_at(&host) { Ok(Self { hotkey, host, port }) } else { Err(PeerError::Host(host)) }
    }

    /// Whether a text is an IP address or a host name that [`Self::new`] takes.
    pub fn can_be_at(host: &str) -> bool {
        let is_name = (1..=253).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        is_name || host.parse::<IpAddr>().is_ok()
    }

    /// Its key.
    pub const fn hotkey(&self) -> &Hotkey {
        &self.hotkey
    }

    /// Its IP address or host name, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `http://host:port/path`; the path's leading `/` may be left out.
    pub fn url(&self, path: &str) -> String {
        let path = path.trim_start_matches('/');
        if self.host.contains(':') {
            format!("http://[{}]:{}/{path}", self.host, self.port)
        } else {
            format!("http://{}:{}/{path}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_cannot_change_the_url() {
        let peer = |host: &str| Peer::new(Hotkey::from_bytes([1; 32]), host, 8091);
        for (host, url) in [
            ("10.0.0.1", "http://10.0.0.1:8091/v1/predict"),
            ("::1", "http://[::1]:8091/v1/predict"),
            ("host.docker.internal", "http://host.docker.internal:8091/v1/predict"),
        ] {
            assert_eq!(peer(host).unwrap().url("/v1/predict"), url);
            assert_eq!(peer(host).unwrap().url("v1/predict"), url);
        }
        for host in ["", "a/b", "user@host", "host:80", "a b", "[::1]", "a?b", "a#b", "é"] {
            assert_eq!(peer(host), Err(PeerError::Host(host.into())));
        }
    }
}
