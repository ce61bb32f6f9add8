//! Tests of the OpenAPI document and the status page.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use taonet_nineteen_core::MarketConfig;
use tower::ServiceExt as _;

use super::market::{Shop, document, says, shop_of, text, word};

const CHAT: &str = "chat-llama-3-2-3b";

async fn get(shop: &Shop, path: &str) -> axum::response::Response {
    shop.router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
}

/// Asserts that every `$ref` resolves.
fn check(value: &Value, whole: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let target = reference.strip_prefix('#').unwrap();
                assert!(whole.pointer(target).is_some(), "{reference}");
            }
            fields.values().for_each(|value| check(value, whole));
        }
        Value::Array(values) => values.iter().for_each(|value| check(value, whole)),
        _ => {}
    }
}

#[tokio::test]
async fn the_openapi_document_names_the_routes_and_their_fields() {
    let shop = shop_of(MarketConfig::default(), CHAT, says(vec![word()])).await;
    let api = document(get(&shop, "/openapi.json").await).await;
    assert!(api["openapi"].as_str().unwrap().starts_with("3."));
    check(&api, &api);
    for (path, item) in api["paths"].as_object().unwrap() {
        let response = match item.get("post") {
            // Without an API key, an existing route returns 401, not 404.
            Some(post) => {
                assert_eq!(post["security"], json!([{"key": []}]));
                let request = Request::post(path).body(Body::empty()).unwrap();
                shop.router.clone().oneshot(request).await.unwrap()
            }
            None => get(&shop, &path.replace("{id}", CHAT)).await,
        };
        let expected = if item.get("post").is_some() { 401 } else { 200 };
        assert_eq!(response.status().as_u16(), expected, "{path}");
    }
    // The gateway supports every field of the document's chat schema.
    let schema = &api["components"]["schemas"]["ChatRequest"]["allOf"][0];
    assert_eq!(schema["additionalProperties"], false);
    for name in schema["properties"].as_object().unwrap().keys() {
        let mut body = json!({"model": CHAT, "messages": [{"role": "user", "content": "a"}]});
        body[name.as_str()] = json!({"not": ["a", "value"]});
        let answer = document(shop.send("/v1/chat/completions", &body, None).await).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.contains("is unknown or unsupported"), "{name}: {message}");
    }
}

#[tokio::test]
async fn the_status_tells_tasks_capacity_and_latency() {
    let shop = shop_of(MarketConfig::default(), CHAT, says(vec![word(), word()])).await;
    let before = document(get(&shop, "/status.json").await).await;
    let task = &before["tasks"][0];
    assert_eq!((&task["task"], &task["miners"], &task["is_served"]), (&json!(CHAT), &json!(1), &json!(true)));
    assert_eq!((&task["capacity"], &task["used"], &task["best_latency"]), (&json!(1e5), &json!(0.0), &Value::Null));
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "a"}]});
    document(shop.send("/v1/chat/completions", &body, None).await).await;
    shop.charged().await;
    let after = document(get(&shop, "/status.json").await).await;
    let task = &after["tasks"][0];
    assert_eq!((&task["requests"], &task["used"], &task["running"]), (&json!(1.0), &json!(2.5), &json!(0)));
    let latency = task["median_latency"].as_f64().unwrap();
    assert!(latency > 0.0 && task["best_latency"] == latency, "{task}");
    let page = text(get(&shop, "/status").await).await;
    assert!(page.starts_with("<!doctype html>") && page.contains(CHAT) && page.contains("available"), "{page}");
}
