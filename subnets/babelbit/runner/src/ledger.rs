//! SQLite ledger of played and scored utterances, from which a killed run resumes without lost or
//! repeated results.
//!
//! The ledger contains every challenge, its utterances and one row per miner and utterance. The
//! runner inserts the row of a reply after it has written the WAV file. The row contains the file's
//! hash: the next run detects a file that a power failure truncated, and plays the utterance again.
//! One transaction adds the scores of all rows of an utterance. Result files depend on these rows
//! alone, so writing them again produces identical files.
//!
//! The ledger is in the scores directory (`.ledger/runner.sqlite`), so that ledger and files are
//! moved together.
//!
//! A runner holds a lock file, which excludes other runners from the directory, but not readers
//! ([`Ledger::read`]). The SQLite option `synchronous` is NORMAL: a killed process loses no
//! committed row; a power failure may lose the latest rows, which the next run plays again.
//! [`Ledger::sync`] flushes all rows to disk before the runner creates files whose names depend on
//! a row.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, Sqlite, SqliteConnection};
use taonet_database::{DatabaseError, Migrator, migrations};
use taonet_service::{Shutdown, lock_file, unix_time};
use tokio::sync::{Mutex, Notify};

mod challenges;
mod outbox;
mod results;
mod rounds;
mod summaries;
mod text;

pub use challenges::{ChallengeRow, ChallengeState, NewChallenge, SourceInfo, UtteranceRow};
pub use outbox::{NamedFile, OutboxCounts, OutboxEntry, WrittenFiles};
pub use results::{ReplyFailure, ReplyRecord, ResultRow, StoredScore};
pub use rounds::{RoundEnd, RoundRow};
pub use summaries::{ChallengeHeader, ResultSummary, ScoreSummary};
pub use text::{TextChallenge, TextFile};

/// File name of the ledger in the state directory.
const LEDGER_FILE: &str = "runner.sqlite";
/// Name of the lock file in the state directory.
const LOCK_FILE: &str = "runner.lock";
/// Interval between two heartbeats of a runner's daemon.
const HEARTBEAT_INTERVAL: Duration = Duration::from_mins(1);
/// SQLite busy timeout, for a reader and a runner on the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Schema migrations.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    migrations(&[
        (1, "ledger", include_str!("../migrations/0001_ledger.sql")),
        (2, "scoring conditions", include_str!("../migrations/0002_scoring_conditions.sql")),
        (3, "rounds", include_str!("../migrations/0003_rounds.sql")),
        (4, "outbox", include_str!("../migrations/0004_outbox.sql")),
        (5, "take ups", include_str!("../migrations/0005_take_ups.sql")),
        (6, "text files", include_str!("../migrations/0006_text_files.sql")),
        (7, "titles", include_str!("../migrations/0007_titles.sql")),
    ])
});

/// Why a ledger operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another runner holds the lock.
    #[error("another runner is using {}; hint: stop it, or use another state directory", .0.display())]
    Locked(PathBuf),
    /// The directory could not be created or locked.
    #[error("cannot create or lock the state directory {}", path.display())]
    Directory {
        /// Path of the directory.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The ledger does not exist.
    #[error("the ledger {} does not exist; hint: pass the state directory of the run", .0.display())]
    Missing(PathBuf),
    /// The ledger has a different schema version, and a reader cannot migrate the ledger.
    #[error(
        "the ledger {} has schema version {actual}, expected {expected}; hint: run this program's runner to migrate \
         an older ledger",
        path.display()
    )]
    Version {
        /// Path of the file.
        path: PathBuf,
        /// The file's schema version.
        actual: i64,
        /// The expected schema version.
        expected: i64,
    },
    /// The file has a newer schema version, or is not a ledger.
    #[error("cannot migrate the ledger {}", path.display())]
    Migrate {
        /// Path of the file.
        path: PathBuf,
        /// The migration error.
        source: sqlx::migrate::MigrateError,
    },
    /// The file cannot be opened as a SQLite database, or has no schema version.
    #[error("cannot open the ledger {}", path.display())]
    Open {
        /// Path of the file.
        path: PathBuf,
        /// The error of the database.
        source: DatabaseError,
    },
    /// A SQLite operation failed.
    #[error("a ledger operation failed")]
    Database(#[source] DatabaseError),
    /// A JSON column is malformed.
    #[error("malformed value in column {column} of the ledger")]
    Column {
        /// Name of the column.
        column: &'static str,
        /// The deserialisation error.
        source: serde_json::Error,
    },
    /// A column has an invalid value.
    #[error("invalid value {value:?} in column {column} of the ledger")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// The invalid value.
        value: String,
    },
}

impl LedgerError {
    fn open(path: &Path, error: sqlx::Error) -> Self {
        Self::Open { path: path.to_owned(), source: error.into() }
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// SQLite ledger of the runner; see the module documentation.
#[derive(Debug)]
pub struct Ledger {
    connection: Mutex<SqliteConnection>,
    enqueued: Notify,
    /// Lock that excludes other runners; `None` for readers.
    lock: Option<File>,
}

impl Ledger {
    /// Opens the ledger of a state directory; creates both if missing.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another runner uses the directory, or another error when the
    /// ledger cannot be opened.
    pub async fn open(directory: &Path) -> Result<Self, LedgerError> {
        let lock = async {
            std::fs::create_dir_all(directory)?;
            lock_file(&directory.join(LOCK_FILE)).await
        };
        let lock = lock
            .await
            .map_err(|source| LedgerError::Directory { path: directory.to_owned(), source })?;
        let lock = lock.ok_or_else(|| LedgerError::Locked(directory.to_owned()))?;
        let path = directory.join(LEDGER_FILE);
        let options = connect_options(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let mut connection = SqliteConnection::connect_with(&options)
            .await
            .map_err(|error| LedgerError::open(&path, error))?;
        let migrated = MIGRATIONS.run(&mut connection).await.map_err(DatabaseError::from);
        migrated.map_err(|error| match error {
            DatabaseError::Migrate(source) => LedgerError::Migrate { path, source },
            source => LedgerError::Open { path, source },
        })?;
        Ok(Self { connection: Mutex::new(connection), enqueued: Notify::new(), lock: Some(lock) })
    }

    /// Opens the ledger of a state directory read-only, even while a runner uses it.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] when the file does not exist, [`LedgerError::Version`] when its
    /// schema version is not the current one, or another error when the ledger cannot be opened.
    pub async fn read(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join(LEDGER_FILE);
        if !path.is_file() {
            return Err(LedgerError::Missing(path));
        }
        let (connection, stored_version) =
            connect_read_only(&path).await.map_err(|error| LedgerError::open(&path, error))?;
        let expected =
            MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
        if stored_version != expected {
            return Err(LedgerError::Version { path, actual: stored_version, expected });
        }
        Ok(Self { connection: Mutex::new(connection), enqueued: Notify::new(), lock: None })
    }

    /// Updates the heartbeat every minute until shutdown: the modification time of the lock file. A
    /// round takes place every few hours, and nothing is recorded between two rounds.
    pub async fn keep_heartbeat(&self, shutdown: &Shutdown) {
        loop {
            let heartbeat = self.lock.as_ref().map(|lock| lock.set_modified(SystemTime::now()));
            if let Some(Err(error)) = heartbeat {
                tracing::debug!(%error, "cannot set the time of the lock file");
            }
            if !shutdown.sleep(HEARTBEAT_INTERVAL).await {
                return;
            }
        }
    }

    /// Returns the time of the latest heartbeat of a runner in a state directory
    /// ([`Self::keep_heartbeat`], or its start), in seconds since the Unix epoch; `None` if no
    /// runner has used the directory.
    pub fn last_heartbeat(directory: &Path) -> Option<i64> {
        let modified =
            std::fs::metadata(directory.join(LOCK_FILE)).and_then(|lock| lock.modified()).ok()?;
        i64::try_from(unix_time(modified).as_secs()).ok()
    }

    /// Flushes all committed rows to disk.
    ///
    /// # Errors
    /// [`LedgerError::Database`] when the SQLite operation fails.
    pub async fn sync(&self) -> Result<(), LedgerError> {
        self.execute(sqlx::query("PRAGMA wal_checkpoint(FULL)")).await.map(drop)
    }

    /// Executes a statement; returns the number of changed rows.
    async fn execute(
        &self,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<u64, LedgerError> {
        let mut connection = self.connection.lock().await;
        Ok(statement.execute(&mut *connection).await?.rows_affected())
    }
}

/// Opens a ledger read-only, and returns the connection and the ledger's schema version.
async fn connect_read_only(path: &Path) -> Result<(SqliteConnection, i64), sqlx::Error> {
    let mut connection =
        SqliteConnection::connect_with(&connect_options(path).read_only(true)).await?;
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut connection)
        .await?;
    Ok((connection, version.unwrap_or_default()))
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|source| LedgerError::Column { column, source })
}

fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|source| LedgerError::Column { column, source })
}

#[cfg(test)]
mod tests;
