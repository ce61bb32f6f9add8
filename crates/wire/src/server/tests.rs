use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use taonet_wallet::Keypair;
use tower::ServiceExt;

use super::*;
use crate::{BabelbitScheme, ManualClock, Peer, Signer};

const SECOND: u64 = 1_000_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;
const BODY: &str = r#"{"kind": "predict", "session_id": "s1"}"#;
const SIGNATURE: &str = "bt_header_dendrite_signature";

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

/// Bob's server at the time `NOW`; it responds with the caller's address and the body.
struct Server {
    router: Router,
    clock: Arc<ManualClock>,
}

impl Server {
    fn new(limits: Limits, policy: Policy) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let bob = key("//Bob").hotkey();
        let layer =
            SignedLayer::with_clock(bob, BabelbitScheme::axon(), limits, policy, clock.clone());
        let echo =
            |caller: Caller, body: String| async move { format!("{} {body}", caller.hotkey) };
        Self { router: Router::new().route("/v1/predict", post(echo)).route_layer(layer), clock }
    }

    fn open() -> Self {
        Self::new(Limits::default(), Policy::open())
    }

    async fn send(&self, headers: &HeaderMap, body: impl Into<Body>) -> (StatusCode, String) {
        let mut request = Request::post("/v1/predict").body(body.into()).unwrap();
        *request.headers_mut() = headers.clone();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn refusal(&self, headers: &HeaderMap, body: impl Into<Body>) -> (u16, String) {
        let (status, body) = self.send(headers, body).await;
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status} {body}"));
        (status.as_u16(), body["error"].as_str().unwrap().to_owned())
    }
}

/// Returns a request from `sender` to `receiver` at `nonce` with a timeout of 10 s.
fn signed_by(
    sender: &str,
    receiver: &str,
    scheme: BabelbitScheme,
    nonce: u64,
    body: &str,
) -> HeaderMap {
    let signer =
        Signer::with_clock(key(sender), "203.0.113.7", scheme, Arc::new(ManualClock::at(nonce)));
    let peer = Peer::new(key(receiver).hotkey(), "10.0.0.1", 8091).unwrap();
    let timeout = Duration::from_secs(10);
    signer.headers(&peer, &Method::POST, "/v1/predict", "X", timeout, body.as_bytes()).unwrap()
}

fn signed(nonce: u64) -> HeaderMap {
    signed_by("//Alice", "//Bob", BabelbitScheme::axon(), nonce, BODY)
}

fn signed_with_body(nonce: u64) -> HeaderMap {
    signed_by("//Alice", "//Bob", BabelbitScheme::managed(), nonce, BODY)
}

fn with_header(mut headers: HeaderMap, name: &'static str, value: &str) -> HeaderMap {
    headers.insert(name, HeaderValue::from_str(value).unwrap());
    headers
}

fn refused_response(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

#[tokio::test]
async fn signed_request_reaches_the_handler() {
    let server = Server::open();
    let expected = format!("{} {BODY}", key("//Alice").hotkey());
    assert_eq!(server.send(&signed(NOW), BODY).await, (StatusCode::OK, expected.clone()));
    assert_eq!(server.send(&signed_with_body(NOW + 1), BODY).await, (StatusCode::OK, expected));
}

#[tokio::test]
async fn unsigned_requests_are_refused() {
    let server = Server::open();
    let missing = |name: &str| refused_response(401, &format!("header {name} is missing"));
    assert_eq!(server.refusal(&HeaderMap::new(), BODY).await, missing("bt_header_dendrite_nonce"));
    let mut headers = signed(NOW);
    headers.remove(SIGNATURE);
    assert_eq!(server.refusal(&headers, BODY).await, missing("bt_header_dendrite_signature"));
    let headers = with_header(signed(NOW), SIGNATURE, "");
    assert_eq!(server.refusal(&headers, BODY).await, missing("bt_header_dendrite_signature"));
}

#[tokio::test]
async fn false_signatures_are_refused() {
    let server = Server::open();
    let wrong = refused_response(401, "signature does not match");
    let text = signed(NOW)[SIGNATURE].to_str().unwrap().to_owned();

    let truncated = with_header(signed(NOW), SIGNATURE, &text[..100]);
    let malformed = refused_response(400, "header bt_header_dendrite_signature is malformed");
    assert_eq!(server.refusal(&truncated, BODY).await, malformed);
    let zero = with_header(signed(NOW), SIGNATURE, &format!("0x{}", "0".repeat(128)));
    assert_eq!(server.refusal(&zero, BODY).await, wrong);
    // Charlie signs and claims to be Alice.
    let alice = key("//Alice").hotkey().to_string();
    let charlie = signed_by("//Charlie", "//Bob", BabelbitScheme::axon(), NOW, BODY);
    assert_eq!(
        server.refusal(&with_header(charlie, "bt_header_dendrite_hotkey", &alice), BODY).await,
        wrong
    );
    // Dave received the request and forwards it to Bob.
    let signed_for_dave = signed_by("//Alice", "//Dave", BabelbitScheme::axon(), NOW, BODY);
    let foreign = refused_response(401, "request was signed for another receiver");
    assert_eq!(server.refusal(&signed_for_dave, BODY).await, foreign);
    let bob = key("//Bob").hotkey().to_string();
    assert_eq!(
        server.refusal(&with_header(signed_for_dave, "bt_header_axon_hotkey", &bob), BODY).await,
        wrong
    );
    // Values that differ from the signed ones.
    for (name, value) in [
        ("bt_header_dendrite_nonce", (NOW + 1).to_string()),
        ("bt_header_dendrite_uuid", "00000000-0000-4000-8000-000000000000".to_owned()),
    ] {
        assert_eq!(
            server.refusal(&with_header(signed(NOW), name, &value), BODY).await,
            wrong,
            "{name}"
        );
    }
    // None of these requests used up the nonce.
    assert_eq!(server.send(&signed(NOW), BODY).await.0, StatusCode::OK);
}

#[tokio::test]
async fn nonce_window_is_timeout_plus_4_s_back_and_3_s_ahead() {
    let server = Server::open();
    let stale = refused_response(401, "request is too old");
    for (nonce, ok) in [
        (NOW - 14 * SECOND, true),
        (NOW - 14 * SECOND - 1, false),
        (NOW + 3 * SECOND, true),
        (NOW + 3 * SECOND + 1, false),
        (0, false),
        (u64::MAX - 1, false),
    ] {
        let (status, body) = server.send(&signed(nonce), BODY).await;
        assert_eq!(status.is_success(), ok, "{nonce}: {body}");
        assert!(ok || status == StatusCode::UNAUTHORIZED, "{nonce}: {body}");
    }
    // The timeout is stated by the caller and not signed: it is capped at a minute.
    let with_day_timeout = |nonce| with_header(signed(nonce), "timeout", "86400.0");
    assert_eq!(server.refusal(&with_day_timeout(NOW - 64 * SECOND - 1), BODY).await, stale);
    assert_eq!(server.send(&with_day_timeout(NOW - 64 * SECOND), BODY).await.0, StatusCode::OK);
    let mut without_timeout = signed(NOW - 4 * SECOND - 1);
    without_timeout.remove("timeout");
    assert_eq!(server.refusal(&without_timeout, BODY).await, stale);
}

#[tokio::test]
async fn replays_within_the_window_are_refused() {
    let server = Server::open();
    let rejection = refused_response(401, "request was already received, or a newer one was");
    assert_eq!(server.send(&signed(NOW), BODY).await.0, StatusCode::OK);
    assert_eq!(server.refusal(&signed(NOW), BODY).await, rejection);
    assert_eq!(server.refusal(&signed(NOW), "another body").await, rejection);
    let longest = with_header(signed(NOW), "timeout", "86400.0");
    server.clock.advance(Duration::from_secs(64));
    assert_eq!(server.refusal(&longest, BODY).await, rejection);
    server.clock.advance(Duration::from_nanos(1));
    assert_eq!(server.refusal(&longest, BODY).await, refused_response(401, "request is too old"));
    // Another sender may use the same nonce.
    let other = signed_by("//Charlie", "//Bob", BabelbitScheme::axon(), NOW + 60 * SECOND, BODY);
    assert_eq!(server.send(&other, BODY).await.0, StatusCode::OK);
}

#[tokio::test]
async fn altered_body_is_refused_if_its_hash_is_signed() {
    let server = Server::open();
    let altered = BODY.replace("s1", "s2");
    let mismatch = refused_response(401, "request body does not match its signed hash");
    assert_eq!(server.refusal(&signed_with_body(NOW), altered.clone()).await, mismatch);
    // A hash that matches the altered body is not the signed one; nor may the hash be removed.
    let hash = crate::compact_hash(altered.as_bytes()).unwrap();
    let wrong = refused_response(401, "signature does not match");
    let rehashed = with_header(signed_with_body(NOW), "computed_body_hash", &hash);
    assert_eq!(server.refusal(&rehashed, altered.clone()).await, wrong);
    let unhashed = with_header(signed_with_body(NOW), "computed_body_hash", "");
    assert_eq!(server.refusal(&unhashed, altered.clone()).await, wrong);
    // The axon form does not protect the body.
    assert_eq!(server.send(&signed(NOW), altered).await.0, StatusCode::OK);
}

#[tokio::test]
async fn flipped_bit_in_signed_headers_is_refused() {
    let server = Server::open();
    let headers = signed_with_body(NOW);
    let mut flip_count = 0;
    for name in [
        "bt_header_dendrite_nonce",
        "bt_header_dendrite_hotkey",
        "bt_header_dendrite_signature",
        "bt_header_dendrite_uuid",
        "bt_header_axon_hotkey",
        "computed_body_hash",
    ] {
        let value = headers[name].as_bytes();
        for bit in 0..8 * value.len() {
            let mut value = value.to_vec();
            value[bit / 8] ^= 1 << (bit % 8);
            // The value is invalid in a header, or is the same signature in a different letter
            // case.
            let same = name == SIGNATURE && value.eq_ignore_ascii_case(headers[name].as_bytes());
            if same || HeaderValue::from_bytes(&value).is_err() {
                continue;
            }
            let value = HeaderValue::from_bytes(&value).unwrap();
            let mut headers = headers.clone();
            headers.insert(name, value);
            let (status, body) = server.send(&headers, BODY).await;
            assert!(status.is_client_error(), "{name} bit {bit}: {status} {body}");
            flip_count += 1;
        }
    }
    for bit in 0..8 * BODY.len() {
        let mut body = BODY.as_bytes().to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        let (status, text) = server.send(&headers, body).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "body bit {bit}: {text}");
        flip_count += 1;
    }
    assert!(flip_count > 2_000, "{flip_count}");
    assert_eq!(server.send(&headers, BODY).await.0, StatusCode::OK, "the original passes");
}

#[tokio::test]
async fn duplicate_headers_are_refused() {
    let mut headers = signed(NOW);
    headers.append("bt_header_dendrite_nonce", HeaderValue::from(NOW + 1));
    let doubled = refused_response(400, "header bt_header_dendrite_nonce is given more than once");
    assert_eq!(Server::open().refusal(&headers, BODY).await, doubled);
}

#[tokio::test]
async fn request_limits_are_checked_before_signatures() {
    let limits =
        Limits { body_bytes: 64, body_timeout: Duration::from_millis(5), ..Limits::default() };
    let server = Server::new(limits, Policy::open());
    let large = refused_response(431, "request headers are too large");
    assert_eq!(
        server.refusal(&with_header(signed(NOW), "x", &"x".repeat(20_000)), BODY).await,
        large
    );
    let mut many_headers = signed(NOW);
    (0..64).for_each(|_| {
        assert!(
            many_headers.append("x", HeaderValue::from_static(""))
                || many_headers.contains_key("x")
        );
    });
    assert_eq!(server.refusal(&many_headers, BODY).await, large);

    // Ten gigabytes announced, and one byte more than the limit sent unannounced.
    let too_large = refused_response(413, "request body is larger than 64 bytes");
    let announced = with_header(signed(NOW), "content-length", "10000000000");
    assert_eq!(server.refusal(&announced, Body::empty()).await, too_large);
    assert_eq!(server.refusal(&signed(NOW), " ".repeat(65)).await, too_large);
    assert_eq!(server.send(&signed(NOW), " ".repeat(64)).await.0, StatusCode::OK);

    assert_eq!(
        server.refusal(&signed(NOW + 1), pending_body()).await,
        refused_response(408, "request body did not arrive within 5ms")
    );
    let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
    let unreadable = refused_response(400, "request body could not be read");
    assert_eq!(server.refusal(&signed(NOW + 1), Body::from_stream(broken)).await, unreadable);
}

#[tokio::test]
async fn body_limit_of_the_layer_overrides_axum_default() {
    let server = Server::new(Limits { body_bytes: 8 << 20, ..Limits::default() }, Policy::open());
    let (status, body) = server.send(&signed(NOW), "x".repeat(3 << 20)).await;
    assert_eq!((status, body.len() > 3 << 20), (StatusCode::OK, true));
}

fn pending_body() -> Body {
    Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())
}

#[tokio::test]
async fn body_of_refused_caller_is_not_read() {
    let alice = key("//Alice").hotkey();
    let forged = with_header(signed(NOW), SIGNATURE, &format!("0x{}", "0".repeat(128)));
    assert_eq!(
        Server::open().refusal(&forged, pending_body()).await,
        refused_response(401, "signature does not match")
    );
    let server = Server::new(Limits::default(), Policy::only([]));
    let unwanted = refused_response(403, &format!("hotkey {alice} is not allowed"));
    assert_eq!(server.refusal(&signed(NOW), pending_body()).await, unwanted);
    let server = Server::open();
    assert_eq!(server.send(&signed(NOW), BODY).await.0, StatusCode::OK);
    assert_eq!(
        server.refusal(&signed(NOW), pending_body()).await,
        refused_response(401, "request was already received, or a newer one was")
    );
}

#[tokio::test]
async fn large_bodies_share_a_memory_limit() {
    const SMALL: usize = 64 * 1024;
    let server =
        Server::new(Limits { large_bodies_bytes: 1_000, ..Limits::default() }, Policy::open());
    let server = Arc::new(server);
    let busy = refused_response(503, "server is busy");
    assert_eq!(server.send(&signed(NOW), " ".repeat(SMALL + 1_000)).await.0, StatusCode::OK);
    assert_eq!(server.refusal(&signed(NOW + 1), " ".repeat(SMALL + 1_001)).await, busy);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let body = Body::from_stream(futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    }));
    let slow = tokio::spawn({
        let server = server.clone();
        async move { server.send(&signed(NOW + 2), body).await.0 }
    });
    for length in [SMALL, 500, 500] {
        sender.send(Ok(" ".repeat(length).into())).await.unwrap();
    }
    // Once the server has read all chunks, the shared memory is used up.
    let mut nonce = NOW + 10;
    while server.send(&signed(nonce), " ".repeat(SMALL + 1)).await.0 == StatusCode::OK {
        tokio::task::yield_now().await;
        nonce += 1;
    }
    assert_eq!(
        server.send(&signed(NOW + 4), " ".repeat(SMALL)).await.0,
        StatusCode::OK,
        "small ones need no share"
    );
    drop(sender);
    assert_eq!(slow.await.unwrap(), StatusCode::OK);
    assert_eq!(server.send(&signed(NOW + 5), " ".repeat(SMALL + 1_000)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn altered_large_body_is_refused() {
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(2 * MIN_OFFLOADED_BYTES));
    let headers = |nonce| signed_by("//Alice", "//Bob", BabelbitScheme::managed(), nonce, &text);
    let server = Server::new(
        Limits { body_bytes: 3 * MIN_OFFLOADED_BYTES, ..Limits::default() },
        Policy::open(),
    );
    let mismatch = refused_response(401, "request body does not match its signed hash");
    assert_eq!(server.refusal(&headers(NOW), text.replace("xxx\"", "xxy\"")).await, mismatch);
    assert_eq!(server.send(&headers(NOW), text.clone()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn handler_times_out() {
    let layer = || {
        let limits = Limits { answer_timeout: Duration::from_millis(20), ..Limits::default() };
        let clock = Arc::new(ManualClock::at(NOW));
        SignedLayer::with_clock(
            key("//Bob").hotkey(),
            BabelbitScheme::axon(),
            limits,
            Policy::open(),
            clock,
        )
    };
    let stuck_router =
        Router::new().route("/v1/predict", post(std::future::pending::<()>)).route_layer(layer());
    let server = Server { router: stuck_router, clock: Arc::default() };
    assert_eq!(
        server.refusal(&signed(NOW), BODY).await,
        refused_response(504, "response timeout after 20ms")
    );
    let streams =
        Router::new().route("/v1/predict", post(|| async { pending_body() })).route_layer(layer());
    let mut request = Request::post("/v1/predict").body(Body::from(BODY)).unwrap();
    *request.headers_mut() = signed(NOW);
    let response = streams.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.to_string(), "the response stream timed out");
}

#[tokio::test]
async fn only_listed_hotkeys_may_call() {
    let server = Server::new(Limits::default(), Policy::only([key("//Charlie").hotkey()]));
    let alice = key("//Alice").hotkey();
    let unwanted = refused_response(403, &format!("hotkey {alice} is not allowed"));
    assert_eq!(server.refusal(&signed(NOW), BODY).await, unwanted);
    let charlie = signed_by("//Charlie", "//Bob", BabelbitScheme::axon(), NOW, BODY);
    assert_eq!(server.send(&charlie, BODY).await.0, StatusCode::OK);
    // Only a key's owner learns whether it is on the list.
    let forged = with_header(signed(NOW), SIGNATURE, &format!("0x{}", "0".repeat(128)));
    assert_eq!(server.refusal(&forged, BODY).await.0, 401);
}

#[tokio::test]
async fn flooding_sender_is_rate_limited() {
    let server =
        Server::new(Limits { requests_per_sender: 2, ..Limits::default() }, Policy::open());
    assert_eq!(server.send(&signed(NOW), BODY).await.0, StatusCode::OK);
    assert_eq!(server.send(&signed(NOW + 1), BODY).await.0, StatusCode::OK);
    assert_eq!(server.refusal(&signed(NOW + 2), BODY).await.0, 429);
    let charlie = signed_by("//Charlie", "//Bob", BabelbitScheme::axon(), NOW, BODY);
    assert_eq!(server.send(&charlie, BODY).await.0, StatusCode::OK);
}

#[tokio::test]
async fn handler_outside_the_layer_has_no_caller() {
    let router = Router::new().route("/", post(|_: Caller| async {}));
    let response = router.oneshot(Request::post("/").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!({"error": "header signature is missing"})
    );
}

#[tokio::test]
async fn permit_is_held_until_the_streamed_response_ends() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let handler = move || async move {
        match receiver.lock().await.take() {
            Some(receiver) => {
                Body::from_stream(futures::stream::unfold(receiver, |mut receiver| async {
                    receiver.recv().await.map(|chunk| (chunk, receiver))
                }))
            }
            None => Body::from("second"),
        }
    };
    let concurrency = Concurrency { running: 1, waiting: 0, max_wait: Duration::from_mins(1) };
    let clock = Arc::new(ManualClock::at(NOW));
    let layer = SignedLayer::builder(key("//Bob").hotkey(), BabelbitScheme::axon())
        .load(Load { concurrency: Some(concurrency), ..Load::default() })
        .clock(clock.clone())
        .build();
    let server = Server {
        router: Router::new().route("/v1/predict", post(handler)).route_layer(layer),
        clock,
    };

    let mut request = Request::post("/v1/predict").body(Body::from(BODY)).unwrap();
    *request.headers_mut() = signed(NOW);
    let streamed = server.router.clone().oneshot(request).await.unwrap();
    assert_eq!(streamed.status(), StatusCode::OK);
    assert_eq!(
        server.refusal(&signed(NOW + 1), BODY).await,
        refused_response(503, "server is busy")
    );
    sender.send(Ok(Bytes::from("chunk"))).await.unwrap();
    drop(sender);
    assert_eq!(streamed.into_body().collect().await.unwrap().to_bytes(), "chunk");
    assert_eq!(server.send(&signed(NOW + 2), BODY).await, (StatusCode::OK, "second".into()));
}

#[tokio::test]
async fn verifier_runs_the_checks_of_the_layer_in_steps() {
    let bob = key("//Bob").hotkey();
    let clock = Arc::new(ManualClock::at(NOW));
    let layer = SignedLayer::with_clock(
        bob,
        BabelbitScheme::axon(),
        Limits::default(),
        Policy::open(),
        clock.clone(),
    );
    let echo = post(|body: String| async { body });
    let server = Server {
        router: Router::new().route("/v1/predict", echo).route_layer(layer.clone()),
        clock,
    };
    let verifier = layer.verifier();
    let head = |headers: HeaderMap| {
        let mut head = empty_head();
        head.headers = headers;
        head
    };

    let forged = head(with_header(signed(NOW), "bt_header_dendrite_nonce", &(NOW + 1).to_string()));
    let claim = verifier.claim(&forged).unwrap();
    assert_eq!(verifier.check_head(&forged, &claim), Err(Refusal::WrongSignature));
    assert_eq!(
        verifier.check_body(&forged, &claim, None, BODY.as_bytes()),
        Err(Refusal::WrongSignature)
    );

    let accepted = head(signed(NOW));
    let claim = verifier.claim(&accepted).unwrap();
    let registration = verifier.check_head(&accepted, &claim).unwrap();
    assert!(registration.is_some(), "the signature is verified before the body is read");
    let registration =
        verifier.check_body(&accepted, &claim, registration, BODY.as_bytes()).unwrap();
    assert!(
        verifier.enter(registration, &claim).await.unwrap().is_none(),
        "the layer limits no concurrency"
    );
    assert_eq!(verifier.check_head(&accepted, &claim), Err(Refusal::Replayed));
    assert_eq!(
        verifier.check_body(&accepted, &claim, Some(registration), BODY.as_bytes()),
        Err(Refusal::Replayed)
    );
    let replayed = refused_response(401, "request was already received, or a newer one was");
    assert_eq!(server.refusal(&signed(NOW), BODY).await, replayed);
}
