//! Requests of processes that were killed: their credits and idempotency keys are released.

use std::time::Duration;

use taonet_nineteen_store::StoreError;
use taonet_service::Shutdown;

use crate::Gateway;
use crate::bill::today;

/// Age of a request that can no longer run: a miner's answer takes at most 15 minutes.
const ABANDONED: Duration = Duration::from_mins(30);
/// Interval between two searches.
const INTERVAL: Duration = Duration::from_mins(1);

impl Gateway {
    /// Releases the credits and idempotency keys of requests that an earlier process left. Call before serving: in a
    /// database of this process alone, these are all; in a shared one, those that are too old to run elsewhere.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn recover(&self) -> Result<(), StoreError> {
        if self.0.store.is_shared() { self.release_abandoned().await } else { self.release(i64::MAX).await }
    }

    /// Releases abandoned requests regularly, until shutdown.
    pub async fn keep_books(&self, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            if let Err(error) = self.release_abandoned().await {
                tracing::error!(error = &error as &dyn std::error::Error, "failed to release abandoned requests");
            }
        }
    }

    async fn release_abandoned(&self) -> Result<(), StoreError> {
        let (now_ms, _) = today(&self.0.clock);
        self.release(now_ms.saturating_sub(i64::try_from(ABANDONED.as_millis()).unwrap_or(i64::MAX))).await
    }

    async fn release(&self, before_ms: i64) -> Result<(), StoreError> {
        let (now_ms, _) = today(&self.0.clock);
        let released = self.0.store.release_holds(before_ms, now_ms).await?;
        if released > 0 {
            tracing::warn!(released, "released the credits of unfinished requests");
        }
        Ok(())
    }
}
