use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use taonet_babelbit_core::protocol::{InitRequest, InitResponse, PredictResponse};

/// One frame of source speech on its way to a miner, or a request for the rest of the reply.
#[derive(Debug, Clone)]
pub struct PredictCall {
    /// The session that the miner opened.
    pub session_id: Arc<str>,
    /// Base64 of the frame; empty while draining. All miners share one text.
    pub audio_b64: Arc<str>,
    /// Whether the source ends with this frame.
    pub in_eos: bool,
    /// The largest answer that is of use, in bytes of JSON: what the reply may still hold. An implementation may refuse
    /// a larger one with [`CallError::TooLarge`].
    pub max_answer_bytes: usize,
}

/// A miner that can be played: behind HTTP, or in this process.
///
/// A call ends within `timeout` with an answer or an error; dropping its future gives it up.
pub trait MinerConnection: Send + Sync {
    /// Opens a session for one utterance.
    fn init(&self, request: InitRequest, timeout: Duration) -> BoxFuture<'_, Result<InitResponse, CallError>>;

    /// Sends one frame and takes what the miner has ready.
    fn predict(&self, call: PredictCall, timeout: Duration) -> BoxFuture<'_, Result<PredictResponse, CallError>>;

    /// The least time for any single request, whatever the deadlines of requests say: who passes them on to a miner that
    /// has to be started first needs longer. Deadlines of frames hold all the same.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// Why a miner's answer is none. The text is what result files show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The miner answered with another status than 200.
    #[error("{status}:{body}")]
    Status {
        /// The status code.
        status: u16,
        /// The first 300 characters of the answer.
        body: String,
    },
    /// The answer is not JSON, or lacks a field.
    #[error("parse:{0}")]
    Parse(String),
    /// The answer is JSON, but not an object.
    #[error("invalid_payload_type")]
    InvalidPayloadType,
    /// The answer is an object with the key `error`.
    #[error("{0}")]
    Refused(String),
    /// The answer is larger than a reply may be.
    #[error("answer exceeds {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No answer in time.
    #[error("timeout after {:?}s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The miner could not be reached, or the connection broke.
    #[error("ConnectionError:{0}")]
    Transport(String),
    /// The request could not be signed.
    #[error("validator_identity_error:{0}")]
    Identity(String),
}

impl CallError {
    /// An answer with a status other than 200; keeps the start of its body.
    pub fn status(status: u16, body: &[u8]) -> Self {
        Self::Status { status, body: String::from_utf8_lossy(body).chars().take(300).collect() }
    }
}
