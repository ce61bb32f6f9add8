//! Tests of the gateway with a miner in this process.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use axum::{Json, Router};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use taonet_http::testing::listen;
use taonet_nineteen_control::MarketFile;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::PeriodCounts;
use taonet_nineteen_core::task::{Endpoint, Price, TaskType};
use taonet_nineteen_miner::{Backend, Deadlines, Miner, MinerConfig};
use taonet_nineteen_query::{
    MAX_REQUEST_BYTES, Market, PeriodMiners, Querier, QueryDeadlines, QueueSettings, TaskMiner,
    TaskMiners,
};
use taonet_nineteen_store::{ContenderRow, KeyTerms, NewContender, PeriodId, Sample, Store};
use taonet_nineteen_transport::{
    FiberClient, FiberRules, MinerHandshake, RsaKey, Trust, routes, signed_requests,
};
use taonet_primitives::Uid;
use taonet_service::{monotonic_clock, system_clock};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, Limits, Peer, SystemClock};
use tokio::sync::{Mutex, mpsc};
use tower::ServiceExt as _;

use crate::Gateway;

pub(super) const TASK: &str = "chat-llama-3-2-3b";
/// Initial credits of the buyer.
const CREDITS: i64 = 1_000;
/// Time without a request in flight after which all have ended: a closed connection is noticed
/// within this time.
const SETTLE_TIME: Duration = Duration::from_millis(200);

pub(super) struct TestGateway {
    pub(super) router: Router,
    pub(super) store: Store,
    pub(super) querier: Querier,
    pub(super) key: String,
    pub(super) id: String,
    /// Answers to check.
    pub(super) samples: Mutex<mpsc::Receiver<Sample>>,
    _folder: tempfile::TempDir,
}

pub(super) async fn start_gateway(handler: MethodRouter) -> TestGateway {
    start_gateway_for(MarketConfig::default(), TASK, handler).await
}

/// Starts a gateway and one miner that serves one task of the market.
pub(super) async fn start_gateway_for(
    config: MarketConfig,
    task: &str,
    handler: MethodRouter,
) -> TestGateway {
    start_gateway_with(config, vec![(task, handler)]).await
}

/// Starts a gateway and one miner that streams these chunks and then stalls.
pub(super) async fn start_stalling_gateway(chunks: Vec<String>) -> TestGateway {
    let deadlines = QueryDeadlines {
        between_chunks: Some(Duration::from_secs(1)),
        ..QueryDeadlines::default()
    };
    start_gateway_with_deadlines(
        MarketConfig::default(),
        vec![(TASK, stall_after(chunks))],
        deadlines,
    )
    .await
}

/// Starts a gateway and one miner that serves these tasks of the market, each at its own endpoint.
pub(super) async fn start_gateway_with(
    config: MarketConfig,
    tasks: Vec<(&str, MethodRouter)>,
) -> TestGateway {
    start_gateway_with_deadlines(config, tasks, QueryDeadlines::default()).await
}

pub(super) async fn start_gateway_with_deadlines(
    config: MarketConfig,
    tasks: Vec<(&str, MethodRouter)>,
    deadlines: QueryDeadlines,
) -> TestGateway {
    let (mut served, mut handlers) = (Vec::new(), Router::new());
    for (task, handler) in tasks {
        handlers = handlers.route(config.task(task).unwrap().endpoint.path(), handler);
        served.push(task);
    }
    start_gateway_with_routes(config, &served, handlers, deadlines).await
}

/// Starts a gateway and one miner, which serves these tasks of the market with these routes.
pub(super) async fn start_gateway_with_routes(
    config: MarketConfig,
    tasks: &[&str],
    handlers: Router,
    deadlines: QueryDeadlines,
) -> TestGateway {
    // A request that every attempt finds rate-limited is queued for so long.
    start_gateway_with_slots(config, tasks, handlers, deadlines, (8, Duration::from_secs(2))).await
}

/// Starts a gateway and a miner, as `tao nineteen miner` runs, before an inference server. The
/// input of a request is free.
pub(super) async fn start_gateway_with_backend(endpoint: Endpoint, backend: Router) -> TestGateway {
    let url = format!("http://{}/v1", listen(backend).await);
    let served = vec![TASK.parse().unwrap()];
    let config = MinerConfig {
        task_type: TaskType::Text,
        served,
        concurrency: 8,
        deadlines: Deadlines::default(),
    };
    let miner = Miner::new(config, Backend::new(&url.parse().unwrap(), None).unwrap(), None);
    let mut market = MarketConfig::default();
    market.tasks[0].endpoint = endpoint;
    market.tasks[0].price = Price { input: 0, output: 1_000, step: 0 };
    // Longer than the task's timeout, which a busy machine exceeds with hundreds of chunks.
    let long_timeout = Some(Duration::from_secs(30));
    let deadlines = QueryDeadlines {
        first_chunk: long_timeout,
        between_chunks: long_timeout,
        ..QueryDeadlines::default()
    };
    start_gateway_with_routes(market, &[TASK], taonet_nineteen_miner::routes(miner), deadlines)
        .await
}

/// Starts a gateway and one miner with a number of slots, for which requests wait for at most
/// `wait`.
pub(super) async fn start_gateway_with_slots(
    config: MarketConfig,
    tasks: &[&str],
    handlers: Router,
    deadlines: QueryDeadlines,
    (slots, wait): (usize, Duration),
) -> TestGateway {
    let key = |uri: &str| Keypair::from_uri(uri).unwrap();
    let client = FiberClient::new(
        key("//Alice"),
        Trust::Signed,
        ClientConfig::default(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let bob = key("//Bob");
    let limits = Limits { body_bytes: MAX_REQUEST_BYTES, ..Limits::default() };
    let signed = signed_requests(bob.hotkey(), FiberRules::Strict).limits(limits).build();
    let handshake =
        MinerHandshake::new(bob.clone(), RsaKey::generate().unwrap(), FiberRules::Strict);
    let port = listen(routes(handshake, signed, handlers)).await.port();
    let session =
        client.handshake(&Peer::new(bob.hotkey(), "127.0.0.1", port).unwrap()).await.unwrap();
    let capacity = Capacity { declared: 1e5, accepted: 1e5, to_score: 900.0 };
    let task_miners = |task: &&str| {
        let task = Arc::new(config.task(task).unwrap().clone());
        let (hotkey, concurrency) = (bob.hotkey(), None);
        let offer =
            NewContender { task: task.task.clone(), hotkey, uid: Uid(1), capacity, concurrency };
        let row = ContenderRow {
            offer,
            counts: PeriodCounts::with_capacity(1e5),
            sent: 0.0,
            score: None,
        };
        TaskMiners::new(task, vec![TaskMiner::new(&row, session.clone(), 900.0)], 10)
    };
    let market = Market::default();
    market.open(PeriodMiners::new(PeriodId(1), tasks.iter().map(task_miners).collect()));
    let (sender, samples) = mpsc::channel(16);
    let queue = QueueSettings { wait, ..QueueSettings::default() };
    let querier =
        Querier::new(client, market, deadlines, slots, (system_clock(), monotonic_clock()), sender)
            .with_queue(queue);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let terms = KeyTerms::new("test", 100);
    let created = store.create_key(&terms, &[3; 40], 0).await.unwrap();
    store.grant(&created.id, CREDITS, "test", 0).await.unwrap();
    let router = Gateway::new(
        store.clone(),
        querier.clone(),
        MarketFile::from_config(config),
        system_clock(),
    )
    .router();
    let samples = Mutex::new(samples);
    TestGateway {
        router,
        store,
        querier,
        key: created.secret.to_string(),
        id: created.id,
        samples,
        _folder: folder,
    }
}

impl TestGateway {
    pub(super) async fn buy(&self, extra_fields: &Value) -> Response {
        let mut body = json!({"model": TASK, "messages": [{"role": "user", "content": "12345678"}], "max_tokens": 100});
        body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
        self.send("/v1/chat/completions", &body, None).await
    }

    pub(super) async fn send(
        &self,
        path: &str,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Response {
        let mut request =
            Request::post(path).header("authorization", format!("Bearer {}", self.key));
        if let Some(idempotency_key) = idempotency_key {
            request = request.header("idempotency-key", idempotency_key);
        }
        let request =
            request.header("x-request-id", "mine").body(Body::from(body.to_string())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["x-request-id"], "mine");
        response
    }

    /// Waits until no credits are reserved; returns the charged credits.
    pub(super) async fn wait_for_charges(&self) -> i64 {
        loop {
            let balances = self.store.balances().await.unwrap();
            let balance_of = |name: &str| {
                balances
                    .iter()
                    .find(|(account, _)| account == name)
                    .map_or(0, |(_, balance)| *balance)
            };
            if balance_of(&format!("held:{}", self.id)) == 0 {
                assert!(self.store.is_balanced().await.unwrap());
                assert_eq!(
                    balance_of(&format!("key:{}", self.id)),
                    CREDITS - balance_of("revenue")
                );
                return balance_of("revenue");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until no request of any key is in flight, and checks that the books balance.
    pub(super) async fn wait_until_settled(&self) {
        let start = Instant::now();
        let mut since = Instant::now();
        while since.elapsed() < SETTLE_TIME {
            let balances = self.store.balances().await.unwrap();
            let open_holds: Vec<_> = balances
                .iter()
                .filter(|(account, amount)| account.starts_with("held:") && *amount != 0)
                .collect();
            let period_miners = self.querier.market().period_miners().unwrap();
            let running: usize =
                period_miners.contenders().map(|contender| contender.running()).sum();
            if !open_holds.is_empty() || running > 0 {
                assert!(
                    start.elapsed() < Duration::from_mins(1),
                    "{running} requests in flight, held: {open_holds:?}"
                );
                since = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(self.store.is_balanced().await.unwrap());
        let balances = self.store.balances().await.unwrap();
        let revenue = balances
            .iter()
            .find(|(account, _)| account == "revenue")
            .map_or(0, |(_, revenue)| *revenue);
        let charged: i64 =
            self.store.usage(None).await.unwrap().iter().map(|row| row.charged).sum();
        assert_eq!(charged, revenue);
    }
}

pub(super) async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(super) async fn document(response: Response) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

pub(super) fn chunk(delta: &Value) -> String {
    format!(
        "data: {}\n\n",
        json!({"choices": [{"delta": delta, "logprobs": {"content": [{"logprob": -0.5}]}}]})
    )
}

pub(super) fn word() -> String {
    chunk(&json!({"content": "word "}))
}

pub(super) fn respond_with(chunks: Vec<String>) -> MethodRouter {
    post(move || async move { chunks.concat() })
}

/// Returns a handler that streams these chunks and then stalls.
fn stall_after(chunks: Vec<String>) -> MethodRouter {
    post(move || async move {
        let chunks =
            futures::stream::iter(chunks).map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
        Body::from_stream(chunks.chain(futures::stream::pending()))
    })
}

fn call(delta: &Value) -> String {
    chunk(&json!({"content": null, "tool_calls": [delta]}))
}

pub(super) fn calls() -> Vec<String> {
    vec![
        call(
            &json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}),
        ),
        call(&json!({"index": 0, "function": {"arguments": "{\"town\":"}})),
        call(&json!({"index": 0, "function": {"arguments": "\"Ulm\"}"}})),
    ]
}

#[tokio::test]
async fn tools_are_forwarded_and_their_calls_returned() {
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    let expected = tools.clone();
    let miner = post(move |Json(payload): Json<Value>| async move {
        assert_eq!((&payload["tools"], &payload["tool_choice"]), (&expected, &json!("required")));
        calls().concat()
    });
    let gateway = start_gateway(miner).await;
    let options = json!({"tools": tools, "tool_choice": "required"});
    let answer = document(gateway.buy(&options).await).await;
    let choice = &answer["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &json!(null))
    );
    let function = &choice["message"]["tool_calls"][0]["function"];
    assert_eq!(function, &json!({"name": "weather", "arguments": "{\"town\":\"Ulm\"}"}));
    let mut streamed = options;
    streamed["stream"] = json!(true);
    let stream = text(gateway.buy(&streamed).await).await;
    assert!(
        stream.contains(r#""finish_reason":"tool_calls""#) && stream.ends_with("data: [DONE]\n\n"),
        "{stream}"
    );
}

#[tokio::test]
async fn deprecated_functions_are_converted_to_tools_and_back() {
    let miner = post(|Json(payload): Json<Value>| async move {
        assert_eq!(payload["tools"][0]["function"]["name"], "weather");
        assert_eq!(
            payload["messages"][2],
            json!({"role": "tool", "tool_call_id": "call00001", "content": "rain"})
        );
        [vec![chunk(&json!({"content": "Well."}))], calls()].concat().concat()
    });
    let gateway = start_gateway(miner).await;
    let call = json!({"name": "weather", "arguments": "{}"});
    let messages = json!([
        {"role": "user", "content": "Weather?"}, {"role": "assistant", "content": null, "function_call": call},
        {"role": "function", "name": "weather", "content": "rain"},
    ]);
    let mut body = json!({"messages": messages, "functions": [{"name": "weather"}]});
    let answer = document(gateway.buy(&body).await).await;
    let (choice, expected) =
        (&answer["choices"][0], json!({"name": "weather", "arguments": "{\"town\":\"Ulm\"}"}));
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("function_call"), &json!("Well."))
    );
    assert_eq!(choice["message"]["function_call"], expected);
    assert!(choice["message"].get("tool_calls").is_none(), "{answer}");
    body["stream"] = json!(true);
    let stream = text(gateway.buy(&body).await).await;
    assert!(
        stream.contains(r#""finish_reason":"function_call""#) && !stream.contains("tool_calls"),
        "{stream}"
    );
    let events = stream.strip_suffix("data: [DONE]\n\n").unwrap().split_terminator("\n\n");
    let events = events
        .map(|event| serde_json::from_str::<Value>(event.strip_prefix("data: ").unwrap()).unwrap());
    let (mut name, mut arguments) = (String::new(), String::new());
    for event in events {
        let call = &event["choices"][0]["delta"]["function_call"];
        name.push_str(call["name"].as_str().unwrap_or_default());
        arguments.push_str(call["arguments"].as_str().unwrap_or_default());
    }
    assert_eq!(json!({"name": name, "arguments": arguments}), expected);
}

/// Without `max_tokens`, the credits limit an answer, but not below its minimum.
#[tokio::test]
async fn min_tokens_must_be_affordable() {
    let miner = post(|Json(payload): Json<Value>| async move {
        assert!(payload["min_tokens"].as_u64() <= payload["max_tokens"].as_u64(), "{payload}");
        word()
    });
    let gateway = start_gateway(miner).await;
    for (min_tokens, status) in [(2_000, StatusCode::OK), (3_000, StatusCode::TOO_MANY_REQUESTS)] {
        let response = gateway.buy(&json!({"max_tokens": null, "min_tokens": min_tokens})).await;
        assert_eq!(response.status(), status, "{min_tokens}");
        gateway.wait_for_charges().await;
    }
}

#[tokio::test]
async fn delivered_tokens_are_charged() {
    let gateway = start_gateway(respond_with(vec![word(), word(), word()])).await;
    let answer = document(gateway.buy(&json!({"logprobs": true})).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "word word word ");
    assert_eq!(answer["choices"][0]["logprobs"]["content"].as_array().unwrap().len(), 3);
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9})
    );
    // 6 input tokens at 100 and 3 output tokens at 400 credits per 1 000: 1.8, rounded up.
    assert_eq!(gateway.wait_for_charges().await, 2);
    let stream = text(gateway.buy(&json!({"stream": true, "max_tokens": 3})).await).await;
    assert!(
        stream.contains(r#""finish_reason":"length""#) && !stream.contains("usage"),
        "{stream}"
    );
    assert_eq!(gateway.wait_for_charges().await, 4);
}

#[tokio::test]
async fn images_in_chats_need_a_task_that_reads_them() {
    let text = json!({"type": "text", "text": "a"});
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let messages =
        json!([{"role": "user", "content": [text, image("data:image/jpeg;base64,/9j/4AAQ")]}]);
    let expected = messages.clone();
    let miner = post(move |Json(payload): Json<Value>| {
        let expected = expected.clone();
        async move {
            assert_eq!(payload["messages"], expected);
            word()
        }
    });
    let mut config = MarketConfig::default();
    config.tasks[0].image_tokens = NonZeroU32::new(700);
    let reader = start_gateway_for(config, TASK, miner).await;
    let answer = document(reader.buy(&json!({ "messages": messages })).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "word ");
    // 7 tokens of the text and 700 of the image.
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 707, "completion_tokens": 1, "total_tokens": 708})
    );
    assert_eq!(reader.wait_for_charges().await, 72);
    // A request whose image cannot be downloaded is free.
    let remote = json!([{"role": "user", "content": [image("https://127.0.0.1/a.png")]}]);
    let response = reader.buy(&json!({ "messages": remote })).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let error = document(response).await["error"].clone();
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("image_not_downloaded"), &json!("messages[0].content[0]"))
    );
    assert_eq!(reader.wait_for_charges().await, 72);
    let other = start_gateway(respond_with(vec![word()])).await;
    let response = other.buy(&json!({ "messages": messages })).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(document(response).await["error"]["param"], "messages[0].content[1]");
}

/// What the gateway accepts, a miner of the same release accepts, too.
#[tokio::test]
async fn largest_image_is_within_the_miners_limit() {
    let mut config = MarketConfig::default();
    config.tasks[0].image_tokens = NonZeroU32::new(700);
    let gateway = start_gateway_for(config, TASK, respond_with(vec![word()])).await;
    let image = |size: usize| {
        let url = format!("data:image/jpeg;base64,/9j/{}", "A".repeat(size));
        json!({"type": "image_url", "image_url": {"url": url}})
    };
    let buy = async |n: u64, parts: Value| {
        let message = json!({"role": "user", "content": parts});
        gateway.buy(&json!({"n": n, "messages": [message], "max_tokens": 9})).await
    };
    // With the other fields, the body has almost 8 MiB.
    let largest = (8 << 20) - 1_024;
    let response = buy(1, json!([image(largest)])).await;
    assert_eq!(response.status(), StatusCode::OK);
    let charged = gateway.wait_for_charges().await;
    let wide = json!({"type": "text", "text": "\u{416}".repeat(1_400_000)});
    for (n, parts, param) in [
        (8, json!([image(largest)]), "n"),
        (1, json!([image(5 << 20), wide]), "messages[0].content[0]"),
    ] {
        let response = buy(n, parts).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(document(response).await["error"]["param"], param);
    }
    assert_eq!(gateway.wait_for_charges().await, charged);
}

#[tokio::test]
async fn interrupted_answer_reports_an_error() {
    let gateway = start_stalling_gateway(vec![word(), word()]).await;
    let stream = text(gateway.buy(&json!({"stream": true})).await).await;
    assert!(
        stream.contains(r#""code":"no_answer""#) && stream.ends_with("data: [DONE]\n\n"),
        "{stream}"
    );
    assert!(!stream.contains(r#""finish_reason":"stop""#), "{stream}");
    let delivered = gateway.wait_for_charges().await;
    assert_eq!(delivered, 2, "two words were delivered");
    let response = gateway.buy(&json!({})).await;
    assert_eq!(
        (response.status(), gateway.wait_for_charges().await),
        (StatusCode::BAD_GATEWAY, delivered),
        "no delivery"
    );
}

#[tokio::test]
async fn cancelled_request_is_charged_for_delivered_tokens() {
    let endless = post(|| async {
        let chunks = futures::stream::repeat(Ok::<_, Infallible>(Bytes::from(word()))).then(
            |chunk| async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                chunk
            },
        );
        Body::from_stream(chunks)
    });
    let gateway = start_gateway(endless).await;
    let mut body = gateway.buy(&json!({"stream": true, "max_tokens": 2_000})).await.into_body();
    for _ in 0..6 {
        body.frame().await.unwrap().unwrap();
    }
    drop(body);
    // Six words cost 3 credits, the complete answer 1 000. It takes a moment until the gateway
    // notices the disconnect.
    let charged = gateway.wait_for_charges().await;
    assert!((1..=20).contains(&charged), "{charged}");
}

#[tokio::test]
async fn failed_requests_are_not_charged() {
    for (status, expected) in [(429, 503), (500, 502), (422, 400)] {
        let status = StatusCode::from_u16(status).unwrap();
        let gateway = start_gateway(post(move || async move { status })).await;
        let response = gateway.buy(&json!({})).await;
        assert_eq!(response.status().as_u16(), expected);
        assert_eq!(response.headers().contains_key("retry-after"), expected == 503);
        assert!(document(response).await["error"]["message"].is_string());
        assert_eq!(gateway.wait_for_charges().await, 0);
    }
}
