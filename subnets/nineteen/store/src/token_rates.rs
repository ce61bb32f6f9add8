//! Rate limits of API keys in tokens.
//!
//! A request reserves its tokens and the maximum of its answer when it begins, and returns the
//! unused ones when it ends. Tokens count in the second in which the request began, for 60 to 61
//! seconds. A shared database counts those of all processes; with SQLite, this process counts them
//! in memory.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_database::statement;

use crate::keys::lock_key;
use crate::rates::{WINDOW_SECONDS, counted_seconds, time_until_expiry};
use crate::{Store, StoreError};

/// Usage of an API key's limit of tokens after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUsage {
    /// Whether the request's tokens were reserved. Rejected requests do not count.
    pub is_admitted: bool,
    /// Number of further tokens that would be reserved now.
    pub remaining: u64,
    /// Time until the request would be admitted, if no other one is; zero if it was.
    pub retry_after: Duration,
    /// Time until all reserved tokens have left the window.
    pub reset: Duration,
    /// Second of the Unix time in which the tokens count.
    pub second: i64,
}

/// Tokens of the keys, in a process with its own database.
#[derive(Debug, Default)]
pub(crate) struct TokenRates(Mutex<HashMap<String, TokenWindow>>);

impl TokenRates {
    fn windows(&self) -> MutexGuard<'_, HashMap<String, TokenWindow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokens of a key's requests in the window, by the second of the Unix time.
#[derive(Debug, Default)]
struct TokenWindow(BTreeMap<i64, u64>);

impl TokenWindow {
    /// Reserves tokens, unless they would exceed the limit.
    fn reserve(&mut self, limit: u64, tokens: u64, now_ms: i64) -> TokenUsage {
        let second = now_ms.div_euclid(1_000);
        let (first, last) = counted_seconds(now_ms);
        self.0.retain(|recorded_second, tokens| {
            (first..=last).contains(recorded_second) && *tokens > 0
        });
        let used_tokens = self.0.values().fold(0_u64, |sum, tokens| sum.saturating_add(*tokens));
        let is_admitted = used_tokens.saturating_add(tokens) <= limit;
        let retry_after = if is_admitted {
            Duration::ZERO
        } else {
            self.retry_after(used_tokens, limit, tokens, now_ms)
        };
        if is_admitted && tokens > 0 {
            let sum = self.0.entry(second).or_default();
            *sum = sum.saturating_add(tokens);
        }
        let remaining =
            limit.saturating_sub(used_tokens).saturating_sub(if is_admitted { tokens } else { 0 });
        let reset = self
            .0
            .last_key_value()
            .map_or(Duration::ZERO, |(newest, _)| time_until_expiry(*newest, now_ms));
        TokenUsage { is_admitted, remaining, retry_after, reset, second }
    }

    /// Returns the time until enough tokens have left the window; until all have left it, if the
    /// request alone exceeds the limit.
    fn retry_after(&self, used_tokens: u64, limit: u64, tokens: u64, now_ms: i64) -> Duration {
        let mut used = used_tokens;
        for (second, expiring) in &self.0 {
            used = used.saturating_sub(*expiring);
            if used.saturating_add(tokens) <= limit {
                return time_until_expiry(*second, now_ms);
            }
        }
        Duration::from_secs(WINDOW_SECONDS.unsigned_abs())
    }

    fn return_tokens(&mut self, second: i64, tokens: u64) {
        if let Some(sum) = self.0.get_mut(&second) {
            *sum = sum.saturating_sub(tokens);
        }
    }
}

impl Store {
    /// Reserves the tokens of a request, and the maximum of its answer, in the window of a key: all
    /// requests together have at most `limit` tokens in any 60 s.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn reserve_tokens(
        &self,
        key: &str,
        limit: u32,
        tokens: u64,
        now_ms: i64,
    ) -> Result<TokenUsage, StoreError> {
        if !self.is_shared() {
            let mut windows = self.token_rates.windows();
            return Ok(windows.entry(key.to_owned()).or_default().reserve(
                u64::from(limit),
                tokens,
                now_ms,
            ));
        }
        let mut transaction = self.database.begin().await?;
        lock_key(&mut transaction, key).await?;
        let (first, last) = counted_seconds(now_ms);
        statement("DELETE FROM token_rate WHERE key_id = $1 AND (second < $2 OR second > $3)")
            .bind(key)
            .bind(first)
            .bind(last)
            .execute(&mut transaction)
            .await?;
        let rows = statement("SELECT second, tokens FROM token_rate WHERE key_id = $1").bind(key);
        let mut window = TokenWindow::default();
        for row in rows.rows(&mut transaction).await? {
            let tokens: i64 = row.get("tokens")?;
            window.0.insert(row.get("second")?, u64::try_from(tokens).unwrap_or(0));
        }
        let usage = window.reserve(u64::from(limit), tokens, now_ms);
        if usage.is_admitted && tokens > 0 {
            statement(
                "INSERT INTO token_rate (key_id, second, tokens) VALUES ($1, $2, $3)
                 ON CONFLICT (key_id, second) DO UPDATE SET tokens = token_rate.tokens + excluded.tokens",
            )
            .bind(key)
            .bind(usage.second)
            // At most the limit.
            .bind(i64::try_from(tokens).unwrap_or(i64::MAX))
            .execute(&mut transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(usage)
    }

    /// Returns the unused tokens of a request that reserved them in a second of the Unix time.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn return_tokens(
        &self,
        key: &str,
        second: i64,
        unused: u64,
    ) -> Result<(), StoreError> {
        if unused == 0 {
            return Ok(());
        }
        if !self.is_shared() {
            if let Some(window) = self.token_rates.windows().get_mut(key) {
                window.return_tokens(second, unused);
            }
            return Ok(());
        }
        statement("UPDATE token_rate SET tokens = tokens - $1 WHERE key_id = $2 AND second = $3")
            .bind(i64::try_from(unused).unwrap_or(i64::MAX))
            .bind(key)
            .bind(second)
            .execute(&self.database)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_leave_the_window_after_a_minute() {
        let mut window = TokenWindow::default();
        let mut reserve = |tokens, now_ms| {
            let usage = window.reserve(100, tokens, now_ms);
            (
                usage.is_admitted,
                usage.remaining,
                usage.retry_after.as_millis(),
                usage.reset.as_millis(),
            )
        };
        assert_eq!(reserve(60, 10_500), (true, 40, 0, 60_500));
        assert_eq!(reserve(30, 20_000), (true, 10, 0, 61_000));
        assert_eq!(
            reserve(11, 20_999),
            (false, 10, 50_001, 60_001),
            "until the first request has left"
        );
        assert_eq!(reserve(71, 21_000), (false, 10, 60_000, 60_000), "until both have left");
        assert_eq!(reserve(101, 21_000), (false, 10, 60_000, 60_000), "alone too large");
        assert_eq!(reserve(10, 21_000), (true, 0, 0, 61_000));
        assert_eq!(reserve(60, 70_999), (false, 0, 1, 11_001));
        assert_eq!(reserve(60, 71_000), (true, 0, 0, 61_000));
    }

    #[test]
    fn tokens_of_a_clock_that_was_a_day_ahead_do_not_count() {
        let mut window = TokenWindow::default();
        assert!(window.reserve(100, 100, 86_400_000).is_admitted);
        assert!(!window.reserve(100, 1, 86_340_000).is_admitted, "a minute ahead");
        assert_eq!(window.reserve(100, 40, 5_000).remaining, 60);
    }

    #[test]
    fn unused_tokens_are_returned() {
        let mut window = TokenWindow::default();
        let second = window.reserve(100, 100, 5_000).second;
        window.return_tokens(second, 90);
        window.return_tokens(6, 5);
        assert_eq!(window.reserve(100, 0, 6_000).remaining, 90);
        window.return_tokens(second, 1_000);
        assert_eq!(window.reserve(u64::MAX, u64::MAX, 6_000).remaining, 0);
        assert!(window.reserve(100, 100, 70_000).is_admitted, "a pause empties the window");
    }
}
