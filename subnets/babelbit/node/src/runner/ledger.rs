//! What was played and scored, kept so that a killed run loses nothing and does nothing twice.
//!
//! One SQLite file holds every challenge, its utterances and one row per miner and utterance. The row of a reply is
//! written after the reply's WAV file; with the file's hash in the row, a file that a power cut has torn is noticed and
//! the utterance is played again. Scores are added to all rows of an utterance in one transaction. Result files are
//! written from these rows alone, so writing them again gives the same files.
//!
//! The file is opened with an exclusive lock: a second runner on the same directory is refused. `synchronous` is
//! NORMAL: a killed process loses no committed row, a power cut may lose the latest ones, which are then played again.
//! [`Ledger::sync`] forces everything to disk before files are named after a row.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use tokio::sync::Mutex;

mod challenges;
mod results;

pub use challenges::{ChallengeRow, ChallengeState, NewChallenge, SourceInfo, UtteranceRow};
pub use results::{MinerKey, ReplyRecord, ResultRow, StoredScore};

/// Name of the file in the state directory.
const FILE: &str = "runner.sqlite";

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another runner has it.
    #[error("another runner is working in {}: stop it, or use another state directory", .0.display())]
    Locked(PathBuf),
    /// The directory cannot be made.
    #[error("cannot create the state directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file belongs to a newer version, or is no ledger.
    #[error("cannot bring the ledger {} up to date", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: sqlx::migrate::MigrateError,
    },
    /// SQLite failed.
    #[error("the ledger failed")]
    Database(#[from] sqlx::Error),
    /// A row holds what this version does not understand.
    #[error("the ledger's column {column} cannot be read")]
    Column {
        /// The column.
        column: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A row holds a value that its column cannot have.
    #[error("the ledger's column {column} holds {value:?}")]
    Value {
        /// The column.
        column: &'static str,
        /// The value.
        value: String,
    },
}

/// The runner's ledger. See the module's head.
#[derive(Debug)]
pub struct Ledger {
    // One connection that lives as long as the ledger: it holds the lock.
    connection: Mutex<SqliteConnection>,
}

impl Ledger {
    /// Opens the ledger of a state directory; makes both when they are missing.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process has it open, else what kept it from being opened.
    pub async fn open(directory: &Path) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| LedgerError::Directory { path: directory.to_owned(), source })?;
        let path = directory.join(FILE);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .locking_mode(SqliteLockingMode::Exclusive)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            // Long enough for a runner that is just ending to let go.
            .busy_timeout(Duration::from_secs(1))
            .disable_statement_logging();
        let locked = |error: sqlx::Error| {
            if is_busy(&error) { LedgerError::Locked(directory.to_owned()) } else { error.into() }
        };
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(locked)?;
        // The first write takes the lock; until then two processes could both believe that they have the ledger.
        sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.map_err(locked)?;
        sqlx::query("COMMIT").execute(&mut connection).await.map_err(locked)?;
        sqlx::migrate!("migrations/runner").run(&mut connection).await.map_err(|source| match source {
            sqlx::migrate::MigrateError::Execute(error) if is_busy(&error) => LedgerError::Locked(directory.to_owned()),
            source => LedgerError::Migrate { path, source },
        })?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Forces every committed row to disk.
    ///
    /// # Errors
    /// [`LedgerError::Database`] when SQLite fails.
    pub async fn sync(&self) -> Result<(), LedgerError> {
        sqlx::query("PRAGMA wal_checkpoint(FULL)").execute(&mut *self.connection.lock().await).await?;
        Ok(())
    }
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

#[cfg(test)]
mod tests;
