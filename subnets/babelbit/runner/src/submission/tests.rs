use std::sync::Mutex;
use std::time::Instant;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Value, json};
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::{ResultFile, Submission};
use taonet_wallet::verify;
use taonet_wire::sorted_json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::testing::{Results, challenge, miner, written_files};
use super::*;
use taonet_babelbit_scoring_api::server::testing::{serve_api, sqlite};
use taonet_testing::CapturedLog;
use taonet_validator::testing::key;

mod bucket;
mod faults;

impl Outbox {
    /// Replaces the clock.
    fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}

async fn accepting_server() -> (MockServer, Url) {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({})))
        .mount(&server)
        .await;
    let url = format!("{}//", server.uri()).parse().unwrap();
    (server, url)
}

async fn requests(server: &MockServer, route: &str) -> Vec<Request> {
    let all = server.received_requests().await.unwrap();
    all.into_iter().filter(|request| request.url.path() == route).collect()
}

#[test]
fn signed_text_matches_the_reference() {
    let submission = Submission {
        vali_hotkey: "5V".into(),
        miner_hotkey: "5M".into(),
        miner_uid: 7,
        timestamp: 1_700_000_000,
        challenge_id: "ch".into(),
        data: json!({ "file_type": "x", "content": "é" }),
    };
    assert_eq!(
        sorted_json(&submission.signed()),
        r#"{"challenge_id":"ch","data":{"content":"\u00e9","file_type":"x"},"miner_hotkey":"5M","miner_uid":7,"timestamp":1700000000,"vali_hotkey":"5V"}"#
    );
}

/// Removes signature and kind from a request body, and verifies the signature of the remaining
/// fields.
#[track_caller]
fn check_signature(mut sent: Value) -> (Value, String) {
    let fields = sent.as_object_mut().unwrap();
    let signature = fields.remove("signature").unwrap();
    let kind = fields.remove("kind").unwrap().as_str().unwrap().to_owned();
    let signature = signature.as_str().unwrap();
    assert!(
        signature.len() == 128 && signature.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{signature}"
    );
    let text = sorted_json(&sent);
    assert!(
        verify(&key("//validator").hotkey(), text.as_bytes(), &signature.parse().unwrap()),
        "{text}"
    );
    (sent, kind)
}

#[tokio::test]
async fn each_file_is_submitted_as_the_reference_submits_it() {
    let results = Results::new(1).await;
    let (server, url) = accepting_server().await;
    let clock: Clock = Arc::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let counts = results.outbox(&url).with_clock(clock).drain().await.unwrap();
    assert_eq!((counts.waiting, counts.delivered, counts.refused), (0, 4, 0));

    let hotkey = miner(0).hotkey;
    let sent = requests(&server, "/v1/submit").await;
    assert_eq!(sent.len(), 3);
    for (file, file_type, kind) in [
        (ResultFile::RunLog, "dialogue_log", "dialogue_logs"),
        (ResultFile::ChallengeRun, "challenge_run", "dialogue_scores"),
        (ResultFile::ChallengeScore, "challenge_scores", "challenge_scores"),
    ] {
        let bodies = sent.iter().map(|request| request.body_json::<Value>().unwrap());
        let body = bodies.into_iter().find(|body| body["data"]["file_type"] == file_type).unwrap();
        let (body, sent_kind) = check_signature(body);
        let content = String::from_utf8(Results::content(file, 0)).unwrap();
        let name = results.path(file, 0).file_name().unwrap().to_str().unwrap().to_owned();
        let expected = json!({
            "vali_hotkey": key("//validator").hotkey(), "miner_hotkey": hotkey, "miner_uid": 0,
            "timestamp": 1_700_000_000, "challenge_id": "c",
            "data": {
                "file_type": file_type, "file_name": name, "challenge_uid": "c", "main_challenge_uid": null,
                "miner_uid": 0, "miner_hotkey": hotkey, "dialogue_uid": null, "s3_path": null,
                "file_size": content.len(), "content": content, "challenge_type": "main",
                "protocol": "s2s_audio_v1", "score_is_fallback": false, "score_method": "semantic_audio_v1",
            },
        });
        assert_eq!((body, sent_kind.as_str()), (expected, kind));
    }

    let sent = requests(&server, "/v1/submit-artifact").await;
    assert_eq!(sent.len(), 1, "the bundle is submitted once");
    let content_type = sent[0].headers["content-type"].to_str().unwrap();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
    let text = String::from_utf8_lossy(&sent[0].body);
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"));
    assert!(
        parts[2].contains(
            "name=\"file\"; filename=\"audio.tar\"\r\ncontent-type: application/x-tar\r\n"
        ),
        "{}",
        parts[2]
    );
    let (head, metadata) = parts[1].trim_end().split_once("\r\n\r\n").unwrap();
    assert_eq!(head, "\r\ncontent-disposition: form-data; name=\"metadata\"");
    let metadata: Value = serde_json::from_str(metadata).unwrap();
    assert_eq!(sorted_json(&metadata), parts[1].trim_end().split_once("\r\n\r\n").unwrap().1);
    let (metadata, kind) = check_signature(metadata);
    assert_eq!(kind, "audio_bundle");
    assert_eq!(
        metadata["data"],
        json!({
            "file_type": "artifact", "file_name": "audio.tar", "challenge_uid": "c", "main_challenge_uid": null,
            "miner_uid": 0, "miner_hotkey": hotkey, "s3_path": null, "file_size": 100_000,
            "content_type": "application/x-tar", "challenge_type": "main", "protocol": "s2s_audio_v1",
            "score_is_fallback": false, "score_method": "semantic_audio_v1",
        })
    );
    let sound = Results::content(ResultFile::Audio, 0);
    assert!(sent[0].body.windows(sound.len()).any(|window| window == sound));
}

/// As in the reference, a missing text file is submitted without content, and a missing bundle is
/// refused. A missing score file, on which weights depend, is refused too, until the file is
/// restored.
#[tokio::test]
async fn missing_text_files_are_submitted_without_content() {
    let results = Results::new(1).await;
    for file in ResultFile::SPEECH_FILES {
        std::fs::remove_file(results.path(file, 0)).unwrap();
    }
    let (server, url) = accepting_server().await;
    let counts = results.outbox(&url).drain().await.unwrap();
    assert_eq!((counts.delivered, counts.refused), (2, 2));
    let sent = requests(&server, "/v1/submit").await;
    assert_eq!(sent.len(), 2);
    for request in sent {
        let data = request.body_json::<Value>().unwrap()["data"].clone();
        assert_eq!((data.get("content"), data.get("file_size")), (None, Some(&Value::Null)));
        assert_ne!(data["file_type"], "challenge_scores");
    }
    assert_eq!(requests(&server, "/v1/submit-artifact").await.len(), 0);
    // After a retry, the file is still missing, and the ledger names it.
    assert_eq!(results.ledger.requeue_refused().await.unwrap(), 2);
    let reasons: Vec<_> =
        results.ledger.due(0, 10).await.unwrap().into_iter().map(|entry| entry.error).collect();
    let reason = |file| Some(format!("missing file {}", results.path(file, 0).display()));
    assert_eq!(reasons, [reason(ResultFile::ChallengeScore), reason(ResultFile::Audio)]);
    assert_eq!(results.outbox(&url).drain().await.unwrap().refused, 2);
    // The operator restores the files.
    for file in ResultFile::SPEECH_FILES {
        std::fs::write(results.path(file, 0), Results::content(file, 0)).unwrap();
    }
    results.ledger.requeue_refused().await.unwrap();
    let counts = results.outbox(&url).drain().await.unwrap();
    assert_eq!((counts.delivered, counts.refused), (4, 0));
    let sent = requests(&server, "/v1/submit").await;
    assert_eq!(sent[2].body_json::<Value>().unwrap()["data"]["file_type"], "challenge_scores");
}

#[tokio::test]
async fn repeated_failure_is_logged_once() {
    let (log, _guard) = CapturedLog::start();
    let results = Results::new(1).await;
    std::fs::remove_file(results.path(ResultFile::ChallengeScore, 0)).unwrap();
    let (_server, url) = accepting_server().await;
    for _ in 0..3 {
        assert_eq!(results.outbox(&url).drain().await.unwrap().refused, 1);
        results.ledger.requeue_refused().await.unwrap();
    }
    assert_eq!(log.text().matches("missing file").count(), 1, "{}", log.text());
}

/// The scoring API has a result signed later: the outbox counts the older result as delivered and
/// logs that it is superseded.
#[tokio::test]
async fn superseded_result_is_logged() {
    let (log, _guard) = CapturedLog::start();
    let results = Results::new(1).await;
    let (api, url) = serve_api(results.folder.path(), &sqlite(results.folder.path())).await;
    results.outbox(&url).drain().await.unwrap();
    assert!(!log.text().contains("signed later"), "{}", log.text());
    let earlier: Clock = Arc::new(|| SystemTime::now() - Duration::from_mins(1));
    results
        .ledger
        .enqueue(&results.challenge, miner(0), &written_files("run-2"), true)
        .await
        .unwrap();
    let counts = results.outbox(&url).with_clock(earlier).drain().await.unwrap();
    assert_eq!((counts.delivered, counts.refused), (4, 0));
    assert_eq!(log.text().matches("signed later").count(), 4, "{}", log.text());
    assert_eq!(api.store().count().await.unwrap(), 4);
}

/// Scores, which weights depend on, overtake all files queued earlier.
#[tokio::test]
async fn scores_are_submitted_before_other_files() {
    let results = Arc::new(Results::new(2).await);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (recorded_results, recorded_sent) = (Arc::clone(&results), Arc::clone(&sent));
    let routes = axum::Router::new().fallback(move |body: Bytes| {
        let (results, sent) = (Arc::clone(&recorded_results), Arc::clone(&recorded_sent));
        async move {
            let is_score = String::from_utf8_lossy(&body).contains(r#""kind":"challenge_scores""#);
            let count = {
                let mut sent = sent.lock().unwrap();
                sent.push(is_score);
                sent.len()
            };
            // Another miner finishes while files of the first two are in flight.
            if count == 3 {
                results.add(2..3).await;
            }
            "{}"
        }
    });
    let url = taonet_validator::testing::listen(routes).await;
    let settings = OutboxSettings { concurrency: 1, ..results.settings(&url) };
    let counts = results.outbox_with(settings, None).drain().await.unwrap();
    assert_eq!(counts.delivered, 12);
    let expected: Vec<bool> = (0..12).map(|index| matches!(index, 0 | 1 | 3)).collect();
    assert_eq!(*sent.lock().unwrap(), expected);
}

#[tokio::test]
async fn permanently_refused_submission_is_kept_with_the_reason() {
    let results = Results::new(1).await;
    let server = MockServer::start().await;
    let refusal = ResponseTemplate::new(403).set_body_string("no permit");
    Mock::given(path("/v1/submit")).respond_with(refusal).up_to_n_times(3).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let outbox = results.outbox(&server.uri().parse().unwrap());
    let counts = outbox.drain().await.unwrap();
    assert_eq!((counts.waiting, counts.delivered, counts.refused), (0, 1, 3));
    assert_eq!(server.received_requests().await.unwrap().len(), 4, "nothing is retried");
    let counts = outbox.drain().await.unwrap();
    assert_eq!((counts.waiting, counts.refused), (0, 3));
    // The next outbox requeues it.
    let shutdown = Shutdown::new();
    let watch = async {
        while results.ledger.outbox_counts().await.unwrap().delivered < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        shutdown.request();
    };
    tokio::join!(outbox.run(&shutdown), watch);
}

#[tokio::test]
async fn solo_results_name_the_main_challenge() {
    let results = Results::new(0).await;
    let solo = results.ledger.begin(&challenge("solo-1", ChallengeType::Solo)).await.unwrap();
    results.ledger.enqueue(&solo, miner(1), &written_files("run"), true).await.unwrap();
    let (server, url) = accepting_server().await;
    results.outbox(&url).drain().await.unwrap();
    for request in requests(&server, "/v1/submit").await {
        let body = request.body_json::<Value>().unwrap();
        assert_eq!(
            (&body["challenge_id"], &body["data"]["main_challenge_uid"]),
            (&json!("solo-1"), &json!("c"))
        );
        assert_eq!(body["data"]["challenge_type"], "solo");
    }
}

/// Files queued while the outbox runs are submitted immediately; rewritten files are submitted
/// again, other files are not.
#[tokio::test]
async fn running_outbox_submits_new_files() {
    let results = Results::new(1).await;
    let (server, url) = accepting_server().await;
    let outbox = results.outbox(&url);
    let shutdown = Shutdown::new();
    let wait_until_sent = async |count: usize| {
        let start = Instant::now();
        while server.received_requests().await.unwrap().len() < count {
            assert!(start.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let enqueue = async {
        wait_until_sent(4).await;
        for (name, count) in [("run", 4), ("run-2", 8), ("run-2", 8)] {
            results
                .ledger
                .enqueue(&results.challenge, miner(0), &written_files(name), true)
                .await
                .unwrap();
            wait_until_sent(count).await;
        }
        results.wait_for_deliveries(4).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        shutdown.request();
    };
    tokio::join!(outbox.run(&shutdown), enqueue);
    assert_eq!(server.received_requests().await.unwrap().len(), 8);
    let counts = results.ledger.outbox_counts().await.unwrap();
    assert_eq!((counts.waiting, counts.delivered), (0, 4));
}

#[tokio::test]
async fn old_deliveries_are_deleted() {
    let results = Results::new(1).await;
    let (_server, url) = accepting_server().await;
    results.outbox(&url).drain().await.unwrap();
    let clock_in_8_days: Clock = Arc::new(|| SystemTime::now() + Duration::from_hours(8 * 24));
    let counts = results.outbox(&url).with_clock(clock_in_8_days).drain().await.unwrap();
    assert_eq!(counts, OutboxCounts::default());
}

#[tokio::test]
async fn retry_pauses_double_up_to_the_maximum() {
    let results = Results::new(0).await;
    let api: Url = "http://127.0.0.1:9".parse().unwrap();
    let settings = OutboxSettings::new(api, results.paths());
    let outbox = results.outbox_with(settings, None);
    for (attempts, longest) in [(0, 1.0), (1, 2.0), (5, 32.0), (9, 300.0), (u32::MAX, 300.0)] {
        let pause = outbox.backoff(attempts).as_secs_f64();
        assert!((longest / 2.0..=longest).contains(&pause), "{attempts}: {pause}");
    }
}

/// A complete round of 256 miners, with a flush of every row by SQLite.
#[tokio::test(flavor = "multi_thread")]
async fn thousand_artifacts_are_delivered_within_a_minute() {
    let results = Results::new(256).await;
    let (api, url) = serve_api(results.folder.path(), &sqlite(results.folder.path())).await;
    let start = Instant::now();
    let counts = results.outbox(&url).drain().await.unwrap();
    let elapsed = start.elapsed();
    println!("1 024 artifacts in {elapsed:?}");
    assert_eq!((counts.delivered, api.store().count().await.unwrap()), (1_024, 1_024));
    assert!(elapsed < Duration::from_mins(1), "{elapsed:?}");
}

/// Submissions are concurrent, up to the limit.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_submissions_are_limited() {
    let results = Results::new(6).await;
    let running = Arc::new(Mutex::new((0, 0)));
    let running_count = Arc::clone(&running);
    let routes = axum::Router::new().fallback(move || {
        let running_count = Arc::clone(&running_count);
        async move {
            {
                let mut running = running_count.lock().unwrap();
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            running_count.lock().unwrap().0 -= 1;
            "{}"
        }
    });
    let url = taonet_validator::testing::listen(routes).await;
    let settings = OutboxSettings { concurrency: 5, ..results.settings(&url) };
    results.outbox_with(settings, None).drain().await.unwrap();
    assert_eq!(running.lock().unwrap().1, 5);
}
