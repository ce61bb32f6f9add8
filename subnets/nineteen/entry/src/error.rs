use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;
use taonet_http::BodyRefusal;
use taonet_nineteen_query::QueryError;
use taonet_nineteen_store::{BudgetPeriod, BudgetScope};

/// `Retry-After` of a response when all attempts were rate-limited, or no miner has capacity.
const RATE_LIMIT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why the gateway rejects a request. The response has OpenAI's error format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The API key is missing or unknown.
    #[error(
        "the API key is missing or unknown; hint: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`"
    )]
    UnknownKey,
    /// The API key was revoked.
    #[error("the API key was revoked")]
    RevokedKey,
    /// The API key has expired.
    #[error("the API key has expired; hint: ask the operator for a new one")]
    ExpiredKey,
    /// The API key may not use the model.
    #[error("the API key may not use model {0:?}")]
    Forbidden(String),
    /// A field is missing, malformed or unsupported.
    #[error("{message}")]
    InvalidField {
        /// Name of the field.
        param: String,
        /// Why the field is invalid.
        message: String,
    },
    /// The body is not a JSON object.
    #[error("the request body is not a JSON object: {0}")]
    InvalidBody(String),
    /// The body is not a form.
    #[error("{0}; hint: send the fields as multipart/form-data, with image and mask as files")]
    InvalidForm(String),
    /// The body was not received completely.
    #[error("the request body is incomplete")]
    IncompleteBody,
    /// The body did not arrive in time.
    #[error("the request body did not arrive within {} s; hint: retry the request", .0.as_secs())]
    BodyTimeout(Duration),
    /// The body, or the request to miners, is too large.
    #[error("{message}")]
    TooLarge {
        /// Name of the field to shorten, if it is one.
        param: Option<String>,
        /// What is too large.
        message: String,
    },
    /// The `Idempotency-Key` was used for a different request.
    #[error(
        "this Idempotency-Key was used for a different request; hint: use a new key for each request"
    )]
    ReusedIdempotencyKey,
    /// A request with this `Idempotency-Key` is in progress.
    #[error("a request with this Idempotency-Key is in progress; hint: retry when it has finished")]
    InProgress,
    /// A miner withheld the image as unsafe.
    #[error("the image was withheld as unsafe; hint: change the prompt")]
    UnsafeImage,
    /// The image at a URL cannot be downloaded.
    #[error("{param} cannot be downloaded: {reason}")]
    ImageDownload {
        /// Name of the field with the URL.
        param: String,
        /// Why the download failed.
        reason: String,
    },
    /// The model does not exist.
    #[error("model {0:?} does not exist; hint: GET /v1/models lists the models")]
    UnknownModel(String),
    /// The API key exceeds its rate limit.
    #[error("the API key exceeds its limit of {limit} requests per minute; hint: retry later")]
    RateLimit {
        /// Maximum requests per minute.
        limit: u32,
        /// Time until the next request is admitted.
        retry_after: Duration,
    },
    /// The request's tokens exceed what remains of the API key's limit.
    #[error(
        "the request counts with {required} tokens, its own and max_tokens, but only {remaining} of the API key's limit of {limit} \
         tokens per minute remain; hint: lower max_tokens, or retry later"
    )]
    TokenRate {
        /// Tokens of the request and of the longest answer.
        required: u64,
        /// Remaining tokens.
        remaining: u64,
        /// Maximum tokens per minute.
        limit: u32,
        /// Time until the request is admitted.
        retry_after: Duration,
    },
    /// The request alone exceeds the API key's limit of tokens.
    #[error(
        "the request counts with {required} tokens, its own and max_tokens, but the API key's limit is {limit} tokens per \
         minute; hint: lower max_tokens, or shorten the request"
    )]
    TokenLimit {
        /// Tokens of the request and of the longest answer.
        required: u64,
        /// Maximum tokens per minute.
        limit: u32,
    },
    /// The API key has too few credits.
    #[error(
        "the request may cost {required} credits, but the API key has {available}; hint: add credits"
    )]
    InsufficientCredits {
        /// Maximum cost of the request, in credits.
        required: i64,
        /// Available credits of the key.
        available: i64,
    },
    /// The request exceeds a budget of the month or of the day.
    #[error(
        "the request may cost {required} credits, but only {remaining} remain in the {scope}'s budget for this {period} (UTC)"
    )]
    BudgetExceeded {
        /// Maximum cost of the request, in credits.
        required: i64,
        /// Remaining budget, in credits.
        remaining: i64,
        /// Period of the budget.
        period: BudgetPeriod,
        /// Whether the budget is that of the key or of its team.
        scope: BudgetScope,
    },
    /// No miner has remaining capacity for the model.
    #[error("no miner has remaining capacity for {0:?}; hint: retry later")]
    NoCapacity(String),
    /// All miners are busy, and the queue is full or the request has waited too long.
    #[error("all miners are busy; hint: retry after the seconds in the Retry-After header")]
    Busy {
        /// Estimated time until a new request would be sent to a miner.
        retry_after: Duration,
    },
    /// The miners rejected the request as malformed.
    #[error("the miners rejected the request with status {0}; hint: check its fields")]
    RejectedByMiners(u16),
    /// The miners rejected the request, which is probably too long for the model's context.
    #[error(
        "the request has about {input} tokens, and its answer up to {output}, but the model's context has {context}; hint: \
         shorten the request, or lower max_tokens"
    )]
    ContextExceeded {
        /// Name of the field with the prompt.
        param: &'static str,
        /// Estimated number of tokens of the request.
        input: u64,
        /// Maximum tokens of the answer.
        output: u64,
        /// Length of the model's context, in tokens.
        context: u64,
    },
    /// All attempts failed.
    #[error("no miner answered; hint: retry the request")]
    NoAnswer,
    /// Miners failed at the request, which may be the cause.
    #[error("the miners failed at the request; hint: retry it, or change it")]
    MinersFailed,
    /// The answer was interrupted.
    #[error("the answer was interrupted; hint: retry the request")]
    Interrupted,
    /// The validator sells no credits for TAO.
    #[error("credits cannot be bought with TAO here; hint: ask the operator for credits")]
    NoTopUps,
    /// The route does not exist.
    #[error("the route does not exist; hint: GET /openapi.json describes the API")]
    UnknownRoute,
    /// The route does not support the method.
    #[error(
        "this route does not support this method; hint: the Allow header lists the supported methods"
    )]
    UnsupportedMethod,
    /// The database failed.
    #[error("internal error; hint: retry later")]
    Internal,
}

impl GatewayError {
    /// Creates an error for an invalid field.
    pub(crate) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidField { param: param.into(), message: message.into() }
    }

    /// Creates an error for an image that cannot be downloaded.
    pub(crate) fn image_download(param: &str, reason: impl Into<String>) -> Self {
        Self::ImageDownload { param: param.to_owned(), reason: reason.into() }
    }

    /// Names the probable reason of a rejection by miners: that the request, of about `input`
    /// tokens, and the longest answer exceed the model's context. Other errors remain. The gateway
    /// itself rejects no such request, because its estimate can be too high.
    pub(crate) fn or_context_exceeded(
        self,
        param: &'static str,
        (input, output): (u64, u64),
        context: Option<u64>,
    ) -> Self {
        match (self, context) {
            (Self::RejectedByMiners(400 | 413 | 422), Some(context))
                if input.saturating_add(output) > context =>
            {
                Self::ContextExceeded { param, input, output, context }
            }
            (error, _) => error,
        }
    }

    /// Returns the HTTP status, and `type` and `code` of the error in OpenAI's format.
    fn classify(&self) -> (StatusCode, &'static str, Option<&'static str>) {
        const INVALID: &str = "invalid_request_error";
        match self {
            Self::UnknownKey => (StatusCode::UNAUTHORIZED, INVALID, Some("invalid_api_key")),
            Self::RevokedKey => (StatusCode::UNAUTHORIZED, INVALID, Some("key_revoked")),
            Self::ExpiredKey => (StatusCode::UNAUTHORIZED, INVALID, Some("key_expired")),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, INVALID, Some("model_not_allowed")),
            Self::InvalidField { .. }
            | Self::InvalidBody(_)
            | Self::InvalidForm(_)
            | Self::IncompleteBody => (StatusCode::BAD_REQUEST, INVALID, None),
            Self::BodyTimeout(_) => (StatusCode::REQUEST_TIMEOUT, INVALID, None),
            Self::TooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, INVALID, Some("request_too_large"))
            }
            Self::ReusedIdempotencyKey => {
                (StatusCode::UNPROCESSABLE_ENTITY, INVALID, Some("idempotency_key_reused"))
            }
            Self::ImageDownload { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, INVALID, Some("image_not_downloaded"))
            }
            Self::InProgress => (StatusCode::CONFLICT, INVALID, Some("idempotency_in_progress")),
            Self::UnsafeImage => (StatusCode::FORBIDDEN, INVALID, Some("content_policy_violation")),
            Self::UnknownModel(_) => (StatusCode::NOT_FOUND, INVALID, Some("model_not_found")),
            Self::NoTopUps => (StatusCode::NOT_FOUND, INVALID, Some("topup_unavailable")),
            Self::UnknownRoute => (StatusCode::NOT_FOUND, INVALID, None),
            Self::UnsupportedMethod => (StatusCode::METHOD_NOT_ALLOWED, INVALID, None),
            Self::RateLimit { .. } | Self::TokenRate { .. } | Self::TokenLimit { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded"))
            }
            Self::InsufficientCredits { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", Some("insufficient_quota"))
            }
            Self::BudgetExceeded { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", Some("budget_exceeded"))
            }
            Self::NoCapacity(_) | Self::Busy { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("no_capacity"))
            }
            Self::RejectedByMiners(_) => {
                (StatusCode::BAD_REQUEST, INVALID, Some("refused_by_miners"))
            }
            Self::ContextExceeded { .. } => {
                (StatusCode::BAD_REQUEST, INVALID, Some("context_length_exceeded"))
            }
            Self::NoAnswer | Self::MinersFailed | Self::Interrupted => {
                (StatusCode::BAD_GATEWAY, "server_error", Some("no_answer"))
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", None),
        }
    }

    /// Returns the HTTP status of the error.
    pub(crate) fn status(&self) -> StatusCode {
        self.classify().0
    }

    /// Returns the code of the error in OpenAI's format.
    pub(crate) fn code(&self) -> Option<&'static str> {
        self.classify().2
    }

    /// Returns the error as a JSON document in OpenAI's format.
    pub(crate) fn document(&self) -> serde_json::Value {
        let (_, kind, code) = self.classify();
        let param = match self {
            Self::InvalidField { param, .. } | Self::ImageDownload { param, .. } => {
                Some(param.as_str())
            }
            Self::ContextExceeded { param, .. } => Some(*param),
            Self::TooLarge { param, .. } => param.as_deref(),
            Self::UnknownModel(_) | Self::Forbidden(_) => Some("model"),
            _ => None,
        };
        json!({"error": {"message": self.to_string(), "type": kind, "param": param, "code": code}})
    }
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.document())).into_response();
        let retry_after_seconds = match self {
            // Rounded up, so that buyers do not retry too early.
            Self::RateLimit { retry_after, .. }
            | Self::TokenRate { retry_after, .. }
            | Self::Busy { retry_after } => {
                Some(retry_after.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(u64::MAX))
            }
            Self::InProgress => Some(1),
            Self::NoCapacity(_) => Some(RATE_LIMIT_RETRY_AFTER.as_secs()),
            _ => None,
        };
        if let Some(seconds) = retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        // For routes whose errors have another format.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<QueryError> for GatewayError {
    fn from(error: QueryError) -> Self {
        match error {
            // The task is in the gateway's list of models: no miner offers it in this period.
            QueryError::UnknownTask(task)
            | QueryError::NoContender(task)
            | QueryError::NoWorker(task) => Self::NoCapacity(task.to_string()),
            QueryError::Limited(_) => Self::Busy { retry_after: RATE_LIMIT_RETRY_AFTER },
            QueryError::Busy { retry_after, .. } => Self::Busy { retry_after },
            QueryError::Failed { rejection_status: Some(status), .. } => {
                Self::RejectedByMiners(status)
            }
            QueryError::Failed { is_disputed: true, .. } => Self::MinersFailed,
            QueryError::Dimensions(dimensions) => {
                let message = format!(
                    "the model's embeddings have {dimensions} dimensions; hint: omit dimensions"
                );
                Self::field("dimensions", message)
            }
            _ => Self::NoAnswer,
        }
    }
}

impl From<BodyRefusal> for GatewayError {
    fn from(refusal: BodyRefusal) -> Self {
        match refusal {
            BodyRefusal::TooLarge { limit } => Self::TooLarge {
                param: None,
                message: format!("the request body exceeds {} MiB", limit >> 20),
            },
            BodyRefusal::Timeout { limit } => Self::BodyTimeout(limit),
            BodyRefusal::Busy => Self::Busy { retry_after: RATE_LIMIT_RETRY_AFTER },
            _ => Self::IncompleteBody,
        }
    }
}

impl From<taonet_nineteen_store::StoreError> for GatewayError {
    fn from(error: taonet_nineteen_store::StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the gateway's database failed");
        Self::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unavailable_model_error_is_retryable() {
        for error in [
            QueryError::UnknownTask("chat-a".parse().unwrap()),
            QueryError::NoContender("chat-a".parse().unwrap()),
            QueryError::Limited(taonet_nineteen_query::Attempts { limited: 1, failed: 0 }),
        ] {
            let response = GatewayError::from(error).into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[RETRY_AFTER], "5");
        }
    }

    #[test]
    fn each_body_refusal_maps_to_its_status() {
        let within = Duration::from_secs(30);
        for (refusal, status, message) in [
            (BodyRefusal::TooLarge { limit: 8 << 20 }, 413, "exceeds 8 MiB"),
            (BodyRefusal::Timeout { limit: within }, 408, "within 30 s"),
            (BodyRefusal::Busy, 503, "busy"),
            (BodyRefusal::Incomplete, 400, "incomplete"),
        ] {
            let error = GatewayError::from(refusal);
            assert_eq!(error.status().as_u16(), status);
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn ignored_dimensions_are_an_invalid_field() {
        let error = GatewayError::from(QueryError::Dimensions(3));
        assert!(
            matches!(&error, GatewayError::InvalidField { param, .. } if param == "dimensions"),
            "{error:?}"
        );
        assert!(error.to_string().contains("have 3 dimensions; hint: omit dimensions"), "{error}");
    }
}
