//! Tests of Anthropic's `/v1/messages`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_store::KeyTerms;
use tower::ServiceExt as _;

use super::market::{
    TestGateway, calls, document, respond_with, start_gateway_for, start_stalling_gateway, text,
    word,
};

const CHAT: &str = "chat-llama-3-2-3b";
const PATH: &str = "/v1/messages";

fn question(extra_fields: &Value) -> Value {
    let mut body = json!({"model": CHAT, "messages": [{"role": "user", "content": "12345678"}], "max_tokens": 100});
    body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
    body
}

async fn start_gateway(chunks: Vec<String>) -> TestGateway {
    start_gateway_for(MarketConfig::default(), CHAT, respond_with(chunks)).await
}

fn chunk(choice: &Value) -> String {
    format!("data: {}\n\n", json!({ "choices": [choice] }))
}

/// Returns the names and data of a stream's events; each has its name as type.
fn events(stream: &str) -> Vec<(&str, Value)> {
    stream
        .split_terminator("\n\n")
        .map(|event| {
            let (name, data) =
                event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], name);
            (name, data)
        })
        .collect()
}

#[tokio::test]
async fn messages_are_complete_or_streamed() {
    let gateway = start_gateway(vec![word(), word(), word()]).await;
    let response = gateway.send(PATH, &question(&json!({})), None).await;
    assert_eq!(response.headers()["request-id"], "mine");
    let answer = document(response).await;
    let head = (&answer["type"], &answer["role"], &answer["model"], &answer["stop_reason"]);
    assert_eq!(head, (&json!("message"), &json!("assistant"), &json!(CHAT), &json!("end_turn")));
    assert_eq!(answer["content"], json!([{"type": "text", "text": "word word word "}]));
    assert_eq!(
        (&answer["usage"]["input_tokens"], &answer["usage"]["output_tokens"]),
        (&json!(6), &json!(3))
    );
    // The same as for the same chat completion.
    assert_eq!(gateway.wait_for_charges().await, 2);
    let counted =
        document(gateway.send("/v1/messages/count_tokens", &question(&json!({})), None).await)
            .await;
    assert_eq!((counted, gateway.wait_for_charges().await), (json!({"input_tokens": 6}), 2));
    let streamed = question(&json!({"stream": true, "max_tokens": 3}));
    let stream = text(gateway.send(PATH, &streamed, None).await).await;
    let events = events(&stream);
    let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    let message = &events[0].1["message"];
    assert_eq!((&message["content"], &message["usage"]["input_tokens"]), (&json!([]), &json!(6)));
    assert_eq!(events[1].1["content_block"], json!({"type": "text", "text": ""}));
    assert_eq!(events[2].1["delta"], json!({"type": "text_delta", "text": "word "}));
    assert_eq!(events[6].1["delta"], json!({"stop_reason": "max_tokens", "stop_sequence": null}));
    assert_eq!(events[6].1["usage"]["output_tokens"], 3);
    assert_eq!(gateway.wait_for_charges().await, 4);
}

#[tokio::test]
async fn tools_calls_and_results_are_converted_both_ways() {
    let miner = post(|Json(payload): Json<Value>| async move {
        if payload["messages"].as_array().unwrap().len() == 1 {
            let function = json!({"name": "weather", "parameters": {"type": "object"}});
            assert_eq!(payload["tools"], json!([{"type": "function", "function": function}]));
            assert_eq!(payload["tool_choice"], "required");
            let text = chunk(&json!({"delta": {"content": "Let me see."}}));
            return [vec![text], calls()].concat().concat();
        }
        let call = &payload["messages"][1]["tool_calls"][0];
        assert_eq!(
            (&call["id"], &call["function"]["arguments"]),
            (&json!("c1"), &json!("{\"town\":\"Ulm\"}"))
        );
        assert_eq!(
            payload["messages"][2],
            json!({"role": "tool", "tool_call_id": "c1", "content": "rain"})
        );
        word()
    });
    let gateway = start_gateway_for(MarketConfig::default(), CHAT, miner).await;
    let tools = json!([{"name": "weather", "input_schema": {"type": "object"}}]);
    let options = json!({"tools": tools, "tool_choice": {"type": "any"}});
    let answer = document(gateway.send(PATH, &question(&options), None).await).await;
    let tool_use =
        json!({"type": "tool_use", "id": "c1", "name": "weather", "input": {"town": "Ulm"}});
    assert_eq!(answer["content"], json!([{"type": "text", "text": "Let me see."}, tool_use]));
    assert_eq!(answer["stop_reason"], "tool_use");
    let mut streamed = question(&options);
    streamed["stream"] = json!(true);
    let stream = text(gateway.send(PATH, &streamed, None).await).await;
    let events = events(&stream);
    let second_block: Vec<_> = events.iter().filter(|(_, data)| data["index"] == 1).collect();
    assert_eq!(second_block[0].1["content_block"]["input"], json!({}));
    let partial: String = second_block
        .iter()
        .filter_map(|(_, data)| data["delta"]["partial_json"].as_str())
        .collect();
    assert_eq!(partial, "{\"town\":\"Ulm\"}");
    // The first block ends before the second one begins.
    let position = |name: &str, index: usize| {
        events.iter().position(|(event, data)| *event == name && data["index"] == index).unwrap()
    };
    assert!(position("content_block_stop", 0) < position("content_block_start", 1));
    let result = json!({"type": "tool_result", "tool_use_id": "c1", "content": "rain"});
    let messages = json!([
        {"role": "user", "content": "12345678"},
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": [result]},
    ]);
    let answer = document(
        gateway.send(PATH, &question(&json!({"messages": messages, "tools": tools})), None).await,
    )
    .await;
    assert_eq!(answer["content"][0]["text"], "word ");
    gateway.wait_for_charges().await;
}

/// Each block has all of its deltas between its start and its stop, as Anthropic's clients expect.
#[tokio::test]
async fn interleaved_call_fragments_become_one_block_each() {
    let call = |index: u64, name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        chunk(
            &json!({"delta": {"tool_calls": [{"index": index, "id": name, "function": function}]}}),
        )
    };
    let gateway = start_gateway(vec![
        word(),
        call(0, "f", "{\"a\":"),
        call(1, "g", "{"),
        call(0, "", "1}"),
        call(1, "", "}"),
        call(2, "h", "{}"),
        word(),
    ])
    .await;
    let stream = text(gateway.send(PATH, &question(&json!({"stream": true})), None).await).await;
    let (mut blocks, mut open) = (Vec::new(), None);
    for (name, data) in events(&stream) {
        match name {
            "content_block_start" => {
                assert_eq!((open, &data["index"]), (None, &json!(blocks.len())));
                open = Some(blocks.len());
                blocks.push((data["content_block"]["type"].clone(), String::new()));
            }
            "content_block_delta" => {
                let index = open.unwrap();
                assert_eq!(data["index"], json!(index));
                let content =
                    data["delta"].get("text").or(data["delta"].get("partial_json")).unwrap();
                blocks[index].1.push_str(content.as_str().unwrap());
            }
            "content_block_stop" => assert_eq!(json!(open.take()), data["index"]),
            _ => assert_eq!(open, None, "{name}"),
        }
    }
    let expected = [
        ("text", "word "),
        ("tool_use", "{\"a\":1}"),
        ("tool_use", "{}"),
        ("tool_use", "{}"),
        ("text", "word "),
    ];
    assert_eq!(blocks, expected.map(|(kind, content)| (json!(kind), content.to_owned())));
    gateway.wait_for_charges().await;
}

#[tokio::test]
async fn reasoning_and_stop_sequences_are_reported() {
    let chunks = vec![
        chunk(&json!({"delta": {"reasoning_content": "hm"}})),
        word(),
        chunk(&json!({"delta": {}, "finish_reason": "stop", "stop_reason": "END"})),
    ];
    let gateway = start_gateway(chunks).await;
    let options =
        json!({"stop_sequences": ["END"], "thinking": {"type": "enabled", "budget_tokens": 1_024}});
    let answer = document(gateway.send(PATH, &question(&options), None).await).await;
    let thinking = json!({"type": "thinking", "thinking": "hm", "signature": ""});
    assert_eq!(answer["content"], json!([thinking, {"type": "text", "text": "word "}]));
    assert_eq!(
        (&answer["stop_reason"], &answer["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
    let answer = document(gateway.send(PATH, &question(&json!({})), None).await).await;
    assert_eq!(answer["content"], json!([{"type": "text", "text": "word "}]));
    assert_eq!(
        (&answer["stop_reason"], &answer["stop_sequence"]),
        (&json!("end_turn"), &Value::Null)
    );
}

#[tokio::test]
async fn interrupted_message_ends_with_an_error_event() {
    let gateway = start_stalling_gateway(vec![word(), word()]).await;
    let streamed = question(&json!({"stream": true}));
    // An interrupted stream is not replayed.
    for _ in 0..2 {
        let response = loop {
            let response = gateway.send(PATH, &streamed, Some("a")).await;
            if response.status() != StatusCode::CONFLICT {
                break response;
            }
            // The claim on the idempotency key is released in the background.
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(!response.headers().contains_key("idempotency-replayed"));
        let stream = text(response).await;
        let (name, data) = events(&stream).pop().unwrap();
        assert_eq!((name, &data["error"]["type"]), ("error", &json!("api_error")));
        assert!(!stream.contains("message_stop"), "{stream}");
    }
    assert_eq!(gateway.wait_for_charges().await, 4, "two words were delivered twice");
    let response = gateway.send(PATH, &question(&json!({})), None).await;
    assert_eq!((response.status(), gateway.wait_for_charges().await), (StatusCode::BAD_GATEWAY, 4));
}

#[tokio::test]
async fn repeated_message_is_replayed_without_a_charge() {
    let gateway = start_gateway(vec![word()]).await;
    let first =
        text(gateway.send(PATH, &question(&json!({"stream": true})), Some("a")).await).await;
    let charged = gateway.wait_for_charges().await;
    let replayed = gateway.send(PATH, &question(&json!({"stream": true})), Some("a")).await;
    assert_eq!(replayed.headers()["idempotency-replayed"], "true");
    assert_eq!((text(replayed).await, gateway.wait_for_charges().await), (first, charged));
}

async fn send_message(gateway: &TestGateway, key: &str, body: &Value) -> Response {
    let request =
        Request::post(PATH).header("anthropic-version", "2023-06-01").header("x-api-key", key);
    gateway
        .router
        .clone()
        .oneshot(request.body(Body::from(body.to_string())).unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn key_header_and_errors_have_the_anthropic_format() {
    let gateway = start_gateway(vec![word()]).await;
    let key = gateway.key.as_str();
    assert_eq!(send_message(&gateway, key, &question(&json!({}))).await.status(), StatusCode::OK);
    gateway.wait_for_charges().await;
    for (key, body, status, kind) in [
        ("sk-tao-x", question(&json!({})), 401, "authentication_error"),
        (key, question(&json!({"model": "claude"})), 404, "not_found_error"),
        (key, question(&json!({"max_tokens": 0})), 400, "invalid_request_error"),
        (key, json!([]), 400, "invalid_request_error"),
        (key, question(&json!({"max_tokens": 30_000})), 402, "billing_error"),
    ] {
        let response = send_message(&gateway, key, &body).await;
        assert_eq!(response.status().as_u16(), status, "{body}");
        let id = response.headers()["request-id"].to_str().unwrap().to_owned();
        let error = document(response).await;
        assert_eq!((&error["type"], &error["error"]["type"]), (&json!("error"), &json!(kind)));
        assert!(error["error"]["message"].is_string());
        assert_eq!(error["request_id"], id);
    }
    let response = send_message(&gateway, key, &json!("x".repeat(9 << 20))).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(document(response).await["error"]["type"], "request_too_large");
    gateway.store.update_key(&gateway.id, &KeyTerms::new("test", 1)).await.unwrap();
    assert_eq!(send_message(&gateway, key, &question(&json!({}))).await.status(), StatusCode::OK);
    let response = send_message(&gateway, key, &question(&json!({}))).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(document(response).await["error"]["type"], "rate_limit_error");
    let request = Request::get(PATH).body(Body::empty()).unwrap();
    let response = gateway.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(document(response).await["type"], "error");
}
