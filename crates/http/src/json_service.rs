//! The layers around the routes of every JSON service.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::Response;
use serde_json::Value;
use tower::ServiceExt as _;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::api::{collapse_slashes, count_requests, error_as_json};

/// Settings of a JSON service that are not part of its routes.
#[derive(Clone, Copy, Debug)]
pub struct JsonService {
    /// Name of the counter of requests by route and status.
    pub requests_total: &'static str,
    /// Timeout of a request, whose response is then 503; `None` if the routes have timeouts of
    /// their own.
    pub timeout: Option<Duration>,
    /// Creates the JSON of an error that is not JSON yet, from the reason phrase of its status,
    /// such as `Not Found`.
    pub error: fn(&str) -> Value,
}

impl JsonService {
    /// Wraps routes in the timeout, JSON errors, request counter, trace and normalised paths. The
    /// routes limit the size of their bodies themselves, with [`BodyLimits`](crate::BodyLimits).
    pub fn wrap(self, routes: Router) -> Router {
        let Self { requests_total, timeout, error } = self;
        let mut routes = routes.layer(DefaultBodyLimit::disable());
        if let Some(timeout) = timeout {
            routes = routes
                .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, timeout));
        }
        let routes = routes
            .layer(map_response(
                move |response: Response| async move { error_as_json(response, error) },
            ))
            .layer(from_fn(move |route: Option<MatchedPath>, request: Request, next: Next| {
                count_requests(requests_total, route, request, next)
            }))
            .layer(TraceLayer::new_for_http());
        // Around the router, so that the path is normalised before it is matched.
        Router::new().fallback_service(routes.map_request(collapse_slashes))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use serde_json::json;

    use super::*;

    async fn get_from(routes: Router, path: &str) -> (StatusCode, Value) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1_024).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn service() -> Router {
        let routes = Router::new()
            .route("/name", get(|| async { axum::Json(json!("taonet")) }))
            .route("/slow", get(std::future::pending::<&str>));
        let timeout = Some(Duration::from_millis(10));
        let service = JsonService {
            requests_total: "test_requests_total",
            timeout,
            error: |reason| json!({ "detail": reason }),
        };
        service.wrap(routes)
    }

    #[tokio::test]
    async fn layer_errors_have_the_service_json_format() {
        let unknown_route = get_from(service(), "/nothing").await;
        assert_eq!(unknown_route, (StatusCode::NOT_FOUND, json!({ "detail": "Not Found" })));
        let slow_response = get_from(service(), "/slow").await;
        assert_eq!(
            slow_response,
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "detail": "Service Unavailable" }))
        );
    }

    #[tokio::test]
    async fn path_with_repeated_slashes_reaches_its_route() {
        assert_eq!(get_from(service(), "//name").await, (StatusCode::OK, json!("taonet")));
    }
}
