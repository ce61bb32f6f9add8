use std::time::Duration;

use sqlx::migrate::MigrateError;
use taonet_objects::StorageError;

/// Why the queue failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// NATS cannot be reached, or refuses the client.
    #[error("cannot connect to NATS: {0}")]
    Connect(#[source] async_nats::ConnectError),
    /// NATS did not respond.
    #[error("NATS timed out after {0:?}")]
    NoAnswer(Duration),
    /// JetStream failed or is disabled.
    #[error("JetStream: {0}; hint: start nats-server with --jetstream")]
    JetStream(#[source] async_nats::Error),
}

impl QueueError {
    pub(crate) fn jetstream(error: impl Into<async_nats::Error>) -> Self {
        Self::JetStream(error.into())
    }
}

/// Why the database of results failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL is not one of PostgreSQL.
    #[error("DATABASE_URL: expected postgres://USER:PASSWORD@HOST/DATABASE")]
    Url,
    /// The database has another schema version.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] MigrateError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database did not respond.
    #[error("the database timed out after {0:?}")]
    NoAnswer(Duration),
}

/// Why a job could not be submitted or processed for now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] StorageError),
}
