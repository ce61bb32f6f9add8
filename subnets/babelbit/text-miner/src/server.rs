//! HTTP routes of the text miner.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use taonet_babelbit_core::text_api::{PREDICT_PATH, PredictedUtterance, PredictionResponse};
use taonet_primitives::Hotkey;
use taonet_wire::{BabelbitScheme, Caller, SignedLayer, SignedLayerBuilder};

use super::model::TextModel;
use super::{Refusal, backend, causal};

/// Maximum size of a body in bytes: a long dialogue as context.
const MAX_BODY: usize = 1 << 20;
/// Maximum length of a prefix in bytes; utterances of the contest have a few hundred.
const MAX_PREFIX: usize = 64 << 10;
/// Number of predictions that warm up the model before the first request.
const WARM_UP_PREDICTIONS: usize = 16;
/// Time after which no further prediction of the warm-up starts.
const MAX_WARM_UP_TIME: Duration = Duration::from_secs(5);

const REQUESTS: &str = "taonet_text_miner_requests_total";
const PREDICT_SECONDS: &str = "taonet_text_miner_predict_seconds";

/// Registers the miner's metrics. Call once, after the recorder is installed.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests by HTTP status");
    describe_histogram!(PREDICT_SECONDS, Unit::Seconds, "Time to compute a prediction");
    backend::describe_metrics();
    causal::describe_metrics();
    // Initialise to 0, so that rate queries include the first request.
    counter!(REQUESTS, "status" => "200").increment(0);
}

/// Makes a few predictions, so that the first caller does not wait for cold memory. Returns the
/// duration of the last prediction.
pub async fn warm_up(model: &dyn TextModel) -> Duration {
    let start = Instant::now();
    let mut last = Duration::ZERO;
    let mut prefix = String::new();
    for _ in 0..WARM_UP_PREDICTIONS {
        if start.elapsed() > MAX_WARM_UP_TIME {
            break;
        }
        let started = Instant::now();
        let predicted = model.predict(&prefix, "").await;
        last = started.elapsed();
        let words = prefix.split_whitespace().count() + 1;
        prefix = predicted.split_whitespace().take(words).collect::<Vec<_>>().join(" ");
    }
    last
}

/// Returns a builder for the layer that verifies requests signed for the hotkey `receiver`; see
/// [`router`].
pub fn signed_requests(receiver: Hotkey) -> SignedLayerBuilder {
    let limits = taonet_wire::Limits { body_bytes: MAX_BODY, ..taonet_wire::Limits::default() };
    // The layer accepts headers with and without a body hash, regardless of the form that the
    // scheme sends.
    SignedLayer::builder(receiver, BabelbitScheme::axon()).limits(limits)
}

/// Returns the routes: `POST` [`PREDICT_PATH`] for requests verified by `signed` (see
/// [`signed_requests`]), and public `GET /healthz` and `GET /health`. Other routes return 404 with
/// `{"error": …}`.
pub fn router(model: Arc<dyn TextModel>, signed: SignedLayer) -> Router {
    routes(model, Router::new().route(PREDICT_PATH, post(predict)).route_layer(signed))
}

/// Returns the routes of [`router`] without signatures, for development on a local network.
pub fn unsigned_router(model: Arc<dyn TextModel>) -> Router {
    let limit = DefaultBodyLimit::max(MAX_BODY);
    routes(model, Router::new().route(PREDICT_PATH, post(predict_unsigned)).route_layer(limit))
}

fn routes(model: Arc<dyn TextModel>, predict: Router<Arc<dyn TextModel>>) -> Router {
    predict
        .route("/healthz", get(health))
        .route("/health", get(health))
        .fallback(|| async { Refusal::NoRoute })
        .with_state(model)
}

async fn health(State(model): State<Arc<dyn TextModel>>) -> (StatusCode, Json<Value>) {
    let is_loaded = model.is_loaded();
    let (status, text) = if is_loaded {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    (status, Json(json!({ "status": text, "model": model.name(), "model_loaded": is_loaded })))
}

async fn predict(State(model): State<Arc<dyn TextModel>>, caller: Caller, body: Bytes) -> Response {
    tracing::trace!(hotkey = %caller.hotkey, "predict request");
    answer(&*model, &body).await
}

async fn predict_unsigned(
    State(model): State<Arc<dyn TextModel>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match body {
        Ok(body) => answer(&*model, &body).await,
        Err(rejection) => {
            Refusal::Unread { status: rejection.status(), limit: MAX_BODY }.into_response()
        }
    }
}

async fn answer(model: &dyn TextModel, body: &[u8]) -> Response {
    let response = match parse(body) {
        Ok(request) => {
            let start = Instant::now();
            let prediction = model.predict(&request.prefix, &request.context).await;
            histogram!(PREDICT_SECONDS).record(start.elapsed());
            tracing::trace!(step = request.step, "utterance predicted");
            Json(PredictionResponse { prediction }).into_response()
        }
        Err(refusal) => refusal.into_response(),
    };
    counter!(REQUESTS, "status" => response.status().as_str().to_owned()).increment(1);
    response
}

fn parse(body: &[u8]) -> Result<PredictedUtterance, Refusal> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Refusal::NotText { valid: error.valid_up_to() })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let source = error.into_inner();
        if source.is_data() { Refusal::Field { path, source } } else { Refusal::NotJson(source) }
    });
    let Object::<PredictedUtterance>(request) = parsed?;
    deserializer.end().map_err(Refusal::NotJson)?;
    if request.prefix.len() > MAX_PREFIX {
        return Err(Refusal::TooLong {
            field: "prefix",
            length: request.prefix.len(),
            limit: MAX_PREFIX,
        });
    }
    Ok(request)
}

/// A struct that is deserialised only from an object. Without it, an array of the fields in order
/// would be accepted, too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

#[cfg(test)]
mod tests;
