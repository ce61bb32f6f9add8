use std::time::Duration;

use reqwest::StatusCode;

/// Why one HTTP request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The answer's status is not 200.
    #[error("HTTP {}", status.as_u16())]
    Status {
        /// The status.
        status: StatusCode,
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
    },
    /// The answer is not a JSON object.
    #[error("invalid payload type")]
    NotAnObject,
    /// The answer lacks a field, or has one of the wrong type.
    #[error("invalid payload: {0}")]
    Payload(#[source] serde_json::Error),
    /// The answer is larger than the caller accepts.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// No complete answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The service could not be reached, or closed the connection.
    #[error("{}", innermost(.0))]
    Transport(#[source] reqwest::Error),
}

/// The text of the first cause: the outer ones only repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
