//! The file in which intents and signed extrinsics stand.
//!
//! One process at a time has it: the lock is the system's, so that it goes with the process however that ends. Every
//! commit is on disk before it counts (`synchronous` FULL): a row that a power cut takes back might be one whose
//! extrinsic is on the chain.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::Mutex;

mod extrinsics;
mod intents;

pub use extrinsics::Signed;
pub use intents::{Intent, IntentKey, IntentState, Plan};

/// Name of the file in its directory.
const FILE: &str = "weights.sqlite";

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has it.
    #[error("another process is using the weight ledger in {}: stop it, or wait until it has ended", .0.display())]
    Locked(PathBuf),
    /// The directory, or the file in it, cannot be made.
    #[error("cannot make the weight ledger in {}: check who owns it, and its parent", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file belongs to a newer version, or is no ledger.
    #[error("cannot bring the weight ledger {} up to date: was it made by a newer version of this program?", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: sqlx::migrate::MigrateError,
    },
    /// SQLite failed.
    #[error("the weight ledger failed; nothing more is signed before it works: check that its disk is not full")]
    Database(#[from] sqlx::Error),
    /// A row holds what this version does not understand.
    #[error("the weight ledger's column {column} cannot be read: was it written by a newer version of this program?")]
    Column {
        /// The column.
        column: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A row holds a value that its column cannot have.
    #[error("the weight ledger's column {column} cannot have {value:?}: was it changed by hand?")]
    Value {
        /// The column.
        column: &'static str,
        /// The value.
        value: String,
    },
}

/// The ledger's file. See the module's head.
#[derive(Debug)]
pub struct Ledger {
    // One connection that lives as long as the ledger: it holds the lock.
    connection: Mutex<SqliteConnection>,
}

impl Ledger {
    /// Opens the ledger of a directory; makes both when they are missing.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process has it open, else what kept it from being opened.
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
            // Long enough for a process that is just ending to let go.
            .busy_timeout(Duration::from_secs(1))
            .disable_statement_logging();
        let locked = |error: sqlx::Error| {
            if is_busy(&error) { LedgerError::Locked(directory.to_owned()) } else { error.into() }
        };
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(locked)?;
        // The first write takes the lock; until then two processes could both believe that they have the ledger.
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.map_err(locked)?;
        sqlx::query("COMMIT").execute(&mut connection).await.map_err(locked)?;
        sqlx::migrate!().run(&mut connection).await.map_err(|source| match source {
            sqlx::migrate::MigrateError::Execute(error) if is_busy(&error) => LedgerError::Locked(directory.to_owned()),
            source => LedgerError::Migrate { path, source },
        })?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Closes the file and lets go of the lock.
    ///
    /// # Errors
    /// [`LedgerError::Database`] when SQLite fails.
    pub async fn close(self) -> Result<(), LedgerError> {
        Ok(self.connection.into_inner().close().await?)
    }
}

/// Salts and weights that are not revealed yet are nobody else's business. SQLite gives its other files the permissions of
/// the first.
fn make_private(directory: &Path, file: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(file)?.set_permissions(Permissions::from_mode(0o600))
}

fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i32 = 5;
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        // The low byte of an extended code is the plain code.
        .is_some_and(|code| code.parse::<i32>().is_ok_and(|code| code & 0xff == BUSY))
}

fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|source| LedgerError::Column { column, source })
}

fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|source| LedgerError::Column { column, source })
}

/// What was read from a column's value, if anything.
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
        // One that was made by another version.
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let _open = Ledger::open(&directory).await.unwrap();
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}
