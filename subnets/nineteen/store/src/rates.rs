//! Rate limits of API keys that hold over all processes that share the database.

use std::time::Duration;

use taonet_database::statement;

use crate::keys::lock;
use crate::{Store, StoreError};

/// Length of the window, in seconds.
const WINDOW: i64 = 60;

/// A key's usage of its rate limit after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateUsage {
    /// Whether the request was admitted. Rejected requests do not count.
    pub is_admitted: bool,
    /// Number of requests that would still be admitted now.
    pub left: u32,
    /// Time until a further request is admitted; zero if one would be admitted now.
    pub retry: Duration,
    /// Time until all admitted requests have left the window.
    pub reset: Duration,
}

impl Store {
    /// Admits or rejects a request of a key: at most `limit` are admitted in any 60 s, by all processes together.
    /// Requests are counted by the second, so that a request leaves the window up to a second late.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn admit(&self, key: &str, limit: u32, now_ms: i64) -> Result<RateUsage, StoreError> {
        let second = now_ms.div_euclid(1_000);
        let mut transaction = self.database.begin().await?;
        lock(&mut transaction, key).await?;
        statement("DELETE FROM rate WHERE key_id = $1 AND second < $2")
            .bind(key)
            .bind(second.saturating_sub(WINDOW))
            .execute(&mut transaction)
            .await?;
        let row = statement(
            "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS used, MIN(second) AS oldest, MAX(second) AS newest
             FROM rate WHERE key_id = $1",
        )
        .bind(key)
        .row(&mut transaction)
        .await?;
        let (mut used, mut oldest, mut newest) = match row {
            Some(row) => (row.get("used")?, row.get("oldest")?, row.get("newest")?),
            None => (0, None, None),
        };
        let is_admitted = used < i64::from(limit);
        if is_admitted {
            statement(
                "INSERT INTO rate (key_id, second, requests) VALUES ($1, $2, 1)
                 ON CONFLICT (key_id, second) DO UPDATE SET requests = rate.requests + 1",
            )
            .bind(key)
            .bind(second)
            .execute(&mut transaction)
            .await?;
        }
        transaction.commit().await?;
        if is_admitted {
            (used, oldest, newest) = (used + 1, oldest.or(Some(second)), newest.max(Some(second)));
        }
        // Time until the requests of a second have left the window.
        let leaves = |second: Option<i64>| {
            let end = second.map_or(now_ms, |second| second.saturating_add(WINDOW + 1).saturating_mul(1_000));
            Duration::from_millis(u64::try_from(end.saturating_sub(now_ms)).unwrap_or(0))
        };
        let left = u32::try_from(i64::from(limit).saturating_sub(used)).unwrap_or(0);
        let retry = if left > 0 { Duration::ZERO } else { leaves(oldest) };
        Ok(RateUsage { is_admitted, left, retry, reset: leaves(newest) })
    }
}
