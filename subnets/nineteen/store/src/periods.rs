//! Scoring periods: offers, counters, budgets and scores.

use std::cmp::Reverse;

use taonet_database::{Row, Transaction, statement};
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
        let row = statement("SELECT * FROM period WHERE closed_ms IS NULL").row(&self.database).await?;
        row.as_ref().map(period).transpose()
    }

    /// Returns the newest period, open or closed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_period(&self) -> Result<Option<PeriodRow>, StoreError> {
        let row = statement("SELECT * FROM period ORDER BY id DESC LIMIT 1").row(&self.database).await?;
        row.as_ref().map(period).transpose()
    }

    /// Returns a period by its number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn period(&self, id: PeriodId) -> Result<Option<PeriodRow>, StoreError> {
        let row = statement("SELECT * FROM period WHERE id = $1").bind(id.0).row(&self.database).await?;
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
        let mut transaction = self.database.begin().await?;
        let open = statement("SELECT id FROM period WHERE closed_ms IS NULL").value(&mut transaction).await?;
        if let Some(open) = open {
            return Err(StoreError::StillOpen(open));
        }
        let id = statement("SELECT COALESCE(MAX(id), 0) + 1 FROM period").number(&mut transaction).await?;
        statement("INSERT INTO period (id, started_ms, length_ms, profile) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(started_ms)
            .bind(length_ms)
            .bind(profile_name(profile))
            .execute(&mut transaction)
            .await?;
        for NewContender { task, hotkey, uid, capacity } in contenders {
            statement(
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
            .execute(&mut transaction)
            .await?;
        }
        for (task, planned) in budgets {
            let planned = i64::try_from(*planned).unwrap_or(i64::MAX);
            statement("INSERT INTO budget (period_id, task, planned, remaining) VALUES ($1, $2, $3, $3)")
                .bind(id)
                .bind(task.as_str())
                .bind(planned)
                .execute(&mut transaction)
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
        let rows =
            statement("SELECT * FROM contender WHERE period_id = $1").bind(period.0).rows(&self.database).await?;
        let mut rows = rows.iter().map(contender).collect::<Result<Vec<_>, _>>()?;
        // PostgreSQL would sort texts by its locale.
        rows.sort_by(|a, b| key(&a.offer).cmp(&key(&b.offer)));
        Ok(rows)
    }

    /// Returns a period's budgets, ordered by task.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn budgets(&self, period: PeriodId) -> Result<Vec<BudgetRow>, StoreError> {
        let rows = statement("SELECT task, planned, remaining FROM budget WHERE period_id = $1")
            .bind(period.0)
            .rows(&self.database)
            .await?;
        let budget = |row: &Row| {
            let (planned, remaining) = (number(row, "planned")?, number(row, "remaining")?);
            Ok(BudgetRow { task: parsed(row, "task")?, planned, remaining })
        };
        let mut rows = rows.iter().map(budget).collect::<Result<Vec<_>, StoreError>>()?;
        rows.sort_by(|a, b| a.task.cmp(&b.task));
        Ok(rows)
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
        let mut transaction = self.database.begin().await?;
        if lock_open(&mut transaction, period).await? {
            put_counts(&mut transaction, period, rows, budgets).await?;
        }
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
        let mut transaction = self.database.begin().await?;
        if !lock_open(&mut transaction, period).await? {
            return Ok(());
        }
        put_counts(&mut transaction, period, rows, &[]).await?;
        let found = statement("SELECT * FROM period WHERE id = $1").bind(period.0).row(&mut transaction).await?;
        let Some(row) = found else { return Ok(()) };
        let profile = self::period(&row)?.profile;
        let rows =
            statement("SELECT * FROM contender WHERE period_id = $1").bind(period.0).rows(&mut transaction).await?;
        for row in &rows {
            let ContenderRow { offer, counts, .. } = contender(row)?;
            statement("UPDATE contender SET score = $1 WHERE period_id = $2 AND task = $3 AND hotkey = $4")
                .bind(period_score(&counts, profile))
                .bind(period.0)
                .bind(offer.task.as_str())
                .bind(offer.hotkey.to_string())
                .execute(&mut transaction)
                .await?;
        }
        statement("UPDATE period SET closed_ms = $1 WHERE id = $2")
            .bind(closed_ms)
            .bind(period.0)
            .execute(&mut transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Returns the results of periods closed since a time, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history_since(&self, since_ms: i64) -> Result<Vec<HistoryRow>, StoreError> {
        let rows = statement(
            "SELECT contender.period_id, contender.task, contender.hotkey, contender.score, contender.consumed
             FROM contender JOIN period ON period.id = contender.period_id WHERE period.closed_ms >= $1
             ORDER BY period.id DESC, contender.task, contender.hotkey",
        )
        .bind(since_ms)
        .rows(&self.database)
        .await?;
        let result = |row: &Row| {
            Ok(HistoryRow {
                period: PeriodId(row.get("period_id")?),
                task: parsed(row, "task")?,
                hotkey: parsed(row, "hotkey")?,
                score: row.get("score")?,
                volume: row.get("consumed")?,
            })
        };
        let mut rows = rows.iter().map(result).collect::<Result<Vec<_>, StoreError>>()?;
        // PostgreSQL has sorted texts by its locale.
        rows.sort_by(|a, b| (Reverse(a.period), &a.task, a.hotkey).cmp(&(Reverse(b.period), &b.task, b.hotkey)));
        Ok(rows)
    }
}

/// Sort key of offers.
fn key(offer: &NewContender) -> (&TaskName, u16, Hotkey) {
    (&offer.task, offer.uid.0, offer.hotkey)
}

/// Locks an open period until the end of the transaction, so that it is closed before or after its counters are stored;
/// returns `false` if it is closed.
async fn lock_open(transaction: &mut Transaction, period: PeriodId) -> Result<bool, StoreError> {
    let lock = statement("UPDATE period SET closed_ms = NULL WHERE id = $1 AND closed_ms IS NULL");
    Ok(lock.bind(period.0).execute(transaction).await? > 0)
}

async fn put_counts(
    transaction: &mut Transaction,
    period: PeriodId,
    rows: &[ContenderRow],
    budgets: &[(TaskName, u64)],
) -> Result<(), StoreError> {
    for ContenderRow { offer, counts, sent, .. } in rows {
        statement(
            "UPDATE contender SET sent = $1, total_requests = $2, requests_429 = $3, requests_500 = $4, consumed = $5
             WHERE period_id = $6 AND task = $7 AND hotkey = $8",
        )
        .bind(*sent)
        .bind(counts.total_requests)
        .bind(counts.requests_429)
        .bind(counts.requests_500)
        .bind(counts.consumed_capacity)
        .bind(period.0)
        .bind(offer.task.as_str())
        .bind(offer.hotkey.to_string())
        .execute(&mut *transaction)
        .await?;
    }
    for (task, remaining) in budgets {
        statement("UPDATE budget SET remaining = $1 WHERE period_id = $2 AND task = $3")
            .bind(i64::try_from(*remaining).unwrap_or(i64::MAX))
            .bind(period.0)
            .bind(task.as_str())
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}

fn period(row: &Row) -> Result<PeriodRow, StoreError> {
    Ok(PeriodRow {
        id: PeriodId(row.get("id")?),
        started_ms: row.get("started_ms")?,
        length_ms: row.get("length_ms")?,
        profile: profile(&row.get::<String>("profile")?)?,
        closed_ms: row.get("closed_ms")?,
    })
}

fn contender(row: &Row) -> Result<ContenderRow, StoreError> {
    let accepted = row.get("accepted")?;
    let capacity = Capacity { declared: row.get("declared")?, accepted, to_score: row.get("to_score")? };
    let counts = PeriodCounts {
        total_requests: row.get("total_requests")?,
        capacity: accepted,
        consumed_capacity: row.get("consumed")?,
        requests_429: row.get("requests_429")?,
        requests_500: row.get("requests_500")?,
    };
    let offer = NewContender {
        task: parsed(row, "task")?,
        hotkey: parsed(row, "hotkey")?,
        uid: Uid(number(row, "uid")?),
        capacity,
    };
    Ok(ContenderRow { offer, counts, sent: row.get("sent")?, score: row.get("score")? })
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
