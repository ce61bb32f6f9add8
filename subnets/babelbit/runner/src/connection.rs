use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};

/// A predict request to a miner: one frame of source speech or, after the last frame, a request for
/// more of the reply.
#[derive(Debug, Clone)]
pub struct PredictCall {
    /// ID of the session opened by the miner.
    pub session_id: Arc<str>,
    /// Base64 of the frame; empty after the last frame. Shared by all miners.
    pub audio_b64: Arc<str>,
    /// Whether the source ends with this frame, or has already ended.
    pub in_eos: bool,
    /// Maximum size of the response in bytes of JSON, derived from the remaining size quota of the
    /// reply. An implementation may reject a larger response with [`CallError::TooLarge`].
    pub max_response_bytes: usize,
}

/// A connection to a miner, over HTTP or in process.
///
/// A call returns a response or an error within `timeout`; dropping the future cancels the call.
pub trait MinerConnection: Send + Sync {
    /// Opens a session for one utterance.
    fn init(
        &self,
        request: InitRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<InitResponse, CallError>>;

    /// Sends one frame and returns the reply audio that is ready.
    fn predict(
        &self,
        call: PredictCall,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<PredictResponse, CallError>>;

    /// Returns the minimum timeout of requests over this connection: longer for a gateway, which
    /// may have to start the miner first. Frame deadlines still apply.
    fn min_timeout(&self) -> Duration {
        Duration::ZERO
    }
}

/// Why a request to a miner failed. Result files contain the text of the error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The response status is not 200.
    #[error("{status}:{body}")]
    Status {
        /// HTTP status code.
        status: u16,
        /// First 300 characters of the response body.
        body: String,
    },
    /// The response is not JSON, or lacks a field.
    #[error("parse:{0}")]
    Parse(String),
    /// The response is JSON, but not an object.
    #[error("invalid_payload_type")]
    InvalidPayloadType,
    /// The response is an object with the key `error`.
    #[error("{0}")]
    Refused(String),
    /// The response exceeds the maximum size of a reply.
    #[error("response exceeds {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The request timed out.
    #[error("timeout after {:?}s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The miner is unreachable, or the connection broke.
    #[error("ConnectionError:{0}")]
    Transport(String),
    /// The request could not be signed.
    #[error("validator_identity_error:{0}")]
    Identity(String),
}

impl CallError {
    /// Creates an error for a status other than 200, with the first 300 characters of the body.
    pub fn status(status: u16, body: &[u8]) -> Self {
        Self::Status { status, body: String::from_utf8_lossy(body).chars().take(300).collect() }
    }
}
