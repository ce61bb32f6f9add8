//! A database that fails while results come in: whoever submits is asked to come again, and nothing is lost or doubled.

use sqlx::{Connection as _, SqliteConnection};

use super::*;
use crate::submission::testing::Results;

/// Submits the files of eight miners, of half of them after `fail` has done something to the database.
async fn submitted_through(api: &ScoringApi, url: &url::Url, fail: impl AsyncFnOnce(&Results)) {
    let results = Results::new(4).await;
    Results::delivered_through(results.outbox(url), &results, 8, async || fail(&results).await).await;
    assert_eq!(api.store().count().await.unwrap(), 32);
    let scores = api.store().scores("c", None).await.unwrap();
    assert_eq!(scores.iter().map(|score| score.miner_uid).collect::<BTreeSet<_>>(), (0..8).collect());
    assert_eq!(scores.len(), 8);
}

/// Some of the files have been tried in vain.
async fn tried_in_vain(results: &Results) {
    loop {
        let waiting = results.ledger.due(i64::MAX, 100).await.unwrap();
        if waiting.iter().any(|entry| entry.attempts > 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_dies_and_comes_back_loses_nothing() {
    let (Some(mut postgres), folder) = (Postgres::start(), tempfile::tempdir().unwrap()) else { return };
    let (api, url) = served(folder.path(), &postgres.url()).await;
    submitted_through(&api, &url, async |results: &Results| {
        postgres.stop();
        results.add(4..8).await;
        tried_in_vain(results).await;
        let (status, answer) = post(&api, &score(&key("//b"), &key("//good"), "main", 0.9, now())).await;
        assert_eq!((status, &answer["error"]), (503, &json!("the database failed")));
        assert_eq!(ask(&api.router(), Method::GET, "/healthz", &[], "").await.0, 503);
        postgres.run();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_that_somebody_locks_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (api, url) = served(folder.path(), &sqlite(folder.path())).await;
    submitted_through(&api, &url, async |results: &Results| {
        let mut other = SqliteConnection::connect(&sqlite(folder.path())).await.unwrap();
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
        results.add(4..8).await;
        // Longer than a request waits for the lock.
        let (status, _) = post(&api, &score(&key("//b"), &key("//good"), "main", 0.9, now())).await;
        assert_eq!(status, 503);
        tried_in_vain(results).await;
        sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    })
    .await;
}

/// What could not be reached at the start is said, with the name of the setting where it is the setting.
#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let error = Store::open("postgres://a@127.0.0.1:9/x").await.unwrap_err().to_string();
    assert!(error.starts_with("the database failed: "), "{error}");
    let error = Store::open("sqlite:/nowhere/at/all.sqlite").await.unwrap_err().to_string();
    assert!(error.starts_with("the database failed: "), "{error}");
}
