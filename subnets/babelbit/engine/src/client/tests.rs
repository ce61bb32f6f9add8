use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use taonet_wallet::verify;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

use super::*;

/// A scripted engine, a client of it, and a record of the client's delays.
struct ScriptedEngine {
    server: MockServer,
    client: EngineClient,
    waits: Arc<Mutex<Vec<u64>>>,
    time: Arc<AtomicU64>,
}

impl ScriptedEngine {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(adjust: impl FnOnce(&mut EngineOptions)) -> Self {
        let server = MockServer::start().await;
        let (waits, time) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(1_000)));
        let (recorded, elapsed_seconds) = (Arc::clone(&waits), Arc::clone(&time));
        let mut options = EngineOptions {
            sleeper: Arc::new(move |wait| {
                recorded.lock().unwrap().push(wait.as_secs());
                Box::pin(std::future::ready(()))
            }),
            clock: Arc::new(move || {
                std::time::SystemTime::UNIX_EPOCH
                    + Duration::from_secs(elapsed_seconds.load(Ordering::SeqCst))
            }),
            ..EngineOptions::default()
        };
        adjust(&mut options);
        let key = Arc::new(Keypair::from_uri("//Alice").unwrap());
        let client = EngineClient::new(&server.uri(), key, options).unwrap();
        Self { server, client, waits, time }
    }

    /// Scripts the responses of one route in order; the last response repeats.
    async fn route(&self, http_method: &str, url_path: &str, answers: Vec<ResponseTemplate>) {
        Mock::given(method(http_method))
            .and(path(url_path))
            .respond_with(SequentialResponses::new(answers))
            .mount(&self.server)
            .await;
    }

    /// Accepts every authentication, with tokens `token-0`, `token-1` ….
    async fn open(&self, expires_in: u64) {
        self.route(
            "POST",
            "/auth",
            vec![ok(json!({"challenge": "sign me", "timestamp": {"any": [1.5]}}))],
        )
        .await;
        let token = |n| ok(json!({"access_token": format!("token-{n}"), "expires_in": expires_in}));
        self.route("POST", "/auth/verify", (0..10).map(token).collect()).await;
    }

    async fn calls(&self, url_path: &str) -> usize {
        self.server
            .received_requests()
            .await
            .unwrap()
            .iter()
            .filter(|request| request.url.path() == url_path)
            .count()
    }

    fn waits(&self) -> Vec<u64> {
        self.waits.lock().unwrap().clone()
    }
}

struct SequentialResponses(Vec<ResponseTemplate>, AtomicU64);

impl SequentialResponses {
    fn new(answers: Vec<ResponseTemplate>) -> Self {
        Self(answers, AtomicU64::new(0))
    }
}

impl Respond for SequentialResponses {
    fn respond(&self, _: &wiremock::Request) -> ResponseTemplate {
        let index = self.1.fetch_add(1, Ordering::SeqCst) as usize;
        self.0[index.min(self.0.len() - 1)].clone()
    }
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn status(code: u16) -> ResponseTemplate {
    ResponseTemplate::new(code)
}

fn utterance(index: u32, audio: &str, done: bool) -> Value {
    json!({
        "challenge_uid": "c", "session_id": "s", "utterance_id": format!("c:{index}"), "language": "fr",
        "utterance_index": index, "sample_rate_hz": 16_000, "channels": 1, "sample_width_bytes": 2,
        "utterance_frames": 1, "done": done, "audio_b64": audio,
    })
}

mod authentication {
    use super::*;

    #[tokio::test]
    async fn client_signs_challenge_as_received() {
        let engine = ScriptedEngine::new().await;
        engine.open(86_400).await;
        engine.client.authenticate().await.unwrap();
        let requests = engine.server.received_requests().await.unwrap();
        assert!(requests[0].body.is_empty());
        let body: Value = serde_json::from_slice(&requests[1].body).unwrap();
        let alice = Keypair::from_uri("//Alice").unwrap().hotkey();
        let signature = body["signature"].as_str().unwrap();
        assert!(
            signature.len() == 128 && signature.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
        );
        assert!(verify(&alice, b"sign me", &signature.parse().unwrap()));
        assert_eq!(body["hotkey"], alice.to_string());
        assert_eq!(
            (&body["message"], &body["timestamp"]),
            (&json!("sign me"), &json!({"any": [1.5]}))
        );
    }

    #[tokio::test]
    async fn token_is_reused_until_5_min_before_expiry() {
        let engine = ScriptedEngine::new().await;
        engine.open(1_000).await;
        engine.client.authenticate().await.unwrap();
        engine.time.fetch_add(699, Ordering::SeqCst);
        engine.client.authenticate().await.unwrap();
        assert_eq!(engine.calls("/auth").await, 1);
        engine.time.fetch_add(1, Ordering::SeqCst);
        engine.client.authenticate().await.unwrap();
        assert_eq!(engine.calls("/auth").await, 2);
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_authentication() {
        let engine = ScriptedEngine::new().await;
        engine.open(86_400).await;
        let outcomes =
            futures::future::join_all((0..8).map(|_| engine.client.authenticate())).await;
        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(engine.calls("/auth").await, 1);
    }

    #[tokio::test]
    async fn failed_authentication_is_tried_five_times() {
        let engine = ScriptedEngine::new().await;
        engine.route("POST", "/auth", vec![status(500)]).await;
        let error = engine.client.authenticate_with_retry().await.unwrap_err();
        assert_eq!(engine.waits(), [2, 4, 8, 16]);
        assert_eq!(
            error.to_string(),
            "engine authentication failed: no challenge to sign: HTTP 500"
        );
        assert!(error.is_auth() && !error.is_permanent_auth());
    }

    #[tokio::test]
    async fn retry_after_only_lengthens_the_wait() {
        let engine = ScriptedEngine::new().await;
        let limited = |body: &str| status(429).set_body_string(body.to_owned());
        let answers = vec![
            limited(r#"{"detail":{"retry_after":5,"window_sec":60}}"#)
                .insert_header("retry-after", "7"),
            limited(r#"{"detail":{"retry_after":1}}"#),
            limited(r#"{"detail":{"retry_after":0,"window_sec":60}}"#)
                .insert_header("retry-after", "-1"),
            limited(r#"{"detail":{"retry_after":1e9}}"#),
        ];
        engine.route("POST", "/auth", answers).await;
        let error = engine.client.authenticate_with_retry().await.unwrap_err();
        assert_eq!(engine.waits(), [7, 4, 60, 3600]);
        assert_eq!(error.status().unwrap(), 429);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1_000_000_000)));
    }

    #[tokio::test]
    async fn permanent_refusal_is_not_retried() {
        for code in [401, 403] {
            let engine = ScriptedEngine::new().await;
            engine.route("POST", "/auth", vec![ok(json!({"challenge": "sign me"}))]).await;
            engine.route("POST", "/auth/verify", vec![status(code)]).await;
            let error = engine.client.authenticate_with_retry().await.unwrap_err();
            assert!(engine.waits().is_empty());
            assert!(error.is_permanent_auth());
            let text = error.to_string();
            assert!(
                text.starts_with("Permanent authentication failure: ")
                    && text.ends_with(&format!("HTTP {code}"))
            );
        }
    }

    #[tokio::test]
    async fn malformed_auth_response_is_an_authentication_error() {
        for body in ["", "{", "[]", "{}", "{\"challenge\": 7}"] {
            let engine = ScriptedEngine::new().await;
            engine.route("POST", "/auth", vec![status(200).set_body_string(body)]).await;
            let error = engine.client.start(ChallengeKind::Main).await.unwrap_err();
            assert!(error.is_auth() && !error.is_permanent_auth(), "{body}: {error}");
        }
    }

    #[tokio::test]
    async fn refused_token_is_renewed_once() {
        let engine = ScriptedEngine::new().await;
        engine.open(86_400).await;
        let answer = |token: &str, answer| {
            Mock::given(path("/transcription"))
                .and(header("authorization", format!("Bearer {token}")))
                .respond_with(answer)
        };
        answer("token-0", status(401)).mount(&engine.server).await;
        answer("token-1", ok(json!({"challenge_uid": "c", "metadata": {}})))
            .mount(&engine.server)
            .await;
        engine.client.transcription().await.unwrap();
        assert_eq!(engine.calls("/auth").await, 2);

        engine.route("GET", "/solo/start", vec![status(401)]).await;
        let error = engine.client.start(ChallengeKind::Solo).await.unwrap_err();
        assert_eq!(error.to_string(), "Failed to start solo-audio session: HTTP 401");
        assert!(!error.is_auth(), "authentication itself succeeded");
        assert_eq!(engine.calls("/solo/start").await, 2);
    }
}

mod calls {
    use super::*;

    #[tokio::test]
    async fn error_text_names_the_failed_request() {
        let engine = ScriptedEngine::new().await;
        engine.open(86_400).await;
        let routes = [
            ("POST", "/source-audio/start", "Failed to start source-audio session"),
            ("POST", "/source-audio/next", "Failed to advance source-audio session"),
            ("GET", "/solo/start", "Failed to start solo-audio session"),
            ("POST", "/solo/next", "Failed to advance solo-audio session"),
            ("GET", "/transcription", "Failed to fetch transcription ground truth"),
        ];
        let answers = [
            (status(503), ": HTTP 503"),
            (status(204), ": HTTP 204"),
            (status(307).insert_header("location", "/auth"), ": HTTP 307"),
            (ok(json!([1])), ": invalid payload type"),
            (status(200).set_body_string("<html>"), ": invalid payload type"),
            (ok(json!({})), ": invalid payload: missing field `challenge_uid`"),
        ];
        for (http_method, url_path, _) in routes {
            engine
                .route(
                    http_method,
                    url_path,
                    answers.iter().map(|(answer, _)| answer.clone()).collect(),
                )
                .await;
        }
        for (_, expected) in &answers {
            let client = &engine.client;
            let texts = [
                client.start(ChallengeKind::Main).await.unwrap_err().to_string(),
                client.next(ChallengeKind::Main, "s").await.unwrap_err().to_string(),
                client.start(ChallengeKind::Solo).await.unwrap_err().to_string(),
                client.next(ChallengeKind::Solo, "s").await.unwrap_err().to_string(),
                client.transcription().await.unwrap_err().to_string(),
            ];
            for (text, (_, _, label)) in texts.iter().zip(routes) {
                assert_eq!(*text, format!("{label}{expected}"));
            }
        }
    }

    #[tokio::test]
    async fn next_request_names_the_session() {
        let engine = ScriptedEngine::new().await;
        engine.open(86_400).await;
        engine.route("POST", "/source-audio/next", vec![ok(utterance(1, "AAA=", true))]).await;
        engine.client.next(ChallengeKind::Main, "s-1").await.unwrap();
        let requests = engine.server.received_requests().await.unwrap();
        assert_eq!(requests[2].headers["authorization"], "Bearer token-0");
        assert_eq!(requests[2].headers["content-type"], "application/json");
        assert_eq!(
            serde_json::from_slice::<Value>(&requests[2].body).unwrap(),
            json!({"session_id": "s-1"})
        );
    }

    #[tokio::test]
    async fn oversized_response_is_an_error() {
        let engine = ScriptedEngine::with(|options| options.max_body_bytes = 1_000).await;
        engine.open(86_400).await;
        engine
            .route("POST", "/source-audio/start", vec![ok(utterance(0, &"A".repeat(1_000), false))])
            .await;
        let error = engine.client.start(ChallengeKind::Main).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "Failed to start source-audio session: response is larger than 1000 bytes"
        );
    }

    #[tokio::test]
    async fn silent_engine_times_out() {
        let engine = ScriptedEngine::with(|options| options.timeout = Duration::from_secs(1)).await;
        engine.open(86_400).await;
        let late_response = ok(utterance(0, "AAA=", true)).set_delay(Duration::from_mins(1));
        engine.route("POST", "/source-audio/start", vec![late_response]).await;
        let error = engine.client.start(ChallengeKind::Main).await.unwrap_err();
        assert_eq!(
            error.to_score_file_text(),
            "TimeoutError:Failed to start source-audio session: timeout: no response in time"
        );
    }

    #[tokio::test]
    async fn unreachable_engine_is_an_authentication_error() {
        let key = Arc::new(Keypair::from_uri("//Alice").unwrap());
        let client =
            EngineClient::new("http://127.0.0.1:9", key, EngineOptions::default()).unwrap();
        let error = client.start(ChallengeKind::Main).await.unwrap_err();
        assert!(error.is_auth() && !error.is_permanent_auth());
        assert!(
            error
                .to_score_file_text()
                .starts_with("ClientError:engine authentication failed: no challenge to sign: ")
        );
    }

    #[tokio::test]
    async fn session_start_is_tried_three_times() {
        let engine = ScriptedEngine::new().await;
        engine.open(86_400).await;
        let answers = vec![status(503), status(503), ok(utterance(0, "AAA=", true)), status(503)];
        engine.route("POST", "/source-audio/start", answers).await;
        assert_eq!(
            engine.client.start_with_retry(ChallengeKind::Main).await.unwrap().challenge_uid,
            "c"
        );
        assert_eq!(engine.waits(), [1, 2]);
        engine.client.start_with_retry(ChallengeKind::Main).await.unwrap_err();
        assert_eq!(engine.calls("/source-audio/start").await, 6);
    }
}

mod prefetch {
    use super::*;

    async fn prefetch(
        engine: &ScriptedEngine,
        first: Value,
        next: Vec<ResponseTemplate>,
    ) -> PrefetchedChallenge {
        engine.open(86_400).await;
        engine.route("POST", "/source-audio/start", vec![ok(first)]).await;
        engine.route("POST", "/source-audio/next", next).await;
        engine.client.prefetch(ChallengeKind::Main).await.unwrap()
    }

    #[tokio::test]
    async fn failure_after_some_utterances_keeps_them() {
        let engine = ScriptedEngine::new().await;
        let next = vec![ok(utterance(1, "AAA=", false)), status(503)];
        let challenge = prefetch(&engine, utterance(0, "AAA=", false), next).await;
        assert_eq!(challenge.utterances.len(), 2);
        assert_eq!(
            challenge.error.as_deref(),
            Some("AudioChallengeError:Failed to advance source-audio session: HTTP 503")
        );
    }

    #[tokio::test]
    async fn session_ends_at_the_first_end_marker() {
        #[rustfmt::skip]
        let table = [
            // Columns: first response · next response · number of utterances · number of next calls
            (utterance(0, "AAA=", true), utterance(1, "AAA=", true), 1, 0),
            (utterance(0, "AAA=", false), utterance(1, "AAA=", true), 2, 1),
            (utterance(0, "AAA=", false), utterance(1, "", true), 1, 1),
            (utterance(0, "", true), utterance(1, "AAA=", true), 0, 0),
        ];
        for (first, next, utterances, calls) in table {
            let engine = ScriptedEngine::new().await;
            let challenge = prefetch(&engine, first, vec![ok(next)]).await;
            assert_eq!((challenge.utterances.len(), challenge.error), (utterances, None));
            assert_eq!(challenge.challenge_uid, "c");
            assert_eq!(engine.calls("/source-audio/next").await, calls);
        }
    }

    #[tokio::test]
    async fn challenge_without_uid_has_no_utterances() {
        let engine = ScriptedEngine::new().await;
        let mut first = utterance(0, "AAA=", false);
        first["challenge_uid"] = json!("");
        let challenge = prefetch(&engine, first, vec![]).await;
        assert!(challenge.utterances.is_empty() && challenge.error.is_none());
    }

    #[tokio::test]
    async fn unusable_title_is_ignored() {
        for (title, expected) in [
            (json!(" The ferry\n"), Some("The ferry")),
            (json!("x".repeat(200)), Some("x".repeat(200).as_str())),
            (json!("x".repeat(201)), None),
            (json!("  "), None),
            (json!(7), None),
            (json!(null), None),
        ] {
            let engine = ScriptedEngine::new().await;
            let mut first = utterance(0, "AAA=", true);
            first["title"] = title;
            let challenge = prefetch(&engine, first, vec![]).await;
            assert_eq!((challenge.title.as_deref(), challenge.utterances.len()), (expected, 1));
        }
    }

    #[tokio::test]
    async fn active_utterance_without_sound_is_an_error() {
        let engine = ScriptedEngine::new().await;
        let challenge =
            prefetch(&engine, utterance(0, "AAA=", false), vec![ok(utterance(1, "", false))]).await;
        assert_eq!(challenge.utterances.len(), 1);
        let error = "AudioChallengeError:empty audio payload for an active utterance";
        assert_eq!(challenge.error.as_deref(), Some(error));
    }

    #[tokio::test]
    async fn utterance_count_and_audio_size_are_limited() {
        let engine = ScriptedEngine::with(|options| options.max_utterances = 3).await;
        let challenge =
            prefetch(&engine, utterance(0, "AAA=", false), vec![ok(utterance(1, "AAA=", false))])
                .await;
        assert_eq!(challenge.utterances.len(), 3);
        assert!(challenge.error.unwrap().ends_with("the challenge has more than 3 utterances"));

        let engine = ScriptedEngine::with(|options| options.max_challenge_bytes = 10).await;
        let challenge =
            prefetch(&engine, utterance(0, "AAA=", false), vec![ok(utterance(1, "AAA=", false))])
                .await;
        assert_eq!(challenge.utterances.len(), 2);
        assert!(
            challenge.error.unwrap().ends_with("the challenge has more than 10 bytes of audio")
        );
    }

    #[tokio::test]
    async fn failed_session_start_is_an_error() {
        let engine = ScriptedEngine::new().await;
        engine.open(86_400).await;
        engine.route("GET", "/solo/start", vec![status(503)]).await;
        let error = engine.client.prefetch(ChallengeKind::Solo).await.unwrap_err();
        assert_eq!(error.to_string(), "Failed to start solo-audio session: HTTP 503");
    }

    #[tokio::test]
    async fn reference_comes_from_the_engine_or_the_utterances() {
        let document = json!({"utterances": [{"utterance_id": "0", "reference_text": "hello"}]});
        let mut first = utterance(0, "AAA=", false);
        first["reference_text"] = json!("hello");
        first["reference_words"] = json!([]);
        let mut second = utterance(1, "AAA=", true);
        second["utterance_translations"] = json!([{"language": "en", "text": "you"}]);
        let inline = json!({"challenge_uid": "c", "utterances": [
            {"utterance_id": "c:0", "utterance_index": 0, "reference_text": "hello", "reference_words": []},
            {"utterance_id": "c:1", "utterance_index": 1,
             "utterance_translations": [{"language": "en", "text": "you"}]},
        ]});
        #[rustfmt::skip]
        let table = [
            (ok(json!({"challenge_uid": "c", "metadata": document})), &document, "/transcription"),
            (ok(json!({"challenge_uid": "d", "metadata": document})), &inline, "/source-audio"),
            (ok(json!({"challenge_uid": "c", "metadata": [1]})), &inline, "/source-audio"),
            (ok(json!({"challenge_uid": "c"})), &inline, "/source-audio"),
            (status(404), &inline, "/source-audio"),
        ];
        for (answer, document, source) in table {
            let engine = ScriptedEngine::new().await;
            engine.route("GET", "/transcription", vec![answer]).await;
            let challenge = prefetch(&engine, first.clone(), vec![ok(second.clone())]).await;
            let reference = challenge.reference.unwrap();
            assert_eq!(reference.document, *document);
            assert_eq!(reference.source, format!("{}{source}", engine.server.uri()));
            assert_eq!(
                challenge.error, None,
                "a missing reference is not an error of the challenge"
            );
            assert_eq!(engine.calls("/transcription").await, 1);
        }
    }

    #[tokio::test]
    async fn unavailable_reference_is_none() {
        let engine = ScriptedEngine::new().await;
        let challenge = prefetch(&engine, utterance(0, "AAA=", true), vec![status(500)]).await;
        assert_eq!(challenge.reference, None);
    }
}
