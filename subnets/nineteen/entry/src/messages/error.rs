//! Errors in Anthropic's format.

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_http::error_as_json;

use crate::GatewayError;

/// Status that Anthropic's API has for overload, in place of 503.
const STATUS_OVERLOADED: u16 = 529;

/// Converts an error response to Anthropic's format; returns other responses unchanged.
/// `request_id` is the value of the response's `x-request-id`.
pub(crate) fn translate_error(
    mut response: Response,
    request_id: Option<&HeaderValue>,
) -> Response {
    let request_id = request_id.and_then(|id| id.to_str().ok());
    let Some(error) = response.extensions_mut().remove::<GatewayError>() else {
        let kind = error_type_of(response.status());
        return error_as_json(response, |reason| error_document(kind, reason, request_id));
    };
    let (mut head, _) = response.into_parts();
    (head.status, _) = classify(&error);
    head.headers.remove(CONTENT_LENGTH);
    head.headers.remove(CONTENT_TYPE);
    (head, Json(document(&error, request_id))).into_response()
}

/// Returns an error as a JSON document.
pub(super) fn document(error: &GatewayError, request_id: Option<&str>) -> Value {
    let (_, kind) = classify(error);
    error_document(kind, &error.to_string(), request_id)
}

fn error_document(kind: &str, message: &str, request_id: Option<&str>) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id})
}

/// Returns the HTTP status and the type of an error.
fn classify(error: &GatewayError) -> (StatusCode, &'static str) {
    match error {
        // Clients retry after 429, which does not help.
        GatewayError::InsufficientCredits { .. } | GatewayError::BudgetExceeded { .. } => {
            (StatusCode::PAYMENT_REQUIRED, "billing_error")
        }
        GatewayError::NoCapacity(_) | GatewayError::Busy { .. } => (
            StatusCode::from_u16(STATUS_OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            "overloaded_error",
        ),
        _ => {
            let status = error.status();
            (status, error_type_of(status))
        }
    }
}

/// Returns the type of an error with a status.
fn error_type_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::REQUEST_TIMEOUT => "timeout_error",
        StatusCode::CONFLICT => "conflict_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::header::RETRY_AFTER;
    use http_body_util::BodyExt as _;
    use taonet_nineteen_store::{BudgetPeriod, BudgetScope};

    use super::*;

    #[tokio::test]
    async fn errors_have_the_anthropic_status_and_type() {
        let id = HeaderValue::from_static("mine");
        for (error, status, kind, has_retry_after) in [
            (GatewayError::UnknownKey, 401, "authentication_error", false),
            (GatewayError::Forbidden("m".to_owned()), 403, "permission_error", false),
            (GatewayError::UnknownModel("m".to_owned()), 404, "not_found_error", false),
            (GatewayError::UnsupportedMethod, 405, "invalid_request_error", false),
            (GatewayError::InProgress, 409, "conflict_error", true),
            (GatewayError::BodyTimeout(Duration::from_secs(30)), 408, "timeout_error", false),
            (
                GatewayError::TooLarge { param: None, message: "a".to_owned() },
                413,
                "request_too_large",
                false,
            ),
            (GatewayError::ReusedIdempotencyKey, 422, "invalid_request_error", false),
            (GatewayError::field("model", "model is wrong"), 400, "invalid_request_error", false),
            (
                GatewayError::RateLimit { limit: 1, retry_after: Duration::from_secs(3) },
                429,
                "rate_limit_error",
                true,
            ),
            (
                GatewayError::InsufficientCredits { required: 2, available: 1 },
                402,
                "billing_error",
                false,
            ),
            (
                GatewayError::BudgetExceeded {
                    required: 2,
                    remaining: 1,
                    period: BudgetPeriod::Day,
                    scope: BudgetScope::Team,
                },
                402,
                "billing_error",
                false,
            ),
            (
                GatewayError::Busy { retry_after: Duration::from_secs(3) },
                529,
                "overloaded_error",
                true,
            ),
            (GatewayError::NoCapacity("m".to_owned()), 529, "overloaded_error", true),
            (GatewayError::NoAnswer, 502, "api_error", false),
            (GatewayError::Internal, 500, "api_error", false),
        ] {
            let message = error.to_string();
            let response = translate_error(error.into_response(), Some(&id));
            assert_eq!(
                (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER)),
                (status, has_retry_after)
            );
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let expected = json!({
                "type": "error", "error": {"type": kind, "message": message}, "request_id": "mine",
            });
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
        }
        let response = translate_error(StatusCode::PAYLOAD_TOO_LARGE.into_response(), None);
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap()["error"]["type"],
            "request_too_large"
        );
    }
}
