//! Release of the credits and idempotency keys of requests whose process was killed.

use std::time::Duration;

use taonet_nineteen_store::StoreError;
use taonet_service::{Shutdown, millis};

use crate::Gateway;
use crate::bill::now_ms;
use crate::webhook::BACKOFF;

/// Age from which an unfinished request counts as abandoned, and a lease of credits that is not
/// renewed as that of a killed process. A miner's answer takes at most 15 minutes.
const ABANDONED_AFTER: Duration = Duration::from_mins(30);
/// Interval between two searches for abandoned requests.
const SEARCH_INTERVAL: Duration = Duration::from_mins(1);

impl Gateway {
    /// Releases the credits and idempotency keys of requests that an earlier process did not
    /// finish. Call before serving. If the database is shared, releases only the credits and keys
    /// that are older than 30 minutes.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn recover(&self) -> Result<(), StoreError> {
        if self.0.store.is_shared() {
            self.release_abandoned().await
        } else {
            let released = self.0.store.release_holds(i64::MAX, now_ms(&self.0.clock)).await?;
            log_released(released);
            Ok(())
        }
    }

    /// Releases the credits and idempotency keys of abandoned requests, and warns of budgets that
    /// are nearly spent, also by the webhook, every minute until shutdown; then returns the leased
    /// credits that no request holds.
    pub async fn run_maintenance(&self, shutdown: &Shutdown) {
        tokio::join!(self.maintain_credits(shutdown), self.deliver_warnings(shutdown));
    }

    /// Delivers warnings to the webhook, if there is one, until shutdown.
    async fn deliver_warnings(&self, shutdown: &Shutdown) {
        let Some(webhook) = &self.0.webhook else { return };
        tokio::select! {
            () = shutdown.requested() => {}
            () = webhook.deliver(&self.0.clock, BACKOFF) => {}
        }
    }

    async fn maintain_credits(&self, shutdown: &Shutdown) {
        while shutdown.sleep(SEARCH_INTERVAL).await {
            if let Err(error) = self.release_abandoned().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "failed to release abandoned requests"
                );
            }
            if let Err(error) = self.warn_of_budgets().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "failed to read the budgets of API keys"
                );
            }
        }
        self.0.store.close_leases().await;
    }

    /// Releases the abandoned requests, but not the running requests of this process, however long
    /// they take, such as those with many choices or a slow buyer: dropping their bill charges or
    /// releases them.
    async fn release_abandoned(&self) -> Result<(), StoreError> {
        let now_ms = now_ms(&self.0.clock);
        let age_ms = millis(ABANDONED_AFTER);
        let released =
            self.0.store.release_abandoned(now_ms.saturating_sub(age_ms), now_ms).await?;
        log_released(released);
        Ok(())
    }
}

fn log_released(released: usize) {
    if released > 0 {
        tracing::warn!(released, "released holds and leases of unfinished requests");
    }
}
