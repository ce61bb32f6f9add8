use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use taonet_primitives::SampleRate;
use taonet_speech::{Pcm, SynthesisError, Voice, Wav};
use taonet_wallet::Keypair;

use super::*;

mod texts;
use crate::client::{ChallengeKind, EngineClient, EngineError, EngineOptions};

const SAMPLE: &str = include_str!("../../../challenges/tests/data/00-sample.json");

/// A synthesiser of 10 samples per character.
struct FakeSynthesizer;

impl Synthesizer for FakeSynthesizer {
    fn speak(&self, text: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
        Ok(Pcm::mono(vec![0.25; text.len() * 10], SampleRate::HZ_22K))
    }
}

struct FailingSynthesizer;

impl Synthesizer for FailingSynthesizer {
    fn speak(&self, _: &str, _: &Voice) -> Result<Pcm, SynthesisError> {
        Err(SynthesisError::Failed("no voice".to_owned()))
    }
}

/// A manually advanced clock.
#[derive(Clone, Default)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Arc::new(move || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst))
        })
    }
}

fn challenges(count: usize) -> Vec<Challenge> {
    let number = |n| {
        Challenge::parse("c.json", &SAMPLE.replace("challenge-sample", &format!("challenge-{n}")))
    };
    (0..count).map(|n| number(n).unwrap()).collect()
}

fn config() -> EngineConfig {
    EngineConfig::new(challenges(2), Arc::new(FakeSynthesizer))
}

/// A running engine and a plain HTTP client.
struct TestEngine {
    engine: Engine,
    url: String,
    test_clock: TestClock,
    http: reqwest::Client,
}

impl TestEngine {
    async fn new(adjust: impl FnOnce(&mut EngineConfig)) -> Self {
        let test_clock = TestClock::default();
        test_clock.advance(1_000_000);
        let mut config = EngineConfig { clock: test_clock.clock(), ..config() };
        adjust(&mut config);
        let engine = Engine::new(config).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = engine.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            engine,
            url,
            test_clock,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    fn client(&self, uri: &str) -> EngineClient {
        self.client_at(&self.url, uri, EngineOptions::default())
    }

    fn client_at(&self, url: &str, uri: &str, options: EngineOptions) -> EngineClient {
        let options = EngineOptions { clock: self.test_clock.clock(), ..options };
        EngineClient::new(url, Arc::new(key(uri)), options).unwrap()
    }

    async fn send(&self, method: Method, path: &str, token: &str, body: Value) -> Response {
        let request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(token);
        request.json(&body).send().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Response {
        self.send(Method::POST, path, "none", body).await
    }

    async fn challenge(&self) -> Value {
        self.post("/auth", json!(null)).await.json().await.unwrap()
    }

    /// Returns the response of `uri` to a newly signed challenge.
    async fn verify_body(&self, uri: &str) -> Value {
        let challenge = self.challenge().await;
        let text = challenge["challenge"].as_str().unwrap();
        json!({
            "hotkey": key(uri).hotkey().to_string(),
            "signature": key(uri).sign(text.as_bytes()).to_bare_hex(),
            "timestamp": challenge["timestamp"],
            "message": text,
        })
    }

    async fn token(&self, uri: &str) -> String {
        let answer: Value =
            self.post("/auth/verify", self.verify_body(uri).await).await.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

/// Returns the status and the error text of a response.
async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("errors are JSON");
    (status, body["detail"].as_str().expect("detail is a text").to_owned())
}

#[tokio::test]
async fn validator_gets_the_main_challenge_with_its_reference() {
    let server = TestEngine::new(|_| ()).await;
    let fetched = server.client("//Alice").prefetch(ChallengeKind::Main).await.unwrap();
    assert_eq!(fetched.challenge_uid, "challenge-0");
    assert_eq!(fetched.title.as_deref(), Some(challenges(1)[0].title.as_str()));
    assert_eq!(fetched.error, None);
    let ids: Vec<_> = fetched
        .utterances
        .iter()
        .map(|u| (u.utterance_id.as_str(), u.utterance_index, u.done))
        .collect();
    assert_eq!(ids, [("challenge-0:0", 0, false), ("challenge-0:1", 1, true)]);
    for utterance in &fetched.utterances {
        let wav = Wav::decode(&BASE64_STANDARD.decode(&utterance.audio_b64).unwrap()).unwrap();
        assert_eq!(wav.pcm.frames() as u64, utterance.utterance_frames);
        assert_eq!(wav.pcm.rate.hz(), utterance.sample_rate_hz);
        assert_eq!(wav.format.width(), utterance.sample_width_bytes);
        assert_eq!((utterance.channels, utterance.language.as_str()), (1, "en"));
    }
    let reference = fetched.reference.unwrap();
    assert_eq!(reference.source, format!("{}/transcription", server.url));
    assert_eq!(reference.document, challenges(1)[0].reference_document());
}

#[tokio::test]
async fn solo_challenge_is_the_next_one_with_its_reference() {
    let server = TestEngine::new(|_| ()).await;
    let fetched = server.client("//Alice").prefetch(ChallengeKind::Solo).await.unwrap();
    assert_eq!((fetched.challenge_uid.as_str(), fetched.utterances.len()), ("challenge-1", 2));
    let reference = fetched.reference.unwrap();
    assert_eq!(reference.source, format!("{}/source-audio", server.url));
    assert_eq!(
        reference.document["utterances"][0]["target"]["text"],
        "Good morning, what would you like?"
    );
}

#[tokio::test]
async fn expired_token_is_refused_and_renewed() {
    let server = TestEngine::new(|_| ()).await;
    let token = server.token("//Alice").await;
    assert_eq!(server.send(Method::GET, "/transcription", &token, json!(null)).await.status(), 200);
    // This client's clock is stopped, so the client considers its token valid.
    let client = EngineClient::new(
        &server.url,
        Arc::new(key("//Alice")),
        EngineOptions { clock: Arc::new(|| SystemTime::UNIX_EPOCH), ..EngineOptions::default() },
    )
    .unwrap();
    let first = client.start(ChallengeKind::Main).await.unwrap();
    server.test_clock.advance(86_400);
    let refused_response = server.send(Method::GET, "/transcription", &token, json!(null)).await;
    assert_eq!(refused_response.headers()["www-authenticate"], "Bearer");
    assert_eq!(
        refusal(refused_response).await,
        (401, "the token is missing, unknown or expired".to_owned())
    );
    assert_eq!(
        client.transcription().await.unwrap().challenge_uid,
        first.challenge_uid,
        "the token was renewed"
    );
}

#[tokio::test]
async fn session_continues_after_its_token_expires() {
    let server = TestEngine::new(|config| config.token_lifetime = Duration::from_mins(10)).await;
    let client = server.client("//Alice");
    let first = client.start(ChallengeKind::Main).await.unwrap();
    server.test_clock.advance(700);
    assert_eq!(
        client.next(ChallengeKind::Main, &first.session_id).await.unwrap().utterance_index,
        1
    );
}

#[tokio::test]
async fn every_data_route_needs_a_token() {
    let server = TestEngine::new(|_| ()).await;
    let routes = [
        (Method::POST, "/source-audio/start"),
        (Method::POST, "/source-audio/next"),
        (Method::GET, "/solo/start"),
        (Method::POST, "/solo/next"),
        (Method::GET, "/transcription"),
    ];
    for (method, path) in routes {
        let response = server.send(method, path, &"0".repeat(64), json!({"session_id": "x"})).await;
        assert_eq!(refusal(response).await.0, 401, "{path}");
    }
    let health = server.send(Method::GET, "/healthz", "", json!(null)).await;
    assert_eq!(health.json::<Value>().await.unwrap(), json!({"status": "ok"}));
}

#[tokio::test]
async fn wrong_challenge_answer_is_refused() {
    let server = TestEngine::new(|config| config.auth_limit.requests = 1_000).await;
    let verify_altered = |field: &'static str, value: Value| {
        let server = &server;
        async move {
            let mut body = server.verify_body("//Alice").await;
            body[field] = value;
            refusal(server.post("/auth/verify", body).await).await
        }
    };
    #[rustfmt::skip]
    let table = [
        ("signature", json!("00".repeat(64)), 401, "the signature does not match"),
        ("hotkey", json!(key("//Bob").hotkey().to_string()), 401, "the signature does not match"),
        ("message", json!("sign me"), 401, "the auth challenge is unknown"),
        ("timestamp", json!(5), 401, "the timestamp does not match the auth challenge"),
        ("signature", json!("xyz"), 422, "signature: "),
        ("signature", json!(5), 422, "signature: invalid type"),
        ("hotkey", json!("5Grw"), 422, "hotkey: "),
        ("hotkey", json!(null), 422, "hotkey: invalid type"),
    ];
    for (field, value, status, text) in table {
        let refused_response = verify_altered(field, value.clone()).await;
        assert!(
            refused_response.0 == status && refused_response.1.starts_with(text),
            "{field}={value}: {refused_response:?}"
        );
    }

    let body = server.verify_body("//Alice").await;
    assert_eq!(server.post("/auth/verify", body.clone()).await.status(), 200);
    let replayed = refusal(server.post("/auth/verify", body).await).await;
    assert_eq!(
        replayed,
        (401, "the auth challenge is unknown, expired or already used".to_owned())
    );

    let late_answer = server.verify_body("//Alice").await;
    server.test_clock.advance(60);
    assert_eq!(refusal(server.post("/auth/verify", late_answer).await).await.0, 401);
}

#[tokio::test]
async fn only_listed_hotkeys_get_a_token() {
    let server =
        TestEngine::new(|config| config.allowed = Some([key("//Alice").hotkey()].into())).await;
    server.client("//Alice").authenticate_with_retry().await.unwrap();
    let error = server.client("//Bob").authenticate_with_retry().await.unwrap_err();
    assert!(matches!(error, EngineError::PermanentAuth(_)) && error.is_permanent_auth());
    assert!(error.to_string().starts_with("Permanent authentication failure: "), "{error}");
    assert!(error.to_string().contains("HTTP 403"), "{error}");
}

#[tokio::test]
async fn rate_limit_response_has_retry_after() {
    let server = TestEngine::new(|config| config.auth_limit.requests = 2).await;
    server.challenge().await;
    server.test_clock.advance(15);
    server.challenge().await;
    let refused_response = server.post("/auth", json!(null)).await;
    assert_eq!(
        (
            refused_response.status().as_u16(),
            refused_response.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "45")
    );
    let body: Value = refused_response.json().await.unwrap();
    assert_eq!(
        body["detail"],
        json!({
            "message": "Rate limit exceeded: at most 2 requests in 60 s",
            "retry_after": 45, "window_sec": 60, "limit": 2
        })
    );
}

#[tokio::test]
async fn client_waits_for_retry_after() {
    let server = TestEngine::new(|config| config.auth_limit.requests = 2).await;
    let waits = Arc::new(Mutex::new(Vec::new()));
    let (test_clock, recorded_waits) = (server.test_clock.clone(), Arc::clone(&waits));
    let options = EngineOptions {
        sleeper: Arc::new(move |wait| {
            test_clock.advance(wait.as_secs());
            recorded_waits.lock().unwrap().push(wait.as_secs());
            Box::pin(std::future::ready(()))
        }),
        ..EngineOptions::default()
    };
    let client = server.client_at(&server.url, "//Alice", options);
    server.challenge().await;
    server.challenge().await;
    client.authenticate_with_retry().await.unwrap();
    assert_eq!(*waits.lock().unwrap(), [60]);
}

#[tokio::test]
async fn rate_of_data_requests_is_limited_by_hotkey() {
    let server = TestEngine::new(|config| config.data_limit.requests = 1).await;
    let (alice, bob) = (server.client("//Alice"), server.client("//Bob"));
    alice.start(ChallengeKind::Main).await.unwrap();
    let error = alice.start(ChallengeKind::Main).await.unwrap_err();
    assert_eq!(error.to_string(), "Failed to start source-audio session: HTTP 429");
    assert!(!error.is_auth());
    assert_eq!(error.retry_after(), Some(Duration::from_mins(1)));
    bob.start(ChallengeKind::Main).await.unwrap();
}

#[tokio::test]
async fn end_marker_of_session_can_be_requested_again() {
    let server = TestEngine::new(|_| ()).await;
    let client = server.client("//Alice");
    let session = client.start(ChallengeKind::Main).await.unwrap().session_id;
    let last = client.next(ChallengeKind::Main, &session).await.unwrap();
    assert!(last.done && !last.audio_b64.is_empty());
    for _ in 0..2 {
        let end = client.next(ChallengeKind::Main, &session).await.unwrap();
        assert!(end.done && end.audio_b64.is_empty() && end.target.is_none());
        assert_eq!(
            (end.utterance_id.as_str(), end.utterance_index, end.utterance_frames),
            ("challenge-0:end", 2, 0)
        );
    }
}

#[tokio::test]
async fn sessions_are_private_and_expire() {
    let server = TestEngine::new(|config| config.sessions_per_hotkey = 2).await;
    let (alice, bob) = (server.client("//Alice"), server.client("//Bob"));
    let status = |outcome: Result<_, EngineError>| {
        outcome.map(drop).map_err(|error| error.status().unwrap().as_u16())
    };
    let first = alice.start(ChallengeKind::Main).await.unwrap().session_id;
    assert_eq!(status(alice.next(ChallengeKind::Main, "nothing").await), Err(404));
    assert_eq!(
        status(bob.next(ChallengeKind::Main, &first).await),
        Err(404),
        "another hotkey's session"
    );
    assert_eq!(
        status(alice.next(ChallengeKind::Solo, &first).await),
        Err(409),
        "wrong route for the session"
    );
    server.test_clock.advance(899);
    assert_eq!(status(alice.next(ChallengeKind::Main, &first).await), Ok(()));
    server.test_clock.advance(900);
    assert_eq!(status(alice.next(ChallengeKind::Main, &first).await), Err(404), "idle");

    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(alice.start(ChallengeKind::Main).await.unwrap().session_id);
    }
    assert_eq!(
        status(alice.next(ChallengeKind::Main, &sessions[0]).await),
        Err(404),
        "the third start ended the first session"
    );
    assert_eq!(status(alice.next(ChallengeKind::Main, &sessions[1]).await), Ok(()));
}

#[tokio::test]
async fn invalid_request_is_reported() {
    let server = TestEngine::new(|_| ()).await;
    let token = server.token("//Alice").await;
    let post = async |path: &str, body: Vec<u8>| {
        let request = server.http.post(format!("{}{path}", server.url)).bearer_auth(&token);
        refusal(request.body(body).send().await.unwrap()).await
    };
    let next = "/source-audio/next";
    #[rustfmt::skip]
    let table: [(&str, &[u8], u16, &str); 8] = [
        (next, b"", 400, "the body is not JSON"),
        (next, b"{\"session_id\":", 400, "the body is not JSON"),
        (next, b"\xff\xfe", 400, "the body is not JSON"),
        (next, b"{} x", 422, ".: missing field `session_id`"),
        (next, b"{\"session_id\":\"a\"} x", 400, "the body is not JSON"),
        (next, b"[1]", 422, "[0]: invalid type"),
        (next, b"{\"session_id\":7}", 422, "session_id: invalid type"),
        ("/nowhere", b"", 404, "Not Found"),
    ];
    for (path, body, status, text) in table {
        let refused_response = post(path, body.to_vec()).await;
        assert!(
            refused_response.0 == status && refused_response.1.starts_with(text),
            "{path} {body:?}: {refused_response:?}"
        );
    }
    assert_eq!(
        post(next, vec![b' '; (64 << 10) + 1]).await,
        (413, "the body exceeds 65536 bytes".to_owned())
    );
    let wrong_method = server.send(Method::GET, next, &token, json!(null)).await;
    assert_eq!(refusal(wrong_method).await, (405, "Method Not Allowed".to_owned()));
}

#[tokio::test]
async fn body_without_content_length_is_limited() {
    let server = TestEngine::new(|_| ()).await;
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    let request = server
        .http
        .post(format!("{}/auth/verify", server.url))
        .body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(refusal(request.send().await.unwrap()).await.0, 413);
}

#[tokio::test]
async fn repeated_slashes_count_as_one() {
    let server = TestEngine::new(|_| ()).await;
    for path in ["//auth", "/auth", "///auth"] {
        assert_eq!(server.post(path, json!(null)).await.status(), 200, "{path}");
    }
    let client =
        server.client_at(&format!("{}//", server.url), "//Alice", EngineOptions::default());
    let reference = client.prefetch(ChallengeKind::Main).await.unwrap().reference.unwrap();
    assert_eq!(reference.source, format!("{}/transcription", server.url));
}

#[tokio::test]
async fn challenges_rotate_by_time() {
    let server = TestEngine::new(|config| {
        config.challenges = challenges(3);
        config.rotation = Rotation::Every(Duration::from_hours(1));
    })
    .await;
    // 1 000 000 s are 277 hours: 277 mod 3 is 1.
    let client = server.client("//Alice");
    assert_eq!(client.start(ChallengeKind::Solo).await.unwrap().challenge_uid, "challenge-2");
    assert_eq!(client.start(ChallengeKind::Main).await.unwrap().challenge_uid, "challenge-1");
    // 277.8 hours; the next turn begins after 800 s.
    server.test_clock.advance(800);
    assert_eq!(
        client.transcription().await.unwrap().challenge_uid,
        "challenge-1",
        "still being played"
    );
    assert_eq!(server.client("//Bob").transcription().await.unwrap().challenge_uid, "challenge-2");
    assert_eq!(server.client("//Bob").current_main().await.unwrap(), "challenge-2");
    assert_eq!(client.start(ChallengeKind::Main).await.unwrap().challenge_uid, "challenge-2");
    assert_eq!(client.start(ChallengeKind::Solo).await.unwrap().challenge_uid, "challenge-0");
}

#[tokio::test]
async fn engine_with_failing_synthesizer_has_no_challenge() {
    let server = TestEngine::new(|config| config.synthesizer = Arc::new(FailingSynthesizer)).await;
    let error = server.engine.prepare().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "challenge-0: cannot synthesise utterances[0]: espeak-ng failed: no voice"
    );
    let error = server.client("//Alice").start(ChallengeKind::Main).await.unwrap_err();
    assert_eq!(error.to_string(), "Failed to start source-audio session: HTTP 503");
}

#[test]
fn engine_refuses_missing_or_duplicate_challenges() {
    let error_of =
        |challenges| Engine::new(EngineConfig { challenges, ..config() }).unwrap_err().to_string();
    assert_eq!(error_of(vec![]), "an utterance engine needs at least one challenge");
    assert_eq!(
        error_of([challenges(1), challenges(1)].concat()),
        "duplicate challenge uid challenge-0"
    );
}

#[test]
fn token_and_challenge_lifetimes_have_bounds() {
    let year = Duration::from_hours(365 * 24);
    for (token, challenge, is_accepted) in [
        (year, year, true),
        (Duration::ZERO, year, false),
        (year, Duration::ZERO, false),
        (year + Duration::from_secs(1), year, false),
        (Duration::from_secs(u64::MAX), year, false),
        (year, Duration::MAX, false),
    ] {
        let result = Engine::new(EngineConfig {
            token_lifetime: token,
            challenge_lifetime: challenge,
            ..config()
        });
        assert_eq!(result.is_ok(), is_accepted, "{token:?} {challenge:?}");
    }
    let error =
        Engine::new(EngineConfig { token_lifetime: Duration::ZERO, ..config() }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the token lifetime must be above 0 and at most 365 days, not 0 s"
    );
}
