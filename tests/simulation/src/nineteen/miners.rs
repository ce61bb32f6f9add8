//! Miners: the production code of the transport, in front of a model whose tokens follow from the
//! request.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream;
use serde_json::{Map, Value, json};
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_transport::{
    CONCURRENCY, FiberRules, MinerHandshake, RsaKey, routes, signed_requests,
};
use taonet_service::Shutdown;
use taonet_wire::Policy;

use super::{TASK, miner_key};
use crate::process::ProcessRun;
use crate::service_fault::ServiceFaults;
use crate::services::{listen, validator_key};

/// A recording with an RSA key. To generate one takes long, and its size is always the same.
const RECORDING: &str = include_str!("../../../../vectors/fiber/exchanges.json");
/// Tokens of the model.
const WORDS: [&str; 8] =
    ["alpha ", "beta ", "gamma ", "delta ", "epsilon ", "zeta ", "eta ", "theta "];
/// Log-probability of each token.
pub(super) const LOGPROB: f64 = -0.1;
/// Maximum number of tokens of an answer.
pub(super) const MAX_ANSWER_TOKENS: usize = 6;
/// Time to the first token of a slow miner, less than a validator waits.
const SLOW_FIRST_TOKEN: Duration = Duration::from_secs(15);
/// Capacity that a miner declares, in tokens per period.
const CAPACITY: f64 = 4_000.0;

/// Constant behaviour of a miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// The miner serves the model.
    Honest,
    /// The first token takes long.
    Slow,
    /// The miner serves another model, with the log-probabilities of the right one.
    Lying,
    /// Every second answer breaks off after its first token.
    Interrupting,
}

/// Runs a miner.
pub(super) async fn miner(
    process_run: ProcessRun,
    uid: u8,
    behaviour: Behaviour,
    faults: ServiceFaults,
) -> anyhow::Result<()> {
    let key = miner_key(uid);
    let policy = Policy::only([validator_key().hotkey()]);
    let signed = signed_requests(key.hotkey(), FiberRules::Strict).policy(policy).build();
    let handshake = MinerHandshake::new(key, rsa_key()?, FiberRules::Strict);
    let chat = move |Json(payload): Json<Map<String, Value>>| answer(payload, behaviour);
    let sealed =
        Router::new().route("/capacity", post(capacity)).route(Endpoint::Chat.path(), post(chat));
    let router = faults.apply(routes(handshake, signed, sealed));
    listen(&process_run, router, &Shutdown::new()).await
}

fn rsa_key() -> anyhow::Result<RsaKey> {
    let recording: Value = serde_json::from_str(RECORDING)?;
    let pem = recording.get("miner_rsa_private_key").and_then(Value::as_str);
    Ok(RsaKey::from_pem(pem.unwrap_or_default())?)
}

async fn capacity() -> impl IntoResponse {
    ([(CONCURRENCY, "16")], Json(json!({"miner_type": "text", TASK: CAPACITY})))
}

/// Returns a hash of the texts of a request.
fn request_hash(payload: &Map<String, Value>) -> usize {
    let texts = payload.get("messages").map(Value::to_string).unwrap_or_default();
    texts
        .bytes()
        .fold(7, |number: usize, byte| number.wrapping_mul(31).wrapping_add(usize::from(byte)))
}

/// Returns the model's token at a position of the answer to a request.
pub(super) fn token(payload: &Map<String, Value>, position: usize) -> String {
    let number = request_hash(payload).wrapping_add(position);
    WORDS.get(number % WORDS.len()).copied().unwrap_or_default().to_owned()
}

fn event(choice: &Value) -> String {
    format!("data: {}\n\n", json!({ "choices": [choice] }))
}

/// Answers a request with a stream of tokens.
async fn answer(payload: Map<String, Value>, behaviour: Behaviour) -> Response {
    if behaviour == Behaviour::Slow {
        tokio::time::sleep(SLOW_FIRST_TOKEN).await;
    }
    let maximum = payload.get("max_tokens").and_then(Value::as_u64).unwrap_or(1);
    let length =
        (1 + request_hash(&payload) % MAX_ANSWER_TOKENS).min(usize::try_from(maximum).unwrap_or(1));
    let chunk = |position: usize| {
        let is_lie = behaviour == Behaviour::Lying;
        let token = if is_lie { "wrong ".to_owned() } else { token(&payload, position) };
        let entry = json!({"token": token, "logprob": LOGPROB});
        event(&json!({
            "index": 0,
            "delta": {"content": token},
            "logprobs": {"content": [entry]},
            "finish_reason": null,
        }))
    };
    let mut events: Vec<io::Result<Bytes>> =
        (0..length).map(|position| Ok(Bytes::from(chunk(position)))).collect();
    if behaviour == Behaviour::Interrupting && request_hash(&payload).is_multiple_of(2) {
        events.truncate(1);
        events.push(Err(io::Error::other("the miner breaks off")));
    } else {
        let end = json!({"index": 0, "delta": {}, "finish_reason": "stop"});
        events.push(Ok(Bytes::from(event(&end))));
        events.push(Ok(Bytes::from_static(b"data: [DONE]\n\n")));
    }
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream::iter(events))).into_response()
}
