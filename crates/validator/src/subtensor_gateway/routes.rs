use std::time::Duration;

use crate::api::{BlockAnswer, MetagraphSnapshot, WeightsAnswer, WeightsRequest};
use axum::Router;
use axum::extract::State as Shared;
use axum::response::Json;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use taonet_primitives::{Hotkey, NetUid};

use super::Gateway;
use super::confirm::set_and_confirm;
use crate::operator_http::{ApiError, Body};

/// Maximum time to wait for a block, in seconds.
const MAX_WAIT_S: f64 = 540.0;

pub(super) fn routes(gateway: Gateway) -> Router {
    Router::new()
        .route("/v1/block/current", post(current_block))
        .route("/v1/block/wait", post(wait_for_block))
        .route("/v1/metagraph/snapshot", post(snapshot))
        .route("/v1/registry/context", post(context))
        .route("/v1/weights/set_and_confirm", post(set_weights))
        .with_state(gateway)
}

async fn current_block(Shared(gateway): Shared<Gateway>) -> Result<Json<BlockAnswer>, ApiError> {
    let head = gateway.inner.connected()?.chain.head().await?;
    Ok(Json(BlockAnswer { block: head.number.get() }))
}

#[derive(Deserialize)]
struct WaitRequest {
    #[serde(default)]
    timeout_s: Option<serde_json::Number>,
}

/// Waits for the next block. All waiting requests share one subscription; a disconnected client stops waiting.
async fn wait_for_block(
    Shared(gateway): Shared<Gateway>,
    Body(request): Body<WaitRequest>,
) -> Result<Json<BlockAnswer>, ApiError> {
    let mut heads = gateway.inner.connected()?.chain.heads();
    let asked = request.timeout_s.as_ref().and_then(serde_json::Number::as_f64);
    let seconds = asked.unwrap_or(gateway.inner.settings.wait_within.as_secs_f64()).clamp(0.0, MAX_WAIT_S);
    let known = heads.borrow_and_update().map(|head| head.number);
    let newer = heads.wait_for(|head| head.map(|head| head.number) > known);
    match tokio::time::timeout(Duration::from_secs_f64(seconds), newer).await {
        Ok(Ok(head)) => Ok(Json(BlockAnswer { block: head.map_or(0, |head| head.number.get()) })),
        Ok(Err(_)) => Err(ApiError::NotConnected),
        Err(_) => Err(ApiError::NoNewBlock { seconds }),
    }
}

#[derive(Deserialize)]
struct SnapshotRequest {
    #[serde(default)]
    netuid: Option<NetUid>,
    /// Ignored field: weights and bonds are never part of the response.
    #[serde(default, rename = "lite")]
    _lite: Option<bool>,
}

async fn snapshot(
    Shared(gateway): Shared<Gateway>,
    Body(request): Body<SnapshotRequest>,
) -> Result<Json<MetagraphSnapshot>, ApiError> {
    let netuid = request.netuid.unwrap_or(gateway.inner.settings.netuid);
    Ok(Json(gateway.inner.connected()?.snapshot(netuid).await?))
}

async fn context(gateway: Shared<Gateway>, request: Body<SnapshotRequest>) -> Result<Json<Value>, ApiError> {
    let Json(metagraph) = snapshot(gateway, request).await?;
    Ok(Json(json!({ "metagraph": metagraph, "commitments": {} })))
}

async fn set_weights(
    Shared(gateway): Shared<Gateway>,
    Body(body): Body<Value>,
) -> Result<Json<WeightsAnswer>, ApiError> {
    let settings = &gateway.inner.settings;
    let request = WeightsRequest::read(&body, settings.netuid)?;
    if request.netuid != settings.netuid {
        return Err(ApiError::OtherSubnet { asked: request.netuid, ours: settings.netuid });
    }
    // Wallet names are ignored; only an SS58 address identifies a hotkey here.
    let asked = request.wallet_hotkey.as_deref().and_then(|name| name.parse::<Hotkey>().ok());
    if let Some(asked) = asked.filter(|asked| *asked != settings.hotkey) {
        return Err(ApiError::OtherHotkey { asked: asked.to_string(), ours: settings.hotkey });
    }
    let answer = set_and_confirm(gateway.inner.connected()?, settings, &request).await;
    let result = if answer.is_ok() { "confirmed" } else { "unconfirmed" };
    metrics::counter!("taonet_subtensor_gateway_submissions_total", "result" => result).increment(1);
    Ok(Json(WeightsAnswer { success: true, error: None, details: answer? }))
}
