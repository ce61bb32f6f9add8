use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool};
use tokio::runtime::Handle;

use super::StoreError;

/// A connection that is returned to its pool, or closed if the database no longer responds on it.
pub(super) struct Loan<DB: Database> {
    connection: PoolConnection<DB>,
    wait: Duration,
}

impl<DB: Database> Loan<DB> {
    pub(super) async fn new(pool: &Pool<DB>, wait: Duration) -> Result<Self, StoreError> {
        Ok(Self { connection: pool.acquire().await?, wait })
    }

    pub(super) fn connection(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}

impl<DB: Database> Drop for Loan<DB> {
    /// The pool pings each returned connection without a timeout: a few half-open ones would exhaust it.
    fn drop(&mut self) {
        let returning = self.connection.return_to_pool();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(self.wait, returning));
        }
    }
}

/// Applies a timeout to an operation.
pub(super) async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(time, work).await.unwrap_or(Err(StoreError::NoAnswer(time)))
}
