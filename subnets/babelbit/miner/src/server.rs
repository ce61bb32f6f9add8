//! HTTP routes of the miner.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use taonet_babelbit_core::protocol::{
    DTYPE, FRAME_RATE_HZ, FRAME_SAMPLES, InitRequest, InitResponse, MinerRequest, PredictRequest,
    PredictResponse, SAMPLE_RATE_HZ,
};
use taonet_primitives::Hotkey;
use taonet_wire::{BabelbitScheme, Caller, SignedLayer, SignedLayerBuilder};
use tokio::sync::Semaphore;

use super::profile::Profile;
use super::samples::MAX_CHANNELS;
use super::sessions::Sessions;
use super::{MinerConfig, Refusal, metrics};
use taonet_service::{MonotonicClock, monotonic_clock};

/// Maximum length of a challenge or utterance ID in bytes.
const MAX_IDENTIFIER_BYTES: usize = 256;

/// State of a miner: its profile and its session table.
pub struct Miner {
    config: MinerConfig,
    profile: Arc<dyn Profile>,
    sessions: Arc<Sessions>,
    workers: Arc<Semaphore>,
    clock: MonotonicClock,
}

impl Miner {
    /// Creates a miner without sessions.
    pub fn new(config: MinerConfig, profile: Arc<dyn Profile>) -> Self {
        Self::with_clock(config, profile, monotonic_clock())
    }

    /// Creates a miner that uses `clock` to expire idle sessions.
    pub fn with_clock(
        config: MinerConfig,
        profile: Arc<dyn Profile>,
        clock: MonotonicClock,
    ) -> Self {
        let sessions = Arc::new(Sessions::new(config.limits));
        let workers = Arc::new(Semaphore::new(config.workers.clamp(1, Semaphore::MAX_PERMITS)));
        Self { config, profile, sessions, workers, clock }
    }

    fn init(&self, caller: Hotkey, request: InitRequest) -> Result<InitResponse, Refusal> {
        check_init(&request)?;
        let id = self.sessions.open(caller, &request, &*self.profile, (self.clock)())?;
        tracing::debug!(session_id = %id, hotkey = %caller, utterance_id = request.utterance_id, "session opened");
        Ok(InitResponse {
            ready: true,
            miner_id: self.config.miner_id.clone(),
            session_id: id.to_string(),
            challenge_uid: request.challenge_uid,
            utterance_id: request.utterance_id,
            language: request.language,
            sample_rate_hz: request.sample_rate_hz,
            frame_rate_hz: request.frame_rate_hz,
            frame_samples: request.frame_samples,
            dtype: request.dtype,
            channels: request.channels,
        })
    }

    async fn predict(
        &self,
        caller: Hotkey,
        request: PredictRequest,
    ) -> Result<PredictResponse, Refusal> {
        let start = (self.clock)();
        let (id, mut state) = self.sessions.acquire(&request.session_id, caller, start)?;
        // At most one request per session waits here, so the session limit also bounds this queue.
        let permit =
            Arc::clone(&self.workers).acquire_owned().await.map_err(|_| Refusal::SessionAborted)?;
        let sessions = Arc::clone(&self.sessions);
        // If the caller disconnects, this future is dropped, but the work continues and occupies
        // its worker and its session.
        let processing = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let frame_response = state.process(&request)?;
            if frame_response.response.out_eos {
                sessions.finish(id);
            }
            Ok::<_, Refusal>(frame_response)
        });
        let frame_response = processing.await.map_err(|_| Refusal::SessionAborted)??;
        metrics::record_frame(
            (self.clock)().saturating_duration_since(start),
            frame_response.received_samples,
            frame_response.spoken_samples,
        );
        tracing::trace!(
            session_id = %id,
            heard = frame_response.received_samples,
            spoken = frame_response.spoken_samples,
            "frame answered"
        );
        Ok(frame_response.response)
    }
}

fn check_init(request: &InitRequest) -> Result<(), Refusal> {
    for (field, value) in
        [("challenge_uid", &request.challenge_uid), ("utterance_id", &request.utterance_id)]
    {
        if value.is_empty() || value.len() > MAX_IDENTIFIER_BYTES {
            return Err(Refusal::Identifier { field, limit: MAX_IDENTIFIER_BYTES });
        }
    }
    if request.language.as_ref().is_some_and(|language| language.len() > MAX_IDENTIFIER_BYTES) {
        return Err(Refusal::Identifier { field: "language", limit: MAX_IDENTIFIER_BYTES });
    }
    if request.sample_rate_hz != SAMPLE_RATE_HZ {
        return Err(Refusal::SampleRate(request.sample_rate_hz));
    }
    if (request.frame_rate_hz - FRAME_RATE_HZ).abs() > 1e-9 {
        return Err(Refusal::FrameRate(request.frame_rate_hz));
    }
    if request.frame_samples != FRAME_SAMPLES {
        return Err(Refusal::FrameSamples(request.frame_samples));
    }
    if request.dtype != DTYPE {
        return Err(Refusal::Dtype);
    }
    if !(1..=MAX_CHANNELS).contains(&request.channels) {
        return Err(Refusal::Channels(request.channels));
    }
    Ok(())
}

/// Returns a builder for the layer that verifies requests signed for the hotkey `receiver`, with
/// the limits in `config`; see [`router`].
pub fn signed_requests(receiver: Hotkey, config: &MinerConfig) -> SignedLayerBuilder {
    let limits = taonet_wire::Limits {
        body_bytes: config.limits.body_bytes,
        ..taonet_wire::Limits::default()
    };
    // The layer accepts headers with and without a body hash, regardless of the form that the
    // scheme sends.
    SignedLayer::builder(receiver, BabelbitScheme::axon()).limits(limits)
}

/// Returns the routes: `POST` [`MinerConfig::predict_path`] for requests verified by `signed` (see
/// [`signed_requests`]), and public `GET /healthz` and `GET /health`. Other routes return 404 with
/// `{"error": …}`.
pub fn router(miner: Arc<Miner>, signed: SignedLayer) -> Router {
    Router::new()
        .route(miner.config.predict_path.as_str(), post(handle_request))
        .route_layer(signed)
        .route("/healthz", get(health))
        .route("/health", get(health))
        .fallback(|| async { Refusal::NoRoute })
        .with_state(miner)
}

async fn health(State(miner): State<Arc<Miner>>) -> Json<Value> {
    // A profile without a model is always ready.
    let model = miner.profile.model().unwrap_or(miner.profile.name().as_str());
    Json(json!({ "status": "healthy", "model": model, "model_loaded": true }))
}

async fn handle_request(State(miner): State<Arc<Miner>>, caller: Caller, body: Bytes) -> Response {
    let response = match parse_request(&body) {
        Ok(MinerRequest::Init(request)) => {
            miner.init(caller.hotkey, request).map(Json).into_response()
        }
        Ok(MinerRequest::Predict(request)) => {
            miner.predict(caller.hotkey, request).await.map(Json).into_response()
        }
        Err(refusal) => refusal.into_response(),
    };
    metrics::count_request(response.status());
    response
}

fn parse_request(body: &[u8]) -> Result<MinerRequest, Refusal> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Refusal::InvalidMessage(error),
        _ => Refusal::NotJson(error),
    })
}

#[cfg(test)]
mod tests;
