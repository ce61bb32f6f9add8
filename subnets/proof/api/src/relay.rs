//! Client of a relay: a WebSocket server that forwards users' requests to validators behind firewalls.

mod frame;
mod session;
mod tensor;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_platform_verifier::BuilderVerifierExt as _;
use taonet_proof_validator::Examiner;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_tungstenite::Connector;
use tokio_tungstenite::tungstenite::{self, http::Uri};

use crate::Jobs;
use frame::FrameError;

/// Maximum number of proofs in progress.
const RUNNING: usize = 64;
/// Maximum number of runs in memory, including finished ones whose status was not requested yet.
const KEPT: usize = 256;
/// Maximum number of queued messages to the relay.
const QUEUED: usize = 256;
/// First pause before a new connection; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause before a new connection.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A relay, and the validator's part in it. See the protocol in `docs/proof.md`.
pub struct Relay {
    url: Uri,
    connector: Connector,
    signer: Arc<Keypair>,
    is_trusted: bool,
    jobs: Jobs,
}

/// Why a relay cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The URL is not `wss://HOST…`, or `ws://` to this machine.
    #[error("relay URL `{0}`: expected wss://HOST, or ws:// to a loopback address")]
    Url(String),
    /// The system's certificates cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why a connection to the relay ended.
#[derive(Debug, Error)]
enum SessionError {
    #[error(transparent)]
    Socket(#[from] tungstenite::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0} within {1:?}")]
    Timeout(&'static str, Duration),
    #[error("authentication: {0}")]
    Authentication(&'static str),
}

/// How a connection ended without an error.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Closed,
    /// Another process of the same hotkey connected.
    Superseded,
}

/// A message to the relay.
struct Outgoing {
    /// Connection of the request that is answered; `None` for notifications, which any connection carries.
    session: Option<u64>,
    bytes: Vec<u8>,
}

impl Relay {
    /// Creates a client of the relay at `url`, which authenticates as `signer`. It signs challenges that could be the
    /// hash of a transaction only for a trusted relay, see [`Relay::trusted`].
    ///
    /// # Errors
    /// When the URL is not a secure WebSocket's, or TLS has no certificates.
    pub fn new(url: &str, signer: Arc<Keypair>, examiner: Arc<Examiner>) -> Result<Self, RelayError> {
        let invalid = || RelayError::Url(url.to_owned());
        let parsed: Uri = url.parse().map_err(|_| invalid())?;
        let host = parsed.host().ok_or_else(invalid)?.trim_start_matches('[').trim_end_matches(']');
        let is_local = host == "localhost" || host.parse().is_ok_and(|host: std::net::IpAddr| host.is_loopback());
        if !(parsed.scheme_str() == Some("wss") || parsed.scheme_str() == Some("ws") && is_local) {
            return Err(invalid());
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        let connector = Connector::Rustls(Arc::new(config));
        Ok(Self { url: parsed, connector, signer, is_trusted: false, jobs: Jobs::new(examiner, RUNNING, KEPT) })
    }

    /// Trusts the relay not to send the hash of a transaction as a challenge: challenges of 32 bytes are signed.
    #[must_use]
    pub fn trusted(self, is_trusted: bool) -> Self {
        Self { is_trusted, ..self }
    }

    /// Serves the relay's requests, and reconnects, until shutdown or until another process of the same hotkey takes
    /// over.
    pub async fn run(self, stop: &Shutdown) {
        let relay = Arc::new(self);
        let (outbound, mut queue) = mpsc::channel(QUEUED);
        let mut pause = FIRST_PAUSE;
        for session in 0_u64.. {
            let mut is_authenticated = false;
            let ended = tokio::select! {
                () = stop.requested() => return,
                ended = relay.session(session, &outbound, &mut queue, &mut is_authenticated) => ended,
            };
            if is_authenticated {
                pause = FIRST_PAUSE;
            }
            match ended {
                Ok(End::Superseded) => {
                    tracing::warn!(relay = %relay.url, "another validator of this hotkey uses the relay: disconnected");
                    return;
                }
                Ok(End::Closed) => tracing::info!(relay = %relay.url, "the relay closed the connection"),
                Err(error) => tracing::warn!(relay = %relay.url, %error, "no connection to the relay"),
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests;
