use std::error::Error;
use std::time::Duration;

use http::StatusCode;

use super::SigningError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Signing the request failed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// Setting up the HTTP client failed.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] Box<dyn Error + Send + Sync>),
    /// The URL is malformed or unsupported.
    #[error("malformed or unsupported URL {url}")]
    InvalidUrl {
        /// The rejected URL.
        url: String,
    },
    /// The deadline passed before the complete response arrived.
    #[error("timeout after {:?}s", after.as_secs_f64())]
    Timeout {
        /// The deadline, counted from the start of the call.
        after: Duration,
    },
    /// The connection could not be opened: the request was not sent.
    #[error("cannot connect to {peer}")]
    Connect {
        /// Host and port of the peer.
        peer: String,
        /// Why the connection failed.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connection was lost, or the peer does not speak HTTP. The request may have been
    /// executed.
    #[error("connection lost")]
    ConnectionLost(#[source] Box<dyn Error + Send + Sync>),
    /// The peer responded with a status other than 200.
    #[error("{}:{text}", status.as_u16())]
    Status {
        /// The HTTP status code.
        status: StatusCode,
        /// The first 300 characters of the response.
        text: String,
    },
    /// The response exceeds the size limit of the call or of the client.
    #[error("response is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The scheme signs the complete body, and the body exceeds the client's limit for buffered
    /// bodies.
    #[error("the request body must be signed completely, but is larger than {limit} bytes")]
    RequestTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream of the request body failed.
    #[error("cannot read the request body")]
    RequestBody(#[source] Box<dyn Error + Send + Sync>),
}

impl CallError {
    /// Whether the deadline passed.
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether the connection could not be opened. The request was certainly not executed.
    pub const fn is_connect(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }

    /// Returns the status code that Bittensor's dendrite (10.5.0) reports for this error.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Status { status, .. } => *status,
            Self::Timeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Connect { .. } | Self::ConnectionLost(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Signing(_)
            | Self::InvalidUrl { .. }
            | Self::RequestTooLarge { .. }
            | Self::RequestBody(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Setup(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
