//! A database that fails while results come in: whoever submits is asked to come again, and nothing is lost or doubled.

use sqlx::{Connection as _, SqliteConnection};

use super::*;
use crate::submission::testing::Results;

/// Submits a miner's files until they are all there; meanwhile `fail` does something to the database.
async fn submitted_through<F: Future<Output = ()>>(api: &ScoringApi, url: &url::Url, fail: impl FnOnce() -> F) {
    let results = Results::new(8).await;
    let outbox = results.outbox(url);
    let (counts, ()) = tokio::join!(outbox.drain(), async {
        // In the middle: some are there, most are not.
        while api.store().count().await.unwrap() < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fail().await;
    });
    let counts = counts.unwrap();
    assert_eq!((counts.waiting, counts.delivered, counts.refused), (0, 32, 0));
    assert_eq!(api.store().count().await.unwrap(), 32);
    let scores = api.store().scores("c", None).await.unwrap();
    assert_eq!(scores.iter().map(|score| score.miner_uid).collect::<BTreeSet<_>>(), (0..8).collect());
    assert_eq!(scores.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_dies_and_comes_back_loses_nothing() {
    let (Some(mut postgres), folder) = (Postgres::start(), tempfile::tempdir().unwrap()) else { return };
    let (api, url) = served(folder.path(), &postgres.url()).await;
    submitted_through(&api, &url, || async {
        postgres.stop();
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
    submitted_through(&api, &url, || async {
        let mut other = SqliteConnection::connect(&sqlite(folder.path())).await.unwrap();
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
        // Longer than a request waits for the lock.
        let (status, _) = post(&api, &score(&key("//b"), &key("//good"), "main", 0.9, now())).await;
        assert_eq!(status, 503);
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
