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

use super::State;
use taonet_http::RateLimit;
use taonet_http::{BodyError, read_json};

/// An error response of the engine's API.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("the token is missing, unknown or expired")]
    InvalidToken,
    #[error("the auth challenge is unknown, expired or already used")]
    InvalidChallenge,
    #[error("the timestamp does not match the auth challenge")]
    TimestampMismatch,
    #[error("the signature does not match the auth challenge and the hotkey")]
    InvalidSignature,
    #[error("the hotkey is not on the engine's allowlist")]
    NotAllowed,
    #[error("the session is unknown or expired")]
    UnknownSession,
    #[error(
        "wrong route for the session; hint: advance main sessions at /source-audio/next, solo sessions at /solo/next"
    )]
    WrongRoute,
    #[error("{0}")]
    TextSession(&'static str),
    #[error("{field}: {problem}")]
    InvalidField { field: &'static str, problem: String },
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("Rate limit exceeded: at most {} requests in {} s", limit.requests, limit.window.as_secs())]
    RateLimited { wait: Duration, limit: RateLimit },
    #[error("cannot prepare the challenge")]
    Unprepared,
}

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::InvalidToken
            | Self::InvalidChallenge
            | Self::TimestampMismatch
            | Self::InvalidSignature => StatusCode::UNAUTHORIZED,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::WrongRoute => StatusCode::CONFLICT,
            Self::InvalidField { .. } | Self::Body(BodyError::Shape { .. }) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Body(BodyError::NotJson(_)) | Self::TextSession(_) => StatusCode::BAD_REQUEST,
            Self::Body(BodyError::Read(refusal)) => refusal.status(),
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unprepared => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        tracing::debug!(status = status.as_u16(), error = %self, "request refused");
        if let Self::TextSession(detail) = self {
            // The reference system's clients compare this text.
            let error = "invalid or missing session_id";
            return (status, Json(json!({ "error": error, "detail": detail }))).into_response();
        }
        let Self::RateLimited { wait, limit } = self else {
            let mut response =
                (status, Json(json!({ "detail": self.to_string() }))).into_response();
            if status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            return response;
        };
        // Rounded up, so that a client that waits this long is admitted.
        let retry_after = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        let detail = json!({
            "message": self.to_string(),
            "retry_after": retry_after,
            "window_sec": limit.window.as_secs(),
            "limit": limit.requests,
        });
        let mut response = (status, Json(json!({ "detail": detail }))).into_response();
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
        response
    }
}

/// Creates the JSON of an error.
pub(super) fn error_body(detail: &str) -> Value {
    json!({ "detail": detail })
}

/// Extractor of a JSON body of any content type.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<State>> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, ApiError> {
        Ok(Self(read_json(request, &state.bodies).await?))
    }
}
