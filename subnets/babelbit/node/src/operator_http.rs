//! What signer and subtensor gateway have in common: who may call, the form of errors, limits.
//!
//! Both sign what they are asked to, so that whoever reaches them acts as the validator. On a loopback address that is
//! the machine's users; anywhere else a caller shows an [`AccessToken`] that both sides read from one file. Requests with
//! an `Origin` are refused: only web pages send it.

mod envelope;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token;

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use taonet_service::{WholeBodies, whole_body};
use tower::ServiceExt as _;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

pub(crate) use envelope::{ApiError, Body};
pub use token::{AccessToken, TokenError};

use crate::http_api::{collapse_slashes, count};
use envelope::as_json;

/// How long a body may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// What all bodies together have beyond 64 KiB each, in bytes.
const LARGE_BODIES: usize = 64 << 20;

/// What a service takes from its callers.
#[derive(Debug, Clone)]
pub struct OperatorLimits {
    /// Who does not show this token is refused; `None` admits all.
    pub token: Option<AccessToken>,
    /// Largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// A request that takes longer is answered 503.
    pub request_timeout: Duration,
    /// Requests at a time; more wait.
    pub concurrency: usize,
}

impl OperatorLimits {
    /// 1 MiB (the reference's), ten minutes, 256 requests at a time.
    pub fn new(token: Option<AccessToken>) -> Self {
        Self { token, max_body_bytes: 1 << 20, request_timeout: Duration::from_mins(10), concurrency: 256 }
    }
}

/// Puts limits, admission and the form of errors around a service's routes. `counter` is the name of its counter of
/// requests.
pub(crate) fn protect(routes: Router, limits: OperatorLimits, counter: &'static str) -> Router {
    let bodies = WholeBodies::new(limits.max_body_bytes, BODY_WITHIN, LARGE_BODIES);
    let routes = routes
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::disable())
        // A request takes a turn once its body is there: slow bodies keep nobody from one.
        .layer(GlobalConcurrencyLimitLayer::new(limits.concurrency))
        .layer(middleware::from_fn_with_state(bodies, whole_body))
        .layer(middleware::from_fn_with_state(limits.token, admit))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, limits.request_timeout))
        .layer(middleware::map_response(as_json))
        .layer(middleware::from_fn(move |route, request, next| count(counter, route, request, next)))
        .layer(TraceLayer::new_for_http());
    Router::new().fallback_service(routes.map_request(collapse_slashes))
}

/// Refuses callers before anything of their bodies is read. Health is for everyone.
async fn admit(State(token): State<Option<AccessToken>>, request: Request, next: Next) -> Result<Response, ApiError> {
    let headers = request.headers();
    if headers.contains_key(ORIGIN) {
        return Err(ApiError::Origin);
    }
    if request.method() == Method::POST {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::ContentType);
        }
        if token.is_some_and(|token| !token.is_shown_in(headers)) {
            return Err(ApiError::Token);
        }
    }
    Ok(next.run(request).await)
}
