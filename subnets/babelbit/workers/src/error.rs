use std::error::Error as _;
use std::time::Duration;

use taonet_database::DatabaseError;
use taonet_objects::StorageError;

/// Why the queue failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// NATS is unreachable or rejects the client.
    #[error("cannot connect to NATS: {0}")]
    Connect(#[source] async_nats::ConnectError),
    /// NATS did not respond within the timeout.
    #[error("NATS timed out after {0:?}")]
    TimedOut(Duration),
    /// JetStream failed or is disabled.
    #[error("JetStream: {0}; hint: start nats-server with --jetstream")]
    JetStream(#[source] async_nats::Error),
}

impl QueueError {
    pub(crate) fn jetstream(error: impl Into<async_nats::Error>) -> Self {
        Self::JetStream(error.into())
    }
}

/// Why submitting or processing a job failed. All of these failures are temporary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// A queue operation failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// An operation on the database of results failed.
    #[error("DATABASE_URL: {}{}", .0, cause(.0))]
    Database(#[from] DatabaseError),
    /// A bucket operation failed.
    #[error(transparent)]
    Bucket(#[from] StorageError),
}

/// Returns the cause of an error, after a colon: logs show only an error's own message.
fn cause(error: &DatabaseError) -> String {
    error.source().map(|cause| format!(": {cause}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use taonet_database::{Database, migrations};

    use super::*;

    #[tokio::test]
    async fn database_error_shows_its_cause() {
        let file = Path::new("/nonexistent/results");
        let error = WorkError::from(Database::sqlite(file, &migrations(&[])).await.unwrap_err())
            .to_string();
        assert!(error.starts_with("DATABASE_URL: a database operation failed: "), "{error}");
        assert!(error.contains("unable to open database file"), "{error}");
    }
}
