use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use taonet_babelbit_core::protocol::{
    DTYPE, FRAME_RATE_HZ, FRAME_SAMPLES, MinerError, SAMPLE_RATE_HZ,
};
use taonet_primitives::counted;

use super::profile::ProfileError;
use super::samples::MAX_CHANNELS;

/// Why the miner refused an init or predict request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// The body is JSON, but neither an init nor a predict message.
    #[error("the body is neither an init nor a predict message: {0}")]
    InvalidMessage(#[source] serde_json::Error),
    /// The frame is not base64.
    #[error("audio_b64 is not base64: {0}")]
    Base64(#[source] base64::DecodeError),
    /// The frame ends within a sample.
    #[error("audio_b64 has {}, which is not a multiple of {unit} (4 bytes per channel)", counted(.bytes, "byte"))]
    PartialSample {
        /// Number of bytes in the frame.
        bytes: usize,
        /// Number of bytes of one sample across all channels.
        unit: usize,
    },
    /// A frame before the end of the source is empty.
    #[error("audio_b64 is empty, but in_eos is false")]
    EmptyFrame,
    /// The sample rate is unsupported.
    #[error("sample_rate_hz is {0}, expected {SAMPLE_RATE_HZ}")]
    SampleRate(u32),
    /// The frame rate is unsupported.
    #[error("frame_rate_hz is {0}, expected {FRAME_RATE_HZ}")]
    FrameRate(f64),
    /// The frame size is unsupported.
    #[error("frame_samples is {0}, expected {FRAME_SAMPLES}")]
    FrameSamples(u32),
    /// The sample format is unsupported.
    #[error("dtype is not {DTYPE}")]
    Dtype,
    /// The number of channels is unsupported.
    #[error("channels is {0}, expected 1 to {MAX_CHANNELS}")]
    Channels(u16),
    /// An identifier is empty or too long.
    #[error("{field} must have 1 to {limit} bytes")]
    Identifier {
        /// Name of the field.
        field: &'static str,
        /// Maximum length in bytes.
        limit: usize,
    },
    /// The route is unknown.
    #[error("unknown route")]
    NoRoute,
    /// The session does not exist, or belongs to another hotkey.
    #[error("unknown session")]
    UnknownSession,
    /// Another request of the session is in flight.
    #[error("another request of this session is in progress")]
    Busy,
    /// The source has already ended.
    #[error("the source has ended, expected an empty request")]
    AfterEnd,
    /// The frame is out of order.
    #[error("frame_index is {got}, expected {expected}")]
    OutOfOrder {
        /// Expected frame index.
        expected: u64,
        /// Received frame index.
        got: u64,
    },
    /// The frame has more samples than the protocol's frame size.
    #[error("the frame has more than {FRAME_SAMPLES} samples per channel")]
    FrameTooLong,
    /// The session exceeds the maximum duration of source speech.
    #[error("the source is longer than {seconds} s")]
    SourceTooLong {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The session exceeds the maximum number of requests.
    #[error("the session is at its limit of {}", counted(.0, "request"))]
    TooManyRequests(u64),
    /// The session table is full.
    #[error("the miner is at its limit of {0} sessions; hint: retry later")]
    TooManySessions(usize),
    /// The caller has too many open sessions.
    #[error("the hotkey is at its limit of {0} sessions; hint: finish a session first")]
    TooManySessionsOfCaller(usize),
    /// The profile failed, which aborts the session.
    #[error("the miner failed: {0}")]
    Failed(#[from] ProfileError),
    /// An earlier failure aborted the session.
    #[error("the session was aborted by an earlier failure")]
    SessionAborted,
}

impl Refusal {
    /// Returns the HTTP status of the refusal.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_) | Self::Base64(_) | Self::PartialSample { .. } | Self::EmptyFrame => {
                StatusCode::BAD_REQUEST
            }
            Self::InvalidMessage(_)
            | Self::SampleRate(_)
            | Self::FrameRate(_)
            | Self::FrameSamples(_)
            | Self::Dtype
            | Self::Channels(_)
            | Self::Identifier { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoRoute | Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::Busy | Self::AfterEnd | Self::OutOfOrder { .. } => StatusCode::CONFLICT,
            Self::FrameTooLong | Self::SourceTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests(_)
            | Self::TooManySessions(_)
            | Self::TooManySessionsOfCaller(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Failed(_) | Self::SessionAborted => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(error = &self as &dyn std::error::Error, "request failed");
        } else {
            tracing::debug!(error = &self as &dyn std::error::Error, "request refused");
        }
        (status, Json(MinerError { error: self.to_string() })).into_response()
    }
}
