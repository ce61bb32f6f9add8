use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, RETRY_AFTER};
use serde_json::json;
use taonet_primitives::Hotkey;

/// Why a request was turned away. Becomes a status and the body `{"error": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Too many header lines, or too many bytes in them.
    #[error("request headers are too large")]
    HeadersTooLarge,
    /// The body is larger than the server takes.
    #[error("request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// What the server takes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("request body did not arrive within {limit:?}")]
    BodyTimeout {
        /// How long the server waits.
        limit: Duration,
    },
    /// The connection broke, or the body's framing is wrong.
    #[error("request body could not be read")]
    BodyUnreadable,
    /// A header that every signed request has is missing or empty.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header stands there twice: which one was signed?
    #[error("header {0} is given more than once")]
    Duplicate(&'static str),
    /// A header holds something else than it should.
    #[error("header {0} is malformed")]
    Malformed(&'static str),
    /// The request was signed for somebody else.
    #[error("request was signed for another receiver")]
    WrongReceiver,
    /// The request is older than the window allows.
    #[error("request is too old")]
    Stale,
    /// The request comes from further in the future than the window allows.
    #[error("request is dated in the future")]
    Future,
    /// The body is not the one whose hash was signed.
    #[error("request body does not match its signed hash")]
    BodyMismatch,
    /// The signature is not the sender's signature over this request.
    #[error("signature does not match")]
    WrongSignature,
    /// The sender is known, but not wanted.
    #[error("hotkey {0} is not allowed here")]
    NotAllowed(Hotkey),
    /// The same request was accepted before.
    #[error("request was seen before")]
    Replayed,
    /// Too many requests within the window to remember another one.
    #[error("too many requests within the replay window")]
    TooMany,
}

impl Refusal {
    /// The HTTP status that says it.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Duplicate(_) | Self::Malformed(_) | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
            Self::Missing(_)
            | Self::WrongReceiver
            | Self::Stale
            | Self::Future
            | Self::BodyMismatch
            | Self::WrongSignature
            | Self::Replayed => StatusCode::UNAUTHORIZED,
            Self::NotAllowed(_) => StatusCode::FORBIDDEN,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(json!({ "error": self.to_string() }))).into_response();
        match self {
            // The rest of the body may still be under way: the connection is of no further use.
            Self::BodyTooLarge { .. } | Self::BodyTimeout { .. } | Self::BodyUnreadable => {
                response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
            }
            Self::TooMany => {
                response.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
