//! Client of a relay: a WebSocket server that forwards users' requests to validators behind
//! firewalls.

mod frame;
mod session;
mod tensor;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_platform_verifier::BuilderVerifierExt as _;
use taonet_primitives::Backoff;
use taonet_proof_validator::Examiner;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_tungstenite::Connector;
use tokio_tungstenite::tungstenite::{self, http::Uri};

use crate::{JobFileError, JobSettings, Jobs};
use frame::FrameError;

/// Maximum number of proofs in progress.
const MAX_RUNNING: usize = 64;
/// Maximum number of runs in memory, including finished ones whose status was not requested yet.
const MAX_STORED_RUNS: usize = 256;
/// Maximum number of queued messages to the relay.
const QUEUE_CAPACITY: usize = 256;
/// Pauses before a reconnection.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
/// Maximum time at shutdown for proofs in progress, which end within 8 s, and for the last messages
/// to be sent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time at shutdown for queued messages to be sent.
const FLUSH_TIME: Duration = Duration::from_millis(100);

/// Client of a relay, which forwards users' requests to this validator. `docs/proof.md` describes
/// the protocol.
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
    /// The URL is neither `wss://HOST…` nor `ws://` to a loopback address.
    #[error("relay URL `{0}`: expected wss://HOST, or ws:// to a loopback address")]
    Url(String),
    /// The system's certificates cannot be used.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The proofs of the relay's users cannot be stored.
    #[error(transparent)]
    Jobs(#[from] JobFileError),
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

/// Reason why a connection ended without an error.
#[derive(Debug, PartialEq, Eq)]
enum SessionEnd {
    Closed,
    /// Another process of the same hotkey connected.
    Superseded,
}

/// A message to the relay.
struct OutgoingMessage {
    /// Connection on which the answered request arrived; `None` for notifications, which are sent
    /// on any connection.
    session: Option<u64>,
    bytes: Vec<u8>,
}

impl Relay {
    /// Creates a client for the relay at `url`, which authenticates as `signer`. The client signs
    /// challenges that could be the hash of a transaction only if the relay is trusted; see
    /// [`Relay::with_trusted`].
    ///
    /// # Errors
    /// When the URL is not a secure WebSocket URL, or the system's certificates cannot be used.
    pub fn new(
        url: &str,
        signer: Arc<Keypair>,
        examiner: Arc<Examiner>,
        stop: &Shutdown,
    ) -> Result<Self, RelayError> {
        let parsed: Uri = url.parse().map_err(|_| RelayError::Url(url.to_owned()))?;
        let host = parsed.host().ok_or_else(|| RelayError::Url(url.to_owned()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_local = host == "localhost"
            || host.parse().is_ok_and(|host: std::net::IpAddr| host.is_loopback());
        if !(parsed.scheme_str() == Some("wss") || parsed.scheme_str() == Some("ws") && is_local) {
            return Err(RelayError::Url(url.to_owned()));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        let connector = Connector::Rustls(Arc::new(config));
        // Not on disk: the protocol has no way to continue a request on another connection.
        let jobs =
            JobSettings { max_running: MAX_RUNNING, max_stored: MAX_STORED_RUNS, directory: None };
        let jobs = Jobs::open(examiner, jobs, stop)?;
        Ok(Self { url: parsed, connector, signer, is_trusted: false, jobs })
    }

    /// Sets whether the relay is trusted not to send the hash of a transaction as a challenge. If
    /// so, challenges of 32 bytes are signed.
    #[must_use]
    pub fn with_trusted(self, is_trusted: bool) -> Self {
        Self { is_trusted, ..self }
    }

    /// Serves the relay's requests, and reconnects after failures, until shutdown or until another
    /// process with the same hotkey connects to the relay.
    pub async fn run(self, stop: &Shutdown) {
        let relay = Arc::new(self);
        let (outbound, mut queue) = mpsc::channel(QUEUE_CAPACITY);
        let mut failures = 0_u32;
        for session in 0_u64.. {
            let mut is_authenticated = false;
            let outcome = tokio::select! {
                () = relay.wait_until_drained(stop) => return,
                outcome = relay.run_session(
                    session, &outbound, &mut queue, &mut is_authenticated,
                ) => outcome,
            };
            if is_authenticated {
                failures = 0;
            }
            match outcome {
                Ok(SessionEnd::Superseded) => {
                    tracing::warn!(
                        relay = %relay.url,
                        "not reconnecting: another validator with this hotkey has connected to the relay"
                    );
                    return;
                }
                Ok(SessionEnd::Closed) => {
                    tracing::info!(relay = %relay.url, "the relay closed the connection");
                }
                Err(error) => {
                    tracing::warn!(relay = %relay.url, %error, "the connection to the relay failed");
                }
            }
            if !stop.sleep(BACKOFF.jittered(failures, rand::random())).await {
                return;
            }
            failures = failures.saturating_add(1);
        }
    }

    /// Waits for the shutdown, then until the proofs in progress end, so that their users receive a
    /// proof or an error.
    async fn wait_until_drained(&self, stop: &Shutdown) {
        stop.requested().await;
        let drain = async {
            while self.jobs.in_progress() > 0 {
                tokio::time::sleep(FLUSH_TIME).await;
            }
            // Let the queued messages be sent.
            tokio::time::sleep(FLUSH_TIME).await;
        };
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain).await;
    }
}

#[cfg(test)]
mod tests;
