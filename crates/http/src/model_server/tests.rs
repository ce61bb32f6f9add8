use std::convert::Infallible;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::StreamExt as _;
use futures::stream;
use serde_json::json;

use super::*;
use crate::testing::listen;

const KEY: &str = "sk-quite-secret";

/// Serves a router on a loopback port, and returns a client of it with a deadline of 2 s.
async fn server(router: Router) -> ModelServer {
    let url = format!("http://{}/v1/", listen(router).await).parse().unwrap();
    ModelServer::new(&url, Some(KEY), Duration::from_secs(2)).unwrap()
}

/// Returns a stream of these parts; it then stalls if `stalls`.
fn streamed_response(parts: &[&'static str], stalls: bool) -> Streamed {
    let parts = stream::iter(parts.to_vec()).map(Ok::<_, Infallible>);
    let body = if stalls {
        Body::from_stream(parts.chain(stream::pending()))
    } else {
        Body::from_stream(parts)
    };
    ([(CONTENT_TYPE, "text/event-stream")], body)
}

type Streamed = ([(axum::http::HeaderName, &'static str); 1], Body);

async fn collect_events(
    router: Router,
    limit: usize,
) -> (Vec<Value>, Result<(), ModelServerError>) {
    let mut events = Vec::new();
    let (server, body) = (server(router).await, json!({}));
    let on_event = |event| {
        events.push(event);
        if events.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = server.events("completions", &body, on_event).await;
    (events, result)
}

#[tokio::test]
async fn streams_end_at_done_disconnect_or_deadline() {
    let router = |parts: &'static [&'static str], stalls| {
        Router::new()
            .route("/v1/completions", post(move || async move { streamed_response(parts, stalls) }))
    };
    let (events, result) =
        collect_events(router(&["data: 1\n\ndata: 2\n\nda", "ta: [DONE]\n\ndata: 3\n\n"], true), 9)
            .await;
    assert_eq!(events, [json!(1), json!(2)]);
    result.unwrap();
    // The last line may lack its line break.
    let (events, result) = collect_events(router(&["data: 1\n\ndata: 2"], false), 9).await;
    assert_eq!(events, [json!(1), json!(2)]);
    result.unwrap();
    let (events, result) =
        collect_events(router(&["data: 1\n\ndata: 2\n\ndata: 3\n\n"], true), 2).await;
    assert_eq!(events, [json!(1), json!(2)]);
    result.unwrap();
    let (events, result) = collect_events(router(&["data: 1\n\n"], true), 9).await;
    assert_eq!(events, [json!(1)]);
    assert!(result.unwrap_err().is_timeout());
    let (_, result) = collect_events(router(&["data: {\n\n"], true), 9).await;
    assert!(matches!(result, Err(ModelServerError::Malformed(_))));
}

#[tokio::test]
async fn endless_stream_is_cut_off() {
    let endless = || async {
        let parts = stream::repeat("data: \"all work and no play makes a dull stream\"\n\n")
            .map(Ok::<_, Infallible>);
        ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(parts))
    };
    let (_, result) =
        collect_events(Router::new().route("/v1/completions", post(endless)), usize::MAX).await;
    let error = result.unwrap_err();
    assert!(
        matches!(
            error,
            ModelServerError::Fault(Fault::TooLarge(MAX_STREAM_BYTES) | Fault::Timeout)
        ),
        "{error}"
    );
}

#[tokio::test]
async fn unstreamed_response_is_one_event() {
    let complete = || async { Json(json!({"choices": []})) };
    let (events, result) =
        collect_events(Router::new().route("/v1/completions", post(complete)), 9).await;
    assert_eq!(events, [json!({"choices": []})]);
    result.unwrap();
}

#[tokio::test]
async fn api_key_is_sent_but_redacted_in_errors() {
    let echo = |headers: HeaderMap| async move {
        let sent_key = headers[AUTHORIZATION].to_str().unwrap().to_owned();
        (
            StatusCode::UNAUTHORIZED,
            Json(json!({"error": {"message": format!("cannot accept {sent_key}")}})),
        )
    };
    let server = server(Router::new().route("/v1/chat/completions", post(echo))).await;
    let error = server.json::<Value>("chat/completions", &json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "HTTP 401: cannot accept Bearer ***");
    assert!(!format!("{server:?} {error:?}").contains(KEY));
    let url = Url::parse("http://127.0.0.1:9").unwrap();
    let error = ModelServer::new(&url, Some("a\nb"), Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, ModelServerError::Key));
}

#[tokio::test]
async fn first_listed_model_is_returned() {
    let models =
        || async { Json(json!({"object": "list", "data": [{"id": "gpt2"}, {"id": "other"}]})) };
    let server_with_two = server(Router::new().route("/v1/models", get(models))).await;
    assert_eq!(server_with_two.first_model().await.unwrap().as_deref(), Some("gpt2"));
    let no_models = || async { Json(json!({"object": "list", "data": []})) };
    let server_without_models = server(Router::new().route("/v1/models", get(no_models))).await;
    assert_eq!(server_without_models.first_model().await.unwrap(), None);
    let error = server(Router::new()).await.first_model().await.unwrap_err();
    assert_eq!(error.to_string(), "HTTP 404");
}

#[tokio::test]
async fn response_body_above_the_limit_is_refused() {
    let server =
        server(Router::new().route("/v1/audio/speech", post(|| async { vec![0_u8; 100] }))).await;
    let mut received = Vec::new();
    server.receive("audio/speech", &json!({}), 100, &mut received).await.unwrap();
    assert_eq!(received.len(), 100);
    let error = server.receive("audio/speech", &json!({}), 99, &mut Vec::new()).await.unwrap_err();
    assert!(matches!(error, ModelServerError::Fault(Fault::TooLarge(99))));
}

#[tokio::test]
async fn bytes_received_before_timeout_are_kept() {
    let route = post(|| async { streamed_response(&["one ", "two "], true) });
    let server = server(Router::new().route("/v1/audio/speech", route)).await;
    let mut received = Vec::new();
    let error = server.receive("audio/speech", &json!({}), 100, &mut received).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(received, b"one two ");
}

#[tokio::test]
async fn request_timeout_never_exceeds_the_server_timeout() {
    let stalled = Router::new().route("/v1/models", get(std::future::pending::<()>));
    let server = server(stalled).await;
    assert_eq!(server.with_timeout_at_most(Duration::MAX).timeout(), Duration::from_secs(2));
    let short_timeout = server.with_timeout_at_most(Duration::from_millis(50));
    assert_eq!(short_timeout.timeout(), Duration::from_millis(50));
    assert!(short_timeout.first_model().await.unwrap_err().is_timeout());
}
