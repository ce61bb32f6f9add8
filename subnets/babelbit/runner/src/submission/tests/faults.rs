//! Failures of the scoring API at startup and later lose and duplicate no submission.

use std::collections::BTreeSet;

use super::super::testing::{Fault, FaultyProxy};
use super::*;
use taonet_babelbit_scoring_api::server::ScoringApi;

const MINERS: u16 = 6;
const ENTRIES: i64 = 24;

async fn wait_until(condition: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_mins(1), "timed out waiting for a condition");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Asserts that all files were delivered completely and once.
async fn check(results: &Results, api: &ScoringApi, case: &str) {
    assert_eq!(api.store().count().await.unwrap(), ENTRIES, "{case}");
    let scores = api.store().scores("c", None).await.unwrap();
    assert_eq!(
        scores.iter().map(|score| score.miner_uid).collect::<BTreeSet<_>>(),
        (0..MINERS).collect(),
        "{case}"
    );
    let validator = key("//validator").hotkey();
    for number in 0..MINERS {
        let name = miner(number).directory();
        let artifact_directory =
            results.folder.path().join(format!("artifacts/c/main/{validator}/{name}"));
        let files = || {
            std::fs::read_dir(&artifact_directory)
                .unwrap()
                .map(|file| file.unwrap().path())
                .collect::<Vec<_>>()
        };
        // The scoring API may still receive an abandoned request and reject it as older.
        wait_until(async || files().len() == 1).await;
        assert!(
            std::fs::read(&files()[0]).unwrap() == Results::content(ResultFile::Audio, number),
            "{case}"
        );
    }
}

fn answer(head: &str, body: &str) -> Fault {
    Fault::Response(format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

fn every_fault() -> Vec<(&'static str, Fault)> {
    vec![
        ("down", Fault::Down),
        ("half-open", Fault::HalfOpen),
        ("slow", Fault::Slow),
        ("500", answer("500 Internal Server Error", "oops")),
        ("502 of a proxy", answer("502 Bad Gateway", "<html>")),
        ("429", answer("429 Too Many Requests\r\nretry-after: 1", "{}")),
        ("garbage", answer("200 OK", "<html>welcome</html>")),
        ("no HTTP", Fault::Response("220 mail.example ESMTP\r\n".into())),
        (
            "cut short",
            Fault::Response("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"succ".into()),
        ),
        ("done without a response", Fault::NoResponses),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn scoring_api_down_at_startup_loses_no_submission() {
    for (case, fault) in every_fault() {
        let results = Results::new(MINERS).await;
        let (api, url) = serve_api(results.folder.path(), &sqlite(results.folder.path())).await;
        let proxy = FaultyProxy::start(&url, fault.clone()).await;
        let settings =
            OutboxSettings { timeout: Duration::from_millis(500), ..results.settings(&proxy.url) };
        let outbox = results.outbox_with(settings, None);
        let start = Instant::now();
        let repair = async {
            wait_until(async || proxy.faults() >= 4).await;
            if fault != Fault::NoResponses {
                assert_eq!(api.store().count().await.unwrap(), 0, "{case}");
            }
            proxy.set(Fault::None);
        };
        let (counts, ()) = tokio::join!(outbox.drain(), repair);
        let counts = counts.unwrap();
        assert_eq!((counts.waiting, counts.delivered, counts.refused), (0, 24, 0), "{case}");
        check(&results, &api, case).await;
        if case == "429" {
            assert!(
                start.elapsed() >= Duration::from_secs(1),
                "the scoring API requested a delay of a second"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scoring_api_failing_during_submission_loses_nothing() {
    for (case, fault) in every_fault() {
        let results = Results::new(MINERS / 2).await;
        let (api, url) = serve_api(results.folder.path(), &sqlite(results.folder.path())).await;
        let proxy = FaultyProxy::start(&url, Fault::None).await;
        let settings =
            OutboxSettings { timeout: Duration::from_millis(500), ..results.settings(&proxy.url) };
        let outbox = results.outbox_with(settings, None);
        let inject_fault = async || {
            proxy.set(fault.clone());
            results.add(MINERS / 2..MINERS).await;
            wait_until(async || proxy.faults() >= 3).await;
            proxy.set(Fault::None);
        };
        Results::deliver_through(outbox, &results, MINERS, inject_fault).await;
        check(&results, &api, case).await;
    }
}

/// A drain with a short time limit leaves undelivered files for the next drain, with the reason in
/// the ledger.
#[tokio::test]
async fn drain_of_outbox_has_a_deadline() {
    let results = Results::new(1).await;
    let api = taonet_validator::testing::unused_address();
    let settings = OutboxSettings { drain_timeout: Duration::ZERO, ..results.settings(&api) };
    let counts = results.outbox_with(settings, None).drain().await.unwrap();
    assert_eq!((counts.waiting, counts.delivered, counts.refused), (4, 0, 0));
    let due = results.ledger.due(i64::MAX, 10).await.unwrap();
    assert!(due.iter().all(|entry| entry.attempts == 1), "{due:?}");
}
