//! Fixtures of the arena's tests: a virtual clock, a scripted gateway, registered miners.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_primitives::Uid;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, ClientConfig, SignedClient, Signer};
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::{ArenaConfig, ArenaTime};
use crate::ArenaSettings;
use taonet_babelbit_runner::{AddressPolicy, MinerEntry};

pub(super) fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

pub(super) fn miner_key(uid: u16) -> Keypair {
    key(&format!("//miner//{uid}"))
}

pub(super) fn hotkey(uid: u16) -> String {
    miner_key(uid).hotkey().to_string()
}

pub(super) fn policy(allow_private: bool) -> AddressPolicy {
    AddressPolicy { allow_private, ..AddressPolicy::default() }
}

/// Returns miners with these uids, as in the metagraph.
pub(super) fn registered(uids: &[u16]) -> Vec<MinerEntry> {
    let entry = |uid: &u16| MinerEntry {
        uid: Uid(*uid),
        hotkey: miner_key(*uid).hotkey(),
        address: policy(true).resolve("127.0.0.1:9").unwrap(),
        name: None,
    };
    uids.iter().map(entry).collect()
}

/// A virtual clock that advances only while a task sleeps on it.
#[derive(Clone, Default)]
pub(super) struct VirtualClock {
    millis: Arc<AtomicU64>,
    waits: Arc<Mutex<Vec<f64>>>,
}

impl VirtualClock {
    pub(super) fn time(&self) -> ArenaTime {
        let (millis, start) = (Arc::clone(&self.millis), Instant::now());
        let now = move || start + Duration::from_millis(millis.load(Ordering::SeqCst));
        let virtual_clock = self.clone();
        let sleeper = move |pause: Duration| {
            virtual_clock.advance(pause);
            virtual_clock.waits.lock().unwrap().push(pause.as_secs_f64());
            Box::pin(std::future::ready(())) as _
        };
        ArenaTime { now: Arc::new(now), sleeper: Arc::new(sleeper) }
    }

    pub(super) fn advance(&self, time: Duration) {
        self.millis.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }

    pub(super) fn waits(&self) -> Vec<f64> {
        self.waits.lock().unwrap().clone()
    }
}

pub(super) fn config(gateway: &str, settings: ArenaSettings) -> ArenaConfig {
    ArenaConfig {
        settings,
        gateway: gateway.parse::<Url>().unwrap(),
        keypair: Arc::new(key("//validator")),
        external_ip: "203.0.113.7".to_owned(),
        policy: policy(true),
        predict_path: "v1/predict".to_owned(),
        max_response_bytes: 1 << 20,
    }
}

pub(super) fn client() -> SignedClient {
    let signer = Signer::new(key("//validator"), "203.0.113.7", BabelbitScheme::managed());
    SignedClient::new(signer, ClientConfig::default()).unwrap()
}

/// Responder that sends the responses in order and repeats the last one.
pub(super) struct ScriptedResponses(Vec<ResponseTemplate>, AtomicUsize);

impl Respond for ScriptedResponses {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        let index = self.1.fetch_add(1, Ordering::SeqCst);
        self.0[index.min(self.0.len() - 1)].clone()
    }
}

pub(super) fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

pub(super) fn text_response(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_string(body)
}

pub(super) async fn route(
    server: &MockServer,
    http_method: &str,
    url_path: &str,
    answers: Vec<ResponseTemplate>,
) {
    Mock::given(method(http_method))
        .and(path(url_path))
        .respond_with(ScriptedResponses(answers, AtomicUsize::new(0)))
        .mount(server)
        .await;
}

/// Starts a mock gateway that issues tokens `token-0`, `token-1` ….
pub(super) async fn gateway() -> MockServer {
    let server = MockServer::start().await;
    let tokens = (0..20)
        .map(|n| ok(json!({ "auth_token": format!("token-{n}"), "expires_in": 1_800 })))
        .collect();
    route(&server, "POST", "/auth/token", tokens).await;
    server
}

/// Returns the requests for one path.
pub(super) async fn requests_to(server: &MockServer, url_path: &str) -> Vec<Request> {
    let requests = server.received_requests().await.unwrap();
    requests.into_iter().filter(|request| request.url.path() == url_path).collect()
}

pub(super) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}
