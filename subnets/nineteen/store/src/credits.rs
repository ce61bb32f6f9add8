//! Prepaid credits, in double-entry bookkeeping: each transfer's postings sum to 0, and so do all
//! balances.
//!
//! ```text
//! grant    issued  → key:ID      grants credits to a key
//! topup    issued  → key:ID      grants credits for a transfer of TAO
//! hold     key:ID  → held:ID     leases credits to a process, for the maximum prices of its requests
//!          held:ID → key:ID      returns the rest of a lease
//! charge   held:ID → revenue     charges the delivered work
//! ```
//!
//! A lease, which is a row of the table `hold`, covers many requests of a process (see
//! `credit_leases`). The lease of a crashed process is released later: an answer whose delivery is
//! unknown is not charged.
//!
//! Each transaction locks the API key before it reads or changes a balance, so that transactions on
//! one key run one after the other. Transfers have random IDs, or IDs that follow a random one in
//! their process: with a counter of all processes, each would wait for all others.

#![deny(clippy::arithmetic_side_effects)]

use taonet_database::{Row, Transaction, statement};

use crate::credit_leases::Hold;
use crate::keys::lock_key;
use crate::{BudgetPeriod, BudgetScope, Store, StoreError};

/// Maximum of all granted credits together, less withdrawn ones: the largest integer that every
/// JSON reader represents exactly, 2^53 − 1. No balance exceeds it, so that sums of balances do not
/// overflow.
pub const MAX_CREDITS: i64 = 9_007_199_254_740_991;

/// Usage of one request, and the charge for it.
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

/// Usage of one API key and model on one day.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct UsageRow {
    /// ID of the API key.
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

/// Usage of one API key on one day, over all tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySpend {
    /// Display name of the key. Several keys can have the same one.
    pub name: String,
    /// Day in UTC, such as `2026-11-21`.
    pub day: String,
    /// Number of requests.
    pub requests: i64,
    /// Credits charged.
    pub charged: i64,
}

/// Charge for one request.
#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// ID of the request.
    pub request: String,
    /// ID of the API key.
    pub key: String,
    /// Credits charged.
    pub credits: i64,
}

/// Why a key's credits cannot be reserved for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldRefusal {
    /// The key has fewer credits than the request may cost.
    Credits {
        /// Balance of the key, in credits.
        balance: i64,
    },
    /// A budget of the month or of the day is exhausted.
    Budget {
        /// Remaining budget, in credits.
        remaining: i64,
        /// Period of the budget with the smallest remainder.
        period: BudgetPeriod,
        /// Whether this budget is that of the key or of its team.
        scope: BudgetScope,
    },
}

impl Store {
    /// Grants credits to a key, or withdraws them if `amount` is negative; balances never become
    /// negative. Returns the new balance, or `None` if the key is unknown or has insufficient
    /// credits.
    ///
    /// # Errors
    /// [`StoreError::TooManyCredits`] when more than [`MAX_CREDITS`] would exist in total; another
    /// [`StoreError`] when the database fails.
    pub async fn grant(
        &self,
        key: &str,
        amount: i64,
        reason: &str,
        now_ms: i64,
    ) -> Result<Option<i64>, StoreError> {
        let mut transaction = self.database.begin().await?;
        let Some(balance_after) =
            grant(&mut transaction, key, amount, ("grant", reason), now_ms).await?
        else {
            return Ok(None);
        };
        transaction.commit().await?;
        Ok(Some(balance_after.saturating_add(self.leases.free(key))))
    }

    /// Reserves the maximum price of a request, unless the key's credits or a budget are
    /// insufficient. `day` is the day in UTC, such as `2026-11-21`.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn hold(
        &self,
        key: &str,
        request: &str,
        amount: i64,
        day: &str,
        now_ms: i64,
    ) -> Result<Result<(), HoldRefusal>, StoreError> {
        let hold = Hold {
            key: key.to_owned(),
            amount: amount.max(0),
            created_ms: now_ms,
            transfer_id: self.leases.next_transfer_id(),
            is_retried: false,
        };
        self.leases.hold(&self.database, request, hold, day).await
    }

    /// Charges a request once, up to the amount of its hold, and releases the rest. Returns the
    /// charge, or `None` if this process has no hold of the request.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn charge(
        &self,
        request: &str,
        usage: &Usage,
        now_ms: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.leases.charge(&self.database, request, usage, now_ms).await
    }

    /// Returns the unused credits of this process's leases to their keys; from now on, leases only
    /// what running requests need. Call at shutdown: the leases of a process that exits without it
    /// are released later.
    pub async fn close_leases(&self) {
        self.leases.close(&self.database).await;
    }

    /// Releases this process's holds, and the leases and unanswered claims of other processes,
    /// created before `before_ms`, so that buyers can retry the requests; returns the number of
    /// holds and leases. A process renews its leases every minute. Times are milliseconds since the
    /// Unix epoch.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn release_holds(&self, before_ms: i64, now_ms: i64) -> Result<usize, StoreError> {
        let released = self.release_leases(before_ms, now_ms).await?;
        let own_holds = self.leases.release_holds(&self.database, before_ms, |_| true).await;
        Ok(released.saturating_add(own_holds))
    }

    /// Like [`Self::release_holds`], but keeps this process's holds of running requests, however
    /// old they are: those whose charge has not been attempted. The others are released if the
    /// latest attempt was before `before_ms`.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn release_abandoned(
        &self,
        before_ms: i64,
        now_ms: i64,
    ) -> Result<usize, StoreError> {
        let released = self.release_leases(before_ms, now_ms).await?;
        let own_holds =
            self.leases.release_holds(&self.database, before_ms, |hold| hold.is_retried).await;
        Ok(released.saturating_add(own_holds))
    }

    /// Releases the leases and unanswered claims of other processes; returns the number of leases.
    async fn release_leases(&self, before_ms: i64, now_ms: i64) -> Result<usize, StoreError> {
        self.release_claims(before_ms).await?;
        let rows =
            statement("SELECT request_id, key_id FROM hold WHERE created_ms < $1").bind(before_ms);
        let mut released = 0_usize;
        for row in rows.rows(&self.database).await? {
            let (id, key): (String, String) = (row.get("request_id")?, row.get("key_id")?);
            if self.leases.is_own_lease(&id) {
                continue;
            }
            let mut transaction = self.database.begin().await?;
            lock_key(&mut transaction, &key).await?;
            let lease = statement(
                "DELETE FROM hold WHERE request_id = $1 AND created_ms < $2 RETURNING amount",
            );
            if let Some(amount) =
                lease.bind(&id).bind(before_ms).value::<i64>(&mut transaction).await?
            {
                let (available_account, held_account) =
                    (format!("key:{key}"), format!("held:{key}"));
                transfer(
                    &mut transaction,
                    "hold",
                    &id,
                    now_ms,
                    amount,
                    &held_account,
                    &available_account,
                )
                .await?;
                transaction.commit().await?;
                released = released.saturating_add(1);
            }
        }
        Ok(released)
    }

    /// Returns the usage by day, key and model; without `key`, of all keys.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn usage(&self, key: Option<&str>) -> Result<Vec<UsageRow>, StoreError> {
        let rows = statement(
            "SELECT key_id, day, model, requests, input_tokens, output_tokens, charged FROM usage_day
             WHERE key_id = $1 OR $1 IS NULL ORDER BY day, key_id, model",
        )
        .bind(key)
        .rows(&self.database)
        .await?;
        let usage_row = |row: &Row| {
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
        rows.iter().map(usage_row).collect()
    }

    /// Returns the usage by day and key from the day `first` in UTC (such as `2026-11-21`) until
    /// before the day `end`, at most `limit` rows: newest day first, and on each day the highest
    /// charge first.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn spend_between(
        &self,
        first: &str,
        end: &str,
        limit: u32,
    ) -> Result<Vec<KeySpend>, StoreError> {
        let rows = statement(
            "SELECT api_key.name AS name, usage_day.day AS day, CAST(SUM(usage_day.requests) AS BIGINT) AS requests,
                    CAST(SUM(usage_day.charged) AS BIGINT) AS spent
             FROM usage_day JOIN api_key ON api_key.id = usage_day.key_id
             WHERE usage_day.day >= $1 AND usage_day.day < $2
             GROUP BY usage_day.day, usage_day.key_id, api_key.name
             ORDER BY usage_day.day DESC, spent DESC, usage_day.key_id LIMIT $3",
        )
        .bind(first)
        .bind(end)
        .bind(i64::from(limit))
        .rows(&self.database)
        .await?;
        let key_spend = |row: &Row| {
            Ok(KeySpend {
                name: row.get("name")?,
                day: row.get("day")?,
                requests: row.get("requests")?,
                charged: row.get("spent")?,
            })
        };
        rows.iter().map(key_spend).collect()
    }

    /// Returns all charges, ordered by request.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    #[cfg(any(test, feature = "testing"))]
    pub async fn charges(&self) -> Result<Vec<Charge>, StoreError> {
        let rows = statement(
            "SELECT transfer.reference AS request, held.account AS account, revenue.amount AS credits
             FROM transfer
             JOIN posting AS revenue ON revenue.transfer_id = transfer.id AND revenue.account = 'revenue'
             JOIN posting AS held ON held.transfer_id = transfer.id AND held.account <> 'revenue'
             WHERE transfer.kind = 'charge' ORDER BY transfer.reference",
        );
        let charge = |row: &Row| {
            let account: String = row.get("account")?;
            Ok(Charge {
                request: row.get("request")?,
                key: account.trim_start_matches("held:").to_owned(),
                credits: row.get("credits")?,
            })
        };
        rows.rows(&self.database).await?.iter().map(charge).collect()
    }

    /// Returns all accounts with their balances in credits, ordered by name.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn balances(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = statement("SELECT name, balance FROM account").rows(&self.database).await?;
        let mut balances = Vec::with_capacity(rows.len());
        for row in &rows {
            balances.push((row.get("name")?, row.get("balance")?));
        }
        // PostgreSQL sorts strings by its locale, so the accounts are sorted here.
        balances.sort();
        Ok(balances)
    }

    /// Returns whether the books balance: all balances sum to 0, the postings of each transfer sum
    /// to 0, each balance is the sum of its postings, held balances equal the leases, no balance
    /// except `issued` is negative, and the credits granted for deposits are those of the recorded
    /// transfers.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn is_balanced(&self) -> Result<bool, StoreError> {
        for violations in [
            "SELECT COUNT(*) FROM (SELECT SUM(balance) AS total FROM account) AS sums WHERE total <> 0",
            "SELECT COUNT(*) FROM (SELECT transfer_id FROM posting GROUP BY transfer_id HAVING SUM(amount) <> 0) AS odd",
            // The upper and lower 32 bits are added separately, because partial sums can exceed 64
            // bits.
            "SELECT COUNT(*) FROM account WHERE balance <>
             (SELECT COALESCE(SUM(amount >> 32) * 4294967296 + SUM(amount & 4294967295), 0) FROM posting
              WHERE posting.account = account.name)",
            "SELECT COUNT(*) FROM account WHERE name LIKE 'held:%' AND balance <>
             (SELECT COALESCE(SUM(amount), 0) FROM hold WHERE 'held:' || hold.key_id = account.name)",
            "SELECT COUNT(*) FROM account WHERE balance < 0 AND name <> 'issued'",
            "SELECT COUNT(*) FROM (SELECT (SELECT COALESCE(SUM(credits), 0) FROM deposit) AS deposited,
             (SELECT COALESCE(SUM(posting.amount), 0) FROM posting JOIN transfer ON transfer.id = posting.transfer_id
              WHERE transfer.kind = 'topup' AND posting.account <> 'issued') AS granted) AS sums
             WHERE deposited <> granted",
        ] {
            if statement(violations).number(&self.database).await? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns the credits that can still be granted to all keys together.
pub(crate) async fn grantable(transaction: &mut Transaction) -> Result<i64, StoreError> {
    Ok(MAX_CREDITS.saturating_add(account_balance(transaction, "issued").await?).max(0))
}

/// Grants credits to a key, with a kind of transfer and a reference; see [`Store::grant`].
pub(crate) async fn grant(
    transaction: &mut Transaction,
    key: &str,
    amount: i64,
    (kind, reason): (&'static str, &str),
    now_ms: i64,
) -> Result<Option<i64>, StoreError> {
    let key_exists = lock_key(transaction, key).await?;
    let account = format!("key:{key}");
    let key_balance = account_balance(transaction, &account).await?;
    if amount > MAX_CREDITS {
        return Err(StoreError::TooManyCredits {
            amount,
            remaining: grantable(transaction).await?,
        });
    }
    let Some(balance_after) =
        key_balance.checked_add(amount).filter(|balance_after| key_exists && *balance_after >= 0)
    else {
        return Ok(None);
    };
    transfer(transaction, kind, reason, now_ms, amount, "issued", &account).await?;
    // Read after the transfer, which locks the account: grants to other keys may run at the same
    // time.
    let issued = account_balance(transaction, "issued").await?;
    if amount > 0 && issued < -MAX_CREDITS {
        let remaining = MAX_CREDITS.saturating_add(issued).saturating_add(amount).max(0);
        return Err(StoreError::TooManyCredits { amount, remaining });
    }
    Ok(Some(balance_after))
}

async fn account_balance(transaction: &mut Transaction, account: &str) -> Result<i64, StoreError> {
    let balance = statement("SELECT balance FROM account WHERE name = $1").bind(account);
    Ok(balance.value(transaction).await?.unwrap_or(0))
}

/// Transfers credits from one account to another; a negative amount transfers in the other
/// direction.
async fn transfer(
    transaction: &mut Transaction,
    kind: &'static str,
    reference: &str,
    now_ms: i64,
    amount: i64,
    from: &str,
    to: &str,
) -> Result<(), StoreError> {
    // A sequential ID would serialise all transfers.
    let id = i64::from_le_bytes(rand::random()) & i64::MAX;
    statement("INSERT INTO transfer (id, kind, reference, created_ms) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(kind)
        .bind(reference)
        .bind(now_ms)
        .execute(&mut *transaction)
        .await?;
    for (account, amount) in [(to, amount), (from, amount.saturating_neg())] {
        statement(
            "INSERT INTO account (name, balance) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET balance = account.balance + excluded.balance",
        )
        .bind(account)
        .bind(amount)
        .execute(&mut *transaction)
        .await?;
        statement("INSERT INTO posting (transfer_id, account, amount) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(account)
            .bind(amount)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}
