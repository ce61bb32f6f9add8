use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use taonet_telemetry::Metrics;

/// Content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Header of `/readyz` and `/healthz` with the name of the daemon; see [`name_service`].
pub const SERVICE_HEADER: HeaderName = HeaderName::from_static("x-taonet-service");

/// Readiness flag of a daemon, reported by `/readyz`. Clones share the flag.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Creates the flag of a starting daemon, which is not ready yet.
    pub fn starting() -> Self {
        Self(Arc::default())
    }

    /// Marks the daemon as ready.
    pub fn set_ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the daemon is ready.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Returns the routes `/readyz` (200, or 503 while the daemon starts) and, when metrics are
/// recorded, `/metrics`. Merge them into a daemon's router outside of layers that require
/// signatures; `/healthz` belongs to the daemon's own protocol.
pub fn readiness_routes(readiness: Readiness, metrics: Option<Metrics>) -> Router {
    let ready = get(move || async move { readiness_response(&readiness) });
    let router = Router::new().route("/readyz", ready);
    match metrics {
        None => router,
        Some(metrics) => {
            let render =
                get(move || async move { ([("content-type", METRICS_TYPE)], metrics.render()) });
            router.route("/metrics", render)
        }
    }
}

/// Adds the name of a daemon, such as `signer`, to the responses of `/readyz` and `/healthz`, in
/// the header [`SERVICE_HEADER`]. Other routes stay as they are: the reference systems' clients see
/// no further header. A name that cannot be in a header is omitted.
///
/// With the name, a daemon can be told from another web server on its port.
pub fn name_service(router: Router, name: &str) -> Router {
    let Ok(name) = HeaderValue::from_str(name) else { return router };
    router.layer(from_fn(move |request: Request, next: Next| {
        let name = name.clone();
        async move {
            let is_health = matches!(request.uri().path(), "/readyz" | "/healthz");
            let mut response = next.run(request).await;
            if is_health {
                response.headers_mut().insert(SERVICE_HEADER, name);
            }
            response
        }
    }))
}

fn readiness_response(readiness: &Readiness) -> Response {
    if readiness.is_ready() {
        Json(json!({"ready": true})).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "error": "starting"})))
            .into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get(router: &Router, path: &str) -> (u16, String) {
        let response =
            router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_and_metrics_have_separate_routes() {
        let readiness = Readiness::starting();
        let router = readiness_routes(readiness.clone(), None);
        assert_eq!(
            get(&router, "/readyz").await,
            (503, r#"{"ready":false,"error":"starting"}"#.into())
        );
        readiness.set_ready();
        assert_eq!(get(&router, "/readyz").await, (200, r#"{"ready":true}"#.into()));
        assert_eq!(get(&router, "/metrics").await.0, 404, "none are recorded");
        let router = readiness_routes(readiness, Some(Metrics::install().unwrap()));
        assert_eq!(get(&router, "/metrics").await.0, 200);
    }

    #[tokio::test]
    async fn service_name_is_in_health_responses_only() {
        let router =
            readiness_routes(Readiness::starting(), None).route("/", super::get(async || "home"));
        let router = name_service(router, "signer");
        for (path, name) in [("/readyz", Some("signer")), ("/", None)] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let header =
                response.headers().get(SERVICE_HEADER).map(|value| value.to_str().unwrap());
            assert_eq!(header, name, "{path}");
        }
    }
}
