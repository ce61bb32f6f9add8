use std::time::Duration;

use sqlx::migrate::MigrateError;

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The URL is not one of PostgreSQL.
    #[error("expected postgres://USER:PASSWORD@HOST/DATABASE")]
    Url,
    /// The database has another schema version, or belongs to another program.
    #[error("cannot migrate the database; hint: a newer version or another program may have written it")]
    Migrate(#[from] MigrateError),
    /// A statement or a connection failed.
    #[error("the database failed")]
    Failed(#[from] sqlx::Error),
    /// The database did not respond.
    #[error("the database timed out after {0:?}")]
    NoAnswer(Duration),
}
