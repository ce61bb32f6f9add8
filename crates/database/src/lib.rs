//! The same SQL statements on SQLite and PostgreSQL.
//!
//! - [`Database`]: connections, migrations, transactions, and timeouts that also end half-open connections;
//! - [`statement()`]: one statement with its values, for either database;
//! - [`Row`]: the columns of a result.
//!
//! Values are integers, floats and texts. sqlx's own driver for several databases (`Any`) is not used: it binds NULL in
//! place of a `DOUBLE PRECISION` as a single-precision number, and PostgreSQL then keeps that type for the prepared
//! statement.
//!
//! Uses no other crate of the workspace.
//! Used by `taonet-nineteen-store`; tests of the scoring API and of `tao` start its PostgreSQL servers.

mod connection;
mod error;
mod row;
mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _};

pub use connection::{On, Transaction};
pub use error::DatabaseError;
pub use row::{Column, Row};
pub use sqlx::migrate::Migrator;
pub use statement::{Statement, Value, statement};

use connection::{Connection, Loan, within};

/// Maximum number of connections to a SQLite file, which has one writer at a time.
const SQLITE_CONNECTIONS: u32 = 4;
/// Maximum number of connections to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Timeout for a connection, and for SQLite's lock.
const WAIT: Duration = Duration::from_secs(10);
/// Timeout of schema migrations.
const MIGRATION: Duration = Duration::from_mins(1);

/// Numbered schema migrations: version, name, and SQL that both databases understand.
///
/// `sqlx::migrate!` would compile the database drivers a second time, for the host.
pub fn migrations(files: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(files.iter().map(migration).collect())
}

/// Timeouts of a database.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Timeout for a connection, and for SQLite's lock.
    wait: Duration,
    /// Timeout of a statement in PostgreSQL.
    statement: Duration,
    /// Timeout of a statement including its transfer, after which the connection is considered dead.
    answer: Duration,
}

impl Limits {
    fn new(wait: Duration) -> Self {
        Self { wait, statement: wait * 3, answer: wait * 4 }
    }
}

/// A SQLite file or a PostgreSQL database. Clones share connections.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
    limits: Limits,
}

#[derive(Debug, Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Database {
    /// Opens a SQLite file (WAL, synced, foreign keys); creates it if missing, and migrates its schema.
    ///
    /// # Errors
    /// [`DatabaseError`] when the file is unusable, locked, or has another schema.
    pub async fn sqlite(file: &Path, migrations: &Migrator) -> Result<Self, DatabaseError> {
        let limits = Limits::new(WAIT);
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(limits.wait)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(SQLITE_CONNECTIONS).acquire_timeout(limits.wait);
        let pool = pool.connect_with(options).await?;
        within(MIGRATION, async { Ok(migrations.run(&pool).await?) }).await?;
        Ok(Self { pool: Pool::Sqlite(pool), limits })
    }

    /// Connects to a PostgreSQL database (`postgres://…`) and migrates its schema.
    ///
    /// # Errors
    /// [`DatabaseError`] when the URL is invalid, or the database is unreachable, unresponsive, or has another schema.
    pub async fn postgres(url: &str, migrations: &Migrator) -> Result<Self, DatabaseError> {
        Self::postgres_within(url, migrations, WAIT).await
    }

    /// Like [`Self::postgres`], with a timeout for connections; statements may take up to four times as long.
    pub(crate) async fn postgres_within(
        url: &str,
        migrations: &Migrator,
        wait: Duration,
    ) -> Result<Self, DatabaseError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(DatabaseError::Url);
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::Url)?.disable_statement_logging();
        let limits = Limits::new(wait);
        let pool = |connections| PgPoolOptions::new().max_connections(connections).acquire_timeout(wait);
        // A migration of all rows may exceed the statement timeout.
        let unlimited = pool(1).connect_with(options.clone()).await?;
        within(MIGRATION, async { Ok(migrations.run(&unlimited).await?) }).await?;
        let pool = pool(POSTGRES_CONNECTIONS).connect_lazy_with(options.options([
            ("statement_timeout", limits.statement.as_millis()),
            // An idle transaction of a vanished client would lock its rows forever.
            ("idle_in_transaction_session_timeout", limits.answer.as_millis()),
        ]));
        Ok(Self { pool: Pool::Postgres(pool), limits })
    }

    /// Returns whether other processes can share the database: PostgreSQL.
    pub const fn is_shared(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }

    /// Begins a write transaction. In SQLite it acquires the lock immediately, because a read transaction that is
    /// upgraded after another connection has written would fail; in PostgreSQL statements lock the rows they change.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn begin(&self) -> Result<Transaction, DatabaseError> {
        let begin = match self.pool {
            Pool::Sqlite(_) => "BEGIN IMMEDIATE",
            Pool::Postgres(_) => "BEGIN",
        };
        Transaction::begin(self.lend().await?, begin.into_sql_str()).await
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    async fn lend(&self) -> Result<Loan, DatabaseError> {
        let connection = match &self.pool {
            Pool::Sqlite(pool) => Connection::Sqlite(pool.acquire().await?),
            Pool::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
        };
        Ok(Loan::new(connection, self.limits))
    }
}

#[cfg(test)]
mod tests;
