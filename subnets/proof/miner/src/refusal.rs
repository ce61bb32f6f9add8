use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use taonet_proof_backends::BackendError;
use taonet_proof_circuits::CircuitError;
use taonet_proof_core::query::{AnswerError, QueryError};
use taonet_proof_core::{Digest, ExecutionError};
use thiserror::Error;

/// Why the miner refuses a request.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is not valid JSON for the message.
    #[error("malformed request: {0}")]
    Malformed(serde_json::Error),
    /// The message is not a valid proof request.
    #[error("malformed request: {0}")]
    Query(#[from] QueryError),
    /// The circuit is not served.
    #[error("circuit {0} is not served here")]
    UnknownCircuit(Digest),
    /// The model, or this slice of it, is not served.
    #[error("slice {slice} of model {model} is not served here")]
    UnknownSlice {
        /// Identity of the model.
        model: Digest,
        /// Index of the slice.
        slice: usize,
    },
    /// The inputs do not fit the circuit.
    #[error(transparent)]
    Inputs(#[from] ExecutionError),
    /// Values are beyond the range of the model's sample: they saturate, or have no proof. The error
    /// names their tensors.
    #[error(transparent)]
    Unprovable(CircuitError),
    /// The miner is at capacity.
    #[error("too many proofs in progress")]
    Full,
    /// The proof timed out.
    #[error("no proof within {0:?}")]
    Timeout(Duration),
    /// The prover failed.
    #[error("request processing failed")]
    Prover(#[source] CircuitError),
    /// The answer cannot be encoded as a response message.
    #[error("request processing failed")]
    Answer(#[from] AnswerError),
    /// The thread of the proof panicked or was cancelled.
    #[error("request processing failed")]
    TaskFailed,
    /// The route is not served.
    #[error("unrecognized synapse type")]
    NoRoute,
}

impl From<CircuitError> for Refusal {
    fn from(error: CircuitError) -> Self {
        match error {
            CircuitError::Prover(BackendError::Execution(error)) => Self::Inputs(error),
            error @ (CircuitError::Saturated(_) | CircuitError::Unprovable { .. }) => {
                Self::Unprovable(error)
            }
            error => Self::Prover(error),
        }
    }
}

impl Refusal {
    /// Returns the HTTP status of the response.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::Query(_) | Self::Inputs(_) | Self::Unprovable(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::UnknownCircuit(_) | Self::UnknownSlice { .. } | Self::NoRoute => {
                StatusCode::NOT_FOUND
            }
            Self::Full => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Prover(_) | Self::Answer(_) | Self::TaskFailed => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            // The response reveals no internal errors to the caller.
            tracing::error!(error = &self as &dyn std::error::Error, "proof failed");
        }
        let mut response = (status, Json(json!({ "error": self.to_string() }))).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
