//! Scoring periods: offers, counters, budgets and scores.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};
use taonet_nineteen_core::TaskName;
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::{PeriodCounts, PeriodProfile, period_score};
use taonet_primitives::{Hotkey, Uid};

use crate::error::{invalid, number, parsed};
use crate::{Store, StoreError};

/// Number of a scoring period, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct PeriodId(pub i64);

impl std::fmt::Display for PeriodId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A scoring period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeriodRow {
    /// Number of the period.
    pub id: PeriodId,
    /// Start, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Length, in milliseconds.
    pub length_ms: i64,
    /// Formula of the period's scores.
    pub profile: PeriodProfile,
    /// Time of closing, in milliseconds since the Unix epoch; `None` while the period is open.
    pub closed_ms: Option<i64>,
}

/// A miner's offer for one task.
#[derive(Debug, Clone, PartialEq)]
pub struct NewContender {
    /// Name of the task.
    pub task: TaskName,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Uid of the miner.
    pub uid: Uid,
    /// Declared and accepted capacity, and the part to test.
    pub capacity: Capacity,
}

/// A contender in a period: an offer with its counters.
#[derive(Debug, Clone, PartialEq)]
pub struct ContenderRow {
    /// Offer of the miner.
    pub offer: NewContender,
    /// Counters of the period.
    pub counts: PeriodCounts,
    /// Volume of the synthetic requests sent.
    pub sent: f64,
    /// Period score; `None` before the period is closed, or without requests.
    pub score: Option<f64>,
}

/// Budget of synthetic requests of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetRow {
    /// Name of the task.
    pub task: TaskName,
    /// Number of planned requests.
    pub planned: u64,
    /// Number of remaining requests.
    pub remaining: u64,
}

/// Result of a contender in a closed period.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// Number of the period.
    pub period: PeriodId,
    /// Name of the task.
    pub task: TaskName,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Period score; `None` without requests.
    pub score: Option<f64>,
    /// Delivered volume, in the unit of the task.
    pub volume: f64,
}

impl Store {
    /// Returns the open period, if any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_period(&self) -> Result<Option<PeriodRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM period WHERE closed_ms IS NULL").fetch_optional(&self.pool).await?;
        row.as_ref().map(period).transpose()
    }

    /// Returns the newest period, open or closed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_period(&self) -> Result<Option<PeriodRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM period ORDER BY id DESC LIMIT 1").fetch_optional(&self.pool).await?;
        row.as_ref().map(period).transpose()
    }

    /// Returns a period by its number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn period(&self, id: PeriodId) -> Result<Option<PeriodRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM period WHERE id = $1").bind(id.0).fetch_optional(&self.pool).await?;
        row.as_ref().map(period).transpose()
    }

    /// Opens a period with its offers and budgets. The previous one must be closed.
    ///
    /// # Errors
    /// [`StoreError::StillOpen`] if the previous period is open.
    pub async fn begin_period(
        &self,
        started_ms: i64,
        length_ms: i64,
        profile: PeriodProfile,
        contenders: &[NewContender],
        budgets: &[(TaskName, u64)],
    ) -> Result<PeriodId, StoreError> {
        let mut transaction = self.begin().await?;
        let open: Option<i64> = sqlx::query_scalar("SELECT id FROM period WHERE closed_ms IS NULL")
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(open) = open {
            return Err(StoreError::StillOpen(open));
        }
        let id: i64 =
            sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) + 1 FROM period").fetch_one(&mut *transaction).await?;
        sqlx::query("INSERT INTO period (id, started_ms, length_ms, profile) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(started_ms)
            .bind(length_ms)
            .bind(profile_name(profile))
            .execute(&mut *transaction)
            .await?;
        for NewContender { task, hotkey, uid, capacity } in contenders {
            sqlx::query(
                "INSERT INTO contender (period_id, task, hotkey, uid, declared, accepted, to_score)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(id)
            .bind(task.as_str())
            .bind(hotkey.to_string())
            .bind(i64::from(uid.0))
            // Non-finite numbers are stored as 0.
            .bind(if capacity.declared.is_finite() { capacity.declared } else { 0.0 })
            .bind(capacity.accepted)
            .bind(capacity.to_score)
            .execute(&mut *transaction)
            .await?;
        }
        for (task, planned) in budgets {
            let planned = i64::try_from(*planned).unwrap_or(i64::MAX);
            sqlx::query("INSERT INTO budget (period_id, task, planned, remaining) VALUES ($1, $2, $3, $3)")
                .bind(id)
                .bind(task.as_str())
                .bind(planned)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(PeriodId(id))
    }

    /// Returns a period's contenders, ordered by task and uid.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn contenders(&self, period: PeriodId) -> Result<Vec<ContenderRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM contender WHERE period_id = $1 ORDER BY task, uid, hotkey")
            .bind(period.0)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(contender).collect()
    }

    /// Returns a period's budgets, ordered by task.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn budgets(&self, period: PeriodId) -> Result<Vec<BudgetRow>, StoreError> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT task, planned, remaining FROM budget WHERE period_id = $1 ORDER BY task")
                .bind(period.0)
                .fetch_all(&self.pool)
                .await?;
        let read = |(task, planned, remaining): (String, i64, i64)| {
            Ok(BudgetRow {
                task: parsed("task", &task)?,
                planned: number("planned", planned)?,
                remaining: number("remaining", remaining)?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Stores the counters of an open period as absolute values. Closed periods are unchanged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_counts(
        &self,
        period: PeriodId,
        rows: &[ContenderRow],
        budgets: &[(TaskName, u64)],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        put_counts(&mut transaction, period, rows, budgets).await?;
        Ok(transaction.commit().await?)
    }

    /// Closes a period with its final counters and scores. Closed periods are unchanged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_period(
        &self,
        period: PeriodId,
        rows: &[ContenderRow],
        closed_ms: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        put_counts(&mut transaction, period, rows, &[]).await?;
        let found = sqlx::query("SELECT * FROM period WHERE id = $1 AND closed_ms IS NULL")
            .bind(period.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = found else { return Ok(()) };
        let profile = self::period(&row)?.profile;
        let rows = sqlx::query("SELECT * FROM contender WHERE period_id = $1")
            .bind(period.0)
            .fetch_all(&mut *transaction)
            .await?;
        for row in &rows {
            let ContenderRow { offer, counts, .. } = contender(row)?;
            sqlx::query("UPDATE contender SET score = $1 WHERE period_id = $2 AND task = $3 AND hotkey = $4")
                .bind(period_score(&counts, profile))
                .bind(period.0)
                .bind(offer.task.as_str())
                .bind(offer.hotkey.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("UPDATE period SET closed_ms = $1 WHERE id = $2")
            .bind(closed_ms)
            .bind(period.0)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Returns the results of periods closed since a time, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history_since(&self, since_ms: i64) -> Result<Vec<HistoryRow>, StoreError> {
        let rows: Vec<(i64, String, String, Option<f64>, f64)> = sqlx::query_as(
            "SELECT period.id, contender.task, contender.hotkey, contender.score, contender.consumed FROM contender
             JOIN period ON period.id = contender.period_id WHERE period.closed_ms >= $1
             ORDER BY period.id DESC, contender.task, contender.hotkey",
        )
        .bind(since_ms)
        .fetch_all(&self.pool)
        .await?;
        let read = |(period, task, hotkey, score, volume): (i64, String, String, Option<f64>, f64)| {
            Ok(HistoryRow {
                period: PeriodId(period),
                task: parsed("task", &task)?,
                hotkey: parsed("hotkey", &hotkey)?,
                score,
                volume,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

async fn put_counts(
    transaction: &mut Transaction<'_, Sqlite>,
    period: PeriodId,
    rows: &[ContenderRow],
    budgets: &[(TaskName, u64)],
) -> Result<(), StoreError> {
    for ContenderRow { offer, counts, sent, .. } in rows {
        sqlx::query(
            "UPDATE contender SET sent = $1, total_requests = $2, requests_429 = $3, requests_500 = $4, consumed = $5
             WHERE period_id = $6 AND task = $7 AND hotkey = $8
             AND EXISTS (SELECT 1 FROM period WHERE id = $6 AND closed_ms IS NULL)",
        )
        .bind(sent)
        .bind(counts.total_requests)
        .bind(counts.requests_429)
        .bind(counts.requests_500)
        .bind(counts.consumed_capacity)
        .bind(period.0)
        .bind(offer.task.as_str())
        .bind(offer.hotkey.to_string())
        .execute(&mut **transaction)
        .await?;
    }
    for (task, remaining) in budgets {
        sqlx::query("UPDATE budget SET remaining = $1 WHERE period_id = $2 AND task = $3")
            .bind(i64::try_from(*remaining).unwrap_or(i64::MAX))
            .bind(period.0)
            .bind(task.as_str())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

fn period(row: &SqliteRow) -> Result<PeriodRow, StoreError> {
    Ok(PeriodRow {
        id: PeriodId(row.try_get("id")?),
        started_ms: row.try_get("started_ms")?,
        length_ms: row.try_get("length_ms")?,
        profile: profile(row.try_get("profile")?)?,
        closed_ms: row.try_get("closed_ms")?,
    })
}

fn contender(row: &SqliteRow) -> Result<ContenderRow, StoreError> {
    let accepted = row.try_get("accepted")?;
    let capacity = Capacity { declared: row.try_get("declared")?, accepted, to_score: row.try_get("to_score")? };
    let counts = PeriodCounts {
        total_requests: row.try_get("total_requests")?,
        capacity: accepted,
        consumed_capacity: row.try_get("consumed")?,
        requests_429: row.try_get("requests_429")?,
        requests_500: row.try_get("requests_500")?,
    };
    let offer = NewContender {
        task: parsed("task", row.try_get("task")?)?,
        hotkey: parsed("hotkey", row.try_get("hotkey")?)?,
        uid: Uid(number("uid", row.try_get("uid")?)?),
        capacity,
    };
    Ok(ContenderRow { offer, counts, sent: row.try_get("sent")?, score: row.try_get("score")? })
}

const fn profile_name(profile: PeriodProfile) -> &'static str {
    match profile {
        PeriodProfile::Reference => "reference",
        PeriodProfile::Later => "later",
        PeriodProfile::Seed => "seed",
    }
}

fn profile(text: &str) -> Result<PeriodProfile, StoreError> {
    let known = [PeriodProfile::Reference, PeriodProfile::Later, PeriodProfile::Seed];
    known.into_iter().find(|profile| profile_name(*profile) == text).ok_or_else(|| invalid("profile", &text))
}
