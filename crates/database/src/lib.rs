//! Runs the same SQL statements on SQLite and PostgreSQL.
//!
//! A daemon that runs as one process can keep its state in a SQLite file; a daemon that runs as
//! several processes keeps it in a PostgreSQL database. The statements and migrations are the same
//! for both.
//!
//! - [`Database`]: connections, migrations, transactions, and timeouts that also end half-open
//!   connections;
//! - [`statement()`]: one statement with its values, for either database;
//! - [`Row`]: the columns of a result;
//! - [`Database::lock`]: an exclusive lock on the database, for a process of which only one
//!   instance may run.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use taonet_database::{Database, DatabaseError, migrations, statement};
//!
//! # async fn example() -> Result<(), DatabaseError> {
//! let schema = migrations(&[(1, "jobs", "CREATE TABLE jobs (name TEXT PRIMARY KEY, done BIGINT NOT NULL)")]);
//! let database = Database::sqlite(Path::new("jobs.sqlite"), &schema).await?;
//! let mut transaction = database.begin().await?;
//! statement("INSERT INTO jobs VALUES ($1, $2)").bind("backup").bind(0_i64).execute(&mut transaction).await?;
//! transaction.commit().await?;
//! let pending = statement("SELECT COUNT(*) FROM jobs WHERE done = 0").number(&database).await?;
//! println!("pending jobs: {pending}");
//! # Ok(())
//! # }
//! ```
//!
//! - **Durability**: a committed transaction survives a power failure (SQLite runs in WAL mode with
//!   full sync). A dropped [`Transaction`] is rolled back. After an error of
//!   [`Transaction::commit`] the outcome is unknown.
//! - **Timeouts**: by default, a connection is obtained within 10 s and a statement completes
//!   within 40 s, or the result is an error. Schema migrations time out after one minute.
//! - **Schema**: a database with migrations that the program does not know is refused
//!   ([`DatabaseError::Migrate`]), never changed.
//!
//! Values are integers, floats, strings, Booleans and byte strings; in PostgreSQL also arrays of
//! strings. There is no query builder, and SQL is not translated: a statement for both databases
//! must be valid in both dialects. sqlx's own driver for several databases (`Any`) is not used: it
//! binds a NULL `DOUBLE PRECISION` as a single-precision number, and PostgreSQL then keeps that
//! type for the prepared statement.
//!
//! Uses no other crate of the workspace. Used by `taonet-babelbit-scoring-api` and
//! `taonet-nineteen-store` with either database, by `taonet-kit` with SQLite only, by
//! `taonet-babelbit-workers` with PostgreSQL only, and by `taonet-babelbit-runner` for its
//! migrations and errors. With the feature `testing`, `testing` starts PostgreSQL and NATS servers
//! for tests.

mod connection;
mod error;
mod lock;
mod row;
mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, SqlSafeStr as _};
use tokio::time::timeout;

pub use connection::{Executor, Transaction};
pub use error::DatabaseError;
pub use lock::DatabaseLock;
pub use row::{Column, Row};
pub use sqlx::migrate::Migrator;
pub use statement::{Statement, Value, statement};

use connection::{Connection, PooledConnection, with_timeout};

/// Number of connections that read a SQLite file.
const SQLITE_READERS: u32 = 3;
/// Default maximum number of connections to PostgreSQL.
const DEFAULT_POSTGRES_CONNECTIONS: u32 = 16;
/// Timeout for obtaining a connection, and for SQLite's lock.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of schema migrations.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(1);
/// Settings of a PostgreSQL session, in seconds except for the count: the server notices within a
/// minute that a client's machine or network has vanished, and releases the client's locks. By
/// default, this takes more than two hours.
const KEEPALIVE: [(&str, u32); 3] =
    [("tcp_keepalives_idle", 30), ("tcp_keepalives_interval", 10), ("tcp_keepalives_count", 3)];

/// Creates schema migrations from tuples of version, name and SQL; both databases must support the
/// SQL.
///
/// `sqlx::migrate!` would compile the database drivers a second time, for the host.
pub fn migrations(files: &[(i64, &'static str, &'static str)]) -> Migrator {
    Migrator::with_migrations(
        files
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    *version,
                    (*name).into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    false,
                )
            })
            .collect(),
    )
}

/// Size and timeout of a pool of PostgreSQL connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// Maximum number of connections.
    pub connections: u32,
    /// Timeout for obtaining a connection. The server ends a statement after three times this
    /// duration; if there is no response after four times this duration, the connection is
    /// considered dead.
    pub acquire_timeout: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { connections: DEFAULT_POSTGRES_CONNECTIONS, acquire_timeout: ACQUIRE_TIMEOUT }
    }
}

/// Timeouts of a database.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Timeout for obtaining a connection, and for SQLite's lock.
    acquire_timeout: Duration,
    /// Timeout of a statement in PostgreSQL.
    statement: Duration,
    /// Timeout of a statement including its transfer, after which the connection is considered
    /// dead.
    response: Duration,
}

impl Limits {
    fn new(acquire_timeout: Duration) -> Self {
        Self { acquire_timeout, statement: acquire_timeout * 3, response: acquire_timeout * 4 }
    }
}

/// Returns the options of a pool of connections to a SQLite file, which never closes them.
///
/// Each connection has its own thread, and the allocator keeps memory for each thread that
/// ever ran: if old connections were replaced, as sqlx does every 30 minutes by default, a daemon
/// would grow for hours. A file needs no new connections, unlike a server behind a load balancer.
fn sqlite_pool(connections: u32, acquire_timeout: Duration) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not disconnect.
        .test_before_acquire(false)
}

/// A SQLite file or a PostgreSQL database. Clones share connections.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    limits: Limits,
    /// Whether other processes can share the database: the case for PostgreSQL, and for SQLite
    /// files of simulations.
    is_shared: bool,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite {
        readers: SqlitePool,
        /// The only connection that writes, so that writers of this process queue for it. SQLite
        /// itself would let them sleep for up to 100 ms between two attempts to get its lock, and
        /// a connection reads all pages again that another one has written.
        writer: SqlitePool,
    },
    Postgres(PgPool),
}

impl Database {
    fn new(pool: Pool, limits: Limits) -> Self {
        let is_shared = matches!(pool, Pool::Postgres(_));
        Self { pool, limits, is_shared }
    }

    /// Opens a SQLite file (WAL mode, full sync, enforced foreign keys); creates it if missing, and
    /// migrates its schema.
    ///
    /// # Errors
    /// [`DatabaseError`] when the file is unusable, locked, or has a different schema.
    pub async fn sqlite(file: &Path, migrations: &Migrator) -> Result<Self, DatabaseError> {
        Self::sqlite_within(file, migrations, ACQUIRE_TIMEOUT).await
    }

    /// Opens a SQLite file with another timeout for connections and for SQLite's lock, and migrates
    /// its schema.
    ///
    /// # Errors
    /// [`DatabaseError`] when the file is unusable, locked, or has a different schema.
    pub async fn sqlite_within(
        file: &Path,
        migrations: &Migrator,
        acquire_timeout: Duration,
    ) -> Result<Self, DatabaseError> {
        let limits = Limits::new(acquire_timeout);
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(limits.acquire_timeout)
            .disable_statement_logging();
        let writer = sqlite_pool(1, limits.acquire_timeout).connect_with(options.clone()).await?;
        with_timeout(MIGRATION_TIMEOUT, async { Ok(migrations.run(&writer).await?) }).await?;
        // All connections are opened now, so that memory does not grow with the first burst of
        // requests. One after the other, and not by `min_connections`: of two connections that
        // switch a new file to WAL mode, one fails.
        let readers =
            sqlite_pool(SQLITE_READERS, limits.acquire_timeout).connect_with(options).await?;
        let mut connections = Vec::new();
        for _ in 0..SQLITE_READERS {
            connections.push(readers.acquire().await?);
        }
        drop(connections);
        Ok(Self::new(Pool::Sqlite { readers, writer }, limits))
    }

    /// Opens a SQLite file read-only, even while other processes write to it. The file is neither
    /// created nor migrated.
    ///
    /// # Errors
    /// [`DatabaseError::Schema`] when the file's schema is not that of `migrations`, or another
    /// error when the file is missing or unusable.
    pub async fn sqlite_read_only(
        file: &Path,
        migrations: &Migrator,
    ) -> Result<Self, DatabaseError> {
        let limits = Limits::new(ACQUIRE_TIMEOUT);
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .busy_timeout(limits.acquire_timeout);
        let readers = sqlite_pool(1, limits.acquire_timeout)
            .connect_with(options.disable_statement_logging())
            .await?;
        let database = Self::new(Pool::Sqlite { writer: readers.clone(), readers }, limits);
        database.check_schema(migrations).await?;
        Ok(database)
    }

    /// Connects to a PostgreSQL database (`postgres://…`) and migrates its schema.
    ///
    /// # Errors
    /// [`DatabaseError`] when the URL is invalid, or the database does not respond or has a
    /// different schema.
    pub async fn postgres(url: &str, migrations: &Migrator) -> Result<Self, DatabaseError> {
        Self::postgres_with(url, migrations, PoolOptions::default()).await
    }

    /// Connects to a PostgreSQL database with a pool of another size or timeout, and migrates its
    /// schema.
    ///
    /// # Errors
    /// [`DatabaseError`] when the URL is invalid, or the database does not respond or has a
    /// different schema. A server that is not reachable is tried again until the timeout.
    pub async fn postgres_with(
        url: &str,
        migrations: &Migrator,
        options: PoolOptions,
    ) -> Result<Self, DatabaseError> {
        let PoolOptions { connections, acquire_timeout } = options;
        let options = postgres_options(url)?;
        let limits = Limits::new(acquire_timeout);
        // A migration of all rows may exceed the statement timeout.
        let unlimited = connect(&options, acquire_timeout).await?;
        with_timeout(MIGRATION_TIMEOUT, async { Ok(migrations.run(&unlimited).await?) }).await?;
        let pool =
            postgres_pool(connections, acquire_timeout).connect_lazy_with(options.options([
                ("statement_timeout", limits.statement.as_millis()),
                // An idle transaction of a vanished client would lock its rows forever.
                ("idle_in_transaction_session_timeout", limits.response.as_millis()),
            ]));
        Ok(Self::new(Pool::Postgres(pool), limits))
    }

    /// Connects to a PostgreSQL database read-only, for example to that of another program: the
    /// server rejects statements that write, and all statements of a transaction read the same
    /// state. The schema is neither migrated nor checked.
    ///
    /// # Errors
    /// [`DatabaseError`] when the URL is invalid, or the database does not respond.
    pub async fn postgres_read_only(url: &str) -> Result<Self, DatabaseError> {
        let limits = Limits::new(ACQUIRE_TIMEOUT);
        let options = postgres_options(url)?.options([
            ("default_transaction_read_only", "on"),
            ("default_transaction_isolation", "repeatable read"),
        ]);
        let options = options.options([("statement_timeout", limits.statement.as_millis())]);
        let pool = connect(&options, limits.acquire_timeout).await?;
        Ok(Self::new(Pool::Postgres(pool), limits))
    }

    /// Checks that the schema is that of `migrations`, without changing it.
    ///
    /// # Errors
    /// [`DatabaseError::Schema`] when it is another one; another error when the database fails or
    /// was never migrated.
    pub async fn check_schema(&self, migrations: &Migrator) -> Result<(), DatabaseError> {
        let newest = statement("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations");
        let version = newest.number(self).await?;
        let expected =
            migrations.iter().map(|migration| migration.version).max().unwrap_or_default();
        if version == expected {
            Ok(())
        } else {
            Err(DatabaseError::Schema { actual: version, expected })
        }
    }

    /// Returns whether other processes can share the database, which only PostgreSQL supports.
    pub const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Makes a SQLite file count as shared, for simulations: their processes run in turn, and share
    /// a file in place of a server.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// Begins a write transaction. In SQLite it acquires the lock immediately, because a read
    /// transaction that is upgraded after another connection has written would fail; in PostgreSQL
    /// statements lock the rows they change.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database fails or times out.
    pub async fn begin(&self) -> Result<Transaction, DatabaseError> {
        let begin = match self.pool {
            Pool::Sqlite { .. } => "BEGIN IMMEDIATE",
            Pool::Postgres(_) => "BEGIN",
        };
        Transaction::begin(self.borrow_writer().await?, begin.into_sql_str()).await
    }

    /// Begins a transaction whose statements all read the same state, while others write; also on a
    /// database that is opened read-only. It must not write: PostgreSQL refuses it, and SQLite if
    /// another connection has written since.
    ///
    /// # Errors
    /// [`DatabaseError`] if the database fails or times out.
    pub async fn begin_reading(&self) -> Result<Transaction, DatabaseError> {
        let begin = match self.pool {
            Pool::Sqlite { .. } => "BEGIN DEFERRED",
            Pool::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Transaction::begin(self.borrow_connection().await?, begin.into_sql_str()).await
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite { readers, writer } => {
                readers.close().await;
                // The last connection to be closed writes the log back into the file.
                writer.close().await;
            }
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    async fn borrow_connection(&self) -> Result<PooledConnection, DatabaseError> {
        let connection = match &self.pool {
            Pool::Sqlite { readers, .. } => Connection::Sqlite(readers.acquire().await?),
            Pool::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
        };
        Ok(PooledConnection::new(connection, self.limits))
    }

    /// Borrows a connection for writing, in SQLite once no other task of this process writes.
    async fn borrow_writer(&self) -> Result<PooledConnection, DatabaseError> {
        let Pool::Sqlite { writer, .. } = &self.pool else { return self.borrow_connection().await };
        match writer.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => {
                Err(DatabaseError::NoResponse(self.limits.acquire_timeout))
            }
            connection => Ok(PooledConnection::new(Connection::Sqlite(connection?), self.limits)),
        }
    }
}

/// Parses the URL of a PostgreSQL database.
fn postgres_options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(DatabaseError::Url);
    }
    let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::Url)?;
    Ok(options.disable_statement_logging().options(KEEPALIVE))
}

fn postgres_pool(connections: u32, acquire_timeout: Duration) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(acquire_timeout)
}

/// Connects to a server, with a pool of one connection.
async fn connect(
    options: &PgConnectOptions,
    acquire_timeout: Duration,
) -> Result<PgPool, DatabaseError> {
    match postgres_pool(1, acquire_timeout).connect_with(options.clone()).await {
        Err(timed_out @ sqlx::Error::PoolTimedOut) => {
            Err(connect_error(options, acquire_timeout, timed_out).await)
        }
        connected => Ok(connected?),
    }
}

/// Returns why no connection to a server could be obtained. A pool tries again until its timeout,
/// and drops the cause.
async fn connect_error(
    options: &PgConnectOptions,
    acquire_timeout: Duration,
    timed_out: sqlx::Error,
) -> DatabaseError {
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let attempt = timeout(acquire_timeout, options.connect()).await;
    let source = attempt.ok().and_then(Result::err).unwrap_or(timed_out);
    DatabaseError::Unreachable { server, source }
}

#[cfg(test)]
mod tests;
