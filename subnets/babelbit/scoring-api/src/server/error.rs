use std::time::Duration;
use taonet_primitives::counted;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use taonet_babelbit_core::submission_api::UnknownKind;

use super::artifacts::ArtifactError;
use super::multipart::FormError;
use super::store::StoreError;

/// `Retry-After` in seconds when a backend of this service fails.
const RETRY_AFTER_S: u64 = 5;

/// An error response, `{"success": false, "error": …}`.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("{field}: expected {expected}")]
    Field { field: &'static str, expected: &'static str },
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    #[error("wrong route for {kind}; hint: use {route}")]
    Route { kind: &'static str, route: &'static str },
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("cannot read the body: {text}")]
    Body { status: StatusCode, text: String },
    #[error(transparent)]
    Form(#[from] FormError),
    #[error("the signature does not match vali_hotkey and the signed text")]
    Signature,
    #[error(
        "timestamp differs by {age_s} s from this server's clock, which exceeds the limit of {window_s} s; hint: \
         synchronise the clock"
    )]
    Stale { age_s: u64, window_s: u64 },
    #[error(
        "{0} has no validator permit on this subnet and is not on this service's list of validators"
    )]
    NotAdmitted(String),
    #[error("the list of validators has not been fetched yet; hint: retry later")]
    ValidatorsUnknown,
    #[error("too many requests")]
    TooMany { wait: Duration },
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("data.file_size is {declared}, but the file has {}", counted(.received, "byte"))]
    OtherSize { declared: u64, received: u64 },
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Artifact(#[from] ArtifactError),
}

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Field { .. }
            | Self::Kind(_)
            | Self::Route { .. }
            | Self::NotJson(_)
            | Self::OtherSize { .. } => StatusCode::BAD_REQUEST,
            Self::Body { status, .. } => *status,
            Self::Form(form) => form.status(),
            Self::Signature | Self::Stale { .. } => StatusCode::UNAUTHORIZED,
            Self::NotAdmitted(_) => StatusCode::FORBIDDEN,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ValidatorsUnknown | Self::Store(_) | Self::Artifact(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let text = match &self {
            // Error responses must not expose details of the backend.
            Self::Store(_) => "the database failed".to_owned(),
            Self::Artifact(_) => "cannot store the file".to_owned(),
            other => other.to_string(),
        };
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), error = %self, "request failed");
        } else {
            tracing::info!(status = status.as_u16(), error = %self, "request refused");
        }
        let mut response = (status, Json(error_json(&text))).into_response();
        let wait = match &self {
            Self::TooMany { wait } => Some(wait.as_secs() + 1),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_AFTER_S),
            _ => None,
        };
        if let Some(wait) = wait {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

/// Creates the JSON of an error.
pub(super) fn error_json(error: &str) -> Value {
    json!({ "success": false, "error": error })
}
