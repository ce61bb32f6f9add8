use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use crate::api::{WeightsRequest, WeightsResponse};
use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, State as Shared};
use axum::http::request::Parts;
use axum::response::Json;
use axum::routing::post;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Signer;
use crate::operator_http::{ApiError, Body};

/// Maximum number of texts per request.
const MAX_PAYLOADS: usize = 256;

pub(super) fn routes(signer: Signer) -> Router {
    Router::new()
        .route("/sign", post(sign))
        .route("/set_weights", post(set_weights))
        .with_state(signer)
}

/// Address of the caller, for the audit log.
struct Peer(Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(
            parts
                .extensions
                .get::<ConnectInfo<SocketAddr>>()
                .map(|ConnectInfo(address)| address.ip()),
        ))
    }
}

async fn sign(
    Shared(signer): Shared<Signer>,
    Peer(peer): Peer,
    Body(body): Body<Value>,
) -> Result<Json<Value>, ApiError> {
    let config = &signer.config;
    let payload_texts = payloads(&body)?;
    let kinds = payload_texts.iter().enumerate().map(|(index, text)| {
        (config.policy)(text).map_err(|problem| ApiError::Payload { index, problem })
    });
    let kinds: Vec<&'static str> = kinds.collect::<Result<_, _>>()?;
    let entries: Vec<Value> = payload_texts
        .iter()
        .zip(&kinds)
        .map(|(text, kind)| {
            json!({
                "time": Timestamp::now().to_string(), "peer": peer, "action": "sign", "kind": *kind,
                "sha256": hex::encode(Sha256::digest(text)), "bytes": text.len(),
            })
        })
        .collect();
    config.audit.record(&entries).map_err(ApiError::Audit)?;
    let signatures: Vec<String> = payload_texts
        .iter()
        .map(|text| config.keypair.sign(text.as_bytes()).to_bare_hex())
        .collect();
    for kind in kinds {
        metrics::counter!("taonet_signer_signatures_total", "kind" => kind).increment(1);
    }
    Ok(Json(
        json!({ "success": true, "signatures": signatures, "hotkey": config.keypair.hotkey() }),
    ))
}

/// Returns the texts of `payloads`, or else of `data`; a single text in `data` needs no list.
fn payloads(body: &Value) -> Result<Vec<&str>, ApiError> {
    let payload_texts = match (body.get("payloads"), body.get("data")) {
        (Some(Value::Array(payload_texts)), _)
        | (None | Some(Value::Null), Some(Value::Array(payload_texts))) => payload_texts.as_slice(),
        (None | Some(Value::Null), Some(text @ Value::String(_))) => std::slice::from_ref(text),
        _ => return Err(ApiError::Payloads),
    };
    if payload_texts.is_empty() || payload_texts.len() > MAX_PAYLOADS {
        return Err(ApiError::Payloads);
    }
    payload_texts.iter().map(|text| text.as_str().ok_or(ApiError::Payloads)).collect()
}

async fn set_weights(
    Shared(signer): Shared<Signer>,
    Peer(peer): Peer,
    Body(body): Body<Value>,
) -> Result<Json<WeightsResponse>, ApiError> {
    let config = &signer.config;
    let request = WeightsRequest::read(&body, config.netuid)?;
    if request.netuid != config.netuid {
        return Err(ApiError::OtherSubnet { requested: request.netuid, ours: config.netuid });
    }
    config.audit.record_weights(peer, &request).map_err(ApiError::Audit)?;
    let request = WeightsRequest {
        retries: config.retries,
        delay_s: config.retry_delay.as_secs_f64(),
        ..request
    };
    match config.gateway.set_and_confirm(&request).await {
        Ok(response) if response.success => Ok(Json(response)),
        Ok(WeightsResponse { error, details, .. }) => Err(ApiError::Unconfirmed {
            error: error.unwrap_or_else(|| "confirmation failed".to_owned()),
            details,
        }),
        Err(error) => Err(ApiError::Unconfirmed { error: error.to_string(), details: Value::Null }),
    }
}
