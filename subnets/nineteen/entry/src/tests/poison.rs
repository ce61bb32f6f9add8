//! Prompts at which every miner's inference server fails: the market stays open for all buyers.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_nineteen_core::task::Endpoint;

use super::market::{document, start_gateway_with_backend, text, word};

/// Number of times that each prompt is sent: more than the failures that open a circuit breaker.
const ROUNDS: u32 = 6;

/// Answers with a word, or fails as the message says.
async fn backend(Json(request): Json<Value>) -> Response {
    let events = match request["messages"][0]["content"].as_str() {
        Some("status") => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some("event") => "data: {\"error\": {\"message\": \"bad prompt\"}}\n\n".to_owned(),
        Some("late event") => word() + "data: {\"error\": {\"message\": \"bad prompt\"}}\n\n",
        Some("empty") => {
            let delta = json!({"role": "assistant", "content": null});
            let choice = json!({"index": 0, "delta": delta, "finish_reason": "stop"});
            format!("data: {}\n\n", json!({ "choices": [choice] }))
        }
        _ => word(),
    };
    ([(CONTENT_TYPE, "text/event-stream")], events + "data: [DONE]\n\n").into_response()
}

#[tokio::test]
async fn poison_prompts_do_not_affect_other_buyers() {
    let backend = Router::new().route("/v1/chat/completions", post(backend));
    let gateway = start_gateway_with_backend(Endpoint::Chat, backend).await;
    let buy = async |content: &str, streams: bool| {
        let messages = json!([{"role": "user", "content": content}]);
        gateway.buy(&json!({"messages": messages, "stream": streams})).await
    };
    for round in 0..ROUNDS {
        let streams = round % 2 == 0;
        // A stream has begun when the error arrives.
        let late_status = if streams { 200 } else { 502 };
        for (content, status) in
            [("status", 502), ("event", 502), ("late event", late_status), ("empty", 200)]
        {
            let response = buy(content, streams).await;
            let actual = response.status().as_u16();
            let body = text(response).await;
            assert_eq!(actual, status, "{content}: {body}");
        }
        let answer = document(buy("good", false).await).await;
        assert_eq!(answer["choices"][0]["message"]["content"], "word ", "{answer}");
    }
    // Only the words were charged, including those of interrupted streams.
    assert_eq!(gateway.wait_for_charges().await, i64::from(ROUNDS + ROUNDS / 2));
}
