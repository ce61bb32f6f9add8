//! Every case of `vectors/axon`, recorded with the Bittensor SDK 10.5.0 and 11.3.0.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail like the tests themselves"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use sha3::{Digest, Sha3_256};
use taonet_primitives::Hotkey;
use taonet_wallet::{Keypair, Signature, verify};
use taonet_wire::{
    AxonStatus, BtauthScheme, CallError, DendriteScheme, Identity, Limits, ManualClock,
    OutgoingRequest, Peer, Policy, Scheme, SignedLayer, Synapse, SynapseClass, SynapseError,
    event_stream, python_text, synapse_hash,
};
use tower::ServiceExt;

/// The recorded version, which our headers also state: 10.5.0.
const OUR_VERSION: u64 = 10_005_000;

fn read(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/axon").join(file);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn headers(lines: impl IntoIterator<Item = (String, String)>) -> HeaderMap {
    let line = |(name, value): (String, String)| {
        (HeaderName::try_from(name).unwrap(), value.try_into().unwrap())
    };
    lines.into_iter().map(line).collect()
}

#[test]
fn every_vector_file_has_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/axon");
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["README.md", "body_hash.json", "btauth1.json", "exchanges.json"]);
}

#[test]
fn body_hashes_match_vectors() {
    let file = read("body_hash.json");
    let mut cases = 0;
    for case in file["cases"].as_array().unwrap() {
        let texts = case["field_str_python"].as_object().unwrap();
        let fields: Vec<_> =
            case["required_hash_fields"].as_array().unwrap().iter().map(text).collect();
        let mut body = Map::new();
        for field in &fields {
            let default = match *field {
                "f" => json!(0.0),
                "b" => json!(false),
                "n" => Value::Null,
                "d" => json!({}),
                "l" => json!([]),
                "prompt" => texts["prompt"].clone(),
                "numbers" => serde_json::from_str(text(&texts["numbers"])).unwrap(),
                other => panic!("{other}"),
            };
            let value = case.get("values_json").and_then(|values| values.get(field)).cloned();
            body.insert((*field).to_owned(), value.unwrap_or(default));
        }
        for (field, hash) in fields.iter().zip(case["field_hashes"].as_array().unwrap()) {
            let python_json = python_text(&body[*field].to_string()).unwrap();
            assert_eq!(python_json, text(&texts[*field]), "{field} of {case}");
            assert_eq!(hex::encode(Sha3_256::digest(&python_json)), text(hash));
        }
        let hash = synapse_hash(&fields, &serde_json::to_vec(&body).unwrap()).unwrap();
        assert_eq!(hash.as_deref(), case["body_hash"].as_str());
        cases += 1;
    }
    assert_eq!(cases, 9);
}

/// Sends a request to a `btauth/1` server and returns the outcome, in the SDK's terms.
async fn btauth(
    layer: &SignedLayer,
    method: &str,
    path: &str,
    headers: HeaderMap,
    body: Vec<u8>,
) -> String {
    let router = Router::new().fallback(|| async { "ok" }).layer(layer.clone());
    let mut request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
    *request.headers_mut() = headers;
    let response = router.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    match serde_json::from_slice::<Value>(&body) {
        Ok(refusal) => text(&refusal["error"]).to_owned(),
        Err(_) => String::from_utf8(body.to_vec()).unwrap(),
    }
}

#[tokio::test]
async fn btauth_checks_match_vectors() {
    const SECOND: u64 = 1_000_000_000;
    let file = read("btauth1.json");
    assert_eq!(
        file["defaults"],
        json!({"max_age_s": 10, "allowed_skew_s": 2, "store_retention_s": 60})
    );
    let (alice, bob) = (
        Keypair::from_uri("//Alice").unwrap().hotkey(),
        Keypair::from_uri("//Bob").unwrap().hotkey(),
    );
    let (mut cases, mut checks) = (0, 0);
    for case in file["cases"].as_array().unwrap() {
        let nonce = case["nonce_ns"].as_u64().unwrap();
        let lines = case["headers"].as_object().unwrap().iter();
        let headers = headers(lines.map(|(name, value)| (name.clone(), text(value).to_owned())));
        let (method, path) = (text(&case["method"]).to_uppercase(), text(&case["path"]));
        let body = hex::decode(text(&case["body_hex"]).trim_start_matches("0x")).unwrap();
        let layer = |me: Hotkey, now: u64, scheme| {
            let clock = Arc::new(ManualClock::at(now));
            SignedLayer::with_clock(me, scheme, Limits::default(), Policy::open(), clock)
        };
        for check in case["verify"].as_array().unwrap() {
            let (strict, open) = (BtauthScheme::new(), BtauthScheme::new().accept_unbound());
            let request = (method.as_str(), path, body.clone());
            let (layer, (method, path, body)) = match text(&check["check"]) {
                "fresh" => (layer(bob, nonce, strict), request),
                "at_max_age" => (layer(bob, nonce + 10 * SECOND, strict), request),
                "over_max_age" => (layer(bob, nonce + 10 * SECOND + 1, strict), request),
                "skew_ok" => (layer(bob, nonce - 2 * SECOND, strict), request),
                "skew_bad" => (layer(bob, nonce - 2 * SECOND - 1, strict), request),
                "wrong_receiver" => (layer(alice, nonce, strict), request),
                "wrong_path" => (layer(bob, nonce, strict), (request.0, "/other", request.2)),
                "wrong_method" => (layer(bob, nonce, strict), ("PUT", request.1, request.2)),
                "wrong_body" => {
                    (layer(bob, nonce, strict), (request.0, request.1, b"other".to_vec()))
                }
                "no_receiver_required" => (layer(bob, nonce, open), request),
                other => panic!("{other}"),
            };
            let result = btauth(&layer, method, path, headers.clone(), body).await;
            assert_eq!(result, text(&check["result"]), "{} {check}", case["id"]);
            checks += 1;
        }
        let layer = layer(bob, nonce, BtauthScheme::new().accept_unbound());
        for expected in case["replay"].as_array().unwrap() {
            assert_eq!(
                btauth(&layer, &method, path, headers.clone(), body.clone()).await,
                text(expected)
            );
        }
        cases += 1;
    }
    assert_eq!((cases, checks), (4, 40));
}

#[test]
fn btauth_headers_match_the_sdk() {
    let mut cases = 0;
    for case in read("btauth1.json")["cases"].as_array().unwrap() {
        let Some(receiver) = case["receiver"].as_str() else { continue };
        let crypto_type = text(&case["scheme"]).parse().unwrap();
        let keypair = Keypair::from_uri_with("//Alice", crypto_type).unwrap();
        let identity = Identity { keypair, uuid: uuid::Uuid::nil(), external_ip: String::new() };
        let method = Method::from_bytes(text(&case["method"]).to_uppercase().as_bytes()).unwrap();
        let peer = Peer::new(receiver.parse().unwrap(), "localhost", 1).unwrap();
        let outgoing = OutgoingRequest {
            peer: &peer,
            method: &method,
            path: text(&case["path"]),
            name: "",
            timeout: Duration::ZERO,
            nonce: case["nonce_ns"].as_u64().unwrap(),
            body: &hex::decode(text(&case["body_hex"]).trim_start_matches("0x")).unwrap(),
        };
        let signed = BtauthScheme::new().sign(&identity, &outgoing).unwrap();
        for (name, value) in case["headers"].as_object().unwrap() {
            if name == "X-Bittensor-Signature" && crypto_type == taonet_wallet::CryptoType::Sr25519
            {
                let signature: Signature = signed[name].to_str().unwrap().parse().unwrap();
                let signer = identity.keypair.public();
                assert!(
                    signer.verify(text(&case["payload_utf8"]).as_bytes(), &signature),
                    "{}",
                    case["id"]
                );
            } else {
                assert_eq!(signed[name], text(value), "{name} of {}", case["id"]);
            }
        }
        assert_eq!(signed.len(), case["headers"].as_object().unwrap().len());
        cases += 1;
    }
    assert_eq!(cases, 3);
}

fn classes() -> [SynapseClass; 6] {
    [
        SynapseClass::new("EchoSynapse").hash(["prompt", "numbers"]).required("prompt", json!("")),
        SynapseClass::new("PlainSynapse"),
        SynapseClass::new("BlockedSynapse"),
        SynapseClass::new("SlowSynapse"),
        SynapseClass::new("BoomSynapse"),
        SynapseClass::new("StreamSynapse").hash(["prompt"]),
    ]
}

fn scheme() -> DendriteScheme {
    classes().into_iter().fold(DendriteScheme::new(), DendriteScheme::class)
}

/// The recorded axon: its handlers, and its responses to each caller.
struct Axon {
    open: Router,
    blocking: Router,
    lenient: Router,
    clock: Arc<ManualClock>,
    uuid: uuid::Uuid,
}

impl Axon {
    fn new() -> Self {
        let keypair = Keypair::from_uri("//Bob").unwrap();
        let (me, clock) = (keypair.hotkey(), Arc::new(ManualClock::default()));
        let uuid = uuid::uuid!("8c30a6dc-e4b0-11f1-91df-02fc00000001");
        let identity = Identity { keypair, uuid, external_ip: "127.0.0.1".into() };
        let scheme = scheme().sign_refusals(identity);
        let layer = |scheme: &DendriteScheme, policy| {
            SignedLayer::with_clock(
                me,
                scheme.clone(),
                Limits::default(),
                policy,
                Arc::clone(&clock) as Arc<_>,
            )
        };
        let echo = |mut synapse: Synapse| async {
            let prompt = text(synapse.get("prompt").unwrap()).to_uppercase();
            synapse.set("answer", prompt);
            synapse
        };
        let plain = |mut synapse: Synapse| async {
            let value = synapse.get("value").and_then(Value::as_u64).unwrap();
            synapse.set("out", 2 * value);
            synapse
        };
        let failing_handler = || async { SynapseError::internal(&std::io::Error::other("boom")) };
        let chunks = || {
            ["alpha ", "beta ", "gamma"].map(|chunk| Ok::<_, std::io::Error>(Bytes::from(chunk)))
        };
        let stream =
            move || async move { event_stream(Body::from_stream(futures::stream::iter(chunks()))) };
        let router = Router::new()
            .route("/Synapse", any(|synapse: Synapse| async { synapse }))
            .route("/EchoSynapse", any(echo))
            .route("/PlainSynapse", any(plain))
            .route("/BlockedSynapse", any(|| async {}))
            .route("/SlowSynapse", any(std::future::pending::<()>))
            .route("/BoomSynapse", any(failing_handler))
            .route("/StreamSynapse", any(stream));
        let (open, blocking) = (layer(&scheme, Policy::open()), layer(&scheme, Policy::only([])));
        let lenient = layer(&scheme.accept_old_versions(), Policy::open());
        let [open, blocking, lenient] =
            [open, blocking, lenient].map(|layer| router.clone().layer(layer));
        Self { open, blocking, lenient, clock, uuid }
    }

    async fn call(&self, exchange: &Value, now: u64) -> Response {
        self.clock.set(now);
        let (method, remaining) = text(&exchange["request"]["start_line"]).split_once(' ').unwrap();
        let body = text(&exchange["request"]["body_text"]).to_owned();
        let path = remaining.split_once(' ').unwrap().0;
        let mut request =
            Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        *request.headers_mut() = recorded_headers(&exchange["request"]);
        // The body differs from the recorded bytes: its text was decoded as UTF-8 and encoded
        // again.
        request.headers_mut().remove("content-length");
        let router = match (path, text(&exchange["id"])) {
            ("/BlockedSynapse", _) => &self.blocking,
            (_, "stale_nonce_old_version_accepted") => &self.lenient,
            _ => &self.open,
        };
        router.clone().oneshot(request).await.unwrap().into_response()
    }
}

fn recorded_headers(message: &Value) -> HeaderMap {
    let lines = message["headers"].as_array().unwrap().iter();
    headers(lines.map(|line| (text(&line[0]).to_owned(), text(&line[1]).to_owned())))
}

/// Masks the random ID of an internal error.
fn masked(message: &str) -> String {
    message.split_once('#').map_or_else(|| message.to_owned(), |(before, _)| format!("{before}#"))
}

fn message_of(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    body["message"].as_str().map(masked)
}

#[tokio::test]
async fn exchanges_match_vectors() {
    let file = read("exchanges.json");
    assert_eq!(file["version_as_int"], OUR_VERSION);
    let axon = Axon::new();
    let mut ids = Vec::new();
    for exchange in file["exchanges"].as_array().unwrap() {
        let id = text(&exchange["id"]);
        ids.push(id);
        let request = recorded_headers(&exchange["request"]);
        let nonce = request
            .get("bt_header_dendrite_nonce")
            .map_or(5, |nonce| nonce.to_str().unwrap().parse().unwrap());
        if let Some(axon_signature) =
            exchange.get("axon_signature").filter(|signature| !signature.is_null())
        {
            check_recorded_signature(axon_signature, &recorded_headers(&exchange["response"]));
        }
        let Some(recorded) = exchange.get("response").filter(|response| !response.is_null()) else {
            assert_eq!((id, &exchange["client_status"][0]), ("timeout", &json!(408)));
            let brief = Duration::from_millis(200);
            let response = tokio::time::timeout(brief, axon.call(exchange, nonce)).await;
            assert!(response.is_err(), "{id} gets no response");
            // Our message differs from the SDK's: it is the same for every call.
            let error = CallError::Timeout { after: Duration::from_secs(1) };
            assert_eq!(
                (error.status().as_u16(), error.to_string().as_str()),
                (408, "timeout after 1.0s")
            );
            continue;
        };
        let recorded_headers = recorded_headers(recorded);
        // The axon's clock, where the response shows it.
        let now = recorded_headers
            .get("bt_header_axon_nonce")
            .map(|now| now.to_str().unwrap().parse().unwrap());
        let response = axon.call(exchange, now.unwrap_or(nonce)).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = std::str::from_utf8(&body).unwrap();

        let status = text(&recorded["start_line"]).split(' ').nth(1).unwrap();
        assert_eq!(head.status.as_str(), status, "{id}: {body}");
        check_headers(id, &request, &recorded_headers, &head.headers, axon.uuid);
        if let Some(client) = exchange["client_status"].as_array() {
            let status = AxonStatus::of(&head.headers).unwrap();
            assert_eq!(u64::from(status.code.as_u16()), client[0].as_u64().unwrap());
            assert_eq!(masked(&status.message), masked(text(&client[1])), "{id}");
        }
        let recorded_body = text(&recorded["body_text"]);
        match id {
            "stream_ok" => {
                // The last chunk is the whole message.
                let chunks = exchange["stream_chunks"].as_array().unwrap().iter();
                assert_eq!(body, chunks.filter_map(Value::as_str).collect::<String>());
            }
            "bad_json_body" => {
                let (ours, theirs): (Value, Value) = (parse(body), parse(recorded_body));
                for field in ["type", "msg", "loc"] {
                    assert_eq!(ours["detail"][0][field], theirs["detail"][0][field], "{field}");
                }
            }
            _ if status == "200" => check_body(id, &request, &parse(body), &parse(recorded_body)),
            _ => assert_eq!(message_of(body), message_of(recorded_body), "{id}"),
        }
    }
    assert_eq!(ids.len(), 19, "{ids:?}");
}

/// Checks that the recorded signature verifies with the recorded headers and the text that we sign.
fn check_recorded_signature(recorded: &Value, headers: &HeaderMap) {
    let header = |name: &str| headers[name].to_str().unwrap();
    let parts = [
        "bt_header_axon_nonce",
        "bt_header_dendrite_hotkey",
        "bt_header_axon_hotkey",
        "bt_header_axon_uuid",
    ];
    let message = text(&recorded["signed_message"]);
    assert_eq!(message, parts.map(header).join("."));
    let signature = text(&recorded["signature"]);
    assert_eq!(signature, header("bt_header_axon_signature"));
    assert_eq!(recorded["signer"], header("bt_header_axon_hotkey"));
    let signer: Hotkey = text(&recorded["signer"]).parse().unwrap();
    assert_eq!(
        verify(&signer, message.as_bytes(), &signature.parse().unwrap()),
        recorded["valid"] == true
    );
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Compares headers with the recorded ones, except the server's own headers and the sizes of Python
/// objects. Of the caller, only the headers are repeated, not the fields of its body or the address
/// of its socket; the body hash is the one that the caller sent.
fn check_headers(
    id: &str,
    request: &HeaderMap,
    recorded: &HeaderMap,
    ours: &HeaderMap,
    uuid: uuid::Uuid,
) {
    const OMITTED_HEADERS: [&str; 6] =
        ["date", "server", "content-length", "transfer-encoding", "header_size", "total_size"];
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    for name in
        recorded.keys().map(HeaderName::as_str).filter(|name| !OMITTED_HEADERS.contains(name))
    {
        let value = text(ours, name);
        let expected = match name {
            "bt_header_dendrite_port" => continue,
            // Repeated only if the class is known; otherwise Python hashes an empty request.
            "computed_body_hash"
                if matches!(id, "unknown_synapse" | "root_path" | "no_headers") =>
            {
                continue;
            }
            // The layer does not sign the response of a handler that failed.
            "bt_header_axon_version"
            | "bt_header_axon_nonce"
            | "bt_header_axon_uuid"
            | "bt_header_axon_signature"
                if id == "handler_exception" =>
            {
                continue;
            }
            "bt_header_axon_process_time" => {
                assert!(value.unwrap().parse::<f64>().unwrap() >= 0.0);
                continue;
            }
            "bt_header_axon_signature" => {
                check_axon_signature(id, ours, uuid);
                continue;
            }
            "computed_body_hash" => text(request, name),
            name if name.starts_with("bt_header_dendrite_") => text(request, name),
            _ => text(recorded, name),
        };
        assert_eq!(value.as_deref().map(masked), expected.as_deref().map(masked), "{id}: {name}");
    }
}

fn check_axon_signature(id: &str, ours: &HeaderMap, uuid: uuid::Uuid) {
    let text = |name: &str| ours[name].to_str().unwrap();
    let bob = text("bt_header_axon_hotkey");
    let (nonce, caller) = (text("bt_header_axon_nonce"), text("bt_header_dendrite_hotkey"));
    let signature = text("bt_header_axon_signature").parse().unwrap();
    let signed = format!("{nonce}.{caller}.{bob}.{uuid}");
    assert!(verify(&bob.parse().unwrap(), signed.as_bytes(), &signature), "{id}");
}

/// Compares the body with the recorded one, except the caller, which comes from the verified
/// headers, and the axon's process time, which is omitted.
fn check_body(id: &str, request: &HeaderMap, ours: &Value, recorded: &Value) {
    let caller = &ours["dendrite"];
    for field in ["hotkey", "uuid", "ip", "signature"] {
        assert_eq!(
            text(&caller[field]),
            request[format!("bt_header_dendrite_{field}")],
            "{id}: {field}"
        );
    }
    for field in ["nonce", "version"] {
        assert_eq!(
            caller[field].to_string(),
            request[format!("bt_header_dendrite_{field}")].to_str().unwrap()
        );
    }
    let remaining = |body: &Value| {
        let mut body = body.as_object().unwrap().clone();
        body.remove("dendrite");
        body["axon"].as_object_mut().unwrap().remove("process_time");
        Value::Object(body)
    };
    assert_eq!(remaining(ours), remaining(recorded), "{id}");
}

/// Headers of HTTP itself, and sizes of Python objects.
const HTTP_HEADERS: [&str; 7] = [
    "host",
    "accept",
    "accept-encoding",
    "user-agent",
    "content-length",
    "header_size",
    "total_size",
];

#[test]
fn our_dendrite_sends_the_recorded_requests() {
    let (scheme, file) = (scheme(), read("exchanges.json"));
    let keypair = Keypair::from_uri("//Charlie").unwrap();
    let mut cases = 0;
    for exchange in file["exchanges"].as_array().unwrap() {
        let recorded = recorded_headers(&exchange["request"]);
        let header = |name: &str| recorded[name].to_str().unwrap();
        // Compares only requests signed by the real dendrite, of known classes.
        if exchange["dendrite_signature"]["valid"] != true || exchange["id"] == "unknown_synapse" {
            continue;
        }
        let uuid = header("bt_header_dendrite_uuid").parse().unwrap();
        let identity = Identity { keypair: keypair.clone(), uuid, external_ip: "10.9.8.7".into() };
        let receiver = header("bt_header_axon_hotkey").parse().unwrap();
        let port = header("bt_header_axon_port").parse().unwrap();
        let peer = Peer::new(receiver, header("bt_header_axon_ip"), port).unwrap();
        let outgoing = OutgoingRequest {
            peer: &peer,
            method: &Method::POST,
            path: "",
            name: header("name"),
            timeout: Duration::from_secs_f64(header("timeout").parse().unwrap()),
            nonce: header("bt_header_dendrite_nonce").parse().unwrap(),
            body: text(&exchange["request"]["body_text"]).as_bytes(),
        };
        let ours = scheme.sign(&identity, &outgoing).unwrap();
        for (name, value) in
            recorded.iter().filter(|(name, _)| !HTTP_HEADERS.contains(&name.as_str()))
        {
            if name == "bt_header_dendrite_signature" {
                let signature = ours[name].to_str().unwrap().parse().unwrap();
                let signed = text(&exchange["dendrite_signature"]["signed_message"]);
                assert!(verify(&keypair.hotkey(), signed.as_bytes(), &signature));
            } else {
                assert_eq!(
                    ours.get(name),
                    Some::<&HeaderValue>(value),
                    "{name} of {}",
                    exchange["id"]
                );
            }
        }
        cases += 1;
    }
    assert_eq!(cases, 7);
}
