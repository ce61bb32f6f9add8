use std::time::Duration;

use reqwest::StatusCode;
use taonet_primitives::innermost_cause;

/// Why an HTTP request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The response status is not 200.
    #[error("HTTP {}", status.as_u16())]
    Status {
        /// HTTP status of the response.
        status: StatusCode,
        /// Delay from the `Retry-After` header.
        retry_after: Option<Duration>,
    },
    /// The response is not a JSON object.
    #[error("invalid payload type")]
    NotAnObject,
    /// A field of the response is missing or has the wrong type.
    #[error("invalid payload: {0}")]
    Payload(#[source] serde_json::Error),
    /// The response exceeds the caller's size limit in bytes.
    #[error("response is larger than {0} bytes")]
    TooLarge(usize),
    /// The request timed out before a complete response arrived.
    #[error("timeout: no response in time")]
    Timeout,
    /// The service is unreachable, or closed the connection.
    // The messages of the outer errors only repeat the address.
    #[error("{}", innermost_cause(.0))]
    Transport(#[source] reqwest::Error),
}

impl Fault {
    /// Returns whether the service was unreachable, overloaded or failing, so that a retry may
    /// succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Timeout | Self::Transport(_) => true,
            Self::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::NotAnObject | Self::Payload(_) | Self::TooLarge(_) => false,
        }
    }
}
