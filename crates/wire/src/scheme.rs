use std::net::IpAddr;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::request::Parts;
use taonet_primitives::Hotkey;
use taonet_wallet::{CryptoType, Keypair, Signature};
use uuid::Uuid;

use crate::Refusal;

/// A scheme for signing HTTP requests: its headers, signed message, freshness window and form of
/// refusals.
///
/// Before it reads the body, the server calls [`Scheme::claim`] and, unless
/// [`Scheme::message_needs_body`], also [`Scheme::message`]. Once the signature is verified, it
/// calls [`Scheme::check_body`]. All other steps (limits, receiver, freshness, signature,
/// admission, replay, load) are the same for every scheme.
pub trait Scheme: Send + Sync + 'static {
    /// Parses the claims in the request's head. None of them is verified yet.
    ///
    /// # Errors
    /// [`Refusal::Missing`], [`Refusal::Duplicate`], [`Refusal::Malformed`], or a refusal specific
    /// to the scheme.
    fn claim(&self, head: &Parts) -> Result<Claim, Refusal>;

    /// Returns the bytes that the claimed sender must have signed. A scheme that signs the body
    /// itself includes the hash of the received bytes; one that sends a hash includes the claimed
    /// hash, which [`Scheme::check_body`] verifies, and gets an empty body here.
    ///
    /// # Errors
    /// [`Refusal::Missing`] when the claim lacks a signed value.
    fn message(&self, head: &Parts, claim: &Claim, body: &[u8]) -> Result<Vec<u8>, Refusal>;

    /// Whether [`Scheme::message`] needs the received body. If not, the server authenticates and
    /// admits the caller before it reads any of the body.
    fn message_needs_body(&self) -> bool {
        true
    }

    /// Verifies the body against the signed hash, where the scheme sends one. Called only after the
    /// signature is verified, so that only bodies from authenticated senders are parsed.
    ///
    /// # Errors
    /// [`Refusal::BodyMismatch`], or [`Refusal::NotJson`] if the hash covers parsed values.
    fn check_body(&self, head: &Parts, claim: &Claim, body: &[u8]) -> Result<(), Refusal> {
        let _ = (head, claim, body);
        Ok(())
    }

    /// Returns the freshness window: how old and how far in the future a nonce may be.
    fn window(&self) -> Window;

    /// Returns the rule by which nonces of a sender are accepted.
    fn replay_rule(&self) -> ReplayRule {
        ReplayRule::Once
    }

    /// Creates the response to a refused request, with the scheme's own status codes and body.
    fn refuse(&self, refusal: &Refusal, request: &RefusedRequest<'_>) -> Response {
        let _ = request;
        refusal.into_response()
    }

    /// Returns the request headers that the response to an accepted request repeats.
    fn echo(&self, head: &Parts, claim: &Claim) -> HeaderMap {
        let _ = (head, claim);
        HeaderMap::new()
    }

    /// Adds the headers from [`Scheme::echo`] to the handler's response. `elapsed` is the time
    /// since the request's head arrived.
    fn complete(&self, echo: HeaderMap, elapsed: Duration, response: &mut Response) {
        let _ = elapsed;
        response.headers_mut().extend(echo);
    }

    /// Whether the signature of an outgoing request covers its body, which must then be complete
    /// before sending.
    fn signs_body(&self) -> bool {
        true
    }

    /// Creates the headers that sign an outgoing request.
    ///
    /// # Errors
    /// [`crate::SigningError`] when a value is invalid in a header, or when the body cannot be
    /// hashed.
    fn sign(
        &self,
        identity: &Identity,
        request: &OutgoingRequest<'_>,
    ) -> Result<HeaderMap, crate::SigningError>;
}

/// A refused request, with the data for its response.
#[derive(Debug, Clone, Copy)]
pub struct RefusedRequest<'a> {
    /// Head of the request.
    pub head: &'a Parts,
    /// The claim; `None` if it could not be parsed. Treat it as unverified.
    pub claim: Option<&'a Claim>,
    /// The server's time, in nanoseconds since the Unix epoch.
    pub now_ns: u64,
    /// The time since the request's head arrived.
    pub elapsed: Duration,
}

/// The rule by which nonces of a sender are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayRule {
    /// Accepts each nonce once, in any order.
    Once,
    /// Accepts, for each process (UUID) of the sender, only nonces larger than all earlier ones
    /// within the window.
    Increasing,
    /// Accepts, for each process (UUID) of the sender, only nonces larger than all earlier ones;
    /// entries never expire. For schemes whose nonces may not be timestamps.
    IncreasingForEver,
}

/// The claims of a request: parsed and well-formed, but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The claimed sender's hotkey.
    pub sender: Hotkey,
    /// The receiver; `None` only in schemes where it is optional.
    pub receiver: Option<Hotkey>,
    /// The time of signing, in nanoseconds since the Unix epoch.
    pub nonce: u64,
    /// The sender's process, in schemes with a process UUID.
    pub uuid: Option<String>,
    /// The body hash in the headers, in schemes that send it.
    pub body_hash: Option<String>,
    /// The timeout that the sender states; zero if it states none.
    pub timeout: Duration,
    /// Whether the nonce is a timestamp, which must be fresh; otherwise only its order counts.
    pub dated: bool,
    /// The type of the sender's key.
    pub crypto_type: CryptoType,
    /// The signature to verify.
    pub signature: Signature,
}

/// The window of fresh nonces: `now − past − timeout ≤ nonce ≤ now + future`, where the timeout is
/// stated by the sender and therefore capped at `max_timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Maximum age of a nonce, to which the request's timeout is added.
    pub past: Duration,
    /// Maximum lead of a nonce over our clock.
    pub future: Duration,
    /// The longest timeout that is added to `past`.
    pub max_timeout: Duration,
}

/// The sender of outgoing requests.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Key pair that signs the requests.
    pub keypair: Keypair,
    /// The UUID of the process, fixed for its lifetime.
    pub uuid: Uuid,
    /// The sender's external address.
    pub external_ip: String,
}

/// An outgoing request, with the parts that schemes may sign.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRequest<'a> {
    /// The peer that receives the request.
    pub peer: &'a Peer,
    /// The HTTP method, upper case.
    pub method: &'a http::Method,
    /// The path with its query, from the leading `/`.
    pub path: &'a str,
    /// The message name, e.g. `BBAudioMinerInitPayload`.
    pub name: &'a str,
    /// The timeout that the request states.
    pub timeout: Duration,
    /// The nonce: the time in nanoseconds since the Unix epoch, larger than in every earlier
    /// request.
    pub nonce: u64,
    /// Bytes of the body.
    pub body: &'a [u8],
}

/// Why a host is invalid in a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The host is neither an IP address nor a host name.
    #[error("{0:?} is neither an IP address nor a host name")]
    Host(String),
}

/// The hotkey and address of a neuron to call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    hotkey: Hotkey,
    host: String,
    port: u16,
}

impl Peer {
    /// Creates a peer from an IP address or host name. No name is resolved.
    ///
    /// # Errors
    /// [`PeerError::Host`] when the host has characters that could change the meaning of a URL.
    pub fn new(hotkey: Hotkey, host: impl Into<String>, port: u16) -> Result<Self, PeerError> {
        let host = host.into();
        if Self::is_valid_host(&host) {
            Ok(Self { hotkey, host, port })
        } else {
            Err(PeerError::Host(host))
        }
    }

    /// Whether a text is an IP address or a host name that [`Self::new`] accepts.
    pub fn is_valid_host(host: &str) -> bool {
        let is_name = (1..=253).contains(&host.len())
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        is_name || host.parse::<IpAddr>().is_ok()
    }

    /// Returns the peer's hotkey.
    pub const fn hotkey(&self) -> &Hotkey {
        &self.hotkey
    }

    /// Returns the peer's IP address or host name; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the peer's port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns `http://host:port/path`; the path's leading `/` is optional.
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
    fn host_with_url_parts_is_refused() {
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
