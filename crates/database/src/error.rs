use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteError;

/// Primary result codes of SQLite (`SQLITE_CORRUPT`, `SQLITE_FULL`, `SQLITE_NOTADB`;
/// sqlite.org/rescode.html).
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The URL is not a PostgreSQL URL.
    #[error("malformed database URL, expected postgres://USER:PASSWORD@HOST/DATABASE")]
    Url,
    /// No connection to the PostgreSQL server could be obtained.
    #[error(
        "cannot connect to PostgreSQL at {server}; hint: check the database URL, and that the server runs"
    )]
    Unreachable {
        /// Host and port.
        server: String,
        /// Why the last attempt failed.
        source: sqlx::Error,
    },
    /// The schema cannot be migrated, for example because a newer version or another program has
    /// written the database.
    #[error(
        "cannot migrate the database; hint: a newer version or another program may have written it"
    )]
    Migrate(#[source] MigrateError),
    /// A database that is opened read-only has the schema of another version.
    #[error(
        "the database has schema version {actual}, but this program reads version {expected}; hint: use the program that \
         has written the database, or update both"
    )]
    Schema {
        /// Schema version of the database.
        actual: i64,
        /// Schema version of the program.
        expected: i64,
    },
    /// The SQLite file is damaged, or no SQLite file.
    #[error(
        "the database file is damaged; hint: stop the program, move the file and those beside it (-wal, -shm) away, and \
         restore a backup"
    )]
    Corrupt(#[source] sqlx::Error),
    /// The disk of the SQLite file is full.
    #[error("the disk of the database is full; hint: free disk space")]
    Full(#[source] sqlx::Error),
    /// A statement or a connection failed.
    #[error("a database operation failed")]
    Failed(#[source] sqlx::Error),
    /// The database did not respond within the timeout.
    #[error("the database timed out after {0:?}")]
    NoResponse(Duration),
}

impl From<MigrateError> for DatabaseError {
    fn from(error: MigrateError) -> Self {
        let MigrateError::Execute(cause) = error else { return Self::Migrate(error) };
        match Self::from(cause) {
            Self::Failed(cause) => Self::Migrate(MigrateError::Execute(cause)),
            error => error,
        }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Self::Corrupt(error),
            Some(SQLITE_FULL) => Self::Full(error),
            _ => Self::Failed(error),
        }
    }
}

/// Returns SQLite's primary result code: the low byte of the extended one. PostgreSQL's codes are
/// not SQLite's.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    let code = sqlx::error::DatabaseError::code(error)?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}
