//! The OpenAPI document.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};

/// Handler of `GET /openapi.json`.
pub(crate) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], taonet_nineteen_openapi::document()).into_response()
}
