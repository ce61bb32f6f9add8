mod capacity;
mod failures;
mod images;
mod streams;

use std::time::Duration;

use axum::extract::Request;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use taonet_http::testing::listen;
use taonet_wallet::Keypair;
use tower::ServiceExt as _;
use url::Url;

use super::*;
use crate::Deadlines;

const CHUNK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn config() -> MinerConfig {
    let served = ["chat-a=org/A", "chat-b"].map(|text| text.parse().unwrap()).to_vec();
    MinerConfig {
        task_type: TaskType::Text,
        served,
        concurrency: 1,
        deadlines: Deadlines::default(),
    }
}

async fn miner_with_backend(backend: Router, config: MinerConfig) -> Miner {
    let url = Url::parse(&format!("http://{}/v1/", listen(backend).await)).unwrap();
    Miner::new(config, Backend::new(&url, Some(&"secret\n".to_owned().into())).unwrap(), None)
}

/// Returns the routes of a backend that handles chats with `handler`.
fn chats<H: axum::handler::Handler<T, ()>, T: 'static>(handler: H) -> Router {
    Router::new().route("/v1/chat/completions", post(handler))
}

async fn post_payload(miner: &Miner, path: &str, payload: Value) -> Response {
    let mut request = Request::post(path).body(Body::from(payload.to_string())).unwrap();
    request.extensions_mut().insert(Caller {
        hotkey: key("//Alice").hotkey(),
        nonce: 0,
        uuid: None,
    });
    routes(miner.clone()).oneshot(request).await.unwrap()
}

async fn chat(miner: &Miner) -> Response {
    post_payload(
        miner,
        "/chat/completions",
        json!({"model": "chat-a", "messages": [], "stream": true}),
    )
    .await
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn payload_reaches_the_backend_and_chunks_the_validator() {
    let backend = chats(|headers: http::HeaderMap, Json(payload): Json<Value>| async move {
        assert_eq!(headers["authorization"], "Bearer secret");
        let echo =
            json!({"choices": [{"delta": {"content": payload.to_string()}, "logprobs": {}}]});
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"\"}},\"logprobs\":null}}]}}\n\ndata: {echo}\n\ndata: [DONE]\n\n"
        )
    });
    let miner = miner_with_backend(backend, config()).await;
    let payload =
        json!({"model": "chat_a", "nonce": "1_x", "stream": true, "logprobs": true, "top_k": 5});
    let response = post_payload(&miner, "/chat/completions", payload).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream; charset=utf-8");
    let events = text(response).await;
    let event: Value = serde_json::from_str(events.strip_prefix("data: ").unwrap()).unwrap();
    let received: Value =
        serde_json::from_str(event["choices"][0]["delta"]["content"].as_str().unwrap()).unwrap();
    assert_eq!(received, json!({"model": "org/A", "stream": true, "logprobs": true, "top_k": 5}));
}

/// The backend's names of models may have any characters, also those that separate the parts of
/// `--task`.
#[tokio::test]
async fn backend_model_names_are_forwarded_unchanged() {
    for name in [
        "unsloth/Meta-Llama-3.1-8B-Instruct",
        "hf.co/org/model:Q4_K_M",
        "\u{6a21}\u{578b}/\u{1f98a} na\u{ef}ve",
        "a=b@60000=c",
        "../%2e%2e/\"quoted\"",
    ] {
        let backend = chats(move |Json(payload): Json<Value>| async move {
            assert_eq!(payload["model"], name);
            let chunk = json!({"choices": [{"delta": {"content": "a"}, "logprobs": {}}]});
            format!("data: {chunk}\n\ndata: [DONE]\n\n")
        });
        let served = vec![format!("chat-a@60000={name}").parse().unwrap()];
        let miner = miner_with_backend(backend, MinerConfig { served, ..config() }).await;
        assert_eq!(chat(&miner).await.status(), StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn unstreamed_answers_are_passed_on_unchanged() {
    let backend = chats(|| async { Json(json!({"choices": [{"message": {"content": "whole"}}]})) });
    let miner = miner_with_backend(backend, config()).await;
    let response =
        post_payload(&miner, "/chat/completions", json!({"model": "org/A", "stream": false})).await;
    assert_eq!(text(response).await, r#"{"choices":[{"message":{"content":"whole"}}]}"#);
}

#[tokio::test]
async fn embeddings_are_passed_on_unchanged() {
    let answer = json!({"data": [{"index": 0, "embedding": [0.5, 1.0]}]});
    let expected = answer.clone();
    let backend = Router::new().route("/v1/embeddings", post(move || async move { Json(answer) }));
    let config = MinerConfig { task_type: TaskType::Embedding, ..config() };
    let miner = miner_with_backend(backend, config).await;
    let response =
        text(post_payload(&miner, "/embeddings", json!({"model": "chat-a", "input": ["a"]})).await)
            .await;
    assert_eq!(serde_json::from_str::<Value>(&response).unwrap(), expected);
    assert_eq!(
        post_payload(&miner, "/chat/completions", json!({"model": "chat-a"})).await.status(),
        StatusCode::NOT_FOUND
    );
}

/// The end of a stream, which the reference's validators take for an error, is sent on request.
#[tokio::test]
async fn finish_reason_is_sent_on_request() {
    let finish = r#"data: {"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#;
    let stream = format!("{CHUNK}{finish}\n\ndata: [DONE]\n\n");
    let miner = miner_with_backend(chats(move || async move { stream }), config()).await;
    for (asks, expected) in [(false, CHUNK.to_owned()), (true, format!("{CHUNK}{finish}\n\n"))] {
        let payload = json!({"model": "chat-a", "stream": true}).to_string();
        let mut request = Request::post("/chat/completions").body(Body::from(payload)).unwrap();
        request.extensions_mut().insert(Caller {
            hotkey: key("//Alice").hotkey(),
            nonce: 0,
            uuid: None,
        });
        if asks {
            request.headers_mut().insert(STREAM_END, HeaderValue::from_static("1"));
        }
        assert_eq!(text(routes(miner.clone()).oneshot(request).await.unwrap()).await, expected);
    }
}

/// Returns a body that sends these bytes and then stalls.
fn endless_body(first: Bytes) -> Body {
    let first = futures::stream::iter([Ok::<_, std::io::Error>(first)]);
    Body::from_stream(first.chain(futures::stream::pending()))
}
