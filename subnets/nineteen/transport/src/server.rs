//! The miner's side of the transport: handshake routes, request verification and decryption.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::json;
use taonet_primitives::Hotkey;
use taonet_wire::{Caller, SignedLayer, SignedLayerBuilder};

use crate::handshake::{DecryptError, ExchangeError};
use crate::proof::{EXCHANGE_SIGNATURE, KEY_SIGNATURE};
use crate::{ExchangeMessage, ExchangeReply, FiberRules, FiberScheme, MinerHandshake};

/// Minimum size of bodies that are decrypted on the blocking pool, in bytes.
const MIN_OFFLOADED_BYTES: usize = 256 * 1024;

/// Request extension that marks a decrypted body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecryptedBody;

/// Returns a builder for the layer that verifies requests to the hotkey `miner`. The caller sets
/// request limits, access policy and load limits.
pub fn signed_requests(miner: Hotkey, rules: FiberRules) -> SignedLayerBuilder {
    SignedLayer::builder(miner, FiberScheme::new(rules))
}

/// Returns a miner's routes: `/public-encryption-key`, unsigned; `/exchange-symmetric-key`, signed;
/// and `encrypted_routes`, whose requests are signed and encrypted. Their handlers receive the
/// decrypted JSON, and can extract the authenticated [`Caller`].
pub fn routes(handshake: MinerHandshake, signed: SignedLayer, encrypted_routes: Router) -> Router {
    let encrypted_routes = encrypted_routes
        .route_layer(middleware::from_fn_with_state(handshake.clone(), decrypt_body));
    let exchange = Router::new()
        .route("/exchange-symmetric-key", post(exchange))
        .with_state(handshake.clone());
    let unsigned =
        Router::new().route("/public-encryption-key", get(public_key)).with_state(handshake);
    encrypted_routes.merge(exchange).route_layer(signed).merge(unsigned)
}

async fn public_key(State(handshake): State<MinerHandshake>) -> Response {
    let (message, signature) = handshake.public_key();
    ([(KEY_SIGNATURE, signature.to_string())], Json(message)).into_response()
}

async fn exchange(
    State(handshake): State<MinerHandshake>,
    caller: Caller,
    body: Bytes,
) -> Response {
    let Ok(message) = serde_json::from_slice::<ExchangeMessage>(&body) else {
        let error_entry = json!({"type": "missing", "loc": ["body", "encrypted_symmetric_key"], "msg": "Field required"});
        return error_response(StatusCode::UNPROCESSABLE_ENTITY, json!([error_entry]));
    };
    let key_id = caller.uuid.unwrap_or_default();
    // RSA decryption takes about 1 ms.
    let result =
        tokio::task::spawn_blocking(move || handshake.exchange(caller.hotkey, &key_id, &message))
            .await;
    match result {
        Ok(Ok(signature)) => {
            let status = "Symmetric key exchanged successfully".to_owned();
            ([(EXCHANGE_SIGNATURE, signature.to_string())], Json(ExchangeReply { status }))
                .into_response()
        }
        Ok(Err(ExchangeError::Rsa(_))) => error_response(
            StatusCode::UNAUTHORIZED,
            "Oi, I can't decrypt that symmetric key, sorry",
        ),
        Ok(Err(error @ ExchangeError::Full(_))) => {
            error_response(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        // The process is shutting down.
        Err(_) => error_response(StatusCode::SERVICE_UNAVAILABLE, "miner is shutting down"),
    }
}

/// Middleware that replaces an encrypted request body with its JSON.
async fn decrypt_body(
    State(handshake): State<MinerHandshake>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let Some(caller) = head.extensions.get::<Caller>().cloned() else {
        return error_response(StatusCode::UNAUTHORIZED, "request is not signed");
    };
    // The signed layer has buffered and limited the body.
    let Ok(token) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return error_response(StatusCode::BAD_REQUEST, "cannot read the request body");
    };
    let (rules, is_large) = (handshake.rules(), token.len() >= MIN_OFFLOADED_BYTES);
    let decrypt =
        move || handshake.open(&caller.hotkey, caller.uuid.as_deref().unwrap_or_default(), &token);
    let decrypted = if is_large {
        match tokio::task::spawn_blocking(decrypt).await {
            Ok(decrypted) => decrypted,
            Err(_) => {
                return error_response(StatusCode::SERVICE_UNAVAILABLE, "miner is shutting down");
            }
        }
    } else {
        decrypt()
    };
    let text = match decrypted {
        Ok(text) => text,
        Err(error) => return error_response(status_of(error, rules), error.to_string()),
    };
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.extensions.insert(DecryptedBody);
    let mut request = Request::from_parts(head, Body::from(text));
    // The signed layer's limit applies; axum's default limit is lower.
    DefaultBodyLimit::disable().apply(&mut request);
    next.run(request).await
}

const fn status_of(error: DecryptError, rules: FiberRules) -> StatusCode {
    match (error, rules) {
        (DecryptError::UnknownKey, _) | (_, FiberRules::Strict) => StatusCode::BAD_REQUEST,
        (_, FiberRules::Reference) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn error_response(status: StatusCode, detail: impl Into<serde_json::Value>) -> Response {
    let detail: serde_json::Value = detail.into();
    (status, Json(json!({ "detail": detail }))).into_response()
}
