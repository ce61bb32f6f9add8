use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;
use taonet_nineteen_query::QueryError;

/// Why a buyer's request is refused. Every error has OpenAI's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// No key, or none that is known.
    #[error("the API key is missing or unknown; hint: send it as `Authorization: Bearer KEY`")]
    Key,
    /// The key was revoked.
    #[error("the API key was revoked")]
    Revoked,
    /// The key may not use the model.
    #[error("the API key may not use model {0:?}")]
    Forbidden(String),
    /// A field is missing, malformed or unsupported.
    #[error("{message}")]
    Field {
        /// Its name.
        param: String,
        /// What is wrong.
        message: String,
    },
    /// The body is not a JSON object.
    #[error("the body is not a JSON object: {0}")]
    Body(String),
    /// The body is too large or was not received.
    #[error("the body could not be read: {0}")]
    Unread(String),
    /// The `Idempotency-Key` was sent with another request.
    #[error("this Idempotency-Key belongs to another request; hint: choose a new one for each request")]
    Reused,
    /// The request with this `Idempotency-Key` is being answered.
    #[error("the request with this Idempotency-Key is being answered; repeat it when it has ended")]
    InProgress,
    /// A miner found the request's image unsafe.
    #[error("the image was withheld: it was found to be unsafe")]
    Unsafe,
    /// There is no such model.
    #[error("model {0:?} does not exist; hint: GET /v1/models lists all")]
    Model(String),
    /// The key has made too many requests.
    #[error("more than {limit} requests a minute")]
    Rate {
        /// Requests per minute.
        limit: u32,
        /// When the next one is admitted.
        retry: Duration,
    },
    /// The key has too few credits.
    #[error("this request may cost {needed} credits, and {has} are left")]
    Credits {
        /// What the request may cost.
        needed: i64,
        /// What the key has.
        has: i64,
    },
    /// The key's budget for the month is used up.
    #[error("this request may cost {needed} credits, and {left} are left of this month's budget")]
    Budget {
        /// What the request may cost.
        needed: i64,
        /// What is left of the budget.
        left: i64,
    },
    /// No miner has capacity left.
    #[error("no miner has capacity left for {0:?}; try again later")]
    Busy(String),
    /// The miners refuse the request.
    #[error("the miners do not accept this request (status {0})")]
    Refused(u16),
    /// All attempts failed.
    #[error("no miner answered; try again")]
    NoAnswer,
    /// An answer broke off.
    #[error("the answer broke off")]
    Interrupted,
    /// There is no such route.
    #[error("there is no such route")]
    Route,
    /// The database failed.
    #[error("the gateway cannot work now")]
    Internal,
}

impl GatewayError {
    /// A field that is wrong.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Field { param: param.into(), message: message.into() }
    }

    /// HTTP status, `type` and `code`.
    fn parts(&self) -> (StatusCode, &'static str, Option<&'static str>) {
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::Key => (StatusCode::UNAUTHORIZED, INVALID, Some("invalid_api_key")),
            Self::Revoked => (StatusCode::UNAUTHORIZED, INVALID, Some("key_revoked")),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, INVALID, Some("model_not_allowed")),
            Self::Field { .. } | Self::Body(_) | Self::Unread(_) => (StatusCode::BAD_REQUEST, INVALID, None),
            Self::Reused => (StatusCode::UNPROCESSABLE_ENTITY, INVALID, Some("idempotency_key_reused")),
            Self::InProgress => (StatusCode::CONFLICT, INVALID, Some("idempotency_in_progress")),
            Self::Unsafe => (StatusCode::FORBIDDEN, INVALID, Some("content_policy_violation")),
            Self::Model(_) => (StatusCode::NOT_FOUND, INVALID, Some("model_not_found")),
            Self::Route => (StatusCode::NOT_FOUND, INVALID, None),
            Self::Rate { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded")),
            Self::Credits { .. } => (StatusCode::PAYMENT_REQUIRED, "insufficient_quota", Some("insufficient_quota")),
            Self::Budget { .. } => (StatusCode::PAYMENT_REQUIRED, "insufficient_quota", Some("budget_exceeded")),
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("no_capacity")),
            Self::Refused(_) => (StatusCode::BAD_REQUEST, INVALID, Some("refused_by_miners")),
            Self::NoAnswer | Self::Interrupted => (StatusCode::BAD_GATEWAY, "server_error", Some("no_answer")),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", None),
        }
    }

    /// The error in OpenAI's form.
    pub(crate) fn document(&self) -> serde_json::Value {
        let (_, kind, code) = self.parts();
        let param = match self {
            Self::Field { param, .. } => Some(param.as_str()),
            Self::Model(_) | Self::Forbidden(_) => Some("model"),
            _ => None,
        };
        json!({"error": {"message": self.to_string(), "type": kind, "param": param, "code": code}})
    }
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let (status, _, _) = self.parts();
        let mut response = (status, Json(self.document())).into_response();
        let retry = match self {
            // Rounded up: a second less would be too early.
            Self::Rate { retry, .. } => Some(retry.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX)),
            Self::InProgress => Some(1),
            Self::Busy(_) => Some(5),
            _ => None,
        };
        if let Some(seconds) = retry {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<QueryError> for GatewayError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::UnknownTask(task) => Self::Model(task.to_string()),
            QueryError::NoContender(task) => Self::Busy(task.to_string()),
            QueryError::Limited(_) => Self::Busy("this model".to_owned()),
            QueryError::Failed { refused: Some(status), .. } => Self::Refused(status),
            _ => Self::NoAnswer,
        }
    }
}

impl From<taonet_nineteen_store::StoreError> for GatewayError {
    fn from(error: taonet_nineteen_store::StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the gateway's database failed");
        Self::Internal
    }
}
