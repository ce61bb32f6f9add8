//! Tests of client and server against exchanges recorded with fiber 1.0.0.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Map, Value};
use taonet_primitives::Hotkey;
use taonet_wallet::Keypair;
use taonet_wire::{Identity, ManualClock, Policy, Registration, RegistrationTable};
use tower::ServiceExt as _;

use crate::payload::with_nonce;
use crate::scheme::headers;
use crate::{FernetKey, FiberRules, MinerHandshake, Nonce, RsaKey, routes, signed_requests};

const TAO: u64 = 1_000_000_000;

#[derive(Deserialize)]
struct Recording {
    validator: String,
    miner: String,
    low_stake: String,
    min_stake: u64,
    miner_rsa_private_key: String,
    symmetric_key: String,
    symmetric_key_uuid: String,
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    at: f64,
    method: String,
    path: String,
    headers: Map<String, Value>,
    body: String,
    status: u16,
    response: String,
}

impl Exchange {
    fn body(&self) -> Vec<u8> {
        STANDARD.decode(&self.body).unwrap()
    }

    fn response(&self) -> Vec<u8> {
        STANDARD.decode(&self.response).unwrap()
    }

    /// Returns the time of the miner's response in nanoseconds, from the response's timestamp if
    /// present.
    fn now_ns(&self) -> u64 {
        let response = serde_json::from_slice::<Value>(&self.response()).ok();
        let seconds = response.and_then(|answer| answer["timestamp"].as_f64()).unwrap_or(self.at);
        u64::try_from(std::time::Duration::from_secs_f64(seconds).as_nanos()).unwrap()
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value.as_str().unwrap());
        }
        request.body(Body::from(self.body())).unwrap()
    }
}

fn recording() -> Recording {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/fiber/exchanges.json");
    let recording: Recording = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(recording.exchanges.len(), 30);
    recording
}

fn hotkey(uri: &str) -> Hotkey {
    Keypair::from_uri(uri).unwrap().hotkey()
}

/// Returns the two recorded routes behind fiber's request verification.
fn sealed() -> Router {
    let echo = |Json(payload): Json<Value>| async move { Json(payload) };
    let lines = (0..3)
        .map(|i| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"t{i}\"}}}}]}}\n\n"));
    let stream: String = lines.collect();
    Router::new()
        .route("/capacity", post(echo))
        .route("/chat/completions", post(move |Json(_): Json<Value>| async move { stream }))
}

fn miner(recording: &Recording, rules: FiberRules, clock: &Arc<ManualClock>) -> Router {
    let keypair = Keypair::from_uri(&recording.miner).unwrap();
    let stakes = [(&recording.validator, 100_000), (&recording.low_stake, 10)];
    let registration = |(uri, tao): (&String, u64)| {
        (hotkey(uri), Registration { stake: tao * TAO, validator_permit: true })
    };
    let registrations = RegistrationTable::new(stakes.map(registration).into_iter().collect());
    let policy = Policy::open()
        .with_registrations(Arc::new(registrations))
        .registered_only()
        .min_stake(recording.min_stake * TAO);
    let signed =
        signed_requests(keypair.hotkey(), rules).policy(policy).clock(clock.clone()).build();
    let rsa = RsaKey::from_pem(&recording.miner_rsa_private_key).unwrap();
    routes(MinerHandshake::with_clock(keypair, rsa, rules, clock.clone()), signed, sealed())
}

/// Replays every exchange in order; returns each with status and body of the response.
async fn replay_recording(rules: FiberRules) -> Vec<(Exchange, StatusCode, Vec<u8>)> {
    let recording = recording();
    let clock = Arc::new(ManualClock::default());
    let miner = miner(&recording, rules, &clock);
    let mut answers = Vec::new();
    for exchange in recording.exchanges {
        clock.set(exchange.now_ns());
        let response = miner.clone().oneshot(exchange.request()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        answers.push((exchange, status, body));
    }
    answers
}

#[tokio::test]
async fn miner_responses_match_fiber() {
    for (exchange, status, body) in replay_recording(FiberRules::Reference).await {
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status, exchange.status, "{}: {text}", exchange.name);
        if status == StatusCode::OK {
            assert_eq!(text, String::from_utf8_lossy(&exchange.response()), "{}", exchange.name);
        } else {
            assert!(
                serde_json::from_slice::<Value>(&body).unwrap()["detail"] != Value::Null,
                "{text}"
            );
        }
    }
}

/// By default, requests for other miners are rejected, and a body that cannot be decrypted is a
/// client error.
#[tokio::test]
async fn strict_rules_differ_from_the_reference_in_four_exchanges() {
    let expected = HashMap::from([
        ("other receiver", 401),
        ("other key", 400),
        ("body no token", 400),
        ("token of no JSON", 400),
    ]);
    let mut difference_count = 0;
    for (exchange, status, body) in replay_recording(FiberRules::Strict).await {
        let expected = expected.get(exchange.name.as_str()).copied().unwrap_or(exchange.status);
        assert_eq!(status, expected, "{}: {}", exchange.name, String::from_utf8_lossy(&body));
        difference_count += usize::from(status != exchange.status);
    }
    assert_eq!(difference_count, expected.len());
}

#[test]
fn headers_match_fiber() {
    let recording = recording();
    let identity = Identity {
        keypair: Keypair::from_uri(&recording.validator).unwrap(),
        uuid: uuid::Uuid::nil(),
        external_ip: String::new(),
    };
    let mut count = 0;
    for exchange in &recording.exchanges {
        let text = |name: &str| exchange.headers.get(name).and_then(Value::as_str);
        let all = [
            text("nonce"),
            text("miner-hotkey"),
            text("symmetric-key-uuid"),
            text("validator-hotkey"),
        ];
        let [Some(nonce), Some(miner), Some(key_id), Some(validator)] = all else { continue };
        if validator != identity.keypair.hotkey().to_string() || text("signature").is_none() {
            continue;
        }
        let actual =
            headers(&identity, &miner.parse().unwrap(), key_id, &Nonce::from_recorded(nonce))
                .unwrap();
        assert_eq!(actual.len(), 5);
        for (name, value) in &actual {
            // sr25519 signatures are randomised, so both must verify against the same text.
            if name != "signature" {
                assert_eq!(
                    Some(value.to_str().unwrap()),
                    text(name.as_str()),
                    "{}: {name}",
                    exchange.name
                );
            }
        }
        let message = crate::scheme::signed_text(nonce, miner, key_id);
        let signature = |text: &str| text.parse().unwrap();
        let validator = identity.keypair.hotkey();
        assert!(taonet_wallet::verify(
            &validator,
            &message,
            &signature(actual["signature"].to_str().unwrap())
        ));
        let recorded =
            taonet_wallet::verify(&validator, &message, &signature(text("signature").unwrap()));
        assert_eq!(recorded, exchange.name != "signed by another", "{}", exchange.name);
        count += 1;
    }
    assert_eq!(count, 22);
}

#[test]
fn bodies_match_fiber() {
    let recording = recording();
    let key = FernetKey::from_base64(&recording.symmetric_key).unwrap();
    let mut count = 0;
    for exchange in &recording.exchanges {
        let body = exchange.body();
        let Ok(plain) = key.open(&body) else { continue };
        let Ok(Value::Object(mut payload)) = serde_json::from_slice(&plain) else { continue };
        let token = URL_SAFE.decode(&body).unwrap();
        let seconds = u64::from_be_bytes(token[1..9].try_into().unwrap());
        let text = match payload.shift_remove("nonce") {
            Some(nonce) => with_nonce(&payload, &Nonce::from_recorded(nonce.as_str().unwrap())),
            // Handwritten requests (those with a missing header) have an empty payload without a
            // nonce.
            None => b"{}".to_vec(),
        };
        assert_eq!(text, plain, "{}", exchange.name);
        let actual = key.seal_with(&text, seconds, token[9..25].try_into().unwrap());
        assert_eq!(actual.as_bytes(), body, "{}", exchange.name);
        count += 1;
    }
    assert_eq!(count, 23);
}

#[test]
fn recorded_symmetric_key_is_decrypted() {
    let recording = recording();
    let rsa = RsaKey::from_pem(&recording.miner_rsa_private_key).unwrap();
    let exchange = &recording.exchanges[1];
    let message: crate::ExchangeMessage = serde_json::from_slice(&exchange.body()).unwrap();
    let key = rsa.decrypt(&message.encrypted_symmetric_key).unwrap();
    assert_eq!(STANDARD.encode(key.as_bytes()), recording.symmetric_key);
    assert_eq!(exchange.headers["symmetric-key-uuid"], recording.symmetric_key_uuid);
    // The body has the recorded format.
    assert_eq!(serde_json::to_vec(&message).unwrap(), exchange.body());
    // Names and values of the recorded headers are valid.
    for (name, value) in &exchange.headers {
        assert!(
            HeaderName::try_from(name).is_ok()
                && HeaderValue::try_from(value.as_str().unwrap()).is_ok()
        );
    }
}
