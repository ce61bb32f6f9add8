//! Faults of engine and scoring API: down, slow, half-open, overloaded, malformed, truncated.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use taonet_validator::testing::silent_server;

/// The first block of the last third of epoch 7.
const LAST_THIRD_START: u32 = 767;

/// Without a challenge no scores are requested, and a failing engine is called three times.
#[tokio::test]
async fn no_scores_are_requested_without_a_challenge() {
    let fixture = Fixture::new().await;
    fixture.engine.reset().await;
    mount(&fixture.engine, "POST", "/auth", ResponseTemplate::new(500)).await;
    fixture.serve_rows(&[row(1, 0.9)], &[]).await;
    let error = fixture.validator().run_once().await.unwrap_err();
    assert!(
        error.to_string().contains("cannot get the current challenge from the engine"),
        "{error}"
    );
    assert_eq!(fixture.take_waits(), [1, 2]);
    fixture.set_block(LAST_THIRD_START, &hotkeys()).await;
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!((report.decision, report.epochs_without_scores, report.round), ("wait", 1, None));
    assert!(fixture.scoring.received_requests().await.unwrap().is_empty());
}

/// A failure is not mistaken for "no scores", which would withhold the arena's share for a whole
/// epoch of the chain.
#[tokio::test]
async fn failed_score_request_is_retried_until_late_in_the_epoch() {
    let fixture = Fixture::new().await;
    let main = ok(json!({ "scores": [row(1, 0.5)] }));
    for (main, arena, expected_message) in [
        (
            main.clone(),
            ResponseTemplate::new(500),
            "cannot get scores (arena) from the scoring API: failed status=500",
        ),
        (
            ResponseTemplate::new(403),
            main.clone(),
            "cannot get scores (qualifying) from the scoring API: failed",
        ),
    ] {
        fixture.serve_scores(main, arena, ok(json!({ "scores": [] }))).await;
        for block in [742, LAST_THIRD_START - 1] {
            fixture.set_block(block, &hotkeys()).await;
            let error = fixture.validator().run_once().await.unwrap_err();
            assert!(
                matches!(error, EpochError::Scores(_))
                    && error.to_string().contains(expected_message),
                "{error}"
            );
        }
    }
    // Neither contest has scores, and the older form fails.
    let no_scores = ok(json!({ "scores": [] }));
    fixture.serve_scores(no_scores.clone(), no_scores, ResponseTemplate::new(500)).await;
    let error = fixture.validator().run_once().await.unwrap_err();
    assert!(
        error.to_string().contains("cannot get scores (all contests) from the scoring API"),
        "{error}"
    );
    assert!(request_bodies(&fixture.signer, "/set_weights").await.is_empty());
    assert!(!fixture.directory.path().join("state.json").exists(), "the epoch stays due");

    fixture.serve_scores(main, ResponseTemplate::new(500), ok(json!({ "scores": [] }))).await;
    fixture.set_block(LAST_THIRD_START, &hotkeys()).await;
    let report = fixture.validator().run_once().await.unwrap();
    assert_eq!(
        (report.decision, pairs(&report)),
        ("scored", vec![(1, 0.1), (8, 0.9)]),
        "with the scores of the main contest"
    );
}

#[tokio::test]
async fn contest_without_share_is_not_retried() {
    let mut fixture = Fixture::new().await;
    fixture.arena_share = ArenaShare::NONE;
    fixture
        .serve_scores(
            ok(json!({ "scores": [row(1, 0.5)] })),
            ResponseTemplate::new(500),
            ResponseTemplate::new(500),
        )
        .await;
    assert_eq!(pairs(&fixture.validator().run_once().await.unwrap()), [(1, 1.0)]);
}

/// Columns: the scoring API's responses · number of requests for one contest
#[tokio::test]
async fn failing_scoring_api_gives_no_scores() {
    for (answer, attempts) in [
        (ResponseTemplate::new(500), 3),
        (ResponseTemplate::new(429).insert_header("retry-after", "4"), 3),
        (ResponseTemplate::new(403), 1),
        (ResponseTemplate::new(200).set_body_string("garbage"), 3),
        (ResponseTemplate::new(200).set_body_string("[]"), 3),
        (ok(json!({ "scores": "many" })), 1),
        (ok(json!({ "rows": [] })), 1),
        (ok(json!({ "scores": [7, null, "x", { "hotkey": hotkey(1) }] })), 1),
    ] {
        let fixture = Fixture::new().await;
        let debug_text = format!("{answer:?}");
        fixture.serve_scores(answer.clone(), answer.clone(), answer).await;
        fixture.set_block(LAST_THIRD_START, &hotkeys()).await;
        let report = fixture.validator().run_once().await.unwrap();
        assert_eq!((report.decision, report.epochs_without_scores), ("wait", 1), "{debug_text}");
        let main = fixture.scoring.received_requests().await.unwrap();
        let main =
            main.iter().filter(|request| request.url.query().unwrap().contains("qualifying"));
        assert_eq!(main.count(), attempts, "{debug_text}");
        assert!(fixture.take_waits().iter().all(|wait| *wait <= 10));
        assert!(request_bodies(&fixture.signer, "/set_weights").await.is_empty());
    }
}

#[tokio::test]
async fn recovering_scoring_api_loses_no_scores() {
    let fixture = Fixture::new().await;
    let failing_response =
        Mock::given(method("GET")).and(path(SCORES)).respond_with(ResponseTemplate::new(502));
    fixture.serve_rows(&[row(1, 0.5)], &[row(2, 0.5)]).await;
    // Earlier mocks take precedence until they are used up.
    failing_response.up_to_n_times(3).with_priority(1).mount(&fixture.scoring).await;
    assert_eq!(fixture.validator().run_once().await.unwrap().decision, "scored");
}

#[tokio::test]
async fn silent_scoring_api_times_out() {
    let fixture = Fixture::new().await;
    let url = silent_server().await;
    let keypair = Arc::new(key("//validator"));
    let waits = Arc::clone(&fixture.waits);
    let sleeper: Sleeper = Arc::new(move |wait| {
        waits.lock().unwrap().push(wait.as_secs());
        Box::pin(std::future::ready(()))
    });
    let scores = ScoresClient::new(&url, keypair).unwrap().with_time(system_clock(), sleeper);
    // Tokio advances paused time whenever the runtime is idle.
    tokio::time::pause();
    let error = scores.rows("ch", None).await.unwrap_err();
    assert!(error.to_string().contains("no response in time"), "{error}");
    assert_eq!(fixture.take_waits(), [1, 2]);
}

#[tokio::test]
async fn truncated_scores_are_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let request_count = Arc::clone(&count);
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            request_count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"scores\": [")
                .await;
        }
    });
    let sleeper: Sleeper = Arc::new(|_| Box::pin(std::future::ready(())));
    let scores = ScoresClient::new(&url, Arc::new(key("//validator")))
        .unwrap()
        .with_time(system_clock(), sleeper);
    scores.rows("ch", None).await.unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 3);
}
