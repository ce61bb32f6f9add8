//! Prepaid credits, in double-entry bookkeeping: each transfer's postings sum to 0, and so do all balances.
//!
//! ```text
//! grant    issued  → key:ID      grants credits to a key
//! hold     key:ID  → held:ID     reserves the maximum price of a request
//! charge   held:ID → revenue     charges the delivered work
//!          held:ID → key:ID      and releases the rest of the hold
//! ```
//!
//! Holds of a crashed process are released later: an answer whose delivery is unknown is not charged.
//!
//! Transactions of several processes lock the API key first, so that none decides on a balance that another one changes.

use taonet_database::{Row, Transaction, statement};

use crate::keys::lock;
use crate::{Store, StoreError};

/// Usage of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Name of the task.
    pub model: String,
    /// Day in UTC, such as `2026-11-21`.
    pub day: String,
    /// Number of input tokens.
    pub input_tokens: u64,
    /// Number of output tokens.
    pub output_tokens: u64,
    /// Credits to charge.
    pub charge: i64,
}

/// Usage per key, day and model.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct UsageRow {
    /// Id of the API key.
    pub key_id: String,
    /// Day in UTC, such as `2026-11-21`.
    pub day: String,
    /// Name of the task.
    pub model: String,
    /// Number of requests.
    pub requests: i64,
    /// Number of input tokens.
    pub input_tokens: i64,
    /// Number of output tokens.
    pub output_tokens: i64,
    /// Credits charged.
    pub charged: i64,
}

/// Why a hold was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldRefusal {
    /// The key has fewer credits than the request may cost.
    Credits {
        /// Balance of the key, in credits.
        balance: i64,
    },
    /// The monthly budget is exhausted.
    Budget {
        /// Remaining budget, in credits.
        left: i64,
    },
}

impl Store {
    /// Grants credits to a key, or revokes them if `amount` is negative; balances never become negative. Returns the
    /// new balance, or `None` if the key is unknown or has insufficient credits.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn grant(&self, key: &str, amount: i64, why: &str, now_ms: i64) -> Result<Option<i64>, StoreError> {
        let mut transaction = self.database.begin().await?;
        let is_known = lock(&mut transaction, key).await?;
        let account = format!("key:{key}");
        let balance = balance(&mut transaction, &account).await?;
        let Some(after) = balance.checked_add(amount).filter(|after| is_known && *after >= 0) else { return Ok(None) };
        transfer(&mut transaction, "grant", why, now_ms, &[(&account, amount), ("issued", -amount)]).await?;
        transaction.commit().await?;
        Ok(Some(after))
    }

    /// Reserves the maximum price of a request. `month` is the month in UTC, such as `2026-11`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hold(
        &self,
        key: &str,
        request: &str,
        amount: i64,
        month: &str,
        now_ms: i64,
    ) -> Result<Result<(), HoldRefusal>, StoreError> {
        let mut transaction = self.database.begin().await?;
        lock(&mut transaction, key).await?;
        let (available, held) = (format!("key:{key}"), format!("held:{key}"));
        let has = balance(&mut transaction, &available).await?;
        if has < amount {
            return Ok(Err(HoldRefusal::Credits { balance: has }));
        }
        let budget = statement("SELECT monthly_budget FROM api_key WHERE id = $1").bind(key);
        if let Some(budget) = budget.value::<Option<i64>>(&mut transaction).await?.flatten() {
            let spent = statement(
                "SELECT CAST(COALESCE(SUM(charged), 0) AS BIGINT) FROM usage_day WHERE key_id = $1 AND day LIKE $2 || '%'",
            )
            .bind(key)
            .bind(month)
            .number(&mut transaction)
            .await?;
            let left = budget.saturating_sub(spent).saturating_sub(balance(&mut transaction, &held).await?);
            if left < amount {
                return Ok(Err(HoldRefusal::Budget { left: left.max(0) }));
            }
        }
        statement("INSERT INTO hold (request_id, key_id, amount, created_ms) VALUES ($1, $2, $3, $4)")
            .bind(request)
            .bind(key)
            .bind(amount)
            .bind(now_ms)
            .execute(&mut transaction)
            .await?;
        transfer(&mut transaction, "hold", request, now_ms, &[(&available, -amount), (&held, amount)]).await?;
        transaction.commit().await?;
        Ok(Ok(()))
    }

    /// Charges a request once, at most its hold, and releases the rest. Returns the charge, or `None` if the request
    /// has no hold.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn charge(&self, request: &str, usage: &Usage, now_ms: i64) -> Result<Option<i64>, StoreError> {
        let mut transaction = self.database.begin().await?;
        let Some((key, amount)) = take_hold(&mut transaction, request).await? else { return Ok(None) };
        let charge = usage.charge.clamp(0, amount);
        let (available, held) = (format!("key:{key}"), format!("held:{key}"));
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        statement(
            "INSERT INTO usage_day (key_id, day, model, requests, input_tokens, output_tokens, charged)
             VALUES ($1, $2, $3, 1, $4, $5, $6) ON CONFLICT (key_id, day, model) DO UPDATE SET
             requests = usage_day.requests + 1, input_tokens = usage_day.input_tokens + excluded.input_tokens,
             output_tokens = usage_day.output_tokens + excluded.output_tokens,
             charged = usage_day.charged + excluded.charged",
        )
        .bind(&key)
        .bind(&usage.day)
        .bind(&usage.model)
        .bind(count(usage.input_tokens))
        .bind(count(usage.output_tokens))
        .bind(charge)
        .execute(&mut transaction)
        .await?;
        // The account that all requests share comes last: its lock makes others wait.
        let postings = [(held.as_str(), -amount), (available.as_str(), amount - charge), ("revenue", charge)];
        transfer(&mut transaction, "charge", request, now_ms, &postings).await?;
        transaction.commit().await?;
        Ok(Some(charge))
    }

    /// Releases the holds and unanswered claims from before a time, which an earlier process left, so that its requests
    /// can be retried; returns the number of holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_holds(&self, before_ms: i64, now_ms: i64) -> Result<usize, StoreError> {
        self.drop_claims(before_ms).await?;
        let requests: Vec<String> = statement("SELECT request_id FROM hold WHERE created_ms < $1")
            .bind(before_ms)
            .values(&self.database)
            .await?;
        for request in &requests {
            let mut transaction = self.database.begin().await?;
            if let Some((key, amount)) = take_hold(&mut transaction, request).await? {
                let (available, held) = (format!("key:{key}"), format!("held:{key}"));
                let postings = [(held.as_str(), -amount), (available.as_str(), amount)];
                transfer(&mut transaction, "charge", request, now_ms, &postings).await?;
                transaction.commit().await?;
            }
        }
        Ok(requests.len())
    }

    /// Returns the usage by day, key and model, of one key or of all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usage(&self, key: Option<&str>) -> Result<Vec<UsageRow>, StoreError> {
        let rows = statement(
            "SELECT key_id, day, model, requests, input_tokens, output_tokens, charged FROM usage_day
             WHERE key_id = $1 OR $1 IS NULL ORDER BY day, key_id, model",
        )
        .bind(key)
        .rows(&self.database)
        .await?;
        let used = |row: &Row| {
            Ok(UsageRow {
                key_id: row.get("key_id")?,
                day: row.get("day")?,
                model: row.get("model")?,
                requests: row.get("requests")?,
                input_tokens: row.get("input_tokens")?,
                output_tokens: row.get("output_tokens")?,
                charged: row.get("charged")?,
            })
        };
        rows.iter().map(used).collect()
    }

    /// Returns all balances, ordered by account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn balances(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = statement("SELECT name, balance FROM account ORDER BY name").rows(&self.database).await?;
        rows.iter().map(|row| Ok((row.get("name")?, row.get("balance")?))).collect()
    }

    /// Returns whether the books balance: all balances sum to 0, the postings of each transfer sum to 0, each balance
    /// is the sum of its postings, held balances equal the requests' holds, and no balance but `issued` is negative.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_balanced(&self) -> Result<bool, StoreError> {
        for faults in [
            "SELECT COUNT(*) FROM (SELECT SUM(balance) AS total FROM account) AS sums WHERE total <> 0",
            "SELECT COUNT(*) FROM (SELECT transfer_id FROM posting GROUP BY transfer_id HAVING SUM(amount) <> 0) AS odd",
            "SELECT COUNT(*) FROM account WHERE balance <>
             (SELECT COALESCE(SUM(amount), 0) FROM posting WHERE posting.account = account.name)",
            "SELECT COUNT(*) FROM account WHERE name LIKE 'held:%' AND balance <>
             (SELECT COALESCE(SUM(amount), 0) FROM hold WHERE 'held:' || hold.key_id = account.name)",
            "SELECT COUNT(*) FROM account WHERE balance < 0 AND name <> 'issued'",
        ] {
            if statement(faults).number(&self.database).await? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

async fn balance(transaction: &mut Transaction, account: &str) -> Result<i64, StoreError> {
    let found = statement("SELECT balance FROM account WHERE name = $1").bind(account).value(transaction).await?;
    Ok(found.unwrap_or(0))
}

/// Deletes a request's hold and locks its key; returns the key and the amount.
async fn take_hold(transaction: &mut Transaction, request: &str) -> Result<Option<(String, i64)>, StoreError> {
    let hold = statement("DELETE FROM hold WHERE request_id = $1 RETURNING key_id, amount").bind(request);
    let Some(hold) = hold.row(&mut *transaction).await? else { return Ok(None) };
    let key: String = hold.get("key_id")?;
    lock(transaction, &key).await?;
    Ok(Some((key, hold.get("amount")?)))
}

async fn transfer(
    transaction: &mut Transaction,
    kind: &'static str,
    reference: &str,
    now_ms: i64,
    postings: &[(&str, i64)],
) -> Result<(), StoreError> {
    // A counter would make each transfer wait for all others.
    let id = i64::from_le_bytes(rand::random()) & i64::MAX;
    statement("INSERT INTO transfer (id, kind, reference, created_ms) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(kind)
        .bind(reference)
        .bind(now_ms)
        .execute(&mut *transaction)
        .await?;
    for (account, amount) in postings {
        statement(
            "INSERT INTO account (name, balance) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET balance = account.balance + excluded.balance",
        )
        .bind(*account)
        .bind(*amount)
        .execute(&mut *transaction)
        .await?;
        statement("INSERT INTO posting (transfer_id, account, amount) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(*account)
            .bind(*amount)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}
