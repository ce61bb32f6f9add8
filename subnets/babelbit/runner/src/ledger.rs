//! What was played and scored, kept so that a killed run loses nothing and does nothing twice.
//!
//! One SQLite file holds every challenge, its utterances and one row per miner and utterance. The row of a reply is
//! written after the reply's WAV file; with the file's hash in the row, a file that a power cut has torn is noticed and
//! the utterance is played again. Scores are added to all rows of an utterance in one transaction. Result files are
//! written from these rows alone, so writing them again gives the same files.
//!
//! A file beside it is locked as long as a runner works there: a second one on the same directory is refused, readers
//! ([`Ledger::read`]) are not. `synchronous` is NORMAL: a killed process loses no committed row, a power cut may lose the
//! latest ones, which are then played again. [`Ledger::sync`] forces everything to disk before files are named after a
//! row.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use taonet_service::lock_file;
use tokio::sync::{Mutex, Notify};

mod challenges;
mod outbox;
mod results;
mod rounds;

pub use challenges::{ChallengeRow, ChallengeState, NewChallenge, SourceInfo, UtteranceRow};
pub use outbox::{OutboxCounts, OutboxEntry, WrittenFiles};
pub use results::{ReplyRecord, ResultRow, StoredScore};
pub use rounds::{RoundEnd, RoundRow};

/// Name of the file in the state directory.
const FILE: &str = "runner.sqlite";
/// Name of the file that a runner locks.
const LOCK: &str = "runner.lock";
/// How long a reader waits for the runner's turn with the file, and the reverse.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another runner has it.
    #[error("another runner is working in {}: stop it, or use another state directory", .0.display())]
    Locked(PathBuf),
    /// The directory cannot be made, or locked.
    #[error("cannot create or lock the state directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is none to read.
    #[error("there is no ledger {}: name the directory that the run kept its files in", .0.display())]
    Missing(PathBuf),
    /// The file was written by another version, and is only to be read.
    #[error(
        "the ledger {} is of version {found}, and this program reads version {expected}: a runner of this program brings \
         an older one up to date",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version of this program.
        expected: i64,
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
    connection: Mutex<SqliteConnection>,
    handed_over: Notify,
    /// Keeps other runners out; readers have none.
    _lock: Option<File>,
}

impl Ledger {
    /// Opens the ledger of a state directory; makes both when they are missing.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process has it open, else what kept it from being opened.
    pub async fn open(directory: &Path) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| LedgerError::Directory { path: directory.to_owned(), source })?;
        let lock = lock_file(&directory.join(LOCK)).await;
        let lock = lock.map_err(|source| LedgerError::Directory { path: directory.to_owned(), source })?;
        let lock = lock.ok_or_else(|| LedgerError::Locked(directory.to_owned()))?;
        let path = directory.join(FILE);
        let options = options(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        MIGRATIONS.run(&mut connection).await.map_err(|source| LedgerError::Migrate { path, source })?;
        Ok(Self { connection: Mutex::new(connection), handed_over: Notify::new(), _lock: Some(lock) })
    }

    /// Opens the ledger of a state directory to read it, while a runner works there or not. Nothing is made or changed.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] when there is none, [`LedgerError::Version`] when it is not of this version, else what
    /// kept it from being opened.
    pub async fn read(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join(FILE);
        if !path.is_file() {
            return Err(LedgerError::Missing(path));
        }
        let mut connection = SqliteConnection::connect_with(&options(&path).read_only(true)).await?;
        let found: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut connection).await?;
        let found = found.unwrap_or_default();
        let expected = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
        if found != expected {
            return Err(LedgerError::Version { path, found, expected });
        }
        Ok(Self { connection: Mutex::new(connection), handed_over: Notify::new(), _lock: None })
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

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).foreign_keys(true).busy_timeout(BUSY_TIMEOUT).disable_statement_logging()
}

fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|source| LedgerError::Column { column, source })
}

fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|source| LedgerError::Column { column, source })
}

#[cfg(test)]
mod tests;
