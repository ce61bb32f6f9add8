use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use taonet_babelbit_runner::PlayError;
use taonet_http::{BodyError, BodyRefusal};
use taonet_primitives::Uid;
use taonet_speech::{FrameError, WavError};

use super::MAX_SECONDS;

/// Why a visitor's speech was not interpreted.
#[derive(Debug, thiserror::Error)]
pub(super) enum TryError {
    #[error("all {0} sessions are in use; hint: try again in a minute")]
    Full(usize),
    #[error("no miner has uid {0}; hint: reload the page and choose another miner")]
    UnknownMiner(Uid),
    #[error("there is no such sample; hint: reload the page")]
    UnknownSample,
    #[error("the conversation has ended; hint: start a new one")]
    Ended,
    #[error("another request of the same conversation is in progress; hint: reload the page")]
    Concurrent,
    #[error("the speech is longer than {MAX_SECONDS} s; hint: choose a shorter recording")]
    TooLong,
    #[error("malformed request: {0}")]
    Json(BodyError),
    #[error("cannot read the request: {0}")]
    Body(#[from] BodyRefusal),
    #[error("malformed samples: {0}")]
    Samples(#[from] FrameError),
    #[error("malformed form: {0}")]
    Form(#[from] multer::Error),
    #[error("the form lacks the field {0}")]
    MissingField(&'static str),
    #[error("the file is not a WAV recording: {0}")]
    Wav(#[from] WavError),
    #[error("the miner failed: {0}")]
    Play(#[from] PlayError),
    #[error("the reply was not complete within {} s; hint: choose another miner", .0.as_secs())]
    Timeout(Duration),
    #[error("an internal task failed")]
    Internal,
}

impl TryError {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::UnknownMiner(_) | Self::UnknownSample | Self::Ended => StatusCode::NOT_FOUND,
            Self::Concurrent => StatusCode::CONFLICT,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(refusal) | Self::Json(BodyError::Read(refusal)) => refusal.status(),
            Self::Json(_)
            | Self::Samples(_)
            | Self::Form(_)
            | Self::MissingField(_)
            | Self::Wav(_) => StatusCode::BAD_REQUEST,
            Self::Play(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for TryError {
    fn into_response(self) -> Response {
        (self.status(), taonet_dashboard::printable(&self.to_string())).into_response()
    }
}
