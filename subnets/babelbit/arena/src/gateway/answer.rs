//! Error responses as JSON, and the extractor of JSON bodies.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use taonet_primitives::Hotkey;

use super::State;
use taonet_babelbit_runner::AddressError;
use taonet_http::{BodyError, read_json};

/// Maximum number of characters of a miner's response in errors.
const MAX_QUOTED_CHARS: usize = 300;

/// An error response of the gateway.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("the auth token is missing, unknown or expired; hint: get one at /auth/token")]
    Token,
    #[error("the signature does not match the request and the hotkey")]
    Signature,
    #[error("invalid signature timestamp: {0}")]
    Time(&'static str),
    #[error("replayed request: it was already accepted")]
    Replayed,
    #[error("the hotkey is not on the gateway's allowlist")]
    NotAllowed,
    #[error("{0} is not registered on the subnet")]
    NotRegistered(Hotkey),
    #[error("the subnet's registered hotkeys are not known yet")]
    MembersUnknown,
    #[error("{field}: {problem}")]
    Field { field: &'static str, problem: String },
    #[error("endpoint_url: {0}")]
    Endpoint(#[from] AddressError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the miner is not in the arena")]
    NoMiner,
    #[error("the message and the auth token have different hotkeys")]
    OtherCaller,
    #[error("too many requests; hint: wait {} s", wait.as_secs().max(1))]
    TooMany { wait: Duration },
    #[error("too many concurrent calls")]
    Busy,
    #[error("cannot reach the miner")]
    Unreached,
    #[error("the miner timed out after {} s", .0.as_secs_f64())]
    Silent(Duration),
    #[error("the miner is busy: {status} {text}")]
    MinerBusy { status: u16, text: String },
    #[error("the miner refused: {status} {text}")]
    MinerRefused { status: u16, text: String },
    #[error("the miner's response is not a JSON object, or too large")]
    InvalidMinerResponse,
    #[error("cannot store the submission")]
    StorageFailed,
}

impl ApiError {
    /// Creates the error for a miner's response with an error status.
    pub(super) fn from_miner_response(status: u16, text: &str) -> Self {
        let text = text.chars().take(MAX_QUOTED_CHARS).collect();
        if matches!(status, 429 | 503) {
            Self::MinerBusy { status, text }
        } else {
            Self::MinerRefused { status, text }
        }
    }

    /// Returns the status, and the marker that indicates whether to retry.
    const fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Token => (StatusCode::UNAUTHORIZED, "invalid_auth_token"),
            Self::Signature => (StatusCode::UNAUTHORIZED, "bad_signature"),
            Self::Time(_) => (StatusCode::UNAUTHORIZED, "stale_request"),
            Self::Replayed => (StatusCode::UNAUTHORIZED, "replayed_request"),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "not_allowed"),
            Self::NotRegistered(_) => (StatusCode::FORBIDDEN, "not_registered"),
            Self::OtherCaller => (StatusCode::FORBIDDEN, "other_caller"),
            Self::Field { .. } | Self::Endpoint(_) | Self::Body(BodyError::Shape { .. }) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request")
            }
            Self::Body(BodyError::NotJson(_)) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Body(BodyError::Read(refusal)) => (refusal.status(), "invalid_request"),
            Self::NoMiner => (StatusCode::NOT_FOUND, "endpoint_not_found"),
            Self::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "rate_limited"),
            Self::MembersUnknown => (StatusCode::SERVICE_UNAVAILABLE, "members_unknown"),
            Self::Unreached => (StatusCode::SERVICE_UNAVAILABLE, "miner_unavailable"),
            Self::Silent(_) => (StatusCode::GATEWAY_TIMEOUT, "upstream_unavailable"),
            Self::MinerBusy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable"),
            Self::MinerRefused { .. } => (StatusCode::BAD_GATEWAY, "miner_refused"),
            Self::InvalidMinerResponse => (StatusCode::BAD_GATEWAY, "invalid_miner_response"),
            Self::StorageFailed => (StatusCode::INTERNAL_SERVER_ERROR, "storage_failed"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, marker) = self.kind();
        tracing::debug!(status = status.as_u16(), error = %self, "request refused");
        let body = json!({ "error": marker, "detail": self.to_string() });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        match self {
            // Rounded up, so that a client that waits this long is admitted.
            Self::TooMany { wait } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().saturating_add(1)));
            }
            Self::Busy => {
                headers.insert(RETRY_AFTER, HeaderValue::from(1));
            }
            _ => {}
        }
        response
    }
}

/// Creates the JSON of an error of a lower layer.
pub(super) fn error_body(detail: &str) -> Value {
    json!({ "error": "invalid_request", "detail": detail })
}

/// Extractor of a JSON body, regardless of its content type.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<State>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, ApiError> {
        Ok(Self(read_json(request, &state.bodies).await?))
    }
}
