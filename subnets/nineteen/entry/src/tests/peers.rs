//! Tests of the gateway with the clients of OpenAI and Anthropic, with other libraries, and with
//! schemathesis. The gateway is served on a port, as by `tao nineteen`.

mod libraries;
mod recorded;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, post};
use axum::{Json, middleware};
use serde_json::{Value, json};
use taonet_http::{ServeLimits, serve};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::{Endpoint, TaskType};
use taonet_nineteen_store::KeyTerms;
use taonet_service::Shutdown;
use taonet_testing::{is_exhaustive, peer_directory, query_program};
use tokio::net::TcpListener;

use super::market::{TestGateway, calls, chunk, start_gateway_with, word};
use recorded::Recorder;
pub(super) use recorded::{KEY, RecordedRequest, recorded_requests};

const CHAT: &str = "chat-llama-3-2-3b";
/// Length of the model's context in the default market, in tokens.
const CONTEXT_LENGTH: u64 = 20_000;
/// A PNG file with one transparent pixel, in base64.
const PNG: &str = concat!(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA",
    "AABJRU5ErkJggg=="
);
/// Credits and rate limit (requests per minute) that no test exhausts.
const UNLIMITED: u32 = 1_000_000_000;

fn manifest_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the default market, with completions, embeddings and inpainting in place of three of its
/// tasks. Its first task reads images.
fn market() -> MarketConfig {
    let mut config = MarketConfig::default();
    config.tasks[0].image_tokens = NonZeroU32::new(100);
    for (index, name, endpoint) in [
        (1, "comp", Endpoint::Completions),
        (2, "embed", Endpoint::Embeddings),
        (9, "inpaint", Endpoint::Inpaint),
    ] {
        let task = &mut config.tasks[index];
        (task.task, task.endpoint, task.task_type) =
            (name.parse().unwrap(), endpoint, endpoint.task_type());
        task.is_stream = task.task_type == TaskType::Text;
    }
    config
}

/// Returns a handler that streams at most `max_tokens` chunks, as [`chunks`] returns them. The
/// first request with the text `flaky` fails. One with the text `long` is refused if its
/// `max_tokens` fill the context, as by vLLM.
fn chat() -> MethodRouter {
    let has_failed = Arc::new(AtomicBool::new(false));
    post(move |Json(payload): Json<Value>| {
        let has_failed = has_failed.clone();
        async move {
            let tokens = payload["max_tokens"].as_u64().unwrap();
            if payload["messages"][0]["content"] == "long" && tokens >= CONTEXT_LENGTH {
                return StatusCode::BAD_REQUEST.into_response();
            }
            if payload["messages"][0]["content"] == "flaky"
                && !has_failed.swap(true, Ordering::Relaxed)
            {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            truncate_chunks(chunks(&payload), &payload).into_response()
        }
    })
}

/// Returns words; a call of the first tool, if the request has tools and no result of one; or a
/// JSON object, if its schema has a string `town`.
fn chunks(payload: &Value) -> Vec<String> {
    let has_result =
        payload["messages"].as_array().unwrap().iter().any(|message| message["role"] == "tool");
    let tool = &payload["tools"][0]["function"]["name"];
    let town = &payload["response_format"]["json_schema"]["schema"]["properties"]["town"]["type"];
    match tool.as_str() {
        Some(name) if !has_result => {
            let name = json!(name).to_string();
            calls().iter().map(|call| call.replace("\"weather\"", &name)).collect()
        }
        _ if town == "string" => {
            ["{\"town\":", "\"Ulm\"", "}"].map(|text| chunk(&json!({ "content": text }))).to_vec()
        }
        _ => vec![word(), word(), word()],
    }
}

fn truncate_chunks(chunks: Vec<String>, payload: &Value) -> String {
    let maximum = usize::try_from(payload["max_tokens"].as_u64().unwrap()).unwrap();
    chunks.into_iter().take(maximum).collect()
}

fn completion() -> MethodRouter {
    let logprobs = json!({"tokens": ["word "], "token_logprobs": [-0.5], "top_logprobs": [{}], "text_offset": [0]});
    let chunk =
        format!("data: {}\n\n", json!({"choices": [{"text": "word ", "logprobs": logprobs}]}));
    post(|Json(payload): Json<Value>| async move { truncate_chunks(vec![chunk; 2], &payload) })
}

/// Returns a handler that responds with one vector per text, of the requested dimensions; its
/// elements are the text's position plus 0.5.
fn embeddings() -> MethodRouter {
    post(|Json(payload): Json<Value>| async move {
        let width =
            usize::try_from(payload.get("dimensions").map_or(2, |width| width.as_u64().unwrap()))
                .unwrap();
        let texts = payload["input"].as_array().unwrap().len();
        let vector =
            |index: usize| json!({"index": index, "embedding": vec![index as f64 + 0.5; width]});
        Json(json!({"data": (0..texts).map(vector).collect::<Vec<_>>()}))
    })
}

fn image() -> MethodRouter {
    post(|| async { Json(json!({"image_b64": PNG, "is_nsfw": false})) })
}

/// Starts a gateway and a miner with every route. The buyer has plenty of credits.
pub(super) async fn start_gateway() -> TestGateway {
    let images = ["proteus-text-to-image", "proteus-image-to-image", "avatar", "inpaint"]
        .map(|task| (task, image()));
    let mut handlers = vec![(CHAT, chat()), ("comp", completion()), ("embed", embeddings())];
    handlers.extend(images);
    let gateway = start_gateway_with(market(), handlers).await;
    let terms = KeyTerms::new("peers", UNLIMITED);
    gateway.store.update_key(&gateway.id, &terms).await.unwrap();
    gateway.store.grant(&gateway.id, i64::from(UNLIMITED), "peers", 0).await.unwrap();
    gateway
}

/// A running gateway that serves every route.
struct ServedGateway {
    gateway: TestGateway,
    /// An API key without credits.
    unfunded_key: String,
    url: String,
    shutdown: Shutdown,
    recorder: Recorder,
}

impl ServedGateway {
    async fn start() -> Self {
        let (gateway, recorder) = (start_gateway().await, Recorder::default());
        let unfunded_terms = KeyTerms::new("unfunded", UNLIMITED);
        let unfunded = gateway.store.create_key(&unfunded_terms, &[4; 40], 0).await.unwrap();
        let (requests, key) = (recorder.clone(), gateway.key.clone());
        let record = move |request: Request, next: Next| {
            let (requests, key) = (requests.clone(), key.clone());
            async move { requests.record_and_forward(&key, request, next).await }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (router, shutdown) =
            (gateway.router.clone().layer(middleware::from_fn(record)), Shutdown::new());
        let stop = shutdown.clone();
        shutdown.spawn("http", async move {
            serve(listener, router, &stop, ServeLimits::default()).await;
        });
        let unfunded_key = unfunded.secret.to_string();
        Self { gateway, unfunded_key, url, shutdown, recorder }
    }

    /// Runs the script of a client against the gateway; returns the results that it prints.
    /// Compares the requests with the recorded ones.
    fn run_buyer(&self, client: &str, buyer: &mut Command) -> Value {
        let (url, key) = (format!("{}/v1", self.url), &self.gateway.key);
        let results = query_program(
            buyer,
            &json!({"url": url, "key": key, "unfunded_key": self.unfunded_key}),
        );
        self.recorder.compare(client);
        results
    }

    /// Stops the server, and checks that the books balance.
    async fn stop(self) {
        self.shutdown.request();
        self.shutdown.finished().await.unwrap();
        assert!(self.gateway.store.is_balanced().await.unwrap());
        assert!(!self.gateway.store.usage(Some(&self.gateway.id)).await.unwrap().is_empty());
    }
}

/// Returns the results that both of OpenAI's clients must print.
fn expected_results() -> Value {
    let turn = |input: u64| {
        json!({
            "object": "chat.completion", "role": "assistant", "text": "word word word ", "finish": "stop",
            "usage": [input, 3, input + 3],
        })
    };
    json!({
        "models": 12,
        "conversation": [turn(6), turn(20)],
        "stream": {"text": "word word ", "finish": "length", "usage": 2},
        "vision": ["word word word ", 107],
        "choices": [[[0, "word word word "], [1, "word word word "]], [66, 6]],
        "streamed_choices": ["word word word ", "word word word "],
        "tool": ["tool_calls", "c1", "weather", "{\"town\":\"Ulm\"}"],
        "streamed_tool": ["tool_calls", "c1", "weather", "{\"town\":\"Ulm\"}"],
        "completion": ["text_completion", "word word "],
        "response": ["completed", "word word word "],
        "embedding": [[0.5, 0.5], [1.5, 1.5]],
        "image": PNG,
        "images": [PNG, PNG],
        "edit": [PNG, PNG],
        "errors": [
            ["AuthenticationError", 401, "invalid_api_key", null],
            ["NotFoundError", 404, "model_not_found", "model"],
            ["BadRequestError", 400, null, "n"],
            ["RateLimitError", 429, "insufficient_quota", null],
            ["BadRequestError", 400, "context_length_exceeded", "messages"],
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_python_client_is_compatible() {
    let Some(peer) = peer_directory("openai") else { return };
    let served = ServedGateway::start().await;
    let mut buyer = Command::new(peer.join("bin/python"));
    buyer.arg(manifest_path("src/tests/peers/buyer.py"));
    let results = tokio::task::block_in_place(|| served.run_buyer("openai-python", &mut buyer));
    assert_eq!(results, expected_results());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_node_client_is_compatible() {
    let Some(peer) = peer_directory("openai-node") else { return };
    let served = ServedGateway::start().await;
    let mut buyer = Command::new("node");
    buyer.arg(manifest_path("src/tests/peers/buyer.mjs")).arg(peer);
    let results = tokio::task::block_in_place(|| served.run_buyer("openai-node", &mut buyer));
    assert_eq!(results, expected_results());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropic_python_client_is_compatible() {
    let Some(peer) = peer_directory("anthropic") else { return };
    let served = ServedGateway::start().await;
    let mut buyer = Command::new(peer.join("bin/python"));
    buyer.arg(manifest_path("src/tests/peers/anthropic_buyer.py"));
    let results = tokio::task::block_in_place(|| served.run_buyer("anthropic", &mut buyer));
    let turn = |input: u64| {
        json!({
            "type": "message", "role": "assistant", "text": "word word word ", "stop": "end_turn",
            "usage": [input, 3], "counted": input,
        })
    };
    let tool = json!(["tool_use", "tool_use", "c1", "weather", {"town": "Ulm"}]);
    let expected = json!({
        "conversation": [turn(6), turn(20)],
        "stream": {"text": "word word ", "final": "word word ", "stop": "max_tokens", "usage": [33, 2]},
        "events": [
            "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
            "message_stop",
        ],
        "tool": tool,
        "streamed_tool": tool,
        "after_tool": "word word word ",
        "vision": ["word word word ", 107],
        "x_api_key": "end_turn",
        "errors": [
            ["AuthenticationError", 401, "authentication_error", true],
            ["NotFoundError", 404, "not_found_error", true],
            ["BadRequestError", 400, "invalid_request_error", true],
            ["PaymentRequiredError", 402, "billing_error", true],
        ],
        "context": ["invalid_request_error", true],
    });
    assert_eq!(results, expected);
    served.stop().await;
}

/// Returns schemathesis's settings, with a third of the requests of each route unless
/// `TAONET_TEST_ALL` is set: their generation takes most of the time.
fn schemathesis_settings() -> String {
    const EVERY_REQUEST: &str = "\nmax-examples = 60\n";
    let settings =
        std::fs::read_to_string(manifest_path("src/tests/peers/schemathesis.toml")).unwrap();
    assert_eq!(settings.matches(EVERY_REQUEST).count(), 1);
    if is_exhaustive() {
        settings
    } else {
        settings.replace(EVERY_REQUEST, "\nmax-examples = 20\n")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_conform_to_the_openapi_document() {
    let Some(peer) = peer_directory("schemathesis") else { return };
    let served = ServedGateway::start().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("schemathesis.toml");
    std::fs::write(&settings, schemathesis_settings()).unwrap();
    let mut tester = Command::new(peer.join("bin/python"));
    tester.args(["-m", "schemathesis.cli", "--config-file"]).arg(settings);
    tester.args(["--no-color", "run"]).arg(format!("{}/openapi.json", served.url));
    tester.arg("--header").arg(format!("Authorization: Bearer {}", served.gateway.key));
    // On a busy machine, the generation of requests is slow, which says nothing of the gateway.
    tester.arg("--suppress-health-check=too_slow");
    // A fixed seed, so that every run sends the same requests.
    tester.args(["--seed", "19", "--generation-deterministic"]).current_dir(&folder);
    tester.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", manifest_path("src/tests/peers"));
    tester.stdout(Stdio::piped());
    let output =
        tokio::task::block_in_place(|| tester.spawn().unwrap().wait_with_output().unwrap());
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}");
    served.stop().await;
}
