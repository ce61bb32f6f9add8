use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, RETRY_AFTER};
use serde_json::json;
use taonet_http::BodyRefusal;
use taonet_primitives::Hotkey;

use crate::CompactError;

/// Why the server refused a signed request. Converts to a status and the body `{"error": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Too many headers, or too many bytes in them.
    #[error("request headers are too large")]
    HeadersTooLarge,
    /// The body exceeds the server's limit.
    #[error("request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive before the timeout.
    #[error("request body did not arrive within {limit:?}")]
    BodyTimeout {
        /// The server's timeout for request bodies.
        limit: Duration,
    },
    /// The connection was lost, or the body's framing is malformed.
    #[error("request body could not be read")]
    BodyUnreadable,
    /// A required header is missing or empty.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header is duplicated, so it is ambiguous which one was signed.
    #[error("header {0} is given more than once")]
    Duplicate(&'static str),
    /// The value of a header is malformed.
    #[error("header {0} is malformed")]
    Malformed(&'static str),
    /// A header's name differs from a signed one only by `-` and `_`: an intermediary may treat
    /// both as one.
    #[error("a header prefix differs from {0} only in hyphens and underscores")]
    Lookalike(&'static str),
    /// The request was signed for another receiver.
    #[error("request was signed for another receiver")]
    WrongReceiver,
    /// The request is older than the window allows.
    #[error("request is too old")]
    Stale {
        /// The age of the request.
        age: Duration,
        /// The largest allowed age.
        limit: Duration,
    },
    /// The nonce is further in the future than the window allows.
    #[error("request is dated in the future")]
    Future,
    /// The body does not match the signed hash.
    #[error("request body does not match its signed hash")]
    BodyMismatch,
    /// The body is not JSON, but the scheme hashes its values.
    #[error("request body is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line of the error, counted from 1.
        line: usize,
        /// The column of the error, counted from 1.
        column: usize,
    },
    /// The request has no signature headers.
    #[error("request is not signed")]
    Unsigned,
    /// The path names an unknown message.
    #[error("unknown message {0:?}")]
    UnknownMessage(String),
    /// The signature does not verify with the sender's key.
    #[error("signature does not match")]
    WrongSignature,
    /// The signature is valid, but the policy does not allow the sender.
    #[error("hotkey {0} is not allowed")]
    NotAllowed(Hotkey),
    /// The sender's stake is below the required minimum.
    #[error("hotkey {hotkey} has less than the required stake of {needed} rao")]
    StakeTooLow {
        /// Hotkey of the sender.
        hotkey: Hotkey,
        /// The required stake in rao.
        needed: u64,
    },
    /// The sender has no validator permit, and only validators may call.
    #[error("hotkey {0} has no validator permit")]
    NoPermit(Hotkey),
    /// The nonce was accepted before or, where nonces must increase, is smaller than an earlier
    /// one.
    #[error("request was already received, or a newer one was")]
    Replayed,
    /// The replay cache is full until the window has passed.
    #[error("too many requests within the replay window")]
    ReplayCacheFull,
    /// The replay log cannot be written, so the request could be replayed later.
    #[error("cannot write the replay log")]
    ReplayLogFailed,
    /// The sender exceeds its rate limit.
    #[error("hotkey {0} exceeds its rate limit")]
    RateLimited(Hotkey),
    /// The queue is full, and no waiting request has less stake.
    #[error("server is busy")]
    Busy,
    /// The handler exceeded the response timeout.
    #[error("response timeout after {limit:?}")]
    ResponseTimeout {
        /// The response timeout.
        limit: Duration,
    },
    /// The request waited in the queue for as long as the sender's timeout and the queue's maximum
    /// wait allow.
    #[error("request waited in the queue for {limit:?} without being served")]
    QueueTimeout {
        /// The sender's timeout, or the queue's maximum wait if that is shorter.
        limit: Duration,
    },
}

impl From<CompactError> for Refusal {
    fn from(error: CompactError) -> Self {
        let CompactError::NotJson { line, column } = error;
        Self::NotJson { line, column }
    }
}

impl From<BodyRefusal> for Refusal {
    fn from(refusal: BodyRefusal) -> Self {
        match refusal {
            BodyRefusal::TooLarge { limit } => Self::BodyTooLarge { limit },
            BodyRefusal::Timeout { limit } => Self::BodyTimeout { limit },
            BodyRefusal::Busy => Self::Busy,
            _ => Self::BodyUnreadable,
        }
    }
}

impl Refusal {
    /// Returns the HTTP status code of the refusal.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Duplicate(_) | Self::Malformed(_) | Self::Lookalike(_) | Self::BodyUnreadable => {
                StatusCode::BAD_REQUEST
            }
            Self::Missing(_)
            | Self::Unsigned
            | Self::WrongReceiver
            | Self::Stale { .. }
            | Self::Future
            | Self::BodyMismatch
            | Self::WrongSignature
            | Self::Replayed => StatusCode::UNAUTHORIZED,
            Self::NotAllowed(_) | Self::StakeTooLow { .. } | Self::NoPermit(_) => {
                StatusCode::FORBIDDEN
            }
            Self::UnknownMessage(_) => StatusCode::NOT_FOUND,
            Self::NotJson { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTimeout { .. } | Self::QueueTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ReplayCacheFull | Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::ReplayLogFailed => StatusCode::SERVICE_UNAVAILABLE,
            Self::ResponseTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

impl Refusal {
    /// Adds the headers that do not depend on the body's form: whether to reuse the connection, and
    /// when to retry.
    pub(crate) fn add_headers(&self, response: &mut Response) {
        match self {
            // The rest of the body may still be in flight: the connection cannot be reused.
            Self::BodyTooLarge { .. } | Self::BodyTimeout { .. } | Self::BodyUnreadable => {
                response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
            }
            Self::ReplayCacheFull | Self::RateLimited(_) | Self::Busy | Self::ReplayLogFailed => {
                response.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
            }
            _ => {}
        }
    }
}

impl IntoResponse for &Refusal {
    fn into_response(self) -> Response {
        (self.status(), Json(json!({ "error": self.to_string() }))).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (&self).into_response();
        self.add_headers(&mut response);
        response
    }
}
