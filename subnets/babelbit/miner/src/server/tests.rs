use std::time::Duration;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use taonet_wallet::Keypair;
use taonet_wire::{Peer, Signer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::Limits;
use crate::profile::{Interpretation, Parrot, ProfileError, ProfileName, Reply, Silent};
use crate::samples;

/// A miner on a loopback port, with Alice as its client.
struct RunningMiner {
    url: String,
    peer: Peer,
    client: reqwest::Client,
    alice: Signer,
    stop: CancellationToken,
}

impl Drop for RunningMiner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn signer(uri: &str) -> Signer {
    Signer::new(Keypair::from_uri(uri).unwrap(), "203.0.113.7", BabelbitScheme::axon())
}

async fn start(profile: impl Profile + 'static, limits: Limits) -> RunningMiner {
    start_with_clock(profile, limits, monotonic_clock()).await
}

async fn start_with_clock(
    profile: impl Profile + 'static,
    limits: Limits,
    clock: MonotonicClock,
) -> RunningMiner {
    let config = MinerConfig { limits, ..MinerConfig::default() };
    let me = Keypair::from_uri("//Miner").unwrap().hotkey();
    let signed = signed_requests(me, &config).build();
    let miner = Arc::new(Miner::with_clock(config, Arc::new(profile), clock));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let router = router(miner, signed);
    tokio::spawn(
        axum::serve(listener, router)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future(),
    );
    RunningMiner {
        url: format!("http://127.0.0.1:{port}"),
        peer: Peer::new(me, "127.0.0.1", port).unwrap(),
        client: reqwest::Client::new(),
        alice: signer("//Alice"),
        stop,
    }
}

fn init_body(utterance: u32) -> Value {
    json!({"kind": "init", "challenge_uid": "c1", "utterance_id": format!("c1:{utterance}"), "language": "fr",
        "sample_rate_hz": 24000, "frame_rate_hz": 12.5, "frame_samples": 1920, "dtype": "float32le", "channels": 1})
}

/// Returns `body` with `field` set to `value`.
fn with_field(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

impl RunningMiner {
    async fn post(&self, body: impl Into<Bytes>) -> (StatusCode, Value) {
        self.post_as(Some(&self.alice), body).await
    }

    async fn post_as(
        &self,
        sender: Option<&Signer>,
        body: impl Into<Bytes>,
    ) -> (StatusCode, Value) {
        let body = body.into();
        let mut request = self.client.post(format!("{}/v1/predict", self.url)).body(body.clone());
        if let Some(signer) = sender {
            let timeout = Duration::from_secs(10);
            let headers = signer
                .headers(&self.peer, &Method::POST, "/v1/predict", "X", timeout, &body)
                .unwrap();
            request = request.headers(headers);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn init(&self, utterance: u32) -> String {
        let (status, body) = self.post(init_body(utterance).to_string()).await;
        assert_eq!((status, &body["ready"]), (StatusCode::OK, &json!(true)), "{body}");
        body["session_id"].as_str().unwrap().to_owned()
    }

    async fn predict(&self, session: &str, audio_b64: &str, in_eos: bool) -> (StatusCode, Value) {
        let body = json!({"kind": "predict", "session_id": session, "audio_b64": audio_b64, "in_eos": in_eos});
        self.post(body.to_string()).await
    }

    /// Plays a complete utterance and returns the audio of each response.
    async fn play(&self, utterance: u32, source: &[f32]) -> Vec<String> {
        let session = self.init(utterance).await;
        let frames: Vec<_> = source.chunks(1920).collect();
        let mut answers = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            let last = number + 1 == frames.len();
            let (status, body) = self.predict(&session, &samples::encode(frame), last).await;
            assert_eq!((status, &body["out_eos"]), (StatusCode::OK, &json!(last)), "{body}");
            assert_eq!(body["session_id"], json!(session));
            answers.push(body["audio_b64"].as_str().unwrap().to_owned());
        }
        answers
    }
}

/// Generates deterministic noise, distinct in every frame.
fn noise(samples: usize, seed: u64) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..samples).map(|_| random.random_range(-0.5_f32..0.5)).collect()
}

/// Columns: request field, value, whether the field is optional.
#[tokio::test]
async fn init_request_fields_are_validated() {
    let miner = start(Silent, Limits::default()).await;
    for (field, value, optional) in [
        ("kind", json!("init"), false),
        ("challenge_uid", json!("c1"), false),
        ("utterance_id", json!("c1:3"), false),
        ("language", json!("fr"), true),
        ("sample_rate_hz", json!(24_000), false),
        ("frame_rate_hz", json!(12.5), false),
        ("frame_samples", json!(1920), false),
        ("dtype", json!("float32le"), false),
        ("channels", json!(1), false),
    ] {
        let mut body = init_body(3);
        assert_eq!(body[field], value, "{field}");
        body.as_object_mut().unwrap().remove(field);
        let (status, answer) = miner.post(body.to_string()).await;
        let expected = if optional { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        assert_eq!(status, expected, "{field}: {answer}");
        assert!(optional || answer["error"].as_str().unwrap().contains(field), "{field}: {answer}");
    }
    // Null means missing.
    assert_eq!(
        miner.post(with_field(init_body(4), "language", Value::Null).to_string()).await.0,
        StatusCode::OK
    );
    // Unknown fields are ignored, for later versions.
    assert_eq!(
        miner.post(with_field(init_body(5), "mood", json!(7)).to_string()).await.0,
        StatusCode::OK
    );
}

/// Columns: response field, expected value.
#[tokio::test]
async fn init_response_has_protocol_fields() {
    let miner = start(Silent, Limits::default()).await;
    let request = with_field(init_body(3), "channels", json!(2));
    let (status, response) = miner.post(request.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    for (field, value) in [
        ("ready", json!(true)),
        ("miner_id", Value::Null),
        ("challenge_uid", request["challenge_uid"].clone()),
        ("utterance_id", request["utterance_id"].clone()),
        ("language", request["language"].clone()),
        ("sample_rate_hz", json!(24_000)),
        ("frame_rate_hz", json!(12.5)),
        ("frame_samples", json!(1920)),
        ("dtype", json!("float32le")),
        ("channels", json!(2)),
    ] {
        assert_eq!(response[field], value, "{field}");
    }
    assert!(response["session_id"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(response.as_object().unwrap().len(), 11);
}

/// Columns: request field, whether the field is optional.
#[tokio::test]
async fn predict_request_fields_are_validated() {
    let miner = start(Parrot, Limits::default()).await;
    let session = miner.init(0).await;
    let audio = samples::encode(&[0.5; 1920]);
    for (field, optional) in
        [("kind", false), ("session_id", false), ("audio_b64", false), ("in_eos", true)]
    {
        let mut body =
            json!({"kind": "predict", "session_id": session, "audio_b64": audio, "in_eos": false});
        body.as_object_mut().unwrap().remove(field);
        let (status, answer) = miner.post(body.to_string()).await;
        let expected = if optional { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        assert_eq!(status, expected, "{field}: {answer}");
        // Without `in_eos`, the source continues.
        assert!(!optional || answer["out_eos"] == json!(false), "{field}: {answer}");
    }
}

/// Columns: channels, samples of the frame, `in_eos`, expected response.
#[tokio::test]
async fn predict_response_has_protocol_fields() {
    let miner = start(Parrot, Limits::default()).await;
    for (number, (channels, frame, in_eos)) in (0..).zip([
        (1, noise(1920, 1), false),
        (1, noise(100, 2), true),
        (2, noise(3840, 3), true),
        (1, vec![], true),
    ]) {
        let init = with_field(init_body(number), "channels", json!(channels));
        let (_, init) = miner.post(init.to_string()).await;
        let session = init["session_id"].as_str().unwrap();
        let (status, response) = miner.predict(session, &samples::encode(&frame), in_eos).await;
        assert_eq!(status, StatusCode::OK);
        let expected = json!({
            "session_id": session, "audio_b64": samples::encode(&frame), "out_eos": in_eos, "n_bytes": frame.len() * 4
        });
        assert_eq!(response, expected, "{channels} channels");
    }
}

#[tokio::test]
async fn parrot_returns_the_source_bit_for_bit() {
    let miner = start(Parrot, Limits::default()).await;
    let source = noise(1920 * 3 + 100, 1);
    let frames: Vec<_> = source.chunks(1920).map(samples::encode).collect();
    assert_eq!(miner.play(0, &source).await, frames);
    // The same input again gives the same responses.
    assert_eq!(miner.play(0, &source).await, frames);
}

#[tokio::test]
async fn silent_reply_ends_with_the_source_and_drains() {
    let miner = start(Silent, Limits::default()).await;
    assert_eq!(miner.play(0, &[0.5; 3840]).await, ["", ""]);
    let session = miner.init(1).await;
    // The source may end with an empty frame, and late drain requests are answered without error.
    for _ in 0..3 {
        let (status, body) = miner.predict(&session, "", true).await;
        assert_eq!(
            (status, &body["out_eos"], &body["n_bytes"]),
            (StatusCode::OK, &json!(true), &json!(0))
        );
    }
}

#[tokio::test]
async fn sessions_are_independent() {
    let miner = start(Parrot, Limits::default()).await;
    let (left, right) = (noise(1920 * 20, 1), noise(1920 * 20, 2));
    let (a, b) = tokio::join!(miner.play(0, &left), miner.play(1, &right));
    assert_eq!(a, left.chunks(1920).map(samples::encode).collect::<Vec<_>>());
    assert_eq!(b, right.chunks(1920).map(samples::encode).collect::<Vec<_>>());
}

#[tokio::test]
async fn unsigned_requests_and_foreign_sessions_are_refused() {
    let miner = start(Parrot, Limits::default()).await;
    let (status, body) = miner.post_as(None, init_body(0).to_string()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
    // Bob may open his own sessions but not use Alice's.
    let session = miner.init(0).await;
    let predict =
        json!({"kind": "predict", "session_id": session, "audio_b64": "", "in_eos": true})
            .to_string();
    let bob = signer("//Bob");
    assert_eq!(miner.post_as(Some(&bob), init_body(0).to_string()).await.0, StatusCode::OK);
    assert_eq!(miner.post_as(Some(&bob), predict.clone()).await.0, StatusCode::NOT_FOUND);
    assert_eq!(miner.post(predict).await.0, StatusCode::OK);
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let miner = start(Silent, Limits::default()).await;
    let table = [
        (String::new(), StatusCode::BAD_REQUEST, "the body is not JSON"),
        ("{\"kind\"".to_owned(), StatusCode::BAD_REQUEST, "the body is not JSON"),
        (
            "[]".to_owned(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "neither an init nor a predict message",
        ),
        (
            json!({"kind": "bye"}).to_string(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown variant `bye`",
        ),
        (
            json!({"kind": "predict"}).to_string(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "missing field `session_id`",
        ),
    ];
    for (body, status, message) in table {
        let answer = miner.post(body.clone()).await;
        assert_eq!(answer.0, status, "{body}");
        assert!(answer.1["error"].as_str().unwrap().contains(message), "{body}: {answer:?}");
    }
    assert_eq!(miner.post(vec![b' '; 65 * 1024]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(miner.post(vec![0xff; 10]).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn invalid_session_parameters_are_refused() {
    let miner = start(Silent, Limits::default()).await;
    let table = [
        ("sample_rate_hz", json!(16_000), "sample_rate_hz is 16000, expected 24000"),
        ("sample_rate_hz", json!(-1), "expected u32"),
        ("frame_rate_hz", json!(25.0), "frame_rate_hz is 25, expected 12.5"),
        ("frame_samples", json!(960), "frame_samples is 960, expected 1920"),
        ("dtype", json!("int16"), "dtype is not float32le"),
        ("channels", json!(0), "channels is 0, expected 1 to 2"),
        ("channels", json!(3), "channels is 3, expected 1 to 2"),
        ("channels", json!(70_000), "expected u16"),
        ("challenge_uid", json!(""), "challenge_uid must have 1 to 256 bytes"),
        ("utterance_id", json!("x".repeat(257)), "utterance_id must have 1 to 256 bytes"),
        ("language", json!("x".repeat(257)), "language must have 1 to 256 bytes"),
    ];
    for (field, value, message) in table {
        let (status, body) =
            miner.post(with_field(init_body(0), field, value.clone()).to_string()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {value}");
        assert!(body["error"].as_str().unwrap().contains(message), "{field} {value}: {body}");
    }
}

#[tokio::test]
async fn malformed_frame_is_refused_without_changing_the_session() {
    let miner = start(Parrot, Limits::default()).await;
    let session = miner.init(0).await;
    let long = samples::encode(&[0.0; 1921]);
    let table = [
        ("@@@@", false, StatusCode::BAD_REQUEST, "audio_b64 is not base64"),
        ("AAAAAA", false, StatusCode::BAD_REQUEST, "audio_b64 is not base64"),
        ("AAAA", false, StatusCode::BAD_REQUEST, "has 3 bytes, which is not a multiple of 4"),
        ("", false, StatusCode::BAD_REQUEST, "audio_b64 is empty, but in_eos is false"),
        (&long, false, StatusCode::PAYLOAD_TOO_LARGE, "more than 1920 samples"),
    ];
    for (audio, in_eos, status, message) in table {
        let (actual_status, body) = miner.predict(&session, audio, in_eos).await;
        assert_eq!(actual_status, status, "{message}");
        assert!(body["error"].as_str().unwrap().contains(message), "{message}: {body}");
    }
    let (_, body) = miner.predict(&session, &samples::encode(&[0.5, f32::NAN]), true).await;
    assert_eq!(body["audio_b64"], json!(samples::encode(&[0.5, 0.0])));
    let (status, body) = miner.predict(&session, &samples::encode(&[0.5]), true).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body, json!({"error": "the source has ended, expected an empty request"}));
}

#[tokio::test]
async fn unknown_sessions_are_refused() {
    let miner = start(Silent, Limits::default()).await;
    for session in ["", "s1", "00000000-0000-0000-0000-000000000000"] {
        let answer = miner.predict(session, "", true).await;
        assert_eq!(answer, (StatusCode::NOT_FOUND, json!({"error": "unknown session"})));
    }
}

#[tokio::test]
async fn sessions_are_limited_and_expire() {
    let start_time = Instant::now();
    let elapsed = Arc::new(std::sync::Mutex::new(Duration::ZERO));
    let clock = {
        let elapsed = Arc::clone(&elapsed);
        Arc::new(move || start_time + *elapsed.lock().unwrap())
    };
    let limits = Limits { sessions_per_hotkey: 2, ..Limits::default() };
    let miner = start_with_clock(Silent, limits, clock).await;
    let first = miner.init(0).await;
    miner.init(1).await;
    let (status, body) = miner.post(init_body(2).to_string()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        body,
        json!({"error": "the hotkey is at its limit of 2 sessions; hint: finish a session first"})
    );
    *elapsed.lock().unwrap() = limits.idle;
    assert_eq!(miner.predict(&first, "", true).await.0, StatusCode::NOT_FOUND);
    miner.init(2).await;
}

#[tokio::test]
async fn unknown_routes_are_refused_in_json() {
    let miner = start(Silent, Limits::default()).await;
    let answer = miner.client.get(format!("{}/other", miner.url)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(answer.text().await.unwrap(), r#"{"error":"unknown route"}"#);
}

#[tokio::test]
async fn health_names_the_model() {
    let miner = start(Silent, Limits::default()).await;
    for path in ["health", "healthz"] {
        let answer = miner.client.get(format!("{}/{path}", miner.url)).send().await.unwrap();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body, json!({"status": "healthy", "model": "silent", "model_loaded": true}));
    }
}

/// A profile that blocks at each frame until the test releases the frame, and panics at a frame of
/// silence.
struct BlockingProfile(Arc<std::sync::Barrier>);

impl Profile for BlockingProfile {
    fn name(&self) -> ProfileName {
        ProfileName::Silent
    }

    fn open(&self, _channels: u16, _language: Option<&str>) -> Box<dyn Interpretation> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

impl Interpretation for BlockingProfile {
    fn push(&mut self, frame: &[f32], end: bool) -> Result<Reply, ProfileError> {
        assert!(frame.iter().any(|sample| *sample != 0.0), "silence");
        self.0.wait();
        self.0.wait();
        Ok(Reply { samples: Vec::new(), done: end })
    }
}

#[tokio::test]
async fn concurrent_requests_of_a_session_are_refused() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let miner = start(BlockingProfile(Arc::clone(&gate)), Limits::default()).await;
    let session = miner.init(0).await;
    let audio = samples::encode(&[0.5]);
    let second = async {
        let frame_started = Arc::clone(&gate);
        tokio::task::spawn_blocking(move || frame_started.wait()).await.unwrap();
        let refused_response = miner.predict(&session, &audio, true).await;
        tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
        refused_response
    };
    let (first, second) = tokio::join!(miner.predict(&session, &audio, true), second);
    assert_eq!(first.0, StatusCode::OK);
    assert_eq!(second.0, StatusCode::CONFLICT);
    assert_eq!(second.1, json!({"error": "another request of this session is in progress"}));
}

#[tokio::test]
async fn concurrent_inits_leave_one_session() {
    let miner = start(Silent, Limits::default()).await;
    for _ in 0..20 {
        let (a, b) = tokio::join!(miner.init(0), miner.init(0));
        assert_ne!(a, b);
        let (a, b) = tokio::join!(miner.predict(&a, "", true), miner.predict(&b, "", true));
        let mut answers = [a.0, b.0];
        answers.sort();
        assert_eq!(answers, [StatusCode::OK, StatusCode::NOT_FOUND]);
    }
}

#[tokio::test]
async fn init_during_a_frame_does_not_cancel_it() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let miner = start(BlockingProfile(Arc::clone(&gate)), Limits::default()).await;
    let old = miner.init(0).await;
    let audio = samples::encode(&[0.5]);
    let second_init = async {
        let frame_started = Arc::clone(&gate);
        tokio::task::spawn_blocking(move || frame_started.wait()).await.unwrap();
        let new = miner.init(0).await;
        tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
        new
    };
    let (answer, new) = tokio::join!(miner.predict(&old, &audio, false), second_init);
    assert_eq!(answer.0, StatusCode::OK);
    // From then on, only the new session is valid.
    assert_eq!(miner.predict(&old, &audio, false).await.0, StatusCode::NOT_FOUND);
    assert_eq!(miner.predict(&new, "@@@@", false).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn failure_ends_only_its_session() {
    let miner =
        start(BlockingProfile(Arc::new(std::sync::Barrier::new(1))), Limits::default()).await;
    let (failed_session, other_session) = (miner.init(0).await, miner.init(1).await);
    for _ in 0..2 {
        let (status, body) = miner.predict(&failed_session, &STANDARD.encode([0; 4]), false).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body, json!({"error": "the session was aborted by an earlier failure"}));
    }
    assert_eq!(
        miner.predict(&other_session, &samples::encode(&[0.5]), true).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn cancelled_call_keeps_its_worker_until_done() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let config = MinerConfig { workers: 1, ..MinerConfig::default() };
    let miner = Miner::new(config, Arc::new(BlockingProfile(Arc::clone(&gate))));
    let caller = Hotkey::from_bytes([1; 32]);
    let Ok(MinerRequest::Init(init)) = parse_request(init_body(0).to_string().as_bytes()) else {
        panic!()
    };
    let session_id = miner.init(caller, init).unwrap().session_id;
    let request = PredictRequest {
        session_id,
        audio_b64: samples::encode(&[0.5]),
        in_eos: true,
        frame_index: None,
    };
    let frame_started = Arc::clone(&gate);
    tokio::select! {
        biased;
        _ = miner.predict(caller, request) => panic!("answered before its work was done"),
        joined = tokio::task::spawn_blocking(move || frame_started.wait()) => {
            joined.unwrap();
        }
    }
    assert_eq!(miner.workers.available_permits(), 0);
    tokio::task::spawn_blocking(move || gate.wait()).await.unwrap();
    let _permit = miner.workers.acquire().await.unwrap();
    assert_eq!(miner.sessions.live_count(), 0);
}
