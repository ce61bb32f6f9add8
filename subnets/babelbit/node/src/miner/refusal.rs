use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use taonet_babelbit_core::protocol::{DTYPE, FRAME_RATE_HZ, FRAME_SAMPLES, MinerError, SAMPLE_RATE_HZ};
use taonet_primitives::counted;

use super::profile::ProfileError;
use super::samples::MAX_CHANNELS;

/// Why a request was not answered with speech.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is no JSON text.
    #[error("the body is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// The body is JSON, but neither of the two messages.
    #[error("the body is no init or predict message: {0}")]
    Shape(#[source] serde_json::Error),
    /// The frame is no base64 text.
    #[error("audio_b64 is not base64: {0}")]
    Base64(#[source] base64::DecodeError),
    /// The frame ends within a sample.
    #[error("audio_b64 holds {}, which is not a multiple of {unit} (4 bytes for each channel)", counted(.bytes, "byte"))]
    PartialSample {
        /// Bytes in the frame.
        bytes: usize,
        /// Bytes of one sample of all channels.
        unit: usize,
    },
    /// A frame within the source holds nothing.
    #[error("audio_b64 is empty, but in_eos is false")]
    EmptyFrame,
    /// Another rate than the protocol's.
    #[error("sample_rate_hz is {0}, expected {SAMPLE_RATE_HZ}")]
    SampleRate(u32),
    /// Another frame rate than the protocol's.
    #[error("frame_rate_hz is {0}, expected {FRAME_RATE_HZ}")]
    FrameRate(f64),
    /// Another frame size than the protocol's.
    #[error("frame_samples is {0}, expected {FRAME_SAMPLES}")]
    FrameSamples(u32),
    /// Another kind of sample than the protocol's.
    #[error("dtype is not {DTYPE}")]
    Dtype,
    /// More channels than a miner handles, or none.
    #[error("channels is {0}, expected 1 to {MAX_CHANNELS}")]
    Channels(u16),
    /// A name that is empty or too long.
    #[error("{field} must have 1 to {limit} bytes")]
    Identifier {
        /// The field of the message.
        field: &'static str,
        /// The most bytes it may have.
        limit: usize,
    },
    /// No such route.
    #[error("there is no such route")]
    NoRoute,
    /// No such session, or one that another hotkey opened.
    #[error("there is no such session")]
    UnknownSession,
    /// Another request of the session is being worked on.
    #[error("another request of this session is being answered")]
    Busy,
    /// The source has ended already.
    #[error("the source has ended: only empty requests are answered")]
    AfterEnd,
    /// The frame is not the one that follows.
    #[error("frame_index is {got}, expected {expected}")]
    OutOfOrder {
        /// The index of the frame that follows.
        expected: u64,
        /// The index that came.
        got: u64,
    },
    /// A frame of more samples than the protocol's.
    #[error("the frame holds more than {FRAME_SAMPLES} samples for each channel")]
    FrameTooLong,
    /// More source speech than a session may hold.
    #[error("the source is longer than {seconds} s")]
    SourceTooLong {
        /// The limit.
        seconds: u64,
    },
    /// More requests than a session may make.
    #[error("the session has had its {}", counted(.0, "request"))]
    TooManyRequests(u64),
    /// The table of sessions is full.
    #[error("this miner has its {0} sessions: try again later")]
    TooManySessions(usize),
    /// The caller has too many sessions open.
    #[error("this hotkey has its {0} sessions open: finish one first")]
    TooManySessionsOfCaller(usize),
    /// The profile could not do its work; the session is lost.
    #[error("the miner failed: {0}")]
    Failed(#[from] ProfileError),
    /// The work was broken off; the session is lost.
    #[error("the session was broken off by an earlier failure")]
    Broken,
}

impl Refusal {
    /// The HTTP status that says the same.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_) | Self::Base64(_) | Self::PartialSample { .. } | Self::EmptyFrame => {
                StatusCode::BAD_REQUEST
            }
            Self::Shape(_)
            | Self::SampleRate(_)
            | Self::FrameRate(_)
            | Self::FrameSamples(_)
            | Self::Dtype
            | Self::Channels(_)
            | Self::Identifier { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoRoute | Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::Busy | Self::AfterEnd | Self::OutOfOrder { .. } => StatusCode::CONFLICT,
            Self::FrameTooLong | Self::SourceTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests(_) | Self::TooManySessions(_) | Self::TooManySessionsOfCaller(_) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Failed(_) | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
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
