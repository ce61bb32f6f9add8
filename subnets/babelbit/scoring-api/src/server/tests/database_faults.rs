//! Tests of submissions to a failing database: clients are asked to retry, and no submission is
//! lost or duplicated.

use std::time::Instant;

use futures::future::join_all;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use super::super::testing::{FaultyProxy, ProxyFault};
use super::*;
use taonet_babelbit_runner::submission::testing::Results;
use taonet_validator::testing::listen;

/// Timeout of the stores in these tests.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// Deadline for a store's failure. The store waits for a connection, then four times as long for a
/// response; the remaining time is margin for busy machines.
const FAILURE_DEADLINE: Duration = Duration::from_secs(30);

/// Creates a scoring API with a short database timeout. Returns the API and its URL.
async fn api_with_short_timeout(directory: &Path, database: &str) -> (ScoringApi, url::Url) {
    let artifacts = ArtifactStore::open(&directory.join("artifacts"), None).unwrap();
    let store = Store::open_with(database, STORE_TIMEOUT).await.unwrap();
    let api = ScoringApi::new(store, artifacts, Admission::Open, ScoringLimits::default());
    let url = listen(api.router()).await;
    (api, url)
}

/// Checks that a request soon fails with status 503 and the database's error.
async fn assert_database_error(api: &ScoringApi) {
    let start = Instant::now();
    let (status, answer) =
        post(api, &score_submission(&key("//b"), &key("//good"), "main", 0.9, now())).await;
    assert_eq!((status, &answer["error"]), (503, &json!("the database failed")));
    assert!(start.elapsed() < FAILURE_DEADLINE, "{:?}", start.elapsed());
}

/// Submits the files of eight miners, half of them after `fail` has injected a database fault.
async fn submit_through_fault(api: &ScoringApi, url: &url::Url, fail: impl AsyncFnOnce(&Results)) {
    let results = Results::new(4).await;
    Results::deliver_through(results.outbox(url), &results, 8, async || fail(&results).await).await;
    assert_eq!(api.store().count().await.unwrap(), 32);
    let scores = api.store().scores("c", None).await.unwrap();
    assert_eq!(
        scores.iter().map(|score| score.miner_uid).collect::<BTreeSet<_>>(),
        (0..8).collect()
    );
    assert_eq!(scores.len(), 8);
}

/// Waits until at least one submission has failed.
async fn wait_for_failed_attempt(results: &Results) {
    loop {
        let pending = results.ledger.due(i64::MAX, 100).await.unwrap();
        if pending.iter().any(|entry| entry.attempts > 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restarted_postgres_loses_no_submission() {
    let (Some(mut postgres), folder) = (Postgres::start(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let (api, url) = api_with_short_timeout(folder.path(), &postgres.url()).await;
    submit_through_fault(&api, &url, async |results: &Results| {
        postgres.stop();
        results.add(4..8).await;
        wait_for_failed_attempt(results).await;
        assert_database_error(&api).await;
        assert_eq!(send_request(&api.router(), Method::GET, "/healthz", &[], "").await.0, 503);
        postgres.run();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_sqlite_loses_no_submission() {
    let folder = tempfile::tempdir().unwrap();
    let (api, url) = api_with_short_timeout(folder.path(), &sqlite(folder.path())).await;
    submit_through_fault(&api, &url, async |results: &Results| {
        let mut other_connection = SqliteConnection::connect(&sqlite(folder.path())).await.unwrap();
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut other_connection).await.unwrap();
        results.add(4..8).await;
        assert_database_error(&api).await;
        wait_for_failed_attempt(results).await;
        sqlx::query("COMMIT").execute(&mut other_connection).await.unwrap();
    })
    .await;
}

/// The connection to the database fails during submissions. Connections that become half-open do
/// not recover.
#[tokio::test(flavor = "multi_thread")]
async fn failing_connection_to_postgres_loses_no_submission() {
    let Some(postgres) = Postgres::start() else { return };
    let mut server = PgConnection::connect(&postgres.url()).await.unwrap();
    for database in ["cut", "half_open", "deaf", "slow"] {
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"));
        sqlx::query(create).execute(&mut server).await.unwrap();
    }
    let open_through_proxy = async |database: &str, fault: ProxyFault| {
        let (proxy, folder) = (FaultyProxy::to(&postgres).await, tempfile::tempdir().unwrap());
        let (api, url) = api_with_short_timeout(folder.path(), &proxy.url(database)).await;
        submit_through_fault(&api, &url, async |results: &Results| {
            proxy.set(fault);
            results.add(4..8).await;
            wait_for_failed_attempt(results).await;
            assert_database_error(&api).await;
            proxy.set(ProxyFault::None);
        })
        .await;
    };
    tokio::join!(
        open_through_proxy("cut", ProxyFault::Cut),
        open_through_proxy("half_open", ProxyFault::HalfOpen),
        open_through_proxy("deaf", ProxyFault::NoResponses),
        open_through_proxy("slow", ProxyFault::Slow(STORE_TIMEOUT * 5)),
    );
}

/// Startup without a connection to the database fails fast, and succeeds once the connection works.
#[tokio::test(flavor = "multi_thread")]
async fn failing_connection_to_postgres_at_startup_is_an_error() {
    let Some(postgres) = Postgres::start() else { return };
    for fault in [
        ProxyFault::Cut,
        ProxyFault::HalfOpen,
        ProxyFault::NoResponses,
        ProxyFault::Slow(STORE_TIMEOUT * 5),
    ] {
        let proxy = FaultyProxy::to(&postgres).await;
        proxy.set(fault);
        let start = Instant::now();
        let error =
            Store::open_with(&proxy.url("postgres"), STORE_TIMEOUT).await.unwrap_err().to_string();
        assert!(error.starts_with("the database failed: "), "{fault:?}: {error}");
        assert!(start.elapsed() < FAILURE_DEADLINE, "{fault:?}: {:?}", start.elapsed());
        proxy.set(ProxyFault::None);
        Store::open_with(&proxy.url("postgres"), FAILURE_DEADLINE).await.unwrap();
    }
}

#[tokio::test]
async fn locked_sqlite_at_startup_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    Store::open(&sqlite(folder.path())).await.unwrap();
    let mut other_connection = SqliteConnection::connect(&sqlite(folder.path())).await.unwrap();
    sqlx::query("PRAGMA locking_mode = EXCLUSIVE").execute(&mut other_connection).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other_connection).await.unwrap();
    let start = Instant::now();
    let error =
        Store::open_with(&sqlite(folder.path()), STORE_TIMEOUT).await.unwrap_err().to_string();
    assert!(error.starts_with("the database failed: "), "{error}");
    assert!(start.elapsed() < FAILURE_DEADLINE, "{:?}", start.elapsed());
    other_connection.close().await.unwrap();
    Store::open_with(&sqlite(folder.path()), FAILURE_DEADLINE).await.unwrap();
}

/// PostgreSQL cancels a statement that waits for a lock, so the statement does not run after its
/// client has timed out.
#[tokio::test]
async fn slow_statement_is_cancelled_in_the_database() {
    let (Some(postgres), folder) = (Postgres::start(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let (api, _url) = api_with_short_timeout(folder.path(), &postgres.url()).await;
    let mut other_connection = PgConnection::connect(&postgres.url()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut other_connection).await.unwrap();
    sqlx::query("LOCK TABLE submission IN ACCESS EXCLUSIVE MODE")
        .execute(&mut other_connection)
        .await
        .unwrap();
    assert_database_error(&api).await;
    let pending: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted")
        .fetch_one(&mut other_connection)
        .await
        .unwrap();
    assert_eq!(pending, 0);
    sqlx::query("ROLLBACK").execute(&mut other_connection).await.unwrap();
    assert_eq!(api.store().count().await.unwrap(), 0);
    assert_eq!(
        post(&api, &score_submission(&key("//b"), &key("//good"), "main", 0.9, now())).await.0,
        200
    );
}

/// A half-open connection is closed, and frees its slot in the pool.
#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_replaced() {
    let Some(postgres) = Postgres::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let proxy = FaultyProxy::to(&postgres).await;
    // Long enough for all connections to be in use before the first one times out.
    let wait = STORE_TIMEOUT * 2;
    let store = Store::open_with(&proxy.url("postgres"), wait).await.unwrap();
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts"), None).unwrap();
    let api = ScoringApi::new(store, artifacts, Admission::Open, ScoringLimits::default());
    let mut other_connection = PgConnection::connect(&postgres.url()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut other_connection).await.unwrap();
    sqlx::query("LOCK TABLE submission IN ACCESS EXCLUSIVE MODE")
        .execute(&mut other_connection)
        .await
        .unwrap();
    let submit = async |number: u8| {
        let body =
            score_submission(&key(&format!("//{number}")), &key("//good"), "main", 0.9, now());
        assert_eq!(post(&api, &body).await.0, 503);
    };
    let start = Instant::now();
    let inject_fault = async {
        let pending = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while sqlx::query_scalar::<_, i64>(pending).fetch_one(&mut other_connection).await.unwrap()
            < 8
        {
            assert!(start.elapsed() < FAILURE_DEADLINE, "the connections are not all in use");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.set(ProxyFault::NoResponses);
    };
    tokio::join!(join_all((0..16).map(submit)), inject_fault);
    assert!(start.elapsed() < wait * 8, "{:?}", start.elapsed());
    sqlx::query("ROLLBACK").execute(&mut other_connection).await.unwrap();
    proxy.set(ProxyFault::None);
    let start = Instant::now();
    while api.store().count().await.is_err() {
        assert!(start.elapsed() < FAILURE_DEADLINE);
    }
}

/// An idle transaction of a disconnected client locks its rows only for a short time.
#[tokio::test]
async fn abandoned_transaction_is_ended() {
    let (Some(postgres), folder) = (Postgres::start(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let (api, _url) = api_with_short_timeout(folder.path(), &postgres.url()).await;
    let submit = || async {
        post(&api, &score_submission(&key("//b"), &key("//good"), "main", 0.9, now())).await.0
    };
    assert_eq!(submit().await, 200);
    let _transaction = api.store().abandoned_transaction().await;
    let start = Instant::now();
    while submit().await != 200 {
        assert!(start.elapsed() < FAILURE_DEADLINE);
    }
}

#[tokio::test]
async fn health_check_responds_while_the_database_hangs() {
    let (Some(postgres), folder) = (Postgres::start(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let proxy = FaultyProxy::to(&postgres).await;
    let store = Store::open_with(&proxy.url("postgres"), Duration::from_mins(1)).await.unwrap();
    let artifacts = ArtifactStore::open(&folder.path().join("artifacts"), None).unwrap();
    let limits =
        ScoringLimits { request_timeout: Duration::from_secs(2), ..ScoringLimits::default() };
    let api = ScoringApi::new(store, artifacts, Admission::Open, limits);
    assert_eq!(send_request(&api.router(), Method::GET, "/healthz", &[], "").await.0, 200);
    proxy.set(ProxyFault::HalfOpen);
    let start = Instant::now();
    assert_eq!(send_request(&api.router(), Method::GET, "/healthz", &[], "").await.0, 503);
    assert!(start.elapsed() < FAILURE_DEADLINE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn unreachable_database_is_reported() {
    let error = Store::open("postgres://a@127.0.0.1:9/x").await.unwrap_err().to_string();
    assert!(error.starts_with("the database failed: "), "{error}");
    let error = Store::open("sqlite:/nowhere/at/all.sqlite").await.unwrap_err().to_string();
    assert!(error.starts_with("the database failed: "), "{error}");
}
