use std::sync::{Arc, Mutex, PoisonError};

use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, http::StatusCode};
use serde_json::json;
use taonet_telemetry::Metrics;

/// The content type of Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a daemon can do its work now; `/readyz` tells. Clones speak of the same daemon.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Option<String>>>);

impl Readiness {
    /// Not ready, since the daemon is starting.
    pub fn starting() -> Self {
        Self(Arc::new(Mutex::new(Some("starting".to_owned()))))
    }

    /// From now on ready.
    pub fn set_ready(&self) {
        self.set(None);
    }

    /// From now on not ready, for this reason.
    pub fn set_unready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// Why the daemon is not ready; `None` when it is.
    pub fn unready_reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// `/healthz` (the process answers), and [`readiness_routes`]. To be merged into a daemon's router, outside of layers
/// that ask for signatures.
pub fn health_routes(readiness: Readiness, metrics: Option<Metrics>) -> Router {
    readiness_routes(readiness, metrics).route("/healthz", get(|| async { Json(json!({"ok": true})) }))
}

/// `/readyz` (200, or 503 with the reason) and, when metrics are recorded, `/metrics`. For daemons whose protocol
/// asks for a `/healthz` of its own.
pub fn readiness_routes(readiness: Readiness, metrics: Option<Metrics>) -> Router {
    let ready = get(move || async move { ready(&readiness) });
    let router = Router::new().route("/readyz", ready);
    match metrics {
        None => router,
        Some(metrics) => {
            let render = get(move || async move { ([("content-type", METRICS_TYPE)], metrics.render()) });
            router.route("/metrics", render)
        }
    }
}

fn ready(readiness: &Readiness) -> Response {
    match readiness.unready_reason() {
        None => Json(json!({"ready": true})).into_response(),
        Some(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "error": reason}))).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get(router: &Router, path: &str) -> (u16, String) {
        let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_are_told_apart() {
        let readiness = Readiness::starting();
        let router = health_routes(readiness.clone(), None);
        assert_eq!(get(&router, "/healthz").await, (200, r#"{"ok":true}"#.into()));
        assert_eq!(get(&router, "/readyz").await, (503, r#"{"ready":false,"error":"starting"}"#.into()));
        readiness.set_ready();
        assert_eq!(get(&router, "/readyz").await, (200, r#"{"ready":true}"#.into()));
        readiness.set_unready("model is reloading");
        assert_eq!(get(&router, "/readyz").await.0, 503);
        assert_eq!(get(&router, "/metrics").await.0, 404, "none are recorded");
        let router = health_routes(readiness, Some(Metrics::install().unwrap()));
        assert_eq!(get(&router, "/metrics").await.0, 200);
    }
}
