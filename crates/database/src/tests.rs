use std::time::Instant;

use crate::testing::{FaultyProxy, Postgres, ProxyFault};

use super::*;

fn schema() -> Migrator {
    migrations(&[
        (
            1,
            "things",
            "CREATE TABLE thing (id BIGINT NOT NULL PRIMARY KEY, share DOUBLE PRECISION, name TEXT, owner BIGINT)",
        ),
        (
            2,
            "files",
            "CREATE TABLE file (id BIGINT NOT NULL PRIMARY KEY, data BYTEA, is_old BOOLEAN NOT NULL)",
        ),
    ])
}

/// Checks statements and transactions, on either database.
async fn check(database: &Database) {
    let insert = |id: i64, share: Option<f64>, name: Option<&str>, owner: Option<i64>| {
        let insert =
            statement("INSERT INTO thing (id, share, name, owner) VALUES ($1, $2, $3, $4)");
        insert.bind(id).bind(share).bind(name).bind(owner)
    };
    // The prepared statement keeps the types of its first values.
    assert_eq!(insert(1, None, None, None).execute(database).await.unwrap(), 1);
    insert(2, Some(0.1), Some("zwei \u{1f600}"), Some(i64::MIN)).execute(database).await.unwrap();
    insert(3, Some(f64::MAX), Some(""), Some(i64::MAX)).execute(database).await.unwrap();
    let error = insert(3, None, None, None).execute(database).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Failed(_)), "{error}");
    let values_of = |row: &Row| {
        let (share, name, owner) =
            (row.get("share").unwrap(), row.get("name").unwrap(), row.get("owner").unwrap());
        (row.get::<i64>("id").unwrap(), share, name, owner)
    };
    let rows = statement("SELECT * FROM thing ORDER BY id").rows(database).await.unwrap();
    let expected = [
        (1, None, None, None),
        (2, Some(0.1), Some("zwei \u{1f600}".to_owned()), Some(i64::MIN)),
        (3, Some(f64::MAX), Some(String::new()), Some(i64::MAX)),
    ];
    assert_eq!(rows.iter().map(values_of).collect::<Vec<_>>(), expected);
    assert!(rows[0].get::<i64>("nothing").is_err() && rows[1].get::<i64>("name").is_err());
    let count = async || statement("SELECT COUNT(*) FROM thing").number(database).await.unwrap();
    // Dropping a transaction rolls it back, even after an error.
    let mut transaction = database.begin().await.unwrap();
    assert_eq!(statement("DELETE FROM thing").execute(&mut transaction).await.unwrap(), 3);
    insert(4, None, None, None).execute(&mut transaction).await.unwrap();
    assert!(insert(4, None, None, None).execute(&mut transaction).await.is_err());
    drop(transaction);
    let mut transaction = database.begin().await.unwrap();
    insert(5, None, None, None).execute(&mut transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(count().await, 4);
    // A reader sees one state, whatever others commit.
    let mut reading = database.begin_reading().await.unwrap();
    let row_count = async |on: &mut Transaction| {
        statement("SELECT COUNT(*) FROM thing").number(on).await.unwrap()
    };
    assert_eq!(row_count(&mut reading).await, 4);
    insert(6, None, None, None).execute(database).await.unwrap();
    assert_eq!(row_count(&mut reading).await, 4);
    reading.commit().await.unwrap();
    assert_eq!(statement("DELETE FROM thing WHERE id = 6").execute(database).await.unwrap(), 1);
    let ids: Vec<i64> = statement("DELETE FROM thing RETURNING id").values(database).await.unwrap();
    assert_eq!((ids.len(), count().await), (4, 0));
    assert_eq!(statement("SELECT name FROM thing").value::<String>(database).await.unwrap(), None);
    assert!(statement("SELECT id FROM thing").number(database).await.is_err());
}

/// Checks byte strings and Booleans, on either database.
async fn check_bytes(database: &Database) {
    let insert = |id: i64, data: Option<&[u8]>, is_old: bool| {
        statement("INSERT INTO file (id, data, is_old) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(data)
            .bind(is_old)
    };
    let all_bytes: Vec<u8> = (0..=255).collect();
    insert(1, None, true).execute(database).await.unwrap();
    insert(2, Some(&[]), false).execute(database).await.unwrap();
    insert(3, Some(&all_bytes), true).execute(database).await.unwrap();
    let rows = statement("SELECT * FROM file ORDER BY id").rows(database).await.unwrap();
    let data: Vec<Option<Vec<u8>>> = rows.iter().map(|row| row.get("data").unwrap()).collect();
    assert_eq!(data, [None, Some(vec![]), Some(all_bytes)]);
    let old: Vec<i64> =
        statement("SELECT id FROM file WHERE is_old ORDER BY id").values(database).await.unwrap();
    assert_eq!(old, [1, 3]);
}

#[tokio::test]
async fn statements_run_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(&folder.path().join("a"), &schema()).await.unwrap();
    check(&database).await;
    check_bytes(&database).await;
    let names = ["a".to_owned()];
    let error = statement("SELECT $1").bind(&names[..]).execute(&database).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Failed(_)), "{error}");
    assert!(!database.is_shared());
    database.close().await;
}

#[tokio::test]
async fn sqlite_connections_are_opened_eagerly_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a");
    let database = Database::sqlite(&file, &schema()).await.unwrap();
    let read_only = Database::sqlite_read_only(&file, &schema()).await.unwrap();
    let pools = |database: &Database| match &database.pool {
        Pool::Sqlite { readers, writer } => (readers.clone(), writer.clone()),
        Pool::Postgres(_) => panic!("not a SQLite file"),
    };
    let ((readers, writer), (only_reader, _)) = (pools(&database), pools(&read_only));
    for (pool, connections) in [(readers, SQLITE_READERS), (writer, 1), (only_reader, 1)] {
        let options = pool.options();
        assert_eq!(
            (pool.size(), options.get_idle_timeout(), options.get_max_lifetime()),
            (connections, None, None)
        );
    }
}

#[tokio::test]
async fn statements_run_on_postgres() {
    let Some(server) = Postgres::start() else { return };
    let database = Database::postgres(&server.url(), &schema()).await.unwrap();
    check(&database).await;
    check_bytes(&database).await;
    let names = ["a".to_owned(), "b".to_owned(), String::new()];
    let insert = statement(
        "INSERT INTO thing (id, name) SELECT i, n FROM unnest($1) WITH ORDINALITY AS list (n, i)",
    );
    assert_eq!(insert.bind(&names[..]).execute(&database).await.unwrap(), 3);
    for (names, expected) in [(&names[1..], vec![2, 3]), (&names[3..], vec![])] {
        let select = statement("SELECT id FROM thing WHERE name = ANY($1) ORDER BY id").bind(names);
        assert_eq!(select.values::<i64>(&database).await.unwrap(), expected);
    }
    assert!(database.is_shared());
    database.close().await;
    // The schema of another program.
    let other_migrations = migrations(&[(1, "others", "CREATE TABLE other (id BIGINT)")]);
    let error = Database::postgres(&server.url(), &other_migrations).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Migrate(_)), "{error}");
}

#[tokio::test]
async fn postgres_keepalive_detects_vanished_client_within_a_minute() {
    let Some(server) = Postgres::start() else { return };
    let database = Database::postgres(&server.url(), &schema()).await.unwrap();
    // The current value is 0 for the Unix socket of this test.
    let setting = async |name: &str| {
        let query =
            statement("SELECT reset_val::bigint FROM pg_settings WHERE name = $1").bind(name);
        query.number(&database).await.unwrap()
    };
    let idle = setting("tcp_keepalives_idle").await;
    let remaining =
        setting("tcp_keepalives_interval").await * setting("tcp_keepalives_count").await;
    assert!(idle > 0 && remaining > 0 && idle + remaining <= 60, "{idle} s and {remaining} s");
    // The other settings of the session stay.
    assert_eq!(setting("statement_timeout").await, 30_000);
}

#[tokio::test]
async fn unsupported_database_urls_are_refused() {
    for url in
        ["mysql://localhost/x", "/var/lib/x.sqlite", "sqlite:x", "postgres://a:b@host:99999/x"]
    {
        let error = Database::postgres(url, &schema()).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Url), "{url}: {error}");
    }
}

/// Connections with and without a transaction become half-open; later connections work.
#[tokio::test]
async fn half_open_connections_are_replaced() {
    let options = PoolOptions { acquire_timeout: Duration::from_secs(1), ..PoolOptions::default() };
    let Some(server) = Postgres::start() else { return };
    let proxy = FaultyProxy::to(&server).await;
    let database =
        Database::postgres_with(&proxy.url("postgres"), &schema(), options).await.unwrap();
    let count = async || statement("SELECT COUNT(*) FROM thing").number(&database).await;
    assert_eq!(count().await.unwrap(), 0);
    let mut transactions = Vec::new();
    for id in 0..4 {
        let mut transaction = database.begin().await.unwrap();
        statement("INSERT INTO thing (id) VALUES ($1)")
            .bind(id)
            .execute(&mut transaction)
            .await
            .unwrap();
        transactions.push(transaction);
    }
    proxy.set(ProxyFault::HalfOpen);
    let start = Instant::now();
    assert!(count().await.is_err());
    for transaction in transactions {
        let error = transaction.commit().await.unwrap_err();
        assert!(matches!(error, DatabaseError::NoResponse(_)), "{error}");
    }
    assert!(start.elapsed() < Duration::from_mins(2), "{:?}", start.elapsed());
    proxy.set(ProxyFault::None);
    let start = Instant::now();
    while count().await.is_err() {
        assert!(start.elapsed() < Duration::from_mins(1), "the connections are not replaced");
    }
    assert_eq!(count().await.unwrap(), 0, "none was committed");
}

#[tokio::test]
async fn pool_recovers_after_server_restart() {
    let Some(mut server) = Postgres::start() else { return };
    let options = PoolOptions { acquire_timeout: Duration::from_secs(1), ..PoolOptions::default() };
    let database = Database::postgres_with(&server.url(), &schema(), options).await.unwrap();
    let insert = |id: i64| statement("INSERT INTO thing (id) VALUES ($1)").bind(id);
    insert(1).execute(&database).await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    insert(2).execute(&mut transaction).await.unwrap();
    server.stop();
    assert!(transaction.commit().await.is_err());
    assert!(insert(3).execute(&database).await.is_err());
    server.run();
    let start = Instant::now();
    while insert(4).execute(&database).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "the database does not recover");
    }
    let ids: Vec<i64> =
        statement("SELECT id FROM thing ORDER BY id").values(&database).await.unwrap();
    assert_eq!(ids, [1, 4]);
}

#[tokio::test]
async fn damaged_sqlite_file_is_reported_as_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("things.sqlite");
    let database = Database::sqlite(&path, &schema()).await.unwrap();
    for id in 0..1_000 {
        let insert = statement("INSERT INTO file (id, data, is_old) VALUES ($1, $2, TRUE)");
        insert.bind(id).bind(vec![7_u8; 100]).execute(&database).await.unwrap();
    }
    database.close().await;
    let original = std::fs::read(&path).unwrap();
    let overwritten = |range: std::ops::Range<usize>| {
        let mut bytes = original.clone();
        bytes[range].fill(0xa5);
        bytes
    };
    // Pages of tables, and the header of the file.
    for damaged in [overwritten(4_096..original.len()), overwritten(0..4_096)] {
        std::fs::write(&path, damaged).unwrap();
        let error = match Database::sqlite(&path, &schema()).await {
            Ok(database) => {
                statement("SELECT COUNT(data) FROM file").number(&database).await.unwrap_err()
            }
            Err(error) => error,
        };
        assert!(matches!(error, DatabaseError::Corrupt(_)), "{error:?}");
        assert!(
            error.to_string().contains("damaged; hint: stop the program, move the file"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn full_disk_is_reported_as_full() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::sqlite(&folder.path().join("things.sqlite"), &schema()).await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    statement("PRAGMA max_page_count = 20").execute(&mut transaction).await.unwrap();
    let insert = statement("INSERT INTO file (id, data, is_old) VALUES (1, $1, TRUE)")
        .bind(vec![7_u8; 1 << 20]);
    let error = insert.execute(&mut transaction).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Full(_)), "{error:?}");
}

#[tokio::test]
async fn unreachable_server_is_named_with_the_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let options = PoolOptions { connections: 1, acquire_timeout: Duration::from_millis(200) };
    let error =
        Database::postgres_with(&format!("postgres://u:secret@{address}/d"), &schema(), options)
            .await
            .unwrap_err();
    let DatabaseError::Unreachable { server, source } = &error else { panic!("{error:?}") };
    assert_eq!(*server, address.to_string());
    assert!(
        matches!(source, sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused),
        "{source:?}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn read_only_database_sees_other_writes_and_refuses_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("things.sqlite");
    assert!(Database::sqlite_read_only(&file, &schema()).await.is_err());
    assert!(!file.exists(), "a missing file is not created");
    let writer = Database::sqlite(&file, &schema()).await.unwrap();
    let insert = async |id: i64| {
        let insert = statement("INSERT INTO thing (id) VALUES ($1)").bind(id);
        insert.execute(&writer).await.unwrap();
    };
    insert(1).await;
    let reader = Database::sqlite_read_only(&file, &schema()).await.unwrap();
    let count = async || statement("SELECT COUNT(*) FROM thing").number(&reader).await.unwrap();
    assert_eq!(count().await, 1);
    insert(2).await;
    assert_eq!(count().await, 2);
    assert!(statement("DELETE FROM thing").execute(&reader).await.is_err());
    assert_eq!(count().await, 2);
    let older_migrations = migrations(&[(1, "things", "CREATE TABLE thing (id BIGINT)")]);
    let error = Database::sqlite_read_only(&file, &older_migrations).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Schema { actual: 2, expected: 1 }), "{error}");
}

#[tokio::test]
async fn read_only_postgres_refuses_writes_and_reads_a_snapshot() {
    let Some(server) = Postgres::start() else { return };
    let reader = Database::postgres_read_only(&server.url()).await.unwrap();
    // The database of another program is not migrated.
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(statement(tables).number(&reader).await.unwrap(), 0);
    let writer = Database::postgres(&server.url(), &schema()).await.unwrap();
    let insert = async |id: i64| {
        let insert = statement("INSERT INTO thing (id) VALUES ($1)").bind(id);
        insert.execute(&writer).await.unwrap();
    };
    insert(1).await;
    let count = || statement("SELECT COUNT(*) FROM thing");
    let mut transaction = reader.begin().await.unwrap();
    assert_eq!(count().number(&mut transaction).await.unwrap(), 1);
    insert(2).await;
    assert_eq!(count().number(&mut transaction).await.unwrap(), 1);
    drop(transaction);
    assert_eq!(count().number(&reader).await.unwrap(), 2);
    for sql in ["DELETE FROM thing", "CREATE TABLE other (id BIGINT)"] {
        let error = statement(sql).execute(&reader).await.unwrap_err();
        let DatabaseError::Failed(source) = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains("read-only transaction"), "{source}");
    }
    assert_eq!(count().number(&writer).await.unwrap(), 2);
    reader.check_schema(&schema()).await.unwrap();
    let older_migrations = migrations(&[(1, "things", "CREATE TABLE thing (id BIGINT)")]);
    let error = reader.check_schema(&older_migrations).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Schema { actual: 2, expected: 1 }), "{error}");
    let error = Database::postgres_read_only("mysql://localhost/x").await.unwrap_err();
    assert!(matches!(error, DatabaseError::Url), "{error}");
}
