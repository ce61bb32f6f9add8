//! The database of intents and signed extrinsics.
//!
//! Only one process at a time can open the database: it is locked through the operating system, which releases the lock
//! however the process ends. Every transaction is synced to disk (`synchronous = FULL`): otherwise a power failure
//! could lose the record of an extrinsic that is already on the chain.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection};
use tokio::sync::Mutex;

mod extrinsics;
mod intents;

pub use extrinsics::Signed;
pub use intents::{Intent, IntentKey, IntentState, Plan};

/// The name of the database file in its directory.
const FILE: &str = "weights.sqlite";

/// The schema's migrations. They are built without `sqlx::migrate!`, which would compile the database drivers a second
/// time, for the host.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = include_str!("../migrations/0001_weights.sql").into_sql_str();
    Migrator::with_migrations(vec![Migration::new(1, "weights".into(), MigrationType::Simple, sql, false)])
});

/// Why the ledger is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has the ledger open.
    #[error("another process is using the weight ledger in {}; hint: stop it, or wait until it exits", .0.display())]
    Locked(PathBuf),
    /// Creating the directory or its file failed.
    #[error("cannot create the weight ledger in {}; hint: check the owner of the directory and of its parent", path.display())]
    Directory {
        /// Path of the directory.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file has a newer schema version, or is not a ledger.
    #[error("cannot migrate the weight ledger {}; hint: a newer version of this program may have written it", path.display())]
    Migrate {
        /// Path of the file.
        path: PathBuf,
        /// The migration's error.
        source: sqlx::migrate::MigrateError,
    },
    /// A database operation failed.
    #[error("the weight ledger failed, signing is disabled until it works; hint: check the free disk space")]
    Database(#[from] sqlx::Error),
    /// A row's JSON does not parse in this version.
    #[error(
        "malformed value in column {column} of the weight ledger; hint: a newer version of this program may have \
         written it"
    )]
    Column {
        /// Name of the column.
        column: &'static str,
        /// The JSON error.
        source: serde_json::Error,
    },
    /// A row has an invalid value.
    #[error("invalid value {value:?} in column {column} of the weight ledger; hint: undo manual changes")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// The invalid value.
        value: String,
    },
}

/// The ledger: an open database of intents and signed extrinsics, locked by this process.
#[derive(Debug)]
pub struct Ledger {
    // One connection for the lifetime of the ledger: it holds the lock.
    connection: Mutex<SqliteConnection>,
}

impl Ledger {
    /// Opens the ledger in a directory, creating the directory and the ledger if missing.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process has it open, otherwise the reason for the failure.
    pub async fn open(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join(FILE);
        make_private(directory, &path)
            .map_err(|source| LedgerError::Directory { path: directory.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .locking_mode(SqliteLockingMode::Exclusive)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Long enough for an exiting process to release the lock.
            .busy_timeout(Duration::from_secs(1))
            .disable_statement_logging();
        let locked = |error: sqlx::Error| {
            if is_busy(&error) { LedgerError::Locked(directory.to_owned()) } else { error.into() }
        };
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(locked)?;
        // The first write takes the lock; until then two processes could both believe that they hold it.
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.map_err(locked)?;
        sqlx::query("COMMIT").execute(&mut connection).await.map_err(locked)?;
        MIGRATIONS.run(&mut connection).await.map_err(|source| match source {
            sqlx::migrate::MigrateError::Execute(error) if is_busy(&error) => LedgerError::Locked(directory.to_owned()),
            source => LedgerError::Migrate { path, source },
        })?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Closes the file and releases the lock.
    ///
    /// # Errors
    /// [`LedgerError::Database`] when SQLite fails.
    pub async fn close(self) -> Result<(), LedgerError> {
        Ok(self.connection.into_inner().close().await?)
    }
}

/// Makes the directory and the file private, since they contain unrevealed salts and weights. SQLite copies the file's
/// permissions to the other files that it creates.
fn make_private(directory: &Path, file: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(file)?.set_permissions(Permissions::from_mode(0o600))
}

fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i32 = 5;
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        // The low byte of an extended code is the primary code.
        .is_some_and(|code| code.parse::<i32>().is_ok_and(|code| code & 0xff == BUSY))
}

fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|source| LedgerError::Column { column, source })
}

fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|source| LedgerError::Column { column, source })
}

/// Converts the value parsed from a column, or reports the invalid value.
fn from_column<T>(column: &'static str, value: &impl ToString, read: Option<T>) -> Result<T, LedgerError> {
    read.ok_or_else(|| LedgerError::Value { column, value: value.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_owner_reads_the_ledger() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        drop(Ledger::open(&directory).await.unwrap());
        let file = directory.join(FILE);
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
        // A file created by another version.
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let _open = Ledger::open(&directory).await.unwrap();
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}
