//! The database of intents and signed extrinsics.
//!
//! Only one process at a time can open the database for writing: a file beside it is locked through
//! the operating system, which releases the lock even if the process is killed. [`LedgerReader`]
//! reads without the lock. Every transaction is synced to disk (`synchronous = FULL`): otherwise a
//! power failure could lose the record of an extrinsic that is already on the chain.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection};
use tokio::sync::Mutex;
use tokio::time::sleep;

mod extrinsics;
mod intents;
mod reader;

pub use extrinsics::StoredExtrinsic;
pub use intents::{Intent, IntentKey, IntentState, Plan};
pub use reader::{LedgerReader, Record, RecordedExtrinsic};

/// The name of the database file in its directory.
const FILE: &str = "weights.sqlite";
/// The name of the locked file beside the database.
const LOCK: &str = "weights.lock";
/// Maximum time to wait for the lock of an exiting process, and for a database that a concurrent
/// reader has locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// Result codes of SQLite: the file is damaged, the disk is full, and the file is not a database.
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;
/// The interval between two attempts to acquire the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// The schema's migrations. They are built without `sqlx::migrate!`, which would compile the
/// database drivers a second time, for the host.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let files = [
        (1, "weights", include_str!("../migrations/0001_weights.sql")),
        (2, "times", include_str!("../migrations/0002_times.sql")),
    ];
    Migrator::with_migrations(
        files
            .map(|(version, name, sql)| {
                Migration::new(
                    version,
                    name.into(),
                    MigrationType::Simple,
                    sql.into_sql_str(),
                    false,
                )
            })
            .to_vec(),
    )
});

/// Why the ledger is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has the ledger open.
    #[error("another process is using the weight ledger in {}; hint: stop it, or wait until it exits", .0.display())]
    Locked(PathBuf),
    /// Creating the ledger's directory, database file or lock file failed.
    #[error("cannot create the weight ledger in {}; hint: check the owner of the directory and of its parent", path.display())]
    Directory {
        /// Path of the directory.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The database file that a `LedgerReader` should read does not exist.
    #[error("there is no weight ledger at {}; hint: pass the directory given to the gateway as --state", .0.display())]
    Missing(PathBuf),
    /// The database has a schema version that a `LedgerReader` cannot read.
    #[error(
        "the weight ledger {} has schema version {actual}, but this program reads version {expected}; hint: run the \
         same version of the gateway and of this program", path.display()
    )]
    Version {
        /// Path of the file.
        path: PathBuf,
        /// The file's version.
        actual: i64,
        /// The version that this program reads.
        expected: i64,
    },
    /// The file has a newer schema version, or is not a ledger.
    #[error("cannot migrate the weight ledger {}; hint: a newer version of this program may have written it", path.display())]
    Migrate {
        /// Path of the file.
        path: PathBuf,
        /// The migration's error.
        source: sqlx::migrate::MigrateError,
    },
    /// The database file is damaged, or is not a database.
    #[error(
        "the database of the weight ledger ({FILE}) is damaged, so nothing is signed: {0}; hint: move {FILE} and the \
         files beside it away, and restore a backup or start without one: an epoch whose weights are on the chain is \
         not submitted again, but hash commits of the lost ledger cannot be revealed"
    )]
    Corrupt(String),
    /// The disk is full.
    #[error(
        "the disk of the weight ledger is full, so nothing is signed until it has space; hint: free disk space"
    )]
    Full(#[source] sqlx::Error),
    /// A database operation failed.
    #[error(
        "the weight ledger failed, so nothing is signed until it recovers; hint: check the owner of {FILE} and of its \
         directory, and the health of the disk"
    )]
    Database(#[source] sqlx::Error),
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
    #[error(
        "invalid value {value:?} in column {column} of the weight ledger; hint: undo manual changes"
    )]
    Value {
        /// Name of the column.
        column: &'static str,
        /// The invalid value.
        value: String,
    },
}

impl LedgerError {
    fn directory(path: &Path, source: std::io::Error) -> Self {
        Self::Directory { path: path.to_owned(), source }
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let extended: Option<i32> = code.and_then(|code| code.parse().ok());
        // The low byte of an extended result code is the primary code.
        match extended.map(|code| code & 0xff) {
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Corrupt(error.to_string()),
            Some(SQLITE_FULL) => Self::Full(error),
            _ => Self::Database(error),
        }
    }
}

/// The ledger: an open database of intents and signed extrinsics, locked by this process.
#[derive(Debug)]
pub struct Ledger {
    connection: Mutex<SqliteConnection>,
    /// The locked file; dropping it releases the lock.
    _lock: File,
}

impl Ledger {
    /// Opens the ledger in a directory, creating the directory and the ledger if missing.
    ///
    /// # Errors
    /// [`LedgerError::Locked`] when another process has the ledger open, [`LedgerError::Corrupt`]
    /// when the file is damaged, or another [`LedgerError`] when opening it fails.
    pub async fn open(directory: &Path) -> Result<Self, LedgerError> {
        let path = directory.join(FILE);
        make_private(directory, &path)
            .map_err(|source| LedgerError::directory(directory, source))?;
        let lock = lock(directory).await?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options).await?;
        check_integrity(&mut connection).await?;
        MIGRATIONS
            .run(&mut connection)
            .await
            .map_err(|source| LedgerError::Migrate { path, source })?;
        Ok(Self { connection: Mutex::new(connection), _lock: lock })
    }

    /// Closes the database and releases the lock.
    ///
    /// # Errors
    /// [`LedgerError::Database`] when SQLite fails.
    pub async fn close(self) -> Result<(), LedgerError> {
        Ok(self.connection.into_inner().close().await?)
    }
}

#[cfg(test)]
impl Ledger {
    /// Pretends that a later version of this program wrote the ledger.
    pub(crate) async fn forge_version(&self, version: i64) {
        let forge = "UPDATE _sqlx_migrations SET version = ? WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
        sqlx::query(forge).bind(version).execute(&mut *self.connection.lock().await).await.unwrap();
    }
}

/// Checks the whole database: a damaged index would hide an extrinsic, which would then be signed
/// again.
async fn check_integrity(connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    let problem: String =
        sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(connection).await?;
    // SQLite reports in several lines, but the error has one, followed by its hint.
    if problem == "ok" { Ok(()) } else { Err(LedgerError::Corrupt(problem.replace('\n', " "))) }
}

/// Creates the directory and the file if missing. Only the owner can access the file, since it
/// contains unrevealed salts and weights. SQLite copies the file's permissions to the other files
/// that it creates.
fn make_private(directory: &Path, file: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)?
        .set_permissions(Permissions::from_mode(0o600))
}

/// Locks the directory's lock file for this process.
async fn lock(directory: &Path) -> Result<File, LedgerError> {
    let options = OpenOptions::new().create(true).append(true).mode(0o600).clone();
    let file = options
        .open(directory.join(LOCK))
        .map_err(|source| LedgerError::directory(directory, source))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if start.elapsed() < BUSY_TIMEOUT => {
                sleep(LOCK_INTERVAL).await;
            }
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Locked(directory.to_owned())),
            Err(TryLockError::Error(source)) => {
                return Err(LedgerError::directory(directory, source));
            }
        }
    }
}

fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|source| LedgerError::Column { column, source })
}

fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|source| LedgerError::Column { column, source })
}

/// Returns the converted value of a column. If the conversion failed (`read` is `None`), the error
/// names the original value.
fn from_column<T>(
    column: &'static str,
    value: &impl ToString,
    read: Option<T>,
) -> Result<T, LedgerError> {
    read.ok_or_else(|| LedgerError::Value { column, value: value.to_string() })
}

#[cfg(test)]
mod tests {
    use taonet_primitives::split_hint;

    use super::*;

    #[tokio::test]
    async fn damaged_database_is_reported_as_damaged() {
        const PAGE: usize = 4096;
        let directory = tempfile::tempdir().unwrap();
        let (path, file) = (directory.path(), directory.path().join(FILE));
        Ledger::open(path).await.unwrap().close().await.unwrap();
        let intact = std::fs::read(&file).unwrap();
        let mut truncated = intact.clone();
        truncated.truncate(2 * PAGE);
        let mut zeroed = intact.clone();
        zeroed[PAGE..3 * PAGE].fill(0);
        let no_database = b"not a database: ".repeat(PAGE);
        for (name, bytes) in [("truncated", truncated), ("zeroed", zeroed), ("other", no_database)]
        {
            std::fs::write(&file, bytes).unwrap();
            let writer = Ledger::open(path).await.unwrap_err();
            let reader = match LedgerReader::open(path).await {
                Err(error) => error,
                Ok(reader) => reader.latest(10).await.unwrap_err(),
            };
            for error in [writer, reader] {
                let text = error.to_string();
                assert!(matches!(error, LedgerError::Corrupt(_)), "{name}: {error:?}");
                assert!(
                    text.contains("weights.sqlite) is damaged") && !text.contains("disk space"),
                    "{text}"
                );
                assert!(!text.contains('\n') && split_hint(&text).1.is_some(), "{text}");
            }
        }
        std::fs::write(&file, intact).unwrap();
        Ledger::open(path).await.unwrap();
    }

    /// SQLite reports a full disk with the same code as a database that has reached its maximum
    /// number of pages.
    #[tokio::test]
    async fn full_disk_is_reported_as_full() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path()).await.unwrap();
        let mut connection = ledger.connection.lock().await;
        let pages: i64 =
            sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut *connection).await.unwrap();
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(limit).execute(&mut *connection).await.unwrap();
        let fill = "CREATE TABLE filler AS SELECT randomblob(1000000) AS bytes";
        let error =
            LedgerError::from(sqlx::query(fill).execute(&mut *connection).await.unwrap_err());
        assert!(matches!(error, LedgerError::Full(_)), "{error:?}");
        assert!(error.to_string().ends_with("hint: free disk space"), "{error}");
    }

    #[tokio::test]
    async fn ledger_is_readable_by_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("a/b");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        drop(Ledger::open(&directory).await.unwrap());
        let file = directory.join(FILE);
        assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
        // Simulates a file created by an older version.
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let _open = Ledger::open(&directory).await.unwrap();
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}
