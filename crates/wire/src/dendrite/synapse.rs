//! The types that handlers extract and return.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{SENDER_IP, SIGNATURE, VERSION, response};
use crate::headers::optional;
use crate::{Caller, Refusal};

/// The status message of the axon, which handlers set as an extension of the response. The default
/// for status 200 is `Success`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusMessage(pub String);

/// The calling dendrite. Handlers take it as an extractor; it comes from the headers, never from
/// the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// The IP address that the caller states; not signed.
    pub ip: Option<String>,
    /// The version that the caller states; not signed.
    pub version: Option<u64>,
    /// The time of signing, in nanoseconds since the Unix epoch.
    pub nonce: u64,
    /// The UUID of the calling process.
    pub uuid: Option<String>,
    /// The SS58 address of the signing hotkey.
    pub hotkey: String,
    /// The verified signature.
    pub signature: Option<String>,
}

impl Terminal {
    fn of(parts: &Parts) -> Result<Self, Refusal> {
        let caller = parts.extensions.get::<Caller>().ok_or(Refusal::Unsigned)?;
        let headers = &parts.headers;
        Ok(Self {
            ip: optional(headers, SENDER_IP)?.map(str::to_owned),
            version: optional(headers, VERSION)?.and_then(|version| version.parse().ok()),
            nonce: caller.nonce,
            uuid: caller.uuid.clone(),
            hotkey: caller.hotkey.to_string(),
            signature: optional(headers, SIGNATURE)?.map(str::to_owned),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Terminal {
    type Rejection = Refusal;

    /// Extracts the verified caller. Refuses requests on routes outside the layer, which have no
    /// verified caller.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::of(parts)
    }
}

/// A synapse: the fields of its class and those that every synapse has. `dendrite` is always the
/// verified caller, regardless of the body. A handler returns a synapse as a success response.
#[derive(Debug, Clone, PartialEq)]
pub struct Synapse(Map<String, Value>);

impl Synapse {
    /// Deserialises the synapse into the handler's type.
    ///
    /// # Errors
    /// [`SynapseError`] with 422 when fields are missing or have the wrong type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, SynapseError> {
        T::deserialize(&self.0)
            .map_err(|error| SynapseError::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
    }

    /// Returns the value of a field.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// Sets a field of the response.
    pub fn set(&mut self, field: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(field.into(), value.into());
    }
}

impl<S: Sync + Send> FromRequest<S> for Synapse {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let terminal = Terminal::of(&parts).map_err(IntoResponse::into_response)?;
        let body = Bytes::from_request(Request::from_parts(parts, body), state).await;
        let body = body.map_err(IntoResponse::into_response)?;
        let fields = serde_json::from_slice(&body);
        let mut synapse =
            Self(fields.map_err(|error| response::not_json(error.column(), &error.to_string()))?);
        synapse.set("dendrite", json!(terminal));
        Ok(synapse)
    }
}

impl IntoResponse for Synapse {
    fn into_response(mut self) -> Response {
        let axon = self.0.entry("axon").or_insert_with(|| json!({}));
        if !axon.is_object() {
            *axon = json!({});
        }
        if let Value::Object(axon) = axon {
            axon.insert("status_code".into(), 200.into());
            axon.insert("status_message".into(), "Success".into());
        }
        Json(self.0).into_response()
    }
}

/// A handler's error: a status and `{"message": "…"}`, which is also the axon's status message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SynapseError {
    status: StatusCode,
    message: String,
}

impl SynapseError {
    /// Creates an error whose message the caller sees.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Creates an internal error: the caller sees only an ID, which is logged with `cause`.
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        let message = response::internal_error();
        tracing::error!(cause, message, "handler failed");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message }
    }
}

impl IntoResponse for SynapseError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "message": self.message }))).into_response();
        response.extensions_mut().insert(StatusMessage(self.message));
        response
    }
}

/// Creates the response of a streaming synapse. The headers are sent immediately, the body's chunks
/// as they arrive.
pub fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}
