//! Database of a Nineteen validator: miners and their sessions, periods with their counters, queued answers to check,
//! rewards, API keys and credits.
//!
//! The database is SQLite (WAL, synced). The statements are portable to PostgreSQL.
//!
//! Two rules make it crash-safe: counters are stored as absolute values, and the result of a check replaces its sample
//! in one transaction, keyed by the job.
//!
//! Uses `taonet-nineteen-core` and `taonet-nineteen-transport` (sessions).
//! Used by query, control, entry and `tao nineteen`.

// Tests compare counters and scores exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod credits;
mod error;
mod idempotency;
mod keys;
mod nodes;
mod periods;
mod samples;

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _, Sqlite, Transaction};

pub use credits::{HoldRefusal, Usage, UsageRow};
pub use error::StoreError;
pub use idempotency::{Claim, StoredAnswer};
pub use keys::{ApiKey, KeyTerms, NewKey};
pub use nodes::Node;
pub use periods::{BudgetRow, ContenderRow, HistoryRow, NewContender, PeriodId, PeriodRow};
pub use samples::{Reward, RewardRow, Sample};

/// Name of the database file in its directory.
const FILE: &str = "nineteen.sqlite";
/// Maximum number of database connections.
const CONNECTIONS: u32 = 4;
/// Timeout for a connection, and for SQLite's lock.
const WAIT: Duration = Duration::from_secs(10);

/// Migrations of the schema. `sqlx::migrate!` would compile the database drivers a second time, for the host.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "market", include_str!("../migrations/0001_market.sql")),
        migration(2, "credits", include_str!("../migrations/0002_credits.sql")),
        migration(3, "idempotency", include_str!("../migrations/0003_idempotency.sql")),
    ])
});

/// The validator's database. Clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the database in a directory; creates both if missing. Only the owner can read them: they contain keys.
    ///
    /// # Errors
    /// [`StoreError`] when the directory is unusable, or the database has a newer schema.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        make_private(directory, &path)
            .map_err(|source| StoreError::Directory { path: directory.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(WAIT)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(WAIT);
        let pool = pool.connect_with(options).await?;
        MIGRATIONS.run(&pool).await.map_err(|source| StoreError::Migrate { path, source })?;
        Ok(Self { pool })
    }

    /// Begins a write transaction, which acquires SQLite's lock immediately: a read transaction that is upgraded after
    /// another connection has written would fail.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn make_private(directory: &Path, file: &Path) -> std::io::Result<()> {
    use std::fs::{DirBuilder, OpenOptions, Permissions};
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};

    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(file)?.set_permissions(Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests;
