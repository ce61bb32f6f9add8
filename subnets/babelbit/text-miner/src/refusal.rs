use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use taonet_babelbit_core::protocol::MinerError;

/// Why the text miner refused a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is not UTF-8.
    #[error("the body is not UTF-8 from byte {valid}; hint: encode the texts as UTF-8")]
    NotText {
        /// Number of valid bytes at the start.
        valid: usize,
    },
    /// The body is not JSON.
    #[error(
        "the body is not JSON: {0}; hint: send one object with the fields index, step and prefix"
    )]
    NotJson(#[source] serde_json::Error),
    /// A field is missing or has the wrong type.
    #[error(
        "{path}: {source}; hint: index, prefix and context are texts, and step is the number of revealed words, minus 1"
    )]
    Field {
        /// Path of the field; `.` is the complete body.
        path: String,
        /// The deserialisation error.
        source: serde_json::Error,
    },
    /// A text is too long.
    #[error(
        "{field} has {length} bytes, the limit is {limit}; hint: send only the revealed words of the current utterance, \
         and earlier utterances as the context"
    )]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Length of the text in bytes.
        length: usize,
        /// Maximum length in bytes.
        limit: usize,
    },
    /// The body is too large or could not be read.
    #[error(
        "the body is incomplete or larger than {limit} bytes; hint: send only the latest utterances of the dialogue as \
         the context"
    )]
    Unread {
        /// HTTP status of the refusal.
        status: StatusCode,
        /// Maximum size of the body in bytes.
        limit: usize,
    },
    /// The route is unknown.
    #[error("unknown route")]
    NoRoute,
}

impl Refusal {
    /// Returns the HTTP status of the refusal.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::NotText { .. } | Self::NotJson(_) => StatusCode::BAD_REQUEST,
            Self::Field { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unread { status, .. } => *status,
            Self::NoRoute => StatusCode::NOT_FOUND,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        tracing::debug!(error = &self as &dyn std::error::Error, "request refused");
        (self.status(), Json(MinerError { error: self.to_string() })).into_response()
    }
}
