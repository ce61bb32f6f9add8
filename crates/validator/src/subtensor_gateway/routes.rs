use std::time::Duration;

use crate::api::{BlockResponse, MetagraphSnapshot, WeightsRequest, WeightsResponse};
use axum::Router;
use axum::extract::State as Shared;
use axum::response::Json;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use taonet_primitives::{Hotkey, NetUid};
use taonet_service::sleeper;

use super::Gateway;
use crate::operator_http::{ApiError, Body};
use crate::weight_service::{Retry, WeightsOutcome};

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

async fn current_block(Shared(gateway): Shared<Gateway>) -> Result<Json<BlockResponse>, ApiError> {
    let block = gateway.inner.connected()?.current_block().await?;
    Ok(Json(BlockResponse { block: block.get() }))
}

#[derive(Deserialize)]
struct WaitRequest {
    #[serde(default)]
    timeout_s: Option<serde_json::Number>,
}

/// Waits for the next block; a disconnected client stops waiting.
async fn wait_for_block(
    Shared(gateway): Shared<Gateway>,
    Body(request): Body<WaitRequest>,
) -> Result<Json<BlockResponse>, ApiError> {
    let weights = gateway.inner.connected()?;
    let requested_seconds = request.timeout_s.as_ref().and_then(serde_json::Number::as_f64);
    let seconds = requested_seconds
        .unwrap_or(gateway.inner.settings.wait_timeout.as_secs_f64())
        .clamp(0.0, MAX_WAIT_S);
    match weights.wait_for_block(Duration::from_secs_f64(seconds)).await {
        Ok(Some(block)) => Ok(Json(BlockResponse { block: block.get() })),
        Ok(None) => Err(ApiError::NoNewBlock { seconds }),
        Err(_) => Err(ApiError::NotConnected),
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
    Ok(Json((&gateway.inner.connected()?.metagraph(netuid).await?).into()))
}

async fn context(
    gateway: Shared<Gateway>,
    request: Body<SnapshotRequest>,
) -> Result<Json<Value>, ApiError> {
    let Json(metagraph) = snapshot(gateway, request).await?;
    Ok(Json(json!({ "metagraph": metagraph, "commitments": {} })))
}

async fn set_weights(
    Shared(gateway): Shared<Gateway>,
    Body(body): Body<Value>,
) -> Result<Json<WeightsResponse>, ApiError> {
    let settings = &gateway.inner.settings;
    let request = WeightsRequest::read(&body, settings.netuid)?;
    if request.netuid != settings.netuid {
        return Err(ApiError::OtherSubnet { requested: request.netuid, ours: settings.netuid });
    }
    // Wallet names are ignored; only an SS58 address identifies a hotkey here.
    let requested = request.wallet_hotkey.as_deref().and_then(|name| name.parse::<Hotkey>().ok());
    if let Some(requested) = requested.filter(|requested| *requested != settings.hotkey) {
        return Err(ApiError::OtherHotkey {
            requested: requested.to_string(),
            ours: settings.hotkey,
        });
    }
    let delay = Duration::from_secs_f64(request.delay_s);
    let retry = Retry {
        pauses: std::iter::repeat_n(delay, request.retries.saturating_sub(1) as usize),
        timeout: settings.confirm_timeout,
        sleeper: sleeper(),
    };
    match gateway.inner.connected()?.submit(&request, retry).await {
        WeightsOutcome::NotSet { error, details } => Err(ApiError::Unconfirmed { error, details }),
        outcome => Ok(Json(WeightsResponse {
            success: true,
            error: None,
            details: outcome.details().clone(),
        })),
    }
}
