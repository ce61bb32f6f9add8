use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use taonet_primitives::Hotkey;
use taonet_proof_core::messages::{QUERY_ZK_PROOF, QueryZkProof, SLICE_PROOF, SliceProofRequest};
use taonet_proof_core::query::{ProofAnswer, ProofQuery, SliceQuery};
use taonet_wire::{BtauthScheme, Caller, Limits, SignedLayer, SignedLayerBuilder};

use crate::{Miner, Refusal, metrics};

/// Maximum size of a request body in bytes.
const MAX_REQUEST_BYTES: usize = 10 << 20;
/// Grace period for the answer, beyond the timeout of a proof.
const RESPONSE_GRACE: Duration = Duration::from_secs(10);

/// Creates the signature verification of requests to the hotkey `miner`. `timeout` is the timeout
/// of a proof; see [`router`].
pub fn signed_requests(miner: Hotkey, timeout: Duration) -> SignedLayerBuilder {
    let answer_timeout = timeout.saturating_add(RESPONSE_GRACE);
    let limits = Limits { body_bytes: MAX_REQUEST_BYTES, answer_timeout, ..Limits::default() };
    SignedLayer::builder(miner, BtauthScheme::new()).limits(limits)
}

/// Creates the routes: `POST /query-zk-proof` and `POST /dsperse-proof-generation` (a slice of a
/// model) for requests that `signed` verifies (see [`signed_requests`]), and public `GET /health`
/// and `GET /healthz`.
pub fn router(miner: Miner, signed: SignedLayer) -> Router {
    Router::new()
        .route(&format!("/{QUERY_ZK_PROOF}"), post(prove))
        .route(&format!("/{SLICE_PROOF}"), post(prove_slice))
        .route_layer(signed)
        .route("/health", get(|| async { "ok" }))
        .route("/healthz", get(|| async { "ok" }))
        .fallback(|| async { Refusal::NoRoute })
        .with_state(miner)
}

async fn prove(State(miner): State<Miner>, caller: Caller, body: Bytes) -> Response {
    let answer = async {
        let message: QueryZkProof = serde_json::from_slice(&body).map_err(Refusal::Malformed)?;
        miner.answer(&ProofQuery::from_message(&message)?).await
    };
    respond(&caller, answer.await)
}

async fn prove_slice(State(miner): State<Miner>, caller: Caller, body: Bytes) -> Response {
    let answer = async {
        let message: SliceProofRequest =
            serde_json::from_slice(&body).map_err(Refusal::Malformed)?;
        miner.answer_slice(&SliceQuery::from_message(&message)?).await
    };
    respond(&caller, answer.await)
}

fn respond(caller: &Caller, answer: Result<ProofAnswer, Refusal>) -> Response {
    if let Err(refusal) = &answer {
        tracing::debug!(hotkey = %caller.hotkey, %refusal, "request refused");
    }
    let response = answer.map(Json).into_response();
    metrics::count_request(response.status());
    response
}

#[cfg(test)]
mod tests;
