use std::time::Duration;

use sqlx::migrate::MigrateError;

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The URL is not a PostgreSQL URL.
    #[error("malformed database URL, expected postgres://USER:PASSWORD@HOST/DATABASE")]
    Url,
    /// The schema cannot be migrated, for example because a newer version or another program has written the database.
    #[error("cannot migrate the database; hint: a newer version or another program may have written it")]
    Migrate(#[from] MigrateError),
    /// A statement or a connection failed.
    #[error("a database operation failed")]
    Failed(#[from] sqlx::Error),
    /// The database did not respond within the timeout.
    #[error("the database timed out after {0:?}")]
    NoAnswer(Duration),
}
