//! Tests of the gateway without miners; `market` contains the tests with a miner.

mod backends;
mod best_of;
mod bodies;
mod cancellations;
mod choices;
mod connections;
mod documents;
mod endpoints;
mod extremes;
mod fallback;
mod images;
mod market;
mod messages;
mod mutations;
mod pages;
mod peers;
mod poison;
mod sockets;
mod synthetic;
mod teams;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taonet_database::testing::Postgres;
use taonet_nineteen_store::{KeyTerms, Store, Usage};
use tower::ServiceExt as _;

use crate::bill::{now_ms, utc_day};

#[test]
fn days_end_at_midnight_utc() {
    let at = |seconds: u64| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let time_ms = now_ms(&(Arc::new(move || time) as taonet_service::Clock));
        (time_ms, utc_day(time_ms))
    };
    assert_eq!(at(1_795_305_599), (1_795_305_599_000, "2026-11-21".to_owned()));
    assert_eq!(at(1_795_305_600).1, "2026-11-22");
}

#[tokio::test]
async fn bill_charges_only_the_delivered_part() {
    use crate::bill::{Bill, Tariff};
    use taonet_nineteen_core::task::Price;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let clock = taonet_service::system_clock();
    let terms = KeyTerms::new("test", 5);
    let key = store.create_key(&terms, &[7; 40], 0).await.unwrap().id;
    store.grant(&key, 100, "test", 0).await.unwrap();
    let price = Price { input: 1_000, output: 1_000, step: 0 };
    let open = async || {
        Bill::open(&store, &clock, &key, ("chat-a".to_owned(), Tariff::Text(price)), (10, 50)).await
    };
    let balance = async || store.key(&key).await.unwrap().unwrap().balance;
    let mut bill = open().await.unwrap();
    assert_eq!(balance().await, 40);
    // The maximum cost of a second request exceeds the remaining credits.
    assert_eq!(
        open().await.err(),
        Some(crate::GatewayError::InsufficientCredits { required: 60, available: 40 })
    );
    bill.record_image_delivery(5);
    bill.settle().await;
    assert_eq!(balance().await, 85);
    // A buyer that disconnects pays for the delivered part.
    let mut bill = open().await.unwrap();
    bill.record_image_delivery(20);
    drop(bill);
    while balance().await != 55 {
        tokio::task::yield_now().await;
    }
    // Without a delivery, nothing is charged.
    assert!(open().await.is_err());
    store.grant(&key, 10, "test", 0).await.unwrap();
    open().await.unwrap().settle().await;
    assert_eq!(balance().await, 65);
    // The process crashes: the bill is never dropped.
    let _never_dropped = std::mem::ManuallyDrop::new(open().await.unwrap());
    assert_eq!(
        (balance().await, store.release_holds(i64::MAX, 1).await.unwrap(), balance().await),
        (5, 1, 65)
    );
    assert!(store.is_balanced().await.unwrap());
    let usage = store.usage(Some(&key)).await.unwrap();
    assert_eq!(usage.iter().map(|row| row.charged).sum::<i64>(), 45);
}

/// PostgreSQL is unavailable while the gateway charges a delivered answer.
#[tokio::test]
async fn charge_is_retried_until_the_database_recovers() {
    use crate::bill::{Bill, Tariff};
    use taonet_nineteen_core::task::Price;

    let Some(mut server) = Postgres::start() else { return };
    let store = Store::connect(&server.url()).await.unwrap();
    let terms = KeyTerms::new("test", 5);
    let key = store.create_key(&terms, &[7; 40], 0).await.unwrap().id;
    store.grant(&key, 100, "test", 0).await.unwrap();
    let tariff = Tariff::Text(Price { input: 1_000, output: 1_000, step: 0 });
    let clock = taonet_service::system_clock();
    let mut bill =
        Bill::open(&store, &clock, &key, ("chat-a".to_owned(), tariff), (10, 50)).await.unwrap();
    bill.record_image_delivery(5);
    server.stop();
    let start = Instant::now();
    bill.settle().await;
    assert!(start.elapsed() < Duration::from_secs(30), "the buyer waits: {:?}", start.elapsed());
    server.run();
    let start = Instant::now();
    // The first statements may fail on connections to the stopped server.
    while !matches!(store.key(&key).await, Ok(Some(key)) if key.balance == 85) {
        assert!(start.elapsed() < Duration::from_mins(1), "the answer is not charged");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.usage(Some(&key)).await.unwrap()[0].charged, 15);
    assert!(store.is_balanced().await.unwrap());
}

async fn gateway() -> (axum::Router, Store, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (gateway_on(&store).router(), store, folder)
}

fn gateway_on(store: &Store) -> crate::Gateway {
    let market = taonet_nineteen_control::MarketFile::from_config(
        taonet_nineteen_core::MarketConfig::default(),
    );
    let querier = crate::routes::testing::querier();
    crate::Gateway::new(store.clone(), querier, market, taonet_service::system_clock())
}

async fn post_json(router: &axum::Router, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let request = Request::post(path).header("authorization", format!("Bearer {key}"));
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert!(response.headers().contains_key("x-request-id"));
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn refusals_have_the_openai_error_format() {
    let (router, store, _folder) = gateway().await;
    let models = Some(vec!["chat-llama-3-2-3b".parse().unwrap()]);
    let terms = KeyTerms { models, monthly_budget: Some(5), ..KeyTerms::new("test", 7) };
    let key = store.create_key(&terms, &[1; 40], 0).await.unwrap();
    let chat_of = |model: &str, text: &str| json!({"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 100});
    let chat = |model: &str| chat_of(model, "a");
    let path = "/v1/chat/completions";
    let expect = async |secret: &str, body: &Value, status: u16, code: Value, param: Value| {
        let (actual, document) = post_json(&router, path, secret, body).await;
        assert_eq!(
            (actual, &document["error"]["code"], &document["error"]["param"]),
            (status, &code, &param),
            "{document}"
        );
        assert!(document["error"]["message"].is_string() && document["error"]["type"].is_string());
    };
    expect("", &json!({}), 401, json!("invalid_api_key"), json!(null)).await;
    expect("sk-tao-x", &json!({}), 401, json!("invalid_api_key"), json!(null)).await;
    expect(&key.secret, &json!([]), 400, json!(null), json!(null)).await;
    expect(&key.secret, &chat("unknown"), 404, json!("model_not_found"), json!("model")).await;
    expect(
        &key.secret,
        &chat("chat-llama-3-1-8b"),
        403,
        json!("model_not_allowed"),
        json!("model"),
    )
    .await;
    expect(&key.secret, &chat("llama-3-2-3b"), 429, json!("insufficient_quota"), json!(null)).await;
    store.grant(&key.id, 1_000, "test", 0).await.unwrap();
    expect(&key.secret, &chat("chat_llama_3_2_3b"), 429, json!("budget_exceeded"), json!(null))
        .await;
    store.update_key(&key.id, &KeyTerms { monthly_budget: None, ..terms.clone() }).await.unwrap();
    expect(
        &key.secret,
        &chat("unsloth/Llama-3.2-3B-Instruct"),
        503,
        json!("no_capacity"),
        json!(null),
    )
    .await;
    assert_eq!(
        store.key(&key.id).await.unwrap().unwrap().balance,
        1_000,
        "without an open period, nothing is charged"
    );
    // The eighth request within the minute exceeds the rate limit.
    expect(&key.secret, &json!([]), 400, json!(null), json!(null)).await;
    expect(&key.secret, &json!([]), 429, json!("rate_limit_exceeded"), json!(null)).await;
    store.update_key(&key.id, &KeyTerms { rate_per_minute: 100, ..terms.clone() }).await.unwrap();
    let daily = KeyTerms {
        daily_budget: Some(5),
        monthly_budget: None,
        rate_per_minute: 100,
        ..terms.clone()
    };
    store.update_key(&key.id, &daily).await.unwrap();
    let (status, document) = post_json(&router, path, &key.secret, &chat("llama-3-2-3b")).await;
    assert_eq!((status, &document["error"]["code"]), (429, &json!("budget_exceeded")));
    assert!(
        document["error"]["message"].as_str().unwrap().ends_with("budget for this day (UTC)"),
        "{document}"
    );
    store.update_key(&key.id, &KeyTerms { expires_ms: Some(1), ..daily.clone() }).await.unwrap();
    expect(&key.secret, &json!([]), 401, json!("key_expired"), json!(null)).await;
    store.update_key(&key.id, &KeyTerms { expires_ms: Some(i64::MAX), ..daily }).await.unwrap();
    let (status, document) =
        post_json(&router, path, &key.secret, &json!("x".repeat(9 << 20))).await;
    assert_eq!((status, &document["error"]["code"]), (413, &json!("request_too_large")));
    // Letters other than ASCII ones take more bytes on the way to a miner.
    let text = "\u{416}".repeat(3 << 20);
    let (status, document) =
        post_json(&router, path, &key.secret, &chat_of("llama-3-2-3b", &text)).await;
    assert_eq!((status, &document["error"]["code"]), (413, &json!("request_too_large")));
    store.revoke_key(&key.id, 1).await.unwrap();
    expect(&key.secret, &json!([]), 401, json!("key_revoked"), json!(null)).await;
    let (status, document) = post_json(&router, "/v1/nothing", "", &json!({})).await;
    assert_eq!((status, document["error"]["message"].is_string()), (404, true));
    let (status, _) = post_json(&router, path, "", &json!("x".repeat(9 << 20))).await;
    assert_eq!(status, 401, "bodies of unauthenticated requests are not read");
}

/// Requests a document, with an API key or without one.
async fn get(router: &axum::Router, path: &str, key: Option<&str>) -> (u16, Value) {
    let mut request = Request::get(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect()
}

/// `/v1/models` has OpenAI's format.
#[tokio::test]
async fn models_are_listed_in_openai_format() {
    let (router, _, _folder) = gateway().await;
    let (status, list) = get(&router, "/v1/models", None).await;
    assert_eq!((status, &list["object"]), (200, &json!("list")));
    assert_eq!(
        (&list["data"][0]["context_length"], &list["data"][3]["context_length"]),
        (&json!(20_000), &Value::Null)
    );
    let price = &list["data"][0]["price"];
    assert_eq!((&price["input"], &price["output"]), (&json!(100), &json!(400)));
    let first =
        ["chat-llama-3-2-3b", "chat-llama-3-1-70b", "chat-llama-3-1-8b", "proteus-text-to-image"];
    assert_eq!(ids(&list)[..4], first);
    // A model can be requested by any of its names.
    for name in [
        "chat-llama-3-2-3b",
        "llama_3_2_3b",
        "unsloth/Llama-3.2-3B-Instruct",
        "unsloth%2FLlama-3.2-3B-Instruct",
    ] {
        let actual = get(&router, &format!("/v1/models/{name}"), None).await;
        assert_eq!(actual, (200, list["data"][0].clone()), "{name}");
    }
    assert_eq!(get(&router, "/v1/models/none", None).await.0, 404);
}

/// Clients check their keys with `/v1/models`.
#[tokio::test]
async fn model_list_of_a_key_has_only_permitted_models() {
    let (router, store, _folder) = gateway().await;
    let terms =
        KeyTerms { models: Some(vec!["avatar".parse().unwrap()]), ..KeyTerms::new("test", 1) };
    let key = store.create_key(&terms, &[1; 40], 0).await.unwrap();
    for _ in 0..3 {
        let (status, list) = get(&router, "/v1/models", Some(&key.secret)).await;
        assert_eq!((status, ids(&list)), (200, vec!["avatar"]), "the rate limit does not count it");
    }
    assert_eq!(get(&router, "/v1/models/avatar", Some(&key.secret)).await.0, 200);
    let (status, refused) = get(&router, "/v1/models/chat-llama-3-1-8b", Some(&key.secret)).await;
    assert_eq!((status, &refused["error"]["code"]), (404, &json!("model_not_found")));
    assert_eq!(
        get(&router, "/v1/models/chat-llama-3-1-8b", Some("")).await.0,
        200,
        "an empty key is none"
    );
    store.revoke_key(&key.id, 1).await.unwrap();
    for (secret, code) in [("sk-tao-x", "invalid_api_key"), (key.secret.as_str(), "key_revoked")] {
        for path in ["/v1/models", "/v1/models/avatar"] {
            let (status, refused) = get(&router, path, Some(secret)).await;
            assert_eq!((status, &refused["error"]["code"]), (401, &json!(code)), "{path}");
        }
    }
}

#[tokio::test]
async fn gateways_share_rate_limits_and_release_abandoned_holds() {
    let Some(server) = Postgres::start() else { return };
    let stores = [
        Store::connect(&server.url()).await.unwrap(),
        Store::connect(&server.url()).await.unwrap(),
    ];
    let gateways = stores.each_ref().map(gateway_on);
    let terms = KeyTerms::new("test", 5);
    let key = stores[0].create_key(&terms, &[1; 40], 0).await.unwrap();
    let mut actual = Vec::new();
    for index in 0..8 {
        let request = Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {}", *key.secret));
        let request = request.body(Body::from("[]")).unwrap();
        let response = gateways[index % 2].router().oneshot(request).await.unwrap();
        let remaining =
            response.headers()["x-ratelimit-remaining-requests"].to_str().unwrap().to_owned();
        let retry = response
            .headers()
            .get("retry-after")
            .map(|retry| retry.to_str().unwrap().parse::<u64>().unwrap());
        assert!(retry.is_none_or(|retry| (1..=61).contains(&retry)), "{retry:?}");
        actual.push((response.status().as_u16(), remaining, retry.is_some()));
    }
    let remaining = ["4", "3", "2", "1", "0", "0", "0", "0"];
    let status = |index: usize| if index < 5 { 400 } else { 429 };
    let expected: Vec<_> = remaining
        .iter()
        .enumerate()
        .map(|(index, remaining)| (status(index), (*remaining).to_owned(), index >= 5))
        .collect();
    assert_eq!(actual, expected);
    // At startup, a gateway releases credits of another gateway only if they are older than 30
    // minutes.
    stores[0].grant(&key.id, 100, "test", 0).await.unwrap();
    let now_ms = now_ms(&taonet_service::system_clock());
    let killed_store = Store::connect(&server.url()).await.unwrap();
    for (store, request, age_ms) in
        [(&stores[0], "running", 60_000), (&killed_store, "abandoned", 31 * 60_000)]
    {
        store.hold(&key.id, request, 10, "2026-11-21", now_ms - age_ms).await.unwrap().unwrap();
    }
    gateways[1].recover().await.unwrap();
    assert_eq!(stores[0].key(&key.id).await.unwrap().unwrap().balance, 90);
    let usage = |charge| Usage {
        model: "a".to_owned(),
        day: "2026-11-21".to_owned(),
        input_tokens: 1,
        output_tokens: 1,
        charge,
    };
    assert_eq!(stores[0].charge("running", &usage(4), now_ms).await.unwrap(), Some(4));
    assert_eq!(killed_store.charge("abandoned", &usage(4), now_ms).await.unwrap(), None);
    assert!(stores[1].is_balanced().await.unwrap());
}
