use std::error::Error;
use std::time::Duration;

use http::StatusCode;

use super::SigningError;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The HTTP client could not be set up.
    #[error("HTTP client cannot be set up")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
    /// The address is none that HTTP knows.
    #[error("{url} is no address to call")]
    Address {
        /// As it was given.
        url: String,
    },
    /// The whole answer was not there in time.
    #[error("timeout after {:?}s", after.as_secs_f64())]
    Timeout {
        /// The deadline, counted from the start of the call.
        after: Duration,
    },
    /// No connection: the request was not sent.
    #[error("cannot connect to {peer}")]
    Connect {
        /// Host and port.
        peer: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connection broke, or the other side does not speak HTTP. The request may have been executed.
    #[error("connection broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The other side answered with another status than 200.
    #[error("{}:{text}", status.as_u16())]
    Status {
        /// The status.
        status: StatusCode,
        /// The first 300 characters of the answer.
        text: String,
    },
    /// The answer is larger than the client reads.
    #[error("answer is larger than {limit} bytes")]
    TooLarge {
        /// What the client reads.
        limit: usize,
    },
    /// The scheme signs the whole body, and the body is larger than the client holds in memory.
    #[error("the request's body must be signed as a whole, but is larger than {limit} bytes")]
    RequestTooLarge {
        /// What the client holds.
        limit: usize,
    },
    /// The body that was to be streamed ended with an error.
    #[error("the request's body cannot be read")]
    RequestBody(#[source] Box<dyn Error + Send + Sync>),
}

impl CallError {
    /// Whether the peer was too slow, rather than wrong.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether the peer was not reached at all. The request was certainly not executed.
    pub const fn is_connect(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }

    /// The status that Bittensor's dendrite (10.5.0) reports for it.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Status { status, .. } => *status,
            Self::Timeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Connect { .. } | Self::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Signing(_) | Self::Address { .. } | Self::RequestTooLarge { .. } | Self::RequestBody(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::TooLarge { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Setup(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
