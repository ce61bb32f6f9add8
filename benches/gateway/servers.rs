//! The servers that the benchmark starts: the miner and the gateway.

use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use axum::routing::post;
use axum::{Json, Router};
use futures::StreamExt as _;
use serde_json::{Value, json};
use taonet_http::{ServeLimits, disable_huge_pages, serve};
use taonet_nineteen_control::MarketFile;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::{PeriodCounts, PeriodProfile};
use taonet_nineteen_entry::Gateway;
use taonet_nineteen_query::{
    Market, PeriodMiners, ProcessRole, Querier, QueryDeadlines, Recorder, TaskMiner, TaskMiners,
};
use taonet_nineteen_store::{ContenderRow, KeyTerms, NewContender, Reward, Sample, Store};
use taonet_nineteen_transport::{
    FiberClient, FiberRules, MinerHandshake, RsaKey, Trust, routes, signed_requests,
};
use taonet_primitives::Uid;
use taonet_service::{Shutdown, monotonic_clock, system_clock};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, Peer, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;

use crate::load::Target;

/// Prompt to which the miner responds slowly.
pub(crate) const SLOW_PROMPT: &str = "Take your time.";
/// Number of tokens per answer.
const TOKENS: usize = 64;
/// Pause between two tokens of a slow answer.
const TOKEN_DELAY: Duration = Duration::from_secs(5);
/// Limits that no measurement reaches.
const UNREACHED_LIMIT: usize = 20_000;
const CAPACITY: f64 = 1e15;
const CREDITS: i64 = 1_000_000_000_000_000;
const TASK: &str = "chat-llama-3-2-3b";
/// Length of the period, in milliseconds.
const PERIOD_MS: i64 = 3_600_000;
/// Capacity of the queue of samples to store, as in `tao nineteen validator`.
const SAMPLE_QUEUE_CAPACITY: usize = 256;
/// Time that a checker takes per answer.
const CHECK_DURATION: Duration = Duration::from_secs(1);

/// Runs a server until standard input is closed. `start` returns the server's address.
fn run(start: impl Future<Output = Target>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let target = runtime.block_on(start);
    println!("{}", serde_json::to_string(&target).unwrap());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    runtime.shutdown_background();
}

async fn listen(router: Router, port: u16) -> String {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let limits = ServeLimits {
        connections: UNREACHED_LIMIT,
        connections_per_address: UNREACHED_LIMIT,
        ..ServeLimits::default()
    };
    tokio::spawn(async move { serve(listener, router, &Shutdown::new(), limits).await });
    url
}

/// Serves fiber's routes and OpenAI's from one port. Its tokens are available immediately, except
/// for [`SLOW_PROMPT`].
pub(crate) fn miner(port: u16) {
    run(async move {
        let bob = Keypair::from_uri("//Bob").unwrap();
        let signed = signed_requests(bob.hotkey(), FiberRules::Strict).build();
        let handshake = MinerHandshake::new(bob, RsaKey::generate().unwrap(), FiberRules::Strict);
        let events = events();
        let chat = post(move |Json(payload): Json<Value>| {
            let events = events.clone();
            async move { answer(events, &payload) }
        });
        let sealed = Router::new().route("/chat/completions", chat.clone());
        let open = Router::new().route("/v1/chat/completions", chat);
        Target {
            url: listen(routes(handshake, signed, sealed).merge(open), port).await,
            key: "none".to_owned(),
        }
    });
}

/// Returns the events of an answer in vLLM's format, with the log-probabilities that the gateway
/// requests.
fn events() -> Vec<Bytes> {
    let choice = |delta: Value, logprobs: Value, finish: Value| {
        let choices =
            json!([{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]);
        let document = json!({
            "id": "chatcmpl-6f1e7a4c2b9d4f0e8a3c5d7b9e1f2a4c", "object": "chat.completion.chunk", "created": 1_795_239_890,
            "model": TASK, "choices": choices,
        });
        Bytes::from(format!("data: {document}\n\n"))
    };
    let token = |number: usize| {
        let token = format!(" word{number}");
        let logprob = -0.7 / (number + 1) as f64;
        let content = json!([{"token": token, "logprob": logprob, "bytes": token.as_bytes(), "top_logprobs": []}]);
        choice(json!({"content": token}), json!({"content": content}), Value::Null)
    };
    let mut events =
        vec![choice(json!({"role": "assistant", "content": ""}), Value::Null, Value::Null)];
    events.extend((0..TOKENS).map(token));
    events.push(choice(json!({}), Value::Null, "stop".into()));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn answer(events: Vec<Bytes>, payload: &Value) -> axum::response::Response {
    let is_slow =
        payload.pointer("/messages/1/content").is_some_and(|content| content == SLOW_PROMPT);
    let events = futures::stream::iter(events).map(Ok::<_, Infallible>);
    let body = if is_slow {
        Body::from_stream(events.take(2).chain(slow_tokens()))
    } else {
        Body::from_stream(events)
    };
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Returns an endless stream with one token per [`TOKEN_DELAY`].
fn slow_tokens() -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
    let token = events().swap_remove(1);
    futures::stream::repeat(token).then(|token| async move {
        tokio::time::sleep(TOKEN_DELAY).await;
        Ok(token)
    })
}

/// Serves the gateway, with a database in a temporary folder, and with metrics, counters, samples
/// and disabled huge pages as in `tao nineteen validator`.
pub(crate) fn gateway(miner: u16) {
    disable_huge_pages();
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let _metrics = taonet_telemetry::Metrics::install().unwrap();
        let config = MarketConfig::default();
        let task = Arc::new(config.task(TASK).unwrap().clone());
        let alice = Keypair::from_uri("//Alice").unwrap();
        let bob = Keypair::from_uri("//Bob").unwrap().hotkey();
        let wire = ClientConfig { idle_per_host: 256, ..ClientConfig::default() };
        let client = FiberClient::new(alice, Trust::Signed, wire, Arc::new(SystemClock)).unwrap();
        let session = client.handshake(&Peer::new(bob, "127.0.0.1", miner).unwrap()).await.unwrap();
        let capacity = Capacity { declared: CAPACITY, accepted: CAPACITY, to_score: 0.0 };
        let concurrency = Some(UNREACHED_LIMIT);
        let offer = NewContender {
            task: task.task.clone(),
            hotkey: bob,
            uid: Uid(1),
            capacity,
            concurrency,
        };
        let store = Store::open(folder.path()).await.unwrap();
        let profile = PeriodProfile::Reference;
        let opened = store
            .begin_period(0, PERIOD_MS, profile, std::slice::from_ref(&offer), &[], &config)
            .await;
        let row = ContenderRow {
            offer,
            counts: PeriodCounts::with_capacity(CAPACITY),
            sent: 0.0,
            score: None,
        };
        let task_miners = TaskMiners::new(task, vec![TaskMiner::new(&row, session, 0.0)], 0);
        let market = Market::default();
        market.open(PeriodMiners::new(opened.unwrap(), vec![task_miners]));
        let (samples, receiver) = tokio::sync::mpsc::channel(SAMPLE_QUEUE_CAPACITY);
        record(&store, &market, receiver);
        let slow = Some(TOKEN_DELAY * 4);
        let deadlines =
            QueryDeadlines { first_chunk: slow, between_chunks: slow, ..QueryDeadlines::default() };
        let clocks = (system_clock(), monotonic_clock());
        let querier = Querier::new(client, market, deadlines, UNREACHED_LIMIT, clocks, samples);
        let terms = KeyTerms::new("load", 100_000_000);
        let key = store.create_key(&terms, &[3; 40], 0).await.unwrap();
        store.grant(&key.id, CREDITS, "load", 0).await.unwrap();
        let gateway = Gateway::new(store, querier, MarketFile::from_config(config), system_clock());
        Target { url: listen(gateway.router(), 0).await, key: key.secret.to_string() }
    });
}

/// Stores counters and samples as a validator does. A checker processes one sample per second.
fn record(store: &Store, market: &Market, samples: Receiver<Sample>) {
    let recorder = Recorder::new(store.clone(), market.clone(), ProcessRole::Validator);
    let counting = recorder.clone();
    tokio::spawn(async move { counting.sync_counters(&Shutdown::new()).await });
    tokio::spawn(async move { recorder.store_samples(samples, &Shutdown::new()).await });
    let (store, market) = (store.clone(), market.clone());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(CHECK_DURATION).await;
            let period_miners = market.period_miners().unwrap();
            let task_miners = &period_miners.tasks()[0];
            let Some(sample) = store.next_sample(&task_miners.task.task).await.unwrap() else {
                continue;
            };
            let reward =
                Reward { quality: Some(1.0), metric: None, reason: String::new(), created_ms: 0 };
            store.put_reward(&sample, &reward).await.unwrap();
            task_miners.set_keeps_samples(true);
        }
    });
}
