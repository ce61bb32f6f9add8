use crate::api::{WeightsProblem, WeightsResponse};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use taonet_chain::ChainError;
use taonet_primitives::{Hotkey, NetUid};

use taonet_http::{BodyError, BodyRefusal, parse_json};

/// An error response, `{"success": false, "error": …}`, with optional `details`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(
        "the access token is missing or wrong; hint: send the header Authorization: Bearer TOKEN"
    )]
    Token,
    #[error("requests from web pages are refused")]
    Origin,
    #[error("the content type must be application/json")]
    ContentType,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Weights(#[from] WeightsProblem),
    #[error("this service serves subnet {ours}, not {requested}")]
    OtherSubnet { requested: NetUid, ours: NetUid },
    #[error("this service submits for hotkey {ours}, not {requested}")]
    OtherHotkey { requested: String, ours: Hotkey },
    #[error("expected 1 to 256 texts: {{\"payloads\": [text, …]}} or {{\"data\": text}}")]
    Payloads,
    #[error("payload {index}: {problem}")]
    Payload { index: usize, problem: crate::signer::PayloadRefusal },
    #[error("{0}")]
    Chain(#[from] ChainError),
    #[error("the service is not connected to the chain yet")]
    NotConnected,
    #[error("no new block within {seconds} s")]
    NoNewBlock { seconds: f64 },
    #[error("{error}")]
    Unconfirmed { error: String, details: Value },
    #[error("not signed: cannot write the audit log: {0}")]
    Audit(std::io::Error),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Origin | Self::Payload { .. } => StatusCode::FORBIDDEN,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyError::Read(refusal)) => refusal.status(),
            Self::Body(_)
            | Self::Weights(_)
            | Self::OtherSubnet { .. }
            | Self::OtherHotkey { .. }
            | Self::Payloads => StatusCode::BAD_REQUEST,
            Self::Chain(ChainError::NoSuchSubnet(_)) => StatusCode::NOT_FOUND,
            Self::Chain(_) | Self::NotConnected => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoNewBlock { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Unconfirmed { .. } | Self::Audit(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), error = %self, "request failed");
        } else {
            tracing::info!(status = status.as_u16(), error = %self, "request refused");
        }
        let error = Some(self.to_string());
        let details = match self {
            Self::Unconfirmed { details, .. } => details,
            _ => Value::Null,
        };
        let mut response =
            (status, Json(WeightsResponse { success: false, error, details })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Creates the JSON of an error.
pub(super) fn error(error: &str) -> Value {
    json!({ "success": false, "error": error })
}

/// Extractor for a JSON body that [`buffer_body`](taonet_http::buffer_body) has read.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| BodyError::from(BodyRefusal::Incomplete))?;
        Ok(Self(parse_json(&bytes)?))
    }
}
