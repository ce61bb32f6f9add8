//! Model names, prompts and nesting at the limits: accepted, or refused with an error of the
//! protocol.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_http::ServeLimits;
use taonet_nineteen_core::task::Endpoint;
use taonet_testing::is_exhaustive;
use tokio::io::AsyncWriteExt as _;
use tower::ServiceExt as _;

use super::market::{TASK, TestGateway, document, start_gateway_with_backend};
use super::sockets::{RawResponse, ServedGateway, request};

/// Maximum size of a request body, in bytes, which the documents name.
const MAX_BODY_BYTES: usize = 8 << 20;

/// Returns the body of a request to a route, with a model.
fn body_for(path: &str, model: &str) -> Value {
    let messages = json!([{"role": "user", "content": "a"}]);
    match path {
        "/v1/completions" | "/v1/images/generations" => json!({"model": model, "prompt": "a"}),
        "/v1/responses" | "/v1/embeddings" => json!({"model": model, "input": "a"}),
        _ => json!({"model": model, "messages": messages, "max_tokens": 9}),
    }
}

/// Encodes each byte of a part of a path.
fn percent_encoded(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        write!(path, "%{byte:02x}").unwrap();
    }
    path
}

#[tokio::test]
async fn unusual_model_names_are_not_found() {
    let gateway = super::peers::start_gateway().await;
    let mut names: Vec<String> = [
        "\u{1f98a}/\u{416}\u{65e5}\u{672c}",
        "a\0b\r\n\t\u{7f}",
        "\u{202e}gpt\u{2028}",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "%00%2e",
        "chat-llama-3-2-3b\0",
        " chat-llama-3-2-3b ",
        "\u{fffd}\u{feff}",
    ]
    .map(str::to_owned)
    .into();
    let long = ["a".repeat(1 << 20), "\u{1f98a}".repeat(1 << 18), "\0".repeat(1 << 17)];
    for path in [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/embeddings",
        "/v1/images/generations",
    ] {
        for name in names.iter().chain(&long) {
            let response = gateway.send(path, &body_for(path, name), None).await;
            let excerpt: String = name.chars().take(20).collect();
            assert_eq!(response.status(), 404, "{path}: {excerpt:?}");
            let error = document(response).await["error"].clone();
            let is_named = error["code"] == "model_not_found" || error["type"] == "not_found_error";
            assert!(is_named && error.to_string().len() < 2_000, "{path}: {error}");
        }
        let response = gateway.send(path, &body_for(path, ""), None).await;
        assert_eq!(response.status(), 400, "{path}: an empty name");
    }
    names.push("\u{1f98a}".repeat(4_000));
    for (name, status) in
        names.iter().map(|name| (percent_encoded(name), 404)).chain([("%ff".to_owned(), 400)])
    {
        let request = Request::get(format!("/v1/models/{name}")).body(Body::empty()).unwrap();
        let response = gateway.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{name}");
        let error = document(response).await;
        assert!(
            error["error"]["message"].is_string() && error.to_string().len() < 2_000,
            "{error}"
        );
    }
    gateway.wait_until_settled().await;
}

/// Answers a request with the length of its longest text.
async fn backend(Json(request): Json<Value>) -> Response {
    let length = |text: &Value| text.as_str().unwrap_or_default().len();
    let messages = request["messages"].as_array();
    let longest = messages
        .map(|messages| messages.iter().map(|message| length(&message["content"])).max().unwrap());
    let text = longest.unwrap_or_else(|| length(&request["prompt"])).to_string();
    let mut choice = json!({"index": 0, "finish_reason": "stop"});
    if messages.is_some() {
        let entry = json!({"token": text, "logprob": -0.1, "bytes": null, "top_logprobs": []});
        (choice["delta"], choice["logprobs"]) =
            (json!({ "content": text }), json!({ "content": [entry] }));
    } else {
        let logprobs = json!({"tokens": [text], "token_logprobs": [-0.1], "top_logprobs": null});
        (choice["text"], choice["logprobs"]) = (json!(text), logprobs);
    }
    let events = format!("data: {}\n\ndata: [DONE]\n\n", json!({ "choices": [choice] }));
    ([(CONTENT_TYPE, "text/event-stream")], events).into_response()
}

/// Starts a gateway, a miner and the backend.
async fn start_gateway_for(endpoint: Endpoint) -> TestGateway {
    let backend = Router::new()
        .route("/v1/chat/completions", post(backend))
        .route("/v1/completions", post(backend));
    start_gateway_with_backend(endpoint, backend.layer(DefaultBodyLimit::disable())).await
}

/// Buys an answer to a prompt of ASCII with which the body has a size; returns the response, and
/// the length of the prompt.
async fn buy(
    gateway: &TestGateway,
    served: &ServedGateway,
    path: &str,
    size: usize,
) -> (RawResponse, usize) {
    let mut body = body_for(path, TASK);
    let field = match path {
        "/v1/completions" => "/prompt",
        "/v1/responses" => "/input",
        _ => "/messages/0/content",
    };
    let length = size - (body.to_string().len() - 1);
    *body.pointer_mut(field).unwrap() = "a".repeat(length).into();
    let mut stream = served.connect().await;
    // The server need not read a body that is too large.
    let _ = stream.write_all(&request(path, &gateway.key, &body)).await;
    (RawResponse::read(&mut stream).await, length)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_up_to_the_limit_reach_the_backend() {
    let mut routes = vec![("/v1/chat/completions", Endpoint::Chat, "/choices/0/message/content")];
    if is_exhaustive() {
        routes.extend([
            ("/v1/completions", Endpoint::Completions, "/choices/0/text"),
            ("/v1/responses", Endpoint::Chat, "/output/0/content/0/text"),
            ("/v1/messages", Endpoint::Chat, "/content/0/text"),
        ]);
    }
    for (path, endpoint, text) in routes {
        let gateway = start_gateway_for(endpoint).await;
        let served = ServedGateway::start(&gateway, ServeLimits::default()).await;
        let (response, length) = buy(&gateway, &served, path, MAX_BODY_BYTES).await;
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        let answer: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!(answer.pointer(text), Some(&json!(length.to_string())), "{path}: {answer}");
        let charged = gateway.wait_for_charges().await;
        let (response, _) = buy(&gateway, &served, path, MAX_BODY_BYTES + 1).await;
        let error: Value = serde_json::from_str(&response.body).unwrap();
        let is_named = error["error"]["code"] == "request_too_large"
            || error["error"]["type"] == "request_too_large";
        assert!(response.status == 413 && is_named, "{path}: {error}");
        assert_eq!(gateway.wait_for_charges().await, charged);
        served.stop().await;
    }
}

/// JSON whose nesting is hidden in texts is refused before it fills the stack.
#[tokio::test]
async fn hidden_nesting_is_refused() {
    let gateway = super::peers::start_gateway().await;
    let mut hidden = json!([0]);
    for _ in 0..12 {
        hidden = json!([{"$serde_json::private::RawValue": format!("{}{hidden}{}", "[".repeat(100), "]".repeat(100))}]);
    }
    for (path, field) in [
        ("/v1/chat/completions", "tools"),
        ("/v1/messages", "tools"),
        ("/v1/responses", "text"),
        ("/v1/embeddings", "a"),
    ] {
        let mut body = body_for(path, TASK);
        body[field] = hidden.clone();
        let response = gateway.send(path, &body, None).await;
        assert_eq!(response.status(), 400, "{path}");
        let error = document(response).await;
        assert!(
            error["error"]["message"].as_str().unwrap().contains("unsupported name"),
            "{path}: {error}"
        );
    }
    gateway.wait_until_settled().await;
}
