use std::time::SystemTime;

use axum::http::Method;
use serde_json::{Value, json};
use taonet_babelbit_core::arena_api::Submission;
use taonet_primitives::NetUid;
use taonet_wire::CallError;
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::testing::{
    OffsetClock, RunningGateway, config, frame, init, key, miner_key, parrot, play,
};
use super::*;
use crate::ArenaSettings;
use crate::client::{Arena, ArenaConfig, signed_request};
use taonet_babelbit_engine::client::{EngineClient, EngineOptions};
use taonet_babelbit_runner::{Miner, MinerEntry};
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_validator::subtensor_gateway::GatewayClient;
use taonet_validator::testing::{send_request, unused_address};

/// Gets a token for Alice.
async fn token(running: &RunningGateway) -> String {
    let request =
        serde_json::to_string(&signed_request(&key("//Alice"), None, SystemTime::now())).unwrap();
    let (status, answer) =
        send_request(&running.router, Method::POST, "/auth/token", &[], &request).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["expires_in"], 1_800);
    answer["auth_token"].as_str().unwrap().to_owned()
}

async fn get(running: &RunningGateway, path: &str, token: &str) -> (u16, Value) {
    send_request(
        &running.router,
        Method::GET,
        path,
        &[("authorization", &format!("Bearer {token}"))],
        "",
    )
    .await
}

async fn listed(running: &RunningGateway) -> Vec<u64> {
    let (_, list) = get(running, "/list_arena_miners", &token(running).await).await;
    list["miners"].as_array().unwrap().iter().map(|miner| miner["uid"].as_u64().unwrap()).collect()
}

async fn runsync(running: &RunningGateway, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    send_request(&running.router, Method::POST, "/runsync", headers, &body.to_string()).await
}

/// Creates a validator's client of the arena.
fn arena(running: &RunningGateway) -> Arena {
    let config = ArenaConfig {
        settings: ArenaSettings { ready_timeout: Duration::ZERO, ..ArenaSettings::default() },
        gateway: running.url.clone(),
        keypair: Arc::new(key("//Alice")),
        external_ip: "203.0.113.7".to_owned(),
        policy: AddressPolicy::private(),
        predict_path: "v1/predict".to_owned(),
        max_response_bytes: 1 << 20,
    };
    Arena::new(config).unwrap()
}

async fn miners(running: &RunningGateway, uids: &[u16]) -> Vec<Miner> {
    let entry = |uid: &u16| MinerEntry {
        uid: taonet_primitives::Uid(*uid),
        hotkey: miner_key(*uid).hotkey(),
        address: AddressPolicy::private().resolve("127.0.0.1:9").unwrap(),
        name: None,
    };
    arena(running).miners(&uids.iter().map(entry).collect::<Vec<_>>()).await.unwrap()
}

#[tokio::test]
async fn miner_list_requires_token_and_follows_listing_mode() {
    let running = RunningGateway::start(config()).await;
    for uid in [3, 1] {
        running.submit(uid, &format!("http://127.0.0.1:{uid}/x")).await.unwrap();
    }
    let token = token(&running).await;
    let miner = |uid: u16| json!({ "hotkey": miner_key(uid).hotkey().to_string(), "uid": uid });
    for path in [
        "/list_arena_miners?window_seconds=86000&status=running",
        "/v1/list_arena_miners",
        "//v1//list_arena_miners",
    ] {
        let (status, list) = get(&running, path, &token).await;
        let mut actual = list["miners"].as_array().unwrap().clone();
        actual.sort_by_key(|miner| miner["uid"].as_u64());
        assert_eq!(
            (status, actual, &list["count"]),
            (200, vec![miner(1), miner(3)], &json!(2)),
            "{path}"
        );
    }
    for token in ["", "guess"] {
        let (status, refusal) = get(&running, "/list_arena_miners", token).await;
        assert_eq!((status, &refusal["error"]), (401, &json!("invalid_auth_token")));
    }
    let (status, health) = send_request(&running.router, Method::GET, "/healthz", &[], "").await;
    assert_eq!(
        (status, health),
        (200, json!({ "status": "ok", "hotkey": key("//gateway").hotkey().to_string() }))
    );
    let (status, refusal) = send_request(&running.router, Method::GET, "/else", &[], "").await;
    assert_eq!(
        (status, refusal),
        (404, json!({ "error": "invalid_request", "detail": "Not Found" }))
    );

    let endpoint_gateway =
        RunningGateway::start(ArenaGatewayConfig { listing: Listing::Endpoints, ..config() }).await;
    endpoint_gateway.submit(3, "127.0.0.1:3/x").await.unwrap();
    let (_, list) =
        get(&endpoint_gateway, "/list_arena_miners", &self::token(&endpoint_gateway).await).await;
    let expected = json!({ "containers": [{
        "miner_hotkey": miner_key(3).hotkey().to_string(), "miner_uid": 3, "status": "running", "provider": "miner",
        "endpoint_url": "http://127.0.0.1:3/x", "container_name": "arena-miner-3",
    }], "count": 1 });
    assert_eq!(list, expected);
}

#[tokio::test]
async fn gateway_relays_messages_and_responses() {
    let running = RunningGateway::start(config()).await;
    for uid in [1, 2] {
        running.submit(uid, parrot(uid).await.as_str()).await.unwrap();
    }
    for miner in miners(&running, &[1, 2]).await {
        play(&*miner.connection, 0, 3).await;
    }
    // The miner's refusal is passed on unchanged, at once.
    let miner = &miners(&running, &[1]).await[0].connection;
    let error = miner
        .predict(frame("no-session", 0, false), Duration::from_secs(5))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("502:") && error.contains("miner_refused"), "{error}");
}

/// A token is valid in the body and in a header; a message is forwarded only with a token of its
/// sender.
#[tokio::test]
async fn message_needs_a_token_of_its_sender() {
    let running = RunningGateway::start(config()).await;
    running.submit(1, parrot(1).await.as_str()).await.unwrap();
    let hotkey = miner_key(1).hotkey();
    let payload =
        serde_json::to_string(&taonet_babelbit_core::protocol::MinerRequest::Init(init(0)))
            .unwrap();
    let message = |sender: &str| {
        let signer = Signer::new(key(sender), "203.0.113.7", BabelbitScheme::managed());
        let peer = taonet_wire::Peer::new(hotkey, "0.0.0.0", 0).unwrap();
        let limit = Duration::from_secs(10);
        let signed =
            signer.headers(&peer, &Method::POST, "/", "X", limit, payload.as_bytes()).unwrap();
        let headers: serde_json::Map<String, Value> = signed
            .iter()
            .filter(|(name, _)| name.as_str() != "content-type")
            .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
            .collect();
        let payload: Value = serde_json::from_str(&payload).unwrap();
        json!({ "input": { "predict_payload": payload, "bt_headers": headers }, "uid": 1 })
    };
    let token = token(&running).await;
    let bearer = format!("Bearer {token}");
    let modified = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };
    let (status, answer) =
        runsync(&running, &[], &modified(message("//Alice"), "auth_token", json!(token))).await;
    assert_eq!((status, &answer["output"]["ready"]), (200, &json!(true)), "{answer}");
    let auth_headers = [("authorization", bearer.as_str())];
    assert_eq!(runsync(&running, &auth_headers, &message("//Alice")).await.0, 200);

    let invalid_token = modified(message("//Alice"), "auth_token", json!("guess"));
    let unlisted_hotkey = miner_key(2).hotkey().to_string();
    for (headers, body, status, marker) in [
        (&[][..], message("//Alice"), 401, "invalid_auth_token"),
        (&[], invalid_token.clone(), 401, "invalid_auth_token"),
        // Refused before the body is read.
        (&[("authorization", "Bearer guess")], json!("no message"), 401, "invalid_auth_token"),
        (&auth_headers, message("//Bob"), 403, "other_caller"),
        (&auth_headers, modified(message("//Alice"), "uid", json!(2)), 404, "endpoint_not_found"),
        (
            &auth_headers,
            modified(message("//Alice"), "miner_hotkey", json!(unlisted_hotkey)),
            404,
            "endpoint_not_found",
        ),
        (&auth_headers, json!({ "input": {} }), 422, "invalid_request"),
        (&auth_headers, json!([]), 422, "invalid_request"),
    ] {
        let (actual, answer) = runsync(&running, headers, &body).await;
        assert_eq!((actual, &answer["error"]), (status, &json!(marker)), "{answer}");
    }
    let mut bad_header = message("//Alice");
    bad_header["input"]["bt_headers"]["name"] = json!("a\nb");
    let (status, answer) = runsync(&running, &auth_headers, &bad_header).await;
    assert_eq!((status, &answer["error"]), (422, &json!("invalid_request")), "{answer}");
    let (status, answer) =
        send_request(&running.router, Method::POST, "/runsync", &auth_headers, "{").await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")));
    let large_body = "x".repeat(300 << 10);
    let (status, answer) =
        send_request(&running.router, Method::POST, "/runsync", &auth_headers, &large_body).await;
    assert_eq!((status, &answer["error"]), (413, &json!("invalid_request")), "{answer}");
}

/// Columns: a miner's response · the gateway's response
#[tokio::test]
async fn miner_failure_and_refusal_have_different_status_codes() {
    for (answer, status, marker) in [
        (ResponseTemplate::new(503).set_body_string("no room"), 503, "upstream_unavailable"),
        (ResponseTemplate::new(429).set_body_string("slow"), 503, "upstream_unavailable"),
        (ResponseTemplate::new(404).set_body_string("unknown session"), 502, "miner_refused"),
        (ResponseTemplate::new(500).set_body_string("boom"), 502, "miner_refused"),
        (
            ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/"),
            502,
            "miner_refused",
        ),
        (ResponseTemplate::new(200).set_body_string("<html>"), 502, "invalid_miner_response"),
        (ResponseTemplate::new(200).set_body_json(json!([])), 502, "invalid_miner_response"),
        (
            ResponseTemplate::new(200).set_body_string("x".repeat(2_000)),
            502,
            "invalid_miner_response",
        ),
        (ResponseTemplate::new(200).set_delay(Duration::from_mins(1)), 504, "upstream_unavailable"),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        let config = ArenaGatewayConfig {
            call_timeout: Duration::from_secs(3),
            max_response_bytes: 1_000,
            ..config()
        };
        let running = RunningGateway::start(config).await;
        running.submit(1, &server.uri()).await.unwrap();
        let token = token(&running).await;
        let alice = key("//Alice").hotkey().to_string();
        let input =
            json!({ "predict_payload": {}, "bt_headers": { "bt_header_dendrite_hotkey": alice } });
        let (actual, answer) =
            runsync(&running, &[], &json!({ "input": input, "auth_token": token, "uid": 1 })).await;
        assert_eq!((actual, &answer["error"]), (status, &json!(marker)), "{answer}");
    }
    let running = RunningGateway::start(config()).await;
    running.submit(1, unused_address().as_str()).await.unwrap();
    let alice = key("//Alice").hotkey().to_string();
    let input =
        json!({ "predict_payload": {}, "bt_headers": { "bt_header_dendrite_hotkey": alice } });
    let body = json!({ "input": input, "auth_token": token(&running).await, "uid": 1 });
    let (status, answer) = runsync(&running, &[], &body).await;
    assert_eq!((status, &answer["error"]), (503, &json!("miner_unavailable")), "{answer}");
}

#[tokio::test]
async fn submission_is_verified_and_stored() {
    let running = RunningGateway::start(config()).await;
    let answer = running.submit(1, "127.0.0.1:9000").await.unwrap();
    assert_eq!(
        (answer.endpoint_url.as_str(), answer.listed, answer.wins),
        ("http://127.0.0.1:9000/", true, 0)
    );
    let error_text = |error: SubmitError| error.to_string();
    for (endpoint, text) in
        [("", "neither `ip:port` nor a URL"), ("ftp://9.9.9.9:1", "not an http or https URL")]
    {
        let error = error_text(running.submit(1, endpoint).await.unwrap_err());
        assert!(error.contains("422:") && error.contains(text), "{error}");
    }
    // Signed for another gateway.
    let submission = Submission { endpoint_url: "127.0.0.1:9000".into(), uid: 1 };
    let other = Some(key("//Bob").hotkey());
    let error =
        error_text(submit(&running.url, other, &miner_key(1), &submission).await.unwrap_err());
    assert!(error.contains("401:") && error.contains("WrongReceiver"), "{error}");
    // The versioned path is equivalent.
    let versioned = running.url.join("v1/").unwrap();
    submit(&versioned, Some(running.gateway.hotkey()), &miner_key(1), &submission).await.unwrap();
    let (status, refusal) =
        send_request(&running.router, Method::POST, "/v1/arena/submit", &[], "{}").await;
    assert_eq!((status, &refusal["error"]), (401, &json!("MalformedAuth")), "{refusal}");

    let production =
        RunningGateway::start(ArenaGatewayConfig { policy: AddressPolicy::default(), ..config() })
            .await;
    for (endpoint, accepted) in [
        ("http://10.0.0.1:80", false),
        ("http://localhost:80", false),
        ("https://miner.example.com", true),
    ] {
        assert_eq!(production.submit(1, endpoint).await.is_ok(), accepted, "{endpoint}");
    }
}

#[tokio::test]
async fn replayed_submission_is_refused() {
    let running = RunningGateway::start(config()).await;
    let signer = Signer::new(miner_key(1), "0.0.0.0", BtauthScheme::new());
    let peer = taonet_wire::Peer::new(running.gateway.hotkey(), "0.0.0.0", 0).unwrap();
    let body = r#"{"endpoint_url":"127.0.0.1:9","uid":1}"#;
    let path = "/v1/arena/submit";
    let signed = signer
        .headers(&peer, &Method::POST, path, "", Duration::from_secs(5), body.as_bytes())
        .unwrap();
    let headers: Vec<(&str, &str)> =
        signed.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(send_request(&running.router, Method::POST, path, &headers, body).await.0, 200);
    let (status, refusal) = send_request(&running.router, Method::POST, path, &headers, body).await;
    assert_eq!((status, &refusal["error"]), (401, &json!("ReplayedRequest")), "{refusal}");
    let changed = body.replace(":9", ":8");
    let (status, refusal) =
        send_request(&running.router, Method::POST, path, &headers, &changed).await;
    assert_eq!((status, &refusal["error"]), (401, &json!("BadSignature")), "{refusal}");
}

#[tokio::test]
async fn gateway_enforces_rate_and_slot_limits() {
    let limit = |requests| RateLimit { requests, window: Duration::from_mins(1) };
    let running =
        RunningGateway::start(ArenaGatewayConfig { data_limit: limit(2), slots: 2, ..config() })
            .await;
    let token = token(&running).await;
    for expected in [200, 200, 429] {
        let (status, answer) = get(&running, "/list_arena_miners", &token).await;
        assert_eq!(status, expected, "{answer}");
    }
    let limited_gateway =
        RunningGateway::start(ArenaGatewayConfig { auth_limit: limit(2), ..config() }).await;
    for expected in [200, 200, 429] {
        let request =
            serde_json::to_string(&signed_request(&key("//Alice"), None, SystemTime::now()))
                .unwrap();
        let (status, answer) =
            send_request(&limited_gateway.router, Method::POST, "/auth/token", &[], &request).await;
        assert_eq!(status, expected, "{answer}");
        assert!(status == 200 || answer["error"] == "rate_limited");
    }

    // With one call slot, the second concurrent call is refused and may be retried.
    let server = MockServer::start().await;
    let slow_response =
        ResponseTemplate::new(200).set_body_json(json!({})).set_delay(Duration::from_millis(500));
    Mock::given(method("POST")).respond_with(slow_response).mount(&server).await;
    let single = RunningGateway::start(ArenaGatewayConfig { calls: 1, ..config() }).await;
    single.submit(1, &server.uri()).await.unwrap();
    let alice = key("//Alice").hotkey().to_string();
    let input =
        json!({ "predict_payload": {}, "bt_headers": { "bt_header_dendrite_hotkey": alice } });
    let body = json!({ "input": input, "auth_token": self::token(&single).await, "uid": 1 });
    let (first, second) = tokio::join!(runsync(&single, &[], &body), runsync(&single, &[], &body));
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    // Afterwards, the slot is free again.
    assert_eq!(runsync(&single, &[], &body).await.0, 200);
}

/// An engine and a scoring API with scripted responses.
struct QualifyingServices {
    engine: MockServer,
    scoring: MockServer,
}

impl QualifyingServices {
    async fn start() -> Self {
        Self { engine: MockServer::start().await, scoring: MockServer::start().await }
    }

    /// Sets the current challenge, and the result rows of some challenges.
    async fn set_challenges(&self, current: &str, rows: &[(&str, Value)]) {
        self.engine.reset().await;
        self.scoring.reset().await;
        let utterance = json!({
            "challenge_uid": current, "session_id": "s", "utterance_id": "u:0", "language": "fr", "utterance_index": 0,
            "sample_rate_hz": 16_000, "channels": 1, "sample_width_bytes": 2, "utterance_frames": 1, "audio_b64": "AAA=",
        });
        for (at, answer) in [
            ("/auth", json!({ "challenge": "sign", "timestamp": 1 })),
            ("/auth/verify", json!({ "access_token": "t" })),
            ("/source-audio/start", utterance),
        ] {
            let answer = ResponseTemplate::new(200).set_body_json(answer);
            Mock::given(method("POST"))
                .and(path(at))
                .respond_with(answer)
                .mount(&self.engine)
                .await;
        }
        let reference = json!({ "challenge_uid": current, "metadata": { "utterances": [] } });
        let answer = ResponseTemplate::new(200).set_body_json(reference);
        Mock::given(method("GET"))
            .and(path("/transcription"))
            .respond_with(answer)
            .mount(&self.engine)
            .await;
        for (challenge, rows) in rows {
            let answer = ResponseTemplate::new(200).set_body_json(json!({ "scores": rows }));
            let mock = Mock::given(method("GET"))
                .and(path("/v1/get_scores"))
                .and(query_param("challenge_type", "qualifying"));
            mock.and(query_param("challenge_uid", *challenge))
                .respond_with(answer)
                .mount(&self.scoring)
                .await;
        }
    }

    fn results(&self) -> Results {
        let sleeper: taonet_service::Sleeper = Arc::new(|_| Box::pin(std::future::ready(())));
        let options = EngineOptions { sleeper: Arc::clone(&sleeper), ..EngineOptions::default() };
        let keypair = Arc::new(key("//gateway"));
        Results {
            engine: EngineClient::new(&self.engine.uri(), Arc::clone(&keypair), options).unwrap(),
            scores: ScoresClient::new(&self.scoring.uri().parse().unwrap(), keypair)
                .unwrap()
                .with_time(system_clock(), sleeper),
            interval: Duration::from_mins(1),
        }
    }
}

/// Columns: response to the request for references (`None`: with the challenge's uid) · number of
/// requests for sessions
#[tokio::test]
async fn current_challenge_needs_no_session_if_the_engine_names_it() {
    for (answer, sessions) in [
        (None, 0),
        (Some(ResponseTemplate::new(404)), 3),
        (
            Some(
                ResponseTemplate::new(200)
                    .set_body_json(json!({ "challenge_uid": "", "metadata": {} })),
            ),
            3,
        ),
    ] {
        let qualifying = QualifyingServices::start().await;
        qualifying.set_challenges("a", &[]).await;
        if let Some(answer) = answer {
            let route = Mock::given(method("GET")).and(path("/transcription"));
            route.respond_with(answer).with_priority(1).mount(&qualifying.engine).await;
        }
        let (running, results) = (RunningGateway::start(config()).await, qualifying.results());
        for _ in 0..3 {
            running.gateway.poll(&results).await;
        }
        assert_eq!(running.gateway.state.entries.newest_challenges(4).await, ["a"]);
        let requests = qualifying.engine.received_requests().await.unwrap();
        let count = |at: &str| requests.iter().filter(|request| request.url.path() == at).count();
        assert_eq!((count("/transcription"), count("/source-audio/start")), (3, sessions));
    }
}

fn row(uid: u16, score: f64) -> Value {
    json!({ "miner_hotkey": miner_key(uid).hotkey().to_string(), "challenge_mean_score": score })
}

#[tokio::test]
async fn winners_of_the_last_week_are_in_the_arena() {
    let (qualifying, offset_clock) = (QualifyingServices::start().await, OffsetClock::default());
    let config =
        ArenaGatewayConfig { wins_needed: true, slots: 2, clock: offset_clock.clock(), ..config() };
    let running = RunningGateway::start(config).await;
    for uid in 1..=4 {
        assert!(!running.submit(uid, &format!("127.0.0.1:{uid}")).await.unwrap().listed);
    }
    let results = qualifying.results();
    // The current challenge has no scores yet.
    qualifying.set_challenges("a", &[("a", json!([]))]).await;
    running.gateway.poll(&results).await;
    assert_eq!(listed(&running).await, [0_u64; 0]);
    qualifying
        .set_challenges(
            "b",
            &[("a", json!([row(3, 0.4), row(1, 0.2)])), ("b", json!([row(9, 0.9), row(1, 0.9)]))],
        )
        .await;
    running.gateway.poll(&results).await;
    assert_eq!(listed(&running).await, [1, 3]);
    qualifying
        .set_challenges(
            "c",
            &[
                ("a", json!([row(3, 0.4)])),
                ("b", json!([row(1, 0.9)])),
                ("c", json!([row(3, 0.1), row(4, 0.0)])),
            ],
        )
        .await;
    running.gateway.poll(&results).await;
    assert_eq!(listed(&running).await, [3, 1]);
    assert_eq!(running.submit(3, "127.0.0.1:33").await.unwrap().wins, 2);

    // Engine and scoring API are down: known results remain valid.
    qualifying.engine.reset().await;
    qualifying.scoring.reset().await;
    running.gateway.poll(&results).await;
    assert_eq!(listed(&running).await, [3, 1]);
    // After a week they expire.
    offset_clock.advance(Duration::from_hours(7 * 24 + 1));
    let list = running.gateway.state.listed().await.unwrap();
    assert!(list.is_empty());
}

#[tokio::test]
async fn only_registered_miners_are_listed_with_their_uid() {
    let snapshot = |hotkeys: &[u16]| {
        let hotkeys: Vec<_> =
            hotkeys.iter().map(|uid| miner_key(*uid).hotkey().to_string()).collect();
        json!({ "block": 1, "hotkeys": hotkeys, "last_update": [], "axons": [] })
    };
    let chain = MockServer::start().await;
    let members = Members::new(
        GatewayClient::new(&chain.uri().parse().unwrap(), None, Duration::from_secs(5)).unwrap(),
        NetUid(59),
    );
    let running = RunningGateway::with_members(config(), Some(members.clone())).await;
    let error = running.submit(1, "127.0.0.1:1").await.unwrap_err();
    assert!(
        matches!(&error, SubmitError::Call(CallError::Status { status, .. }) if status.as_u16() == 503),
        "{error}"
    );
    // An empty arena would cost validators their round.
    let (status, answer) = get(&running, "/list_arena_miners", &token(&running).await).await;
    assert_eq!((status, &answer["error"]), (503, &json!("members_unknown")));
    members.refresh().await.unwrap_err();
    let set_registered = async |hotkeys: &[u16]| {
        chain.reset().await;
        let answer = ResponseTemplate::new(200).set_body_json(snapshot(hotkeys));
        Mock::given(method("POST"))
            .and(path("/v1/metagraph/snapshot"))
            .respond_with(answer)
            .mount(&chain)
            .await;
        members.refresh().await.unwrap();
    };
    set_registered(&[7, 1]).await;
    running.submit(1, "127.0.0.1:1").await.unwrap();
    let error = running.submit(2, "127.0.0.1:1").await.unwrap_err();
    assert!(error.to_string().contains("not_registered"), "{error}");
    assert_eq!(listed(&running).await, [1]);
    // A changed uid is listed, and a deregistered miner removed, within a second.
    set_registered(&[1]).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(listed(&running).await, [0]);
    set_registered(&[7]).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(listed(&running).await, [0_u64; 0]);
}

#[tokio::test]
async fn miner_outside_the_arena_is_not_called() {
    let running = RunningGateway::start(ArenaGatewayConfig { slots: 1, ..config() }).await;
    running.submit(1, parrot(1).await.as_str()).await.unwrap();
    assert!(!running.submit(2, parrot(2).await.as_str()).await.unwrap().listed);
    let actual = miners(&running, &[1, 2]).await;
    assert_eq!(actual.iter().map(|miner| miner.key.uid.0).collect::<Vec<_>>(), [1]);
    play(&*actual[0].connection, 0, 2).await;
    let body = json!({
        "input": { "predict_payload": {}, "bt_headers": {} }, "auth_token": token(&running).await, "uid": 2,
    });
    let (status, answer) = runsync(&running, &[], &body).await;
    assert_eq!((status, &answer["error"]), (404, &json!("endpoint_not_found")));
}
