use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, RETRY_AFTER};
use serde_json::json;
use taonet_primitives::Hotkey;

use crate::CompactError;

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
    /// A header's name is that of another one but for `-` and `_`: software on the way may take both for one.
    #[error("a header differs from {0} only by - for _")]
    Lookalike(&'static str),
    /// The request was signed for somebody else.
    #[error("request was signed for another receiver")]
    WrongReceiver,
    /// The request is older than the window allows.
    #[error("request is too old")]
    Stale {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        limit: Duration,
    },
    /// The request comes from further in the future than the window allows.
    #[error("request is dated in the future")]
    Future,
    /// The body is not the one whose hash was signed.
    #[error("request body does not match its signed hash")]
    BodyMismatch,
    /// The body is not JSON, where the scheme hashes its values.
    #[error("request body is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where reading stopped, counted from 1.
        line: usize,
        /// Where reading stopped, counted from 1.
        column: usize,
    },
    /// Nothing in the request says that it is signed.
    #[error("request is not signed")]
    Unsigned,
    /// The path names no message that this server knows.
    #[error("no message named {0:?} is known here")]
    UnknownName(String),
    /// The signature is not the sender's signature over this request.
    #[error("signature does not match")]
    WrongSignature,
    /// The sender is known, but not wanted.
    #[error("hotkey {0} is not allowed here")]
    NotAllowed(Hotkey),
    /// The sender has less stake than is asked for.
    #[error("hotkey {hotkey} has less stake than the {needed} rao that are asked for here")]
    StakeTooLow {
        /// Who called.
        hotkey: Hotkey,
        /// What is asked for, in rao.
        needed: u64,
    },
    /// Only validators with a permit may call.
    #[error("hotkey {0} has no validator permit")]
    NoPermit(Hotkey),
    /// The same request was accepted before, or a later one where only increasing nonces count.
    #[error("request was seen before")]
    Replayed,
    /// Too many requests within the window to remember another one.
    #[error("too many requests within the replay window")]
    TooMany,
    /// The request cannot be remembered, so that it could be replayed later.
    #[error("the replay log cannot be written")]
    NotRemembered,
    /// The sender calls more often than it may.
    #[error("hotkey {0} calls too often")]
    TooOften(Hotkey),
    /// As many requests as may wait are waiting, none with less stake.
    #[error("server is busy")]
    Busy,
    /// The handler took longer than answers may.
    #[error("answer was not there within {limit:?}")]
    AnswerTimeout {
        /// How long an answer may take.
        limit: Duration,
    },
    /// The request waited for its turn as long as the sender waits for the answer.
    #[error("response timeout after {:?}s", limit.as_secs_f64())]
    WaitedTooLong {
        /// How long the sender waits.
        limit: Duration,
    },
}

impl From<CompactError> for Refusal {
    fn from(error: CompactError) -> Self {
        let CompactError::NotJson { line, column } = error;
        Self::NotJson { line, column }
    }
}

impl Refusal {
    /// The HTTP status that says it.
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
            Self::NotAllowed(_) | Self::StakeTooLow { .. } | Self::NoPermit(_) => StatusCode::FORBIDDEN,
            Self::UnknownName(_) => StatusCode::NOT_FOUND,
            Self::NotJson { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTimeout { .. } | Self::WaitedTooLong { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany | Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::NotRemembered => StatusCode::SERVICE_UNAVAILABLE,
            Self::AnswerTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

impl Refusal {
    /// Adds the headers that go with it whatever the body says: whether to come back on this connection, and when.
    pub(crate) fn finish(&self, response: &mut Response) {
        match self {
            // The rest of the body may still be under way: the connection is of no further use.
            Self::BodyTooLarge { .. } | Self::BodyTimeout { .. } | Self::BodyUnreadable => {
                response.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
            }
            Self::TooMany | Self::TooOften(_) | Self::Busy | Self::NotRemembered => {
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
        self.finish(&mut response);
        response
    }
}
