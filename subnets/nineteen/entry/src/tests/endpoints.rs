//! Tests of embeddings, images, responses, idempotency and rate limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::{Endpoint, Price, TaskType};
use taonet_nineteen_store::KeyTerms;

use super::market::{
    TestGateway, calls, document, respond_with, start_gateway_for, start_stalling_gateway, text,
    word,
};

const CHAT: &str = "chat-llama-3-2-3b";
const IMAGE: &str = "proteus-text-to-image";
/// First bytes of a JPEG file, in base64.
const JPEG: &str = "/9j/4AAQ";

async fn chat(handler: MethodRouter) -> TestGateway {
    start_gateway_for(MarketConfig::default(), CHAT, handler).await
}

/// Starts a gateway to the default market, with an embedding task in place of the first task.
async fn embeddings(handler: MethodRouter) -> TestGateway {
    let mut config = MarketConfig::default();
    let task = &mut config.tasks[0];
    task.task = "embed".parse().unwrap();
    (task.task_type, task.endpoint, task.is_stream) =
        (TaskType::Embedding, Endpoint::Embeddings, false);
    task.price = Price { input: 1_000, output: 9_000, step: 9_000 };
    start_gateway_for(config, "embed", handler).await
}

/// Returns a handler that responds with a document, and its count of requests.
fn counting_handler(answer: Value) -> (MethodRouter, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let handler = post(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let answer = answer.clone();
        async move { Json(answer) }
    });
    (handler, count)
}

fn question() -> Value {
    json!({"model": CHAT, "messages": [{"role": "user", "content": "12345678"}], "max_tokens": 100})
}

#[tokio::test]
async fn embeddings_are_charged_by_input_tokens() {
    let handler = post(|Json(payload): Json<Value>| async move {
        assert_eq!((&payload["model"], &payload["dimensions"]), (&json!("embed"), &json!(2)));
        let texts = payload["input"].as_array().unwrap().len();
        let data: Vec<_> =
            (0..texts).map(|index| json!({"index": index, "embedding": [0.5, index]})).collect();
        // What the miner claims is not charged.
        Json(
            json!({"data": data, "usage": {"prompt_tokens": 1_000_000, "total_tokens": 1_000_000}}),
        )
    });
    let gateway = embeddings(handler).await;
    let body = json!({"model": "embed", "input": ["12345678", "1234"], "dimensions": 2});
    let answer = document(gateway.send("/v1/embeddings", &body, None).await).await;
    assert_eq!(
        answer["data"][1],
        json!({"object": "embedding", "index": 1, "embedding": [0.5, 1.0]})
    );
    assert_eq!((&answer["model"], &answer["usage"]["total_tokens"]), (&json!("embed"), &json!(3)));
    assert_eq!(gateway.wait_for_charges().await, 3);
    let usage = gateway.store.usage(Some(&gateway.id)).await.unwrap();
    assert_eq!((usage[0].input_tokens, usage[0].output_tokens), (3, 0));
    // The route does not serve a chat task.
    let other = gateway
        .send("/v1/embeddings", &json!({"model": "chat-llama-3-1-8b", "input": "a"}), None)
        .await;
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn invalid_embeddings_are_not_charged() {
    let (handler, _) = counting_handler(json!({"data": [{"index": 0, "embedding": [1, 2]}]}));
    let gateway = embeddings(handler).await;
    let response =
        gateway.send("/v1/embeddings", &json!({"model": "embed", "input": ["a", "b"]}), None).await;
    assert_eq!((response.status(), gateway.wait_for_charges().await), (StatusCode::BAD_GATEWAY, 0));
    // Another miner may have answered with the requested dimensions.
    let (handler, _) = counting_handler(json!({"data": [{"index": 0, "embedding": [1, 2]}]}));
    let gateway = embeddings(handler).await;
    let body = json!({"model": "embed", "input": "a", "dimensions": 3});
    let response = gateway.send("/v1/embeddings", &body, None).await;
    assert_eq!((response.status(), gateway.wait_for_charges().await), (StatusCode::BAD_GATEWAY, 0));
}

#[tokio::test]
async fn images_are_charged_by_their_steps() {
    let handler = post(|Json(payload): Json<Value>| async move {
        let size = (&payload["width"], &payload["height"], &payload["steps"], &payload["model"]);
        assert_eq!(size, (&json!(768), &json!(1_024), &json!(10), &json!(IMAGE)));
        Json(json!({"image_b64": JPEG, "is_nsfw": false}))
    });
    let gateway = start_gateway_for(MarketConfig::default(), IMAGE, handler).await;
    let body = json!({"model": "proteus", "prompt": "a cat", "size": "768x1024", "steps": 10});
    let answer = document(gateway.send("/v1/images/generations", &body, None).await).await;
    assert_eq!(answer["data"], json!([{"b64_json": JPEG}]));
    // 10 steps at 5 000 credits per 1 000 steps.
    assert_eq!(gateway.wait_for_charges().await, 50);
    let body = json!({"model": IMAGE, "prompt": "a cat", "width": 768, "height": 1_024});
    let answer = document(gateway.send("/v1/text-to-image", &body, None).await).await;
    assert_eq!((answer, gateway.wait_for_charges().await), (json!({ "image_b64": JPEG }), 100));
}

#[tokio::test]
async fn withheld_images_are_not_charged() {
    let (handler, _) = counting_handler(json!({"image_b64": null, "is_nsfw": true}));
    let gateway = start_gateway_for(MarketConfig::default(), IMAGE, handler).await;
    let body = json!({"model": IMAGE, "prompt": "a cat"});
    let response = gateway.send("/v1/images/generations", &body, None).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(document(response).await["error"]["code"], "content_policy_violation");
    assert_eq!(gateway.wait_for_charges().await, 0);
}

#[tokio::test]
async fn responses_are_complete_or_streamed() {
    let gateway = chat(respond_with(vec![word(), word(), word()])).await;
    let body = json!({"model": CHAT, "input": "12345678", "max_output_tokens": 100, "metadata": {"a": "b"}});
    let answer = document(gateway.send("/v1/responses", &body, None).await).await;
    assert_eq!((&answer["object"], &answer["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(answer["output"][0]["content"][0]["text"], "word word word ");
    assert_eq!(answer["metadata"], json!({"a": "b"}));
    let usage = &answer["usage"];
    assert_eq!(
        (&usage["input_tokens"], &usage["output_tokens"], &usage["total_tokens"]),
        (&json!(6), &json!(3), &json!(9))
    );
    assert_eq!(gateway.wait_for_charges().await, 2);
    let streamed =
        json!({"model": CHAT, "input": "12345678", "max_output_tokens": 3, "stream": true});
    let stream = text(gateway.send("/v1/responses", &streamed, None).await).await;
    let events: Vec<(&str, Value)> = stream
        .split_terminator("\n\n")
        .map(|event| {
            let (kind, data) =
                event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            (kind, serde_json::from_str(data).unwrap())
        })
        .collect();
    for (number, (kind, event)) in events.iter().enumerate() {
        assert_eq!((&event["type"], &event["sequence_number"]), (&json!(kind), &json!(number)));
    }
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            // The answer has the requested maximum of tokens.
            "response.incomplete",
        ]
    );
    let response = &events.last().unwrap().1["response"];
    assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(response["output"][0]["content"][0]["text"], "word word word ");
    assert_eq!(gateway.wait_for_charges().await, 4);
}

#[tokio::test]
async fn responses_api_supports_function_calls() {
    let gateway = chat(respond_with(calls())).await;
    let tools = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}}]);
    let mut body = json!({"model": CHAT, "input": "Weather?", "tools": tools});
    let answer = document(gateway.send("/v1/responses", &body, None).await).await;
    let call = &answer["output"][0];
    assert_eq!(
        (&call["type"], &call["call_id"], &call["name"]),
        (&json!("function_call"), &json!("c1"), &json!("weather"))
    );
    assert_eq!(call["arguments"], "{\"town\":\"Ulm\"}");
    body["stream"] = json!(true);
    let stream = text(gateway.send("/v1/responses", &body, None).await).await;
    assert_eq!(stream.matches("event: response.function_call_arguments.delta").count(), 2);
    assert!(stream.contains("event: response.completed"), "{stream}");
}

#[tokio::test]
async fn interrupted_response_reports_an_error() {
    let gateway = start_stalling_gateway(vec![word(), word()]).await;
    let body = json!({"model": CHAT, "input": "12345678", "stream": true});
    let stream = text(gateway.send("/v1/responses", &body, None).await).await;
    assert!(
        stream.contains("event: response.failed") && !stream.contains("response.completed"),
        "{stream}"
    );
    assert_eq!(gateway.wait_for_charges().await, 2, "two words were delivered");
}

#[tokio::test]
async fn repeated_request_is_answered_and_charged_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let handler = post(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { [word(), word(), word()].concat() }
    });
    let gateway = chat(handler).await;
    let path = "/v1/chat/completions";
    let first = text(gateway.send(path, &question(), Some("a")).await).await;
    let charged = gateway.wait_for_charges().await;
    let replayed = gateway.send(path, &question(), Some("a")).await;
    assert_eq!(replayed.headers()["idempotency-replayed"], "true");
    assert_eq!(replayed.headers()["content-type"], "application/json");
    assert_eq!((text(replayed).await, gateway.wait_for_charges().await), (first, charged));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // A different request with the same key is rejected.
    let mut other = question();
    other["max_tokens"] = json!(99);
    let refused = gateway.send(path, &other, Some("a")).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(document(refused).await["error"]["code"], "idempotency_key_reused");
    assert_eq!(gateway.send(path, &question(), Some("")).await.status(), StatusCode::BAD_REQUEST);
    // A retry of a streamed request gets the same stream.
    let mut streamed = question();
    streamed["stream"] = json!(true);
    let first = text(gateway.send(path, &streamed, Some("b")).await).await;
    let charged = gateway.wait_for_charges().await;
    let replayed = text(gateway.send(path, &streamed, Some("b")).await).await;
    assert_eq!((replayed, gateway.wait_for_charges().await), (first, charged));
    assert_eq!(count.load(Ordering::SeqCst), 2);
    // Without an idempotency key, a retry is charged again.
    for _ in 0..2 {
        document(gateway.send(path, &question(), None).await).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn failed_request_releases_its_idempotency_key() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let handler = post(move || {
        let fails = counter.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if fails { Err(StatusCode::INTERNAL_SERVER_ERROR) } else { Ok(word()) } }
    });
    let gateway = chat(handler).await;
    let path = "/v1/chat/completions";
    assert_eq!(gateway.send(path, &question(), Some("a")).await.status(), StatusCode::BAD_GATEWAY);
    // The claim is released in the background.
    loop {
        let response = gateway.send(path, &question(), Some("a")).await;
        if response.status() == StatusCode::OK {
            break;
        }
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()["retry-after"], "1");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn cancelled_stream_releases_its_idempotency_key() {
    let gateway = start_stalling_gateway(vec![word(), word()]).await;
    let mut body = question();
    body["stream"] = json!(true);
    let path = "/v1/chat/completions";
    let response = gateway.send(path, &body, Some("a")).await;
    let running = gateway.send(path, &body, Some("a")).await;
    assert_eq!(running.status(), StatusCode::CONFLICT);
    drop(response);
    while gateway.send(path, &body, Some("a")).await.status() == StatusCode::CONFLICT {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    gateway.wait_for_charges().await;
}

#[tokio::test]
async fn each_response_has_rate_limit_headers() {
    let gateway = chat(respond_with(vec![word()])).await;
    let terms = KeyTerms::new("test", 3);
    gateway.store.update_key(&gateway.id, &terms).await.unwrap();
    let path = "/v1/chat/completions";
    // Even requests that fail validation count towards the rate limit.
    for (body, status, remaining) in
        [(question(), 200, "2"), (json!({}), 400, "1"), (question(), 200, "0")]
    {
        let response = gateway.send(path, &body, None).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (response.status().as_u16(), header("x-ratelimit-limit-requests").as_str()),
            (status, "3")
        );
        assert_eq!(header("x-ratelimit-remaining-requests"), remaining);
        let reset = header("x-ratelimit-reset-requests");
        let seconds: u64 = reset.strip_suffix('s').unwrap().parse().unwrap();
        assert!((50..=60).contains(&seconds), "{reset}");
    }
    let response = gateway.send(path, &question(), None).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["x-ratelimit-remaining-requests"], "0");
    let retry: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry), "{retry}");
}
