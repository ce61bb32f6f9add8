//! Rate limits of API keys across all processes that share the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_database::statement;

use crate::keys::lock_key;
use crate::{Store, StoreError};

/// Length of the window, in seconds.
pub(crate) const WINDOW_SECONDS: i64 = 60;
/// Inverse of the share of a key's limit that one reservation of a process covers.
const RESERVATION_DIVISOR: u32 = 600;

/// Usage of an API key's rate limit after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateUsage {
    /// Whether the request was admitted. Rejected requests do not count.
    pub is_admitted: bool,
    /// Number of further requests that would be admitted now.
    pub remaining: u32,
    /// Time until a further request is admitted; zero if one would be admitted now.
    pub retry_after: Duration,
    /// Time until all admitted requests have left the window.
    pub reset: Duration,
}

/// Admissions that this process has reserved, by the id of the API key.
#[derive(Debug, Default)]
pub(crate) struct RateLeases(Mutex<HashMap<String, Arc<RateLease>>>);

#[derive(Debug, Default)]
struct RateLease {
    admissions: Mutex<Admissions>,
    /// Locked during a transaction.
    reservation_lock: tokio::sync::Mutex<()>,
}

/// Reserved admissions of a key.
#[derive(Debug, Clone, Copy, Default)]
struct Admissions {
    /// Second of the Unix time in which they count, and after which they expire.
    second: i64,
    unused: u32,
    /// Number of further admissions in the window, as of the reservation.
    remaining: u32,
}

impl RateLeases {
    fn lease_for(&self, key: &str) -> Arc<RateLease> {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match leases.get(key) {
            Some(lease) => Arc::clone(lease),
            None => Arc::clone(leases.entry(key.to_owned()).or_default()),
        }
    }
}

impl RateLease {
    fn admissions(&self) -> MutexGuard<'_, Admissions> {
        self.admissions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses a reserved admission, if there is one.
    fn use_admission(&self, now_ms: i64) -> Option<RateUsage> {
        let mut admissions = self.admissions();
        let second = now_ms.div_euclid(1_000);
        if admissions.unused == 0 || !(admissions.second - 1..=admissions.second).contains(&second)
        {
            return None;
        }
        admissions.unused -= 1;
        let remaining = admissions.remaining.saturating_add(admissions.unused);
        let retry_after = if remaining > 0 {
            Duration::ZERO
        } else {
            time_until_expiry(admissions.second, now_ms)
        };
        Some(RateUsage {
            is_admitted: true,
            remaining,
            retry_after,
            reset: time_until_expiry(admissions.second, now_ms),
        })
    }
}

/// Returns the first and the last second whose requests, or their tokens, count. Later seconds come
/// from a process whose clock was wrong, and would count until this clock has reached them.
pub(crate) const fn counted_seconds(now_ms: i64) -> (i64, i64) {
    let second = now_ms.div_euclid(1_000);
    (second.saturating_sub(WINDOW_SECONDS), second.saturating_add(WINDOW_SECONDS))
}

/// Returns the time until the requests of one second, or their tokens, have left the window.
pub(crate) fn time_until_expiry(second: i64, now_ms: i64) -> Duration {
    let end = second.saturating_add(WINDOW_SECONDS + 1).saturating_mul(1_000);
    Duration::from_millis(u64::try_from(end.saturating_sub(now_ms)).unwrap_or(0))
}

impl Store {
    /// Admits or rejects a request of a key: all processes together admit at most `limit` requests
    /// in any 60 s. Counts requests by the second, so that a request leaves the window up to a
    /// second late.
    ///
    /// With a limit of at least 1 200 requests, a reservation of a process covers 1/600 of the
    /// limit, for up to two seconds. These admissions count in the last of these seconds. Unused
    /// ones are returned with the next reservation; those of a process without further requests
    /// leave the window like used ones.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn admit(&self, key: &str, limit: u32, now_ms: i64) -> Result<RateUsage, StoreError> {
        let (reservation_size, second) = (limit / RESERVATION_DIVISOR, now_ms.div_euclid(1_000));
        if reservation_size < 2 {
            return Ok(self.reserve(key, limit, (1, second), None, now_ms).await?.1);
        }
        let lease = self.rates.lease_for(key);
        if let Some(usage) = lease.use_admission(now_ms) {
            return Ok(usage);
        }
        let _guard = lease.reservation_lock.lock().await;
        if let Some(usage) = lease.use_admission(now_ms) {
            return Ok(usage);
        }
        let expired_admissions = std::mem::take(&mut *lease.admissions());
        let expired = Some((expired_admissions.unused, expired_admissions.second))
            .filter(|(unused, _)| *unused > 0);
        let (admitted, usage) =
            self.reserve(key, limit, (reservation_size, second + 1), expired, now_ms).await?;
        let unused = admitted.saturating_sub(1);
        *lease.admissions() = Admissions { second: second + 1, unused, remaining: usage.remaining };
        Ok(RateUsage { remaining: usage.remaining.saturating_add(unused), ..usage })
    }

    /// Reserves up to `count` admissions that count in a second of the Unix time, and returns
    /// unused ones of an earlier second; returns the number of new admissions, and the usage after
    /// all of them.
    async fn reserve(
        &self,
        key: &str,
        limit: u32,
        (count, second): (u32, i64),
        unused: Option<(u32, i64)>,
        now_ms: i64,
    ) -> Result<(u32, RateUsage), StoreError> {
        let mut transaction = self.database.begin().await?;
        lock_key(&mut transaction, key).await?;
        if let Some((unused, second)) = unused {
            statement("UPDATE rate SET requests = requests - $1 WHERE key_id = $2 AND second = $3")
                .bind(i64::from(unused))
                .bind(key)
                .bind(second)
                .execute(&mut transaction)
                .await?;
        }
        let (first, last) = counted_seconds(now_ms);
        statement(
            "DELETE FROM rate WHERE key_id = $1 AND (second < $2 OR second > $3 OR requests = 0)",
        )
        .bind(key)
        .bind(first)
        .bind(last)
        .execute(&mut transaction)
        .await?;
        let row = statement(
            "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS used, MIN(second) AS oldest, MAX(second) AS newest
             FROM rate WHERE key_id = $1",
        )
        .bind(key)
        .row(&mut transaction)
        .await?;
        let (mut used, mut oldest, mut newest): (i64, Option<i64>, Option<i64>) = match row {
            Some(row) => (row.get("used")?, row.get("oldest")?, row.get("newest")?),
            None => (0, None, None),
        };
        let remaining_after =
            |used: i64| u32::try_from(i64::from(limit).saturating_sub(used)).unwrap_or(0);
        let admitted = remaining_after(used).min(count);
        if admitted > 0 {
            statement(
                "INSERT INTO rate (key_id, second, requests) VALUES ($1, $2, $3)
                 ON CONFLICT (key_id, second) DO UPDATE SET requests = rate.requests + excluded.requests",
            )
            .bind(key)
            .bind(second)
            .bind(i64::from(admitted))
            .execute(&mut transaction)
            .await?;
            (used, oldest, newest) = (
                used + i64::from(admitted),
                oldest.min(Some(second)).or(Some(second)),
                newest.max(Some(second)),
            );
        }
        transaction.commit().await?;
        let remaining = remaining_after(used);
        let time_until = |second: Option<i64>| {
            second.map_or(Duration::ZERO, |second| time_until_expiry(second, now_ms))
        };
        let retry_after = if remaining > 0 { Duration::ZERO } else { time_until(oldest) };
        Ok((
            admitted,
            RateUsage {
                is_admitted: admitted > 0,
                remaining,
                retry_after,
                reset: time_until(newest),
            },
        ))
    }
}
