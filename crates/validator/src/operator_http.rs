//! Shared HTTP layers of signer and subtensor gateway: authentication, JSON errors, limits.
//!
//! Both services use the validator's key on request, so anyone who can reach them can act as the
//! validator. On a loopback address, that is every user of the machine. On other addresses, callers
//! must present an [`AccessToken`], which both sides read from the same file. Requests with an
//! `Origin` header are refused: only web pages send this header.

mod envelope;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Json, Response};
use axum::routing::get;
use serde_json::{Value, json};
use taonet_http::{AccessToken, BodyLimits, JsonCallError, JsonService, buffer_body};
use tower::limit::GlobalConcurrencyLimitLayer;

pub(crate) use envelope::{ApiError, Body};

/// Remedy for a refused access token.
pub const TOKEN_REMEDY: &str = "the daemons use different access tokens: set BB_API_TOKEN_FILE to the same file for all of \
                                them";
/// Timeout for receiving a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Memory limit, in bytes, for all in-flight request bodies together; the first 64 KiB of each body
/// do not count.
const MAX_LARGE_BODY_BYTES: usize = 64 << 20;

/// Authentication and limits of an operator service.
#[derive(Debug, Clone)]
pub struct OperatorLimits {
    /// Token that every POST request must carry; `None` disables authentication.
    pub token: Option<AccessToken>,
    /// Maximum size of a request body in bytes.
    pub max_body_bytes: usize,
    /// Timeout of a request; the response is then 503.
    pub request_timeout: Duration,
    /// Maximum number of in-flight requests; more are queued.
    pub concurrency: usize,
}

impl OperatorLimits {
    /// Creates limits of 1 MiB per body (as in the reference), ten minutes per request and 256
    /// in-flight requests.
    pub fn new(token: Option<AccessToken>) -> Self {
        Self {
            token,
            max_body_bytes: 1 << 20,
            request_timeout: Duration::from_mins(10),
            concurrency: 256,
        }
    }
}

/// Returns whether an operator service refused the access token.
pub fn is_token_refused(error: &JsonCallError) -> bool {
    matches!(
        error,
        JsonCallError::Status { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. }
    )
}

/// Wraps a service's routes in limits, authentication and JSON errors, and adds `/healthz`.
/// `requests_total` is the name of its request counter.
pub(crate) fn protect(
    routes: Router,
    limits: OperatorLimits,
    requests_total: &'static str,
) -> Router {
    let bodies = BodyLimits::new(limits.max_body_bytes, BODY_TIMEOUT, MAX_LARGE_BODY_BYTES);
    let routes = routes
        // A request takes a concurrency slot once its body has arrived: slow bodies block no slots.
        .layer(GlobalConcurrencyLimitLayer::new(limits.concurrency))
        .layer(middleware::from_fn_with_state(bodies, buffer_body))
        // Outside the limit: requests that wait ten minutes for the chain must not make the service
        // look dead.
        .route("/healthz", get(healthz))
        .layer(middleware::from_fn_with_state(limits.token, admit));
    let timeout = Some(limits.request_timeout);
    JsonService { requests_total, timeout, error: envelope::error }.wrap(routes)
}

async fn healthz() -> Json<Value> {
    Json(json!({ "ok": true }))
}

/// Rejects unauthenticated requests before their bodies are read. Only POST requests need a token,
/// so `/healthz` needs none.
async fn admit(
    State(token): State<Option<AccessToken>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) {
        return Err(ApiError::Origin);
    }
    if request.method() == Method::POST {
        let kind =
            headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let media_type = kind.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::ContentType);
        }
        if token.is_some_and(|token| !token.authorizes(headers)) {
            return Err(ApiError::Token);
        }
    }
    Ok(next.run(request).await)
}
