//! The echo neuron: routes, synapses and metrics.

use std::convert::Infallible;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use serde::Deserialize;
use serde_json::json;
use taonet_primitives::Hotkey;
use taonet_wire::{
    BabelbitScheme, BtauthScheme, Caller, Limits, SignedLayer, SignedLayerBuilder, Synapse,
    SynapseError, event_stream,
};

use super::{SchemeName, synapses};

/// Synapse that returns its `prompt` as `answer`.
pub(super) const ECHO: &str = "EchoSynapse";
/// Synapse that streams its `prompt` word by word.
pub(super) const STREAM: &str = "StreamSynapse";

/// Maximum size of a request body: 1 MiB.
const MAX_BODY_BYTES: usize = 1 << 20;

const REQUESTS: &str = "taonet_axon_requests_total";
const RESPONSE_SECONDS: &str = "taonet_axon_answer_seconds";

/// Registers the metric descriptions. Call it after the recorder is installed.
pub(super) fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests by HTTP status");
    describe_histogram!(
        RESPONSE_SECONDS,
        Unit::Seconds,
        "Time from request arrival to response headers"
    );
}

/// Creates the signature verification layer for requests to `hotkey`.
pub(super) fn signature_layer(hotkey: Hotkey, scheme: SchemeName) -> SignedLayerBuilder {
    let layer = match scheme {
        SchemeName::Btauth => SignedLayer::builder(hotkey, BtauthScheme::new()),
        SchemeName::Babelbit => SignedLayer::builder(hotkey, BabelbitScheme::axon()),
        SchemeName::Dendrite => SignedLayer::builder(hotkey, synapses()),
    };
    layer.limits(Limits { body_bytes: MAX_BODY_BYTES, ..Limits::default() })
}

/// Creates the echo neuron's HTTP router. All routes but `/healthz` require a signature.
pub(super) fn router(hotkey: Hotkey, scheme: SchemeName, signature_layer: SignedLayer) -> Router {
    let routes = match scheme {
        SchemeName::Btauth | SchemeName::Babelbit => echo_routes(hotkey),
        SchemeName::Dendrite => synapse_routes(),
    };
    let health = get(|| async { Json(json!({ "ok": true })) });
    routes.layer(signature_layer).layer(from_fn(record_metrics)).route("/healthz", health)
}

async fn record_metrics(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let response = next.run(request).await;
    counter!(REQUESTS, "status" => response.status().as_str().to_owned()).increment(1);
    histogram!(RESPONSE_SECONDS).record(start.elapsed());
    response
}

/// Creates the routes for schemes with arbitrary paths.
fn echo_routes(hotkey: Hotkey) -> Router {
    Router::new()
        .route(
            "/ping",
            any(move |caller: Caller| async move {
                Json(json!({ "hotkey": hotkey, "caller": caller.hotkey }))
            }),
        )
        .route("/echo", post(echo))
        .route("/stream", post(|body: Bytes| async { stream_words(body) }))
        .fallback(|| async {
            (
                StatusCode::NOT_FOUND,
                Json(
                    json!({ "error": "unknown path; this neuron serves /ping, /echo and /stream" }),
                ),
            )
        })
}

/// Returns the request body unchanged.
async fn echo(headers: HeaderMap, body: Bytes) -> Response {
    let content_type = headers.get(CONTENT_TYPE).cloned();
    let content_type =
        content_type.unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

/// Streams the body word by word. Words are slices of the body, created lazily: for one-byte words,
/// copies would take about 100 times the memory.
fn stream_words(mut text: Bytes) -> Response {
    let words = std::iter::from_fn(move || {
        let end =
            text.iter().position(u8::is_ascii_whitespace).map_or(text.len(), |space| space + 1);
        (end > 0).then(|| Ok::<_, Infallible>(text.split_to(end)))
    });
    event_stream(Body::from_stream(futures::stream::iter(words)))
}

#[derive(Deserialize)]
struct Prompt {
    prompt: String,
}

/// Creates the routes of the synapse classes.
fn synapse_routes() -> Router {
    let ping = |synapse: Synapse| async { synapse };
    let echo = |mut synapse: Synapse| async {
        let Prompt { prompt } = synapse.parse()?;
        synapse.set("answer", prompt);
        Ok::<_, SynapseError>(synapse)
    };
    let stream = |synapse: Synapse| async move {
        let Prompt { prompt } = synapse.parse()?;
        Ok::<_, SynapseError>(stream_words(prompt.into()))
    };
    Router::new()
        .route("/Synapse", get(ping).post(ping))
        .route(&format!("/{ECHO}"), get(echo).post(echo))
        .route(&format!("/{STREAM}"), get(stream).post(stream))
        // The scheme itself refuses unknown names; requests reach it only through a route, here the
        // fallback.
        .fallback(|| async { StatusCode::NOT_FOUND })
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn words_are_streamed_without_copying() {
        for text in ["", " ", "one", "one two", " one  two\tthree\n"] {
            let bytes = Bytes::from(text);
            let mut pointer = bytes.as_ptr();
            let sent: Vec<Bytes> =
                stream_words(bytes).into_body().into_data_stream().try_collect().await.unwrap();
            for word in &sent {
                assert_eq!(word.as_ptr(), pointer, "{word:?} is a copy");
                pointer = word.as_ptr_range().end;
            }
            let expected: Vec<_> =
                text.split_inclusive(|character: char| character.is_ascii_whitespace()).collect();
            assert_eq!(sent, expected);
        }
    }
}
