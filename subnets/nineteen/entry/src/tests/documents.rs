//! Tests of the OpenAPI document and the status page.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_store::KeyTerms;
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
                assert_eq!(post["security"], json!([{"key": []}, {"x-api-key": []}]));
                let request = Request::post(path).body(Body::empty()).unwrap();
                shop.router.clone().oneshot(request).await.unwrap()
            }
            None => get(&shop, &path.replace("{id}", CHAT)).await,
        };
        let needs_key = item.get("post").or(item.get("get")).unwrap().get("security").is_some();
        let expected = if needs_key { 401 } else { 200 };
        assert_eq!(response.status().as_u16(), expected, "{path}");
    }
    let scheme = &api["components"]["securitySchemes"]["x-api-key"];
    assert_eq!(
        (&scheme["type"], &scheme["in"], &scheme["name"]),
        (&json!("apiKey"), &json!("header"), &json!("x-api-key"))
    );
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

/// A key sees its own limits and usage, and those of no other.
#[tokio::test]
async fn key_and_usage_are_those_of_the_own_key() {
    let shop = shop_of(MarketConfig::default(), CHAT, says(vec![word(), word()])).await;
    let weight = 7.try_into().unwrap();
    let other = KeyTerms { monthly_budget: Some(9), weight, ..KeyTerms::new("other", 7) };
    let other = shop.store.create_key(&other, &[5; 40], 0).await.unwrap();
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "a"}]});
    document(shop.send("/v1/chat/completions", &body, None).await).await;
    let charged = shop.charged().await;
    let own = async |path: &str, key: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {key}"));
        document(shop.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
    };
    let key = own("/v1/key", &shop.key).await;
    assert_eq!((&key["name"], &key["rate_per_minute"], &key["models"]), (&json!("test"), &json!(100), &Value::Null));
    assert!(key["balance"].is_number() && !key.to_string().contains(&shop.key));
    let usage = own("/v1/usage", &shop.key).await;
    assert_eq!((&usage["data"][0]["model"], &usage["data"][0]["charged"]), (&json!(CHAT), &json!(charged)));
    assert_eq!(own("/v1/usage", &other.secret).await["data"], json!([]));
    let other_key = own("/v1/key", &other.secret).await;
    assert_eq!((&key["weight"], &other_key["monthly_budget"], &other_key["weight"]), (&json!(1), &json!(9), &json!(7)));
    for path in ["/v1/key", "/v1/usage"] {
        assert_eq!(own(path, "sk-tao-x").await["error"]["code"], "invalid_api_key");
    }
}

/// Web pages may call the gateway with any headers, and read the rate limit and errors.
#[tokio::test]
async fn web_pages_of_any_origin_are_allowed() {
    let shop = shop_of(MarketConfig::default(), CHAT, says(vec![word()])).await;
    let preflight = Request::options("/v1/chat/completions")
        .header("origin", "https://example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-stainless-os");
    let response = shop.router.clone().oneshot(preflight.body(Body::empty()).unwrap()).await.unwrap();
    let header =
        |response: &axum::response::Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((response.status().as_u16(), header(&response, "access-control-allow-origin")), (204, "*".to_owned()));
    assert_eq!(header(&response, "access-control-allow-headers"), "authorization,content-type,x-stainless-os");
    let refused = Request::post("/v1/chat/completions").header("origin", "https://example.com");
    let response = shop.router.clone().oneshot(refused.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "access-control-allow-origin")), (401, "*".to_owned()));
    assert!(header(&response, "access-control-expose-headers").contains("x-ratelimit-remaining-requests"));
}

/// The start page has a command that works: its URL is that of the request.
#[tokio::test]
async fn start_page_has_an_example_request() {
    let shop = shop_of(MarketConfig::default(), CHAT, says(vec![word()])).await;
    let page = async |host: &str| {
        let request = Request::get("/").header("host", host).body(Body::empty()).unwrap();
        text(shop.router.clone().oneshot(request).await.unwrap()).await
    };
    let found = page("gateway.example:8091").await;
    assert!(found.contains("curl http://gateway.example:8091/v1/chat/completions") && found.contains(CHAT), "{found}");
    assert!(page("[::1]:8091").await.contains("curl http://[::1]:8091/v1"));
    let found = page("<script>").await;
    assert!(found.contains("curl http://HOST/v1") && !found.contains("<script>"), "{found}");
}
