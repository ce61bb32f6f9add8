//! Tests of the OpenAPI document and the status page.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_store::{KeyTerms, TopUpTerms, Transfer};
use taonet_primitives::{AccountId, BlockHash, BlockNumber, Rao};
use taonet_testing::CapturedLog;
use tower::ServiceExt as _;

use super::market::{TestGateway, document, respond_with, start_gateway_for, text, word};
use crate::rates::RateLimiter;

const CHAT: &str = "chat-llama-3-2-3b";

async fn get(gateway: &TestGateway, path: &str) -> axum::response::Response {
    gateway.router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
}

/// Requests a document with an API key.
async fn get_with(gateway: &TestGateway, key: &str, path: &str) -> axum::response::Response {
    let request = Request::get(path).header("authorization", format!("Bearer {key}"));
    gateway.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

/// Asserts that every `$ref` resolves.
fn check(value: &Value, document: &Value) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let target = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(target).is_some(), "{reference}");
            }
            fields.values().for_each(|value| check(value, document));
        }
        Value::Array(values) => values.iter().for_each(|value| check(value, document)),
        _ => {}
    }
}

#[tokio::test]
async fn openapi_document_names_the_routes_and_their_fields() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word()])).await;
    let api = document(get(&gateway, "/openapi.json").await).await;
    assert!(api["openapi"].as_str().unwrap().starts_with("3."));
    check(&api, &api);
    for (path, item) in api["paths"].as_object().unwrap() {
        let response = match item.get("post") {
            // Without an API key, an existing route returns 401, not 404.
            Some(post) => {
                assert_eq!(post["security"], json!([{"key": []}, {"x-api-key": []}]));
                let request = Request::post(path).body(Body::empty()).unwrap();
                gateway.router.clone().oneshot(request).await.unwrap()
            }
            None => get(&gateway, &path.replace("{id}", CHAT).replace("{month}", "2026-11")).await,
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
        let answer = document(gateway.send("/v1/chat/completions", &body, None).await).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.contains("is unknown or unsupported"), "{name}: {message}");
    }
}

#[tokio::test]
async fn status_shows_tasks_capacity_and_latency() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word(), word()])).await;
    let before = document(get(&gateway, "/status.json").await).await;
    let task = &before["tasks"][0];
    assert_eq!(
        (&task["task"], &task["miners"], &task["is_served"]),
        (&json!(CHAT), &json!(1), &json!(true))
    );
    assert_eq!(
        (&task["capacity"], &task["used"], &task["best_latency"]),
        (&json!(1e5), &json!(0.0), &Value::Null)
    );
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "a"}]});
    document(gateway.send("/v1/chat/completions", &body, None).await).await;
    gateway.wait_for_charges().await;
    let after = document(get(&gateway, "/status.json").await).await;
    let task = &after["tasks"][0];
    assert_eq!(
        (&task["requests"], &task["used"], &task["running"]),
        (&json!(1.0), &json!(2.5), &json!(0))
    );
    let latency = task["median_latency"].as_f64().unwrap();
    assert!(latency > 0.0 && task["best_latency"] == latency, "{task}");
    let page = text(get(&gateway, "/status").await).await;
    let row =
        format!("<th scope=\"row\">{CHAT}</th><td><span class=\"badge ok\">available</span></td>");
    assert!(page.starts_with("<!doctype html>") && page.contains(&row), "{page}");
}

/// The status page updates itself by its own script, without a reload.
#[tokio::test]
async fn status_page_runs_its_own_script_only() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word()])).await;
    let page = get(&gateway, "/status").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; connect-src 'self';"),
        "{policy}"
    );
    let page = text(page).await;
    assert_eq!(
        (page.matches("<script").count(), page.matches("<script src=\"/status.js\"").count()),
        (1, 1)
    );
    assert!(!page.contains("http-equiv"), "a reload loses the place of a reader");
    let script = get(&gateway, "/status.js").await;
    assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
    let script = text(script).await;
    for id in script.split("getElementById(\"").skip(1).map(|rest| rest.split('"').next().unwrap())
    {
        assert!(page.contains(&format!("id=\"{id}\"")), "the page has no element {id}");
    }
}

/// A key sees its own limits and usage, and those of no other.
#[tokio::test]
async fn key_sees_only_its_own_limits_and_usage() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word(), word()])).await;
    let weight = 7.try_into().unwrap();
    let other = KeyTerms { monthly_budget: Some(9), weight, ..KeyTerms::new("other", 7) };
    let other = gateway.store.create_key(&other, &[5; 40], 0).await.unwrap();
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "a"}]});
    document(gateway.send("/v1/chat/completions", &body, None).await).await;
    let charged = gateway.wait_for_charges().await;
    let own = async |path: &str, key: &str| document(get_with(&gateway, key, path).await).await;
    let key = own("/v1/key", &gateway.key).await;
    assert_eq!(
        (&key["name"], &key["rate_per_minute"], &key["models"]),
        (&json!("test"), &json!(100), &Value::Null)
    );
    assert!(
        key["balance"].is_number()
            && key["log_requests"] == false
            && !key.to_string().contains(&gateway.key)
    );
    let usage = own("/v1/usage", &gateway.key).await;
    assert_eq!(
        (&usage["data"][0]["model"], &usage["data"][0]["charged"]),
        (&json!(CHAT), &json!(charged))
    );
    assert_eq!(own("/v1/usage", &other.secret).await["data"], json!([]));
    let other_key = own("/v1/key", &other.secret).await;
    assert_eq!((&key["budgets"], &key["expires"]), (&json!([]), &Value::Null));
    assert_eq!(other_key["budgets"], json!([{"period": "month", "budget": 9, "spent": 0}]));
    assert_eq!(
        (&key["weight"], &other_key["monthly_budget"], &other_key["weight"]),
        (&json!(1), &json!(9), &json!(7))
    );
    for path in ["/v1/key", "/v1/usage"] {
        assert_eq!(own(path, "sk-tao-x").await["error"]["code"], "invalid_api_key");
    }
}

/// Texts of requests and answers are never logged.
#[tokio::test]
async fn requests_are_logged_only_for_keys_with_logging() {
    let (log, _guard) = CapturedLog::start();
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word(), word()])).await;
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "private"}]});
    // The error names the unknown field.
    let unknown = json!({"model": CHAT, "prompt": "private", "private": 1});
    let send_requests = async |log_requests: bool| {
        gateway
            .store
            .update_key(&gateway.id, &KeyTerms { log_requests, ..KeyTerms::new("test", 100) })
            .await
            .unwrap();
        log.take();
        text(gateway.send("/v1/chat/completions", &body, None).await).await;
        text(gateway.send("/v1/completions", &unknown, None).await).await;
        log.take()
    };
    assert!(!send_requests(false).await.contains(&gateway.id));
    let logged = send_requests(true).await;
    let key = format!("key=\"{}\"", gateway.id);
    let key_lines: Vec<_> = logged.lines().filter(|line| line.contains(&key)).collect();
    assert_eq!(key_lines.len(), 3, "{logged}");
    for part in ["request of an API key charged", "model=\"chat-llama-3-2-3b\"", "output_tokens=2"]
    {
        assert!(key_lines[0].contains(part), "{logged}");
    }
    assert!(key_lines[1].contains("path=\"/v1/chat/completions\" status=200"), "{logged}");
    assert!(key_lines[2].contains("path=\"/v1/completions\" status=400"), "{logged}");
    assert!(!logged.contains("private") && !logged.contains("word"), "{logged}");
}

/// A limit of tokens counts what requests use, and limits the answers of requests without
/// `max_tokens`.
#[tokio::test]
async fn token_rate_counts_used_tokens() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word(), word()])).await;
    let limits =
        |tokens| KeyTerms { tokens_per_minute: Some(tokens), ..KeyTerms::new("test", 100) };
    gateway.store.update_key(&gateway.id, &limits(1_000)).await.unwrap();
    let messages = json!([{"role": "user", "content": "a"}]);
    let chat =
        |max_tokens: Value| json!({"model": CHAT, "max_tokens": max_tokens, "messages": messages});
    let header = |response: &axum::response::Response, name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().parse::<u64>().unwrap())
    };
    let large = gateway.send("/v1/chat/completions", &chat(json!(1_000)), None).await;
    assert_eq!(
        (large.status().as_u16(), header(&large, "x-ratelimit-limit-tokens")),
        (429, Some(1_000))
    );
    assert_eq!(header(&large, "retry-after"), None, "a later attempt fails as well");
    let error = document(large).await["error"].clone();
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert!(
        error["message"].as_str().unwrap().contains("limit is 1000 tokens per minute"),
        "{error}"
    );
    let first = gateway.send("/v1/chat/completions", &chat(json!(900)), None).await;
    assert_eq!(first.status(), 200);
    let remaining = header(&first, "x-ratelimit-remaining-tokens").unwrap();
    assert!(remaining < 100, "the longest answer is reserved: {remaining}");
    let usage = document(first).await["usage"].clone();
    let [used, input] = ["total_tokens", "prompt_tokens"].map(|name| usage[name].as_u64().unwrap());
    gateway.wait_for_charges().await;
    let second = gateway.send("/v1/chat/completions", &chat(json!(900)), None).await;
    assert_eq!(
        header(&second, "x-ratelimit-remaining-tokens"),
        Some(remaining - used),
        "only used tokens count"
    );
    document(second).await;
    // Without `max_tokens`, the answer is limited to what remains.
    gateway.wait_for_charges().await;
    let limit = u32::try_from(2 * used + input + 50).unwrap();
    gateway.store.update_key(&gateway.id, &limits(limit)).await.unwrap();
    let third = gateway.send("/v1/chat/completions", &chat(Value::Null), None).await;
    assert_eq!(
        (third.status().as_u16(), header(&third, "x-ratelimit-remaining-tokens")),
        (200, Some(0))
    );
    document(third).await;
    // The reservation of a request that is dropped, such as that of a buyer who has disconnected,
    // is returned.
    gateway.wait_for_charges().await;
    gateway.store.update_key(&gateway.id, &limits(1_000_000)).await.unwrap();
    let key = gateway.store.key(&gateway.id).await.unwrap().unwrap();
    let (rate_limiter, now) = (RateLimiter::default(), std::time::SystemTime::now());
    let reserved =
        async |tokens| rate_limiter.reserve_tokens(&gateway.store, &key, tokens, now).await;
    drop(reserved(900_000).await.unwrap());
    let again = async {
        while reserved(900_000).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), again).await.unwrap();
}

#[tokio::test]
async fn key_documents_have_their_own_rate_limit() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word()])).await;
    for _ in 0..120 {
        assert_eq!(get_with(&gateway, &gateway.key, "/v1/key").await.status(), 200);
    }
    let refused = get_with(&gateway, &gateway.key, "/v1/key").await;
    assert_eq!(
        (refused.status().as_u16(), refused.headers().contains_key("retry-after")),
        (429, true)
    );
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "a"}]});
    assert_eq!(
        gateway.send("/v1/chat/completions", &body, None).await.status(),
        200,
        "they do not count as requests"
    );
}

/// A key gets its own usage and invoices only.
#[tokio::test]
async fn usage_and_invoices_are_available_as_json_and_csv() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word(), word()])).await;
    let body = json!({"model": CHAT, "messages": [{"role": "user", "content": "a"}]});
    document(gateway.send("/v1/chat/completions", &body, None).await).await;
    let charged = gateway.wait_for_charges().await;
    let own = async |path: &str| get_with(&gateway, &gateway.key, path).await;
    let csv = own("/v1/usage?format=csv").await;
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.headers()["content-disposition"], "attachment; filename=\"usage.csv\"");
    let lines = text(csv).await;
    let (head, row) = lines.split_once('\n').unwrap();
    assert!(
        head.starts_with("day,key,model,") && row.ends_with(&format!(",{charged}\n")),
        "{lines}"
    );
    let month = &row[..7];
    let invoice = document(own(&format!("/v1/invoices/{month}")).await).await;
    assert_eq!((&invoice["object"], &invoice["charged"]), (&json!("invoice"), &json!(charged)));
    assert_eq!((&invoice["lines"][0]["model"], &invoice["deposits"]), (&json!(CHAT), &json!([])));
    let csv = text(own(&format!("/v1/invoices/{month}?format=csv")).await).await;
    assert!(
        csv.lines()
            .nth(1)
            .unwrap()
            .starts_with(&format!("{month},{},test,usage,{CHAT},1,", gateway.id)),
        "{csv}"
    );
    let earlier = document(own("/v1/invoices/1970-01").await).await;
    // The credits of this test are granted at the beginning of 1970.
    assert_eq!(
        (&earlier["lines"], &earlier["grants"]),
        (&json!([]), &json!([{"credits": 1_000, "granted": 0}]))
    );
    for (path, param) in [("/v1/usage?format=xml", "format"), ("/v1/invoices/2026-13", "month")] {
        let refused = own(path).await;
        assert_eq!(refused.status(), 400);
        assert_eq!(document(refused).await["error"]["param"], param);
    }
    for path in ["/v1/usage?format=csv", "/v1/invoices/2026-11"] {
        assert_eq!(document(get(&gateway, path).await).await["error"]["code"], "invalid_api_key");
    }
}

#[tokio::test]
async fn usage_page_runs_its_own_script_only() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word()])).await;
    let page = get(&gateway, "/usage").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; connect-src 'self';"),
        "{policy}"
    );
    let page = text(page).await;
    assert_eq!(
        (page.matches("<script").count(), page.matches("<script src=\"/usage.js\">").count()),
        (1, 1)
    );
    assert!(
        !page.contains("onclick=") && !page.contains("onsubmit="),
        "the policy forbids inline handlers"
    );
    let script = get(&gateway, "/usage.js").await;
    assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
    let script = text(script).await;
    // Texts of the gateway are never parsed as HTML, and the key is not stored.
    for unsafe_name in
        ["innerHTML", "insertAdjacentHTML", "document.write", "eval(", "Storage", "cookie"]
    {
        assert!(!script.contains(unsafe_name), "{unsafe_name}");
    }
    for id in script.split("byId(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(page.contains(&format!("id=\"{id}\"")), "the page has no element {id}");
    }
}

/// A key sees its own deposit address and transfers, once the validator sells credits for TAO.
#[tokio::test]
async fn topup_shows_own_deposit_address_and_transfers_only() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word()])).await;
    let other = gateway.store.create_key(&KeyTerms::new("other", 7), &[5; 40], 0).await.unwrap();
    let own = async |key: &str| document(get_with(&gateway, key, "/v1/topup").await).await;
    assert_eq!(own(&gateway.key).await["error"]["code"], "topup_unavailable");
    let (operator, payer) = (AccountId::from_bytes([7; 32]), AccountId::from_bytes([8; 32]));
    let hash = |block: u8| BlockHash::from_bytes([block; 32]);
    let number = |block: u8| BlockNumber::new(block.into());
    let terms = TopUpTerms { account: operator, rao_per_credit: 100_u64.try_into().unwrap() };
    gateway.store.enable_topups(terms, hash(9), (number(1), hash(1))).await.unwrap();
    let before = own(&gateway.key).await;
    let address: AccountId = serde_json::from_value(before["address"].clone()).unwrap();
    assert_eq!((&before["rao_per_credit"], &before["deposits"]), (&json!(100), &json!([])));
    let transfer = Transfer {
        block: number(2),
        hash: hash(2),
        event: 3,
        from: payer,
        to: address,
        amount: Rao::new(250),
    };
    gateway
        .store
        .record_transfers(hash(1), (number(2), hash(2)), &[transfer], 5_000)
        .await
        .unwrap();
    let after = own(&gateway.key).await;
    assert_eq!(after["has_more"], false);
    assert_eq!(
        after["deposits"],
        json!([{"block": 2, "block_hash": hash(2), "event": 3, "from": payer, "amount_rao": 250, "credits": 2,
            "recorded": 5}])
    );
    // Pages of 100 transfers, newest first.
    let transfers: Vec<_> = (0..101)
        .map(|event| Transfer { block: number(3), hash: hash(3), event, ..transfer })
        .collect();
    gateway.store.record_transfers(hash(2), (number(3), hash(3)), &transfers, 5_000).await.unwrap();
    let page = async |query: &str| {
        document(get_with(&gateway, &gateway.key, &format!("/v1/topup{query}")).await).await
    };
    let first = page("").await;
    let events = |page: &Value| -> Vec<_> {
        page["deposits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["block"].clone(), one["event"].clone()))
            .collect()
    };
    assert_eq!(
        (events(&first).len(), &events(&first)[99].1, &first["has_more"]),
        (100, &json!(1), &json!(true))
    );
    let second = page("?before=3-1").await;
    assert_eq!(events(&second), [(json!(3), json!(0)), (json!(2), json!(3))]);
    assert_eq!(second["has_more"], false);
    assert_eq!(page("?before=x").await["error"]["param"], "before");
    let others = own(&other.secret).await;
    assert_eq!(others["deposits"], json!([]));
    assert_ne!(others["address"], after["address"]);
    assert_eq!(own("sk-tao-x").await["error"]["code"], "invalid_api_key");
    gateway.store.disable_topups().await.unwrap();
    assert_eq!(own(&gateway.key).await["error"]["code"], "topup_unavailable");
}

/// Web pages may call the gateway with any headers, and read the rate limit and errors.
#[tokio::test]
async fn web_pages_of_any_origin_are_allowed() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word()])).await;
    let preflight = Request::options("/v1/chat/completions")
        .header("origin", "https://example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,x-stainless-os");
    let response =
        gateway.router.clone().oneshot(preflight.body(Body::empty()).unwrap()).await.unwrap();
    let header = |response: &axum::response::Response, name: &str| {
        response.headers()[name].to_str().unwrap().to_owned()
    };
    assert_eq!(
        (response.status().as_u16(), header(&response, "access-control-allow-origin")),
        (204, "*".to_owned())
    );
    assert_eq!(
        header(&response, "access-control-allow-headers"),
        "authorization,content-type,x-stainless-os"
    );
    let refused = Request::post("/v1/chat/completions").header("origin", "https://example.com");
    let response =
        gateway.router.clone().oneshot(refused.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "access-control-allow-origin")),
        (401, "*".to_owned())
    );
    assert!(
        header(&response, "access-control-expose-headers")
            .contains("x-ratelimit-remaining-requests")
    );
}

/// The start page has a command that works: its URL is that of the request.
#[tokio::test]
async fn start_page_has_an_example_request() {
    let gateway =
        start_gateway_for(MarketConfig::default(), CHAT, respond_with(vec![word()])).await;
    let page = async |host: &str| {
        let request = Request::get("/").header("host", host).body(Body::empty()).unwrap();
        text(gateway.router.clone().oneshot(request).await.unwrap()).await
    };
    let actual = page("gateway.example:8091").await;
    assert!(
        actual.contains("curl http://gateway.example:8091/v1/chat/completions")
            && actual.contains(CHAT),
        "{actual}"
    );
    assert!(page("[::1]:8091").await.contains("curl http://[::1]:8091/v1"));
    let actual = page("<script>").await;
    assert!(actual.contains("curl http://HOST/v1") && !actual.contains("<script>"), "{actual}");
}
