//! Parts of HTTP services: JSON request bodies, JSON error responses, request counters, and path
//! normalisation.

use axum::Json;
use axum::extract::{MatchedPath, Request};
use axum::http::Uri;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::uri::PathAndQuery;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{BodyLimits, BodyRefusal};

/// Why a JSON request body was rejected: it could not be read, is not JSON, or has the wrong
/// fields.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// A field is missing or has the wrong type.
    #[error("{path}: {source}")]
    Shape {
        /// Path of the field in the body.
        path: String,
        /// The deserialisation error at that path.
        source: serde_json::Error,
    },
    /// The body exceeds the limits on size, time or memory, or is incomplete.
    #[error(transparent)]
    Read(#[from] BodyRefusal),
}

/// Reads a JSON request body within the limits of `bodies`. The header `Content-Type` is ignored.
///
/// # Errors
/// [`BodyError`] when the body exceeds a limit, is incomplete, or is not valid JSON for `T`.
pub async fn read_json<T: DeserializeOwned>(
    request: Request,
    bodies: &BodyLimits,
) -> Result<T, BodyError> {
    parse_json(&bodies.read(request.into_body()).await?.bytes)
}

/// Parses a JSON body that is already in memory.
///
/// # Errors
/// [`BodyError`] when the body is not valid JSON for `T`.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let source = error.into_inner();
        if source.is_data() {
            BodyError::Shape { path, source }
        } else {
            BodyError::NotJson(source)
        }
    })?;
    deserializer.end().map_err(BodyError::NotJson)?;
    Ok(value)
}

/// Rewrites a plain-text or empty error response of a lower layer into the service's own JSON error
/// format. `error_body` creates the JSON from the reason phrase of the status, such as `Not Found`.
pub fn error_as_json(response: Response, error_body: impl FnOnce(&str) -> Value) -> Response {
    let (mut parts, body) = response.into_parts();
    let status = parts.status;
    let is_json = parts
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|content_type| content_type.as_bytes().starts_with(b"application/json"));
    if !(status.is_client_error() || status.is_server_error()) || is_json {
        return Response::from_parts(parts, body);
    }
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(CONTENT_TYPE);
    (parts, Json(error_body(status.canonical_reason().unwrap_or("error")))).into_response()
}

/// Counts requests by route and status. `counter` is the metric's name.
pub async fn count_requests(
    counter: &'static str,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let route = route.map_or_else(|| "other".to_owned(), |route| route.as_str().to_owned());
    let status = response.status().as_u16().to_string();
    metrics::counter!(counter, "route" => route, "status" => status).increment(1);
    response
}

/// Collapses repeated slashes in the path of a request: `//auth///verify` becomes `/auth/verify`.
/// Clients send such paths when their base URL ends in a slash. Apply this function around a
/// router, so that the path is normalised before routing.
pub(crate) fn collapse_slashes(mut request: Request) -> Request {
    if !request.uri().path().contains("//") {
        return request;
    }
    let mut path = String::with_capacity(request.uri().path().len());
    for c in request.uri().path().chars() {
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    if let Some(query) = request.uri().query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path) = PathAndQuery::try_from(path) {
        parts.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}
