//! A minimal echo miner that can break one rule.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_primitives::Hotkey;
use taonet_wallet::{Keypair, verify};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// A miner, stopped on drop.
pub(super) struct ToyMiner {
    url: String,
    me: Hotkey,
    inner: Arc<Inner>,
    _runtime: Runtime,
}

struct Inner {
    me: Hotkey,
    /// The rule that the miner breaks, or its behaviour.
    fault: String,
    seen: Mutex<HashSet<(String, u64)>>,
    /// Number of predict requests in the session.
    requests: Mutex<u32>,
    /// With the behaviour "waits", all responses are delayed until this is closed.
    gate: Semaphore,
}

impl ToyMiner {
    pub(super) fn start(fault: &str) -> Self {
        let me = Keypair::from_uri("//Toy").unwrap().hotkey();
        let fault = fault.to_owned();
        let inner = Arc::new(Inner {
            me,
            fault,
            seen: Mutex::default(),
            requests: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let router = Router::new()
            .route("/v1/predict", post(predict))
            .route("/healthz", get(health))
            .route("/health", get(health))
            .layer(axum::extract::DefaultBodyLimit::max(1 << 20))
            .with_state(Arc::clone(&inner));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(axum::serve(listener, router).into_future());
        Self { url, me, inner, _runtime: runtime }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends the delay of all responses with the behaviour "waits".
    pub(super) fn release(&self) {
        self.inner.gate.close();
    }

    pub(super) fn hotkey(&self) -> String {
        self.me.to_string()
    }
}

async fn health(State(toy): State<Arc<Inner>>) -> Response {
    if toy.breaks("health") {
        return StatusCode::NOT_FOUND.into_response();
    }
    Json(json!({ "status": "healthy", "model": "echo", "model_loaded": true })).into_response()
}

async fn predict(State(toy): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    if toy.refuses(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "detail": "not verified" })))
            .into_response();
    }
    let request: Value = serde_json::from_slice(&body).unwrap();
    if request["kind"] == "init" {
        Json(toy.open(&request)).into_response()
    } else {
        toy.answer(&request).await
    }
}

impl Inner {
    fn breaks(&self, rule: &str) -> bool {
        self.fault == rule
    }

    /// Whether a request is rejected, unless that is the broken rule.
    fn refuses(&self, headers: &HeaderMap) -> bool {
        let get = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let header = |name: &str| get(&format!("bt_header_{name}"));
        let (sender, receiver, signature) =
            (header("dendrite_hotkey"), header("axon_hotkey"), header("dendrite_signature"));
        let (uuid, hash) = (header("dendrite_uuid"), get("computed_body_hash"));
        if signature.is_empty() {
            return !self.breaks("unsigned_refused");
        }
        if receiver != self.me.to_string() {
            return !self.breaks("other_receiver_refused");
        }
        let nonce: u64 = header("dendrite_nonce").parse().unwrap();
        let text = format!("{nonce}.{sender}.{receiver}.{uuid}.{hash}");
        if !verify(&sender.parse().unwrap(), text.as_bytes(), &signature.parse().unwrap()) {
            return !self.breaks("false_signature_refused");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let timeout = Duration::from_secs_f64(get("timeout").parse().unwrap());
        let dated = Duration::from_nanos(nonce);
        if dated + Duration::from_secs(4) + timeout < now {
            return !self.breaks("old_nonce_refused");
        }
        if dated > now + Duration::from_secs(3) {
            return !self.breaks("future_nonce_refused");
        }
        if !self.seen.lock().unwrap().insert((sender, nonce)) {
            return !self.breaks("replay_refused");
        }
        self.breaks("signed_request") || (self.breaks("signed_body") && !hash.is_empty())
    }

    fn open(&self, request: &Value) -> Value {
        *self.requests.lock().unwrap() = 0;
        let mut response = request.clone();
        let fields = response.as_object_mut().unwrap();
        fields.remove("kind");
        fields.insert("ready".to_owned(), json!(!self.breaks("ready")));
        fields.insert(
            "session_id".to_owned(),
            json!(if self.breaks("session_id") { "" } else { "session" }),
        );
        for (rule, field, value) in [
            ("same_utterance", "utterance_id", json!("another")),
            ("audio_format", "dtype", json!("int16")),
            ("frame_grid", "frame_samples", json!(0)),
        ] {
            if self.breaks(rule) {
                response[field] = value;
            }
        }
        if self.breaks("two_channels") {
            response["channels"] = json!(1);
        }
        response
    }

    async fn answer(&self, request: &Value) -> Response {
        let number = {
            let mut requests = self.requests.lock().unwrap();
            *requests += 1;
            *requests
        };
        let audio = request["audio_b64"].as_str().unwrap();
        let drains = self.breaks("drains") || self.breaks("drains slowly");
        let ends = if drains { number == 28 } else { request["in_eos"] == true };
        let mut response = json!({
            "session_id": request["session_id"], "audio_b64": audio, "out_eos": ends,
            "n_bytes": audio.trim_end_matches('=').len() * 3 / 4,
        });
        match self.fault.as_str() {
            "json_answer" if number == 3 => response = json!({ "error": "out of memory" }),
            "answer_session" => response["session_id"] = json!("another"),
            "base64" if number == 2 => response["audio_b64"] = json!("_-_-"),
            "whole_samples" if ends => {
                (response["audio_b64"], response["n_bytes"]) = (json!("AAAA"), json!(3));
            }
            "byte_count" => response["n_bytes"] = json!(1),
            "frame_deadline" if number == 2 => {
                tokio::time::sleep(Duration::from_millis(1_500)).await;
            }
            // Fails once the test has closed the semaphore.
            "waits" => drop(self.gate.acquire().await),
            "drains slowly" if audio.is_empty() => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            "reply_ends" => response["out_eos"] = json!(false),
            "reply_length" => {
                (response["audio_b64"], response["n_bytes"]) =
                    (json!("A".repeat(16_000_000)), json!(0));
            }
            _ => {}
        }
        Json(response).into_response()
    }
}
