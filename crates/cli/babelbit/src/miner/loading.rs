//! Responses of a miner that is still loading its model.

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// Returns the routes of a miner without a model: `GET /healthz` and `GET /health`, and an error
/// for all other requests.
pub(super) fn routes() -> Router {
    let health = || async {
        unavailable_response(
            json!({ "status": "warming up", "model": "not_loaded", "model_loaded": false }),
        )
    };
    Router::new().route("/healthz", get(health)).route("/health", get(health)).fallback(|| async {
        unavailable_response(json!({
            "error": "the miner is loading its model; hint: wait until /healthz has status 200"
        }))
    })
}

fn unavailable_response(body: Value) -> (StatusCode, Json<Value>) {
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}
