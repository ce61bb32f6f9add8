//! Scoring periods with offers, counters, budgets and scores.

use std::cmp::Reverse;

use taonet_database::{Executor, Row, Transaction, statement};
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::{PeriodCounts, PeriodProfile, period_score};
use taonet_nineteen_core::{MarketConfig, TaskName};
use taonet_primitives::{Hotkey, Uid};

use crate::error::{integer_column, invalid_value, parse_column};
use crate::parts::{merge_parts, put_part};
use crate::{Process, SpentBudget, Store, StoreError};

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
    /// Number of concurrent requests that the miner announces, over all its tasks; `None` if it
    /// announces none.
    pub concurrency: Option<usize>,
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

/// Counters and score of a contender in a closed period.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryRow {
    /// Number of the period.
    pub period: PeriodId,
    /// Formula of the period's scores.
    pub profile: PeriodProfile,
    /// Name of the task.
    pub task: TaskName,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Counters of the period.
    pub counts: PeriodCounts,
    /// Period score; `None` without requests.
    pub score: Option<f64>,
}

async fn insert_contenders(
    transaction: &mut Transaction,
    period: i64,
    contenders: &[NewContender],
) -> Result<(), StoreError> {
    for NewContender { task, hotkey, uid, capacity, concurrency } in contenders {
        statement(
            "INSERT INTO contender (period_id, task, hotkey, uid, declared, accepted, to_score, concurrency)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        )
        .bind(period)
        .bind(task.as_str())
        .bind(hotkey.to_string())
        .bind(i64::from(uid.0))
        // Non-finite numbers are stored as 0.
        .bind(if capacity.declared.is_finite() { capacity.declared } else { 0.0 })
        .bind(capacity.accepted)
        .bind(capacity.to_score)
        .bind(concurrency.and_then(|concurrency| i64::try_from(concurrency).ok()))
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

impl Store {
    /// Returns the open period, if any.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn current_period(&self) -> Result<Option<PeriodRow>, StoreError> {
        let row =
            statement("SELECT * FROM period WHERE closed_ms IS NULL").row(&self.database).await?;
        row.as_ref().map(parse_period).transpose()
    }

    /// Returns the newest period, open or closed.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn newest_period(&self) -> Result<Option<PeriodRow>, StoreError> {
        let row =
            statement("SELECT * FROM period ORDER BY id DESC LIMIT 1").row(&self.database).await?;
        row.as_ref().map(parse_period).transpose()
    }

    /// Returns a period by its number.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn period(&self, id: PeriodId) -> Result<Option<PeriodRow>, StoreError> {
        let row =
            statement("SELECT * FROM period WHERE id = $1").bind(id.0).row(&self.database).await?;
        row.as_ref().map(parse_period).transpose()
    }

    /// Returns the configuration with which a period was opened; without `period`, that of the
    /// newest one. `None` for a period of an earlier release.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails, or a newer release has written the configuration.
    pub async fn config(
        &self,
        period: Option<PeriodId>,
    ) -> Result<Option<MarketConfig>, StoreError> {
        let text: Option<String> = statement(
            "SELECT config FROM period_config WHERE period_id = COALESCE($1, (SELECT MAX(period_id) FROM period_config))",
        )
        .bind(period.map(|period| period.0))
        .value(&self.database)
        .await?;
        text.map(|text| {
            serde_json::from_str(&text).map_err(|error| invalid_value("config", &error))
        })
        .transpose()
    }

    /// Opens a period with its offers, budgets and configuration. The previous one must be closed.
    ///
    /// # Errors
    /// [`StoreError::PeriodStillOpen`] if the previous period is open.
    pub async fn begin_period(
        &self,
        started_ms: i64,
        length_ms: i64,
        profile: PeriodProfile,
        contenders: &[NewContender],
        budgets: &[(TaskName, u64)],
        config: &MarketConfig,
    ) -> Result<PeriodId, StoreError> {
        let mut transaction = self.database.begin().await?;
        let open_period = statement("SELECT id FROM period WHERE closed_ms IS NULL")
            .value(&mut transaction)
            .await?;
        if let Some(open_period) = open_period {
            return Err(StoreError::PeriodStillOpen(open_period));
        }
        let id = statement("SELECT COALESCE(MAX(id), 0) + 1 FROM period")
            .number(&mut transaction)
            .await?;
        statement(
            "INSERT INTO period (id, started_ms, length_ms, profile) VALUES ($1, $2, $3, $4)",
        )
        .bind(id)
        .bind(started_ms)
        .bind(length_ms)
        .bind(profile_name(profile))
        .execute(&mut transaction)
        .await?;
        insert_contenders(&mut transaction, id, contenders).await?;
        for (task, planned) in budgets {
            let planned = i64::try_from(*planned).unwrap_or(i64::MAX);
            statement(
                "INSERT INTO budget (period_id, task, planned, remaining) VALUES ($1, $2, $3, $3)",
            )
            .bind(id)
            .bind(task.as_str())
            .bind(planned)
            .execute(&mut transaction)
            .await?;
        }
        statement("INSERT INTO period_config (period_id, config) VALUES ($1, $2)")
            .bind(id)
            // Cannot fail: the keys of all maps are strings.
            .bind(serde_json::to_string(config).unwrap_or_default())
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(PeriodId(id))
    }

    /// Adds offers to an open period. Offers that the period has already, and those for a closed
    /// period, are ignored.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn add_contenders(
        &self,
        period: PeriodId,
        contenders: &[NewContender],
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let open_period: Option<i64> =
            statement("SELECT id FROM period WHERE id = $1 AND closed_ms IS NULL")
                .bind(period.0)
                .value(&mut transaction)
                .await?;
        if open_period.is_some() {
            insert_contenders(&mut transaction, period.0, contenders).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Returns a period's contenders with the counters of all processes, ordered by task and uid.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn contenders(&self, period: PeriodId) -> Result<Vec<ContenderRow>, StoreError> {
        select_contenders(&self.database, period, None).await
    }

    /// Returns a period's contenders with the counters of all processes except one, ordered by task
    /// and uid.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn contenders_excluding(
        &self,
        period: PeriodId,
        process: &Process,
    ) -> Result<Vec<ContenderRow>, StoreError> {
        select_contenders(&self.database, period, Some(process)).await
    }

    /// Returns a period's budgets, ordered by task. The requests of the process `excluded` are not
    /// subtracted.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn budgets(
        &self,
        period: PeriodId,
        excluded: Option<&Process>,
    ) -> Result<Vec<BudgetRow>, StoreError> {
        let rows = statement(
            "SELECT task, planned, remaining - COALESCE((SELECT CAST(SUM(spent) AS BIGINT) FROM budget_part
             WHERE budget_part.period_id = $1 AND budget_part.task = budget.task AND process <> $2), 0) AS remaining
             FROM budget WHERE period_id = $1",
        )
        .bind(period.0)
        .bind(excluded.map_or("", Process::as_str))
        .rows(&self.database)
        .await?;
        let budget_row = |row: &Row| {
            // Several processes may each have spent the last request.
            let remaining = u64::try_from(row.get::<i64>("remaining")?).unwrap_or(0);
            Ok(BudgetRow {
                task: parse_column(row, "task")?,
                planned: integer_column(row, "planned")?,
                remaining,
            })
        };
        let mut rows = rows.iter().map(budget_row).collect::<Result<Vec<_>, StoreError>>()?;
        rows.sort_by(|a, b| a.task.cmp(&b.task));
        Ok(rows)
    }

    /// Closes a period: adds up the parts of all processes, and computes the scores. `rows` and
    /// `spent` are the final part of `process`. Has no effect on a closed period.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn close_period(
        &self,
        period: PeriodId,
        process: &Process,
        rows: &[ContenderRow],
        spent: &[SpentBudget],
        closed_ms: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        if !lock_open_period(&mut transaction, period).await? {
            return Ok(());
        }
        put_part(&mut transaction, period, process, rows, spent).await?;
        let row = statement("SELECT * FROM period WHERE id = $1")
            .bind(period.0)
            .row(&mut transaction)
            .await?;
        let Some(row) = row else { return Ok(()) };
        let profile = parse_period(&row)?.profile;
        for ContenderRow { offer, counts, sent, .. } in
            select_contenders(&mut transaction, period, None).await?
        {
            statement(
                "UPDATE contender SET sent = $1, total_requests = $2, requests_429 = $3, requests_500 = $4,
                 consumed = $5, score = $6 WHERE period_id = $7 AND task = $8 AND hotkey = $9",
            )
            .bind(sent)
            .bind(counts.total_requests)
            .bind(counts.requests_429)
            .bind(counts.requests_500)
            .bind(counts.consumed_capacity)
            .bind(period_score(&counts, profile))
            .bind(period.0)
            .bind(offer.task.as_str())
            .bind(offer.hotkey.to_string())
            .execute(&mut transaction)
            .await?;
        }
        merge_parts(&mut transaction, period).await?;
        statement("UPDATE period SET closed_ms = $1 WHERE id = $2")
            .bind(closed_ms)
            .bind(period.0)
            .execute(&mut transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Returns the results of periods closed since `since_ms` (Unix time in milliseconds), newest
    /// first.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn history_since(&self, since_ms: i64) -> Result<Vec<HistoryRow>, StoreError> {
        let rows = statement(
            "SELECT contender.*, period.profile FROM contender JOIN period ON period.id = contender.period_id WHERE period.closed_ms >= $1
             ORDER BY period.id DESC, contender.task, contender.hotkey",
        )
        .bind(since_ms)
        .rows(&self.database)
        .await?;
        let history_row = |row: &Row| {
            Ok(HistoryRow {
                period: PeriodId(row.get("period_id")?),
                profile: parse_profile(&row.get::<String>("profile")?)?,
                task: parse_column(row, "task")?,
                hotkey: parse_column(row, "hotkey")?,
                counts: parse_counts(row)?,
                score: row.get("score")?,
            })
        };
        let mut rows = rows.iter().map(history_row).collect::<Result<Vec<_>, StoreError>>()?;
        // PostgreSQL sorts strings by its locale, so the rows are sorted here.
        rows.sort_by(|a, b| {
            (Reverse(a.period), &a.task, a.hotkey).cmp(&(Reverse(b.period), &b.task, b.hotkey))
        });
        Ok(rows)
    }
}

/// Sort key of offers.
fn contender_key(offer: &NewContender) -> (&TaskName, u16, Hotkey) {
    (&offer.task, offer.uid.0, offer.hotkey)
}

/// Locks an open period until the end of the transaction, so that no concurrent transaction closes
/// it or stores counters; returns `false` if the period is closed.
pub(crate) async fn lock_open_period(
    transaction: &mut Transaction,
    period: PeriodId,
) -> Result<bool, StoreError> {
    let lock = statement("UPDATE period SET closed_ms = NULL WHERE id = $1 AND closed_ms IS NULL");
    Ok(lock.bind(period.0).execute(transaction).await? > 0)
}

/// Reads the contenders with the sums of all parts, except those of one process.
async fn select_contenders(
    executor: impl Into<Executor<'_>>,
    period: PeriodId,
    excluded: Option<&Process>,
) -> Result<Vec<ContenderRow>, StoreError> {
    let rows = statement(
        "SELECT contender.task, contender.hotkey, uid, declared, accepted, to_score, concurrency, score,
                contender.sent + COALESCE(part.sent, 0.0) AS sent,
                contender.total_requests + COALESCE(part.total_requests, 0.0) AS total_requests,
                contender.requests_429 + COALESCE(part.requests_429, 0.0) AS requests_429,
                contender.requests_500 + COALESCE(part.requests_500, 0.0) AS requests_500,
                contender.consumed + COALESCE(part.consumed, 0.0) AS consumed
         FROM contender LEFT JOIN (
             SELECT task, hotkey, SUM(sent) AS sent, SUM(total_requests) AS total_requests,
                    SUM(requests_429) AS requests_429, SUM(requests_500) AS requests_500, SUM(consumed) AS consumed
             FROM contender_part WHERE period_id = $1 AND process <> $2 GROUP BY task, hotkey
         ) AS part ON part.task = contender.task AND part.hotkey = contender.hotkey
         WHERE contender.period_id = $1",
    )
    .bind(period.0)
    .bind(excluded.map_or("", Process::as_str))
    .rows(executor)
    .await?;
    let mut rows = rows.iter().map(parse_contender).collect::<Result<Vec<_>, _>>()?;
    // PostgreSQL sorts strings by its locale, so the rows are sorted here.
    rows.sort_by(|a, b| contender_key(&a.offer).cmp(&contender_key(&b.offer)));
    Ok(rows)
}

fn parse_period(row: &Row) -> Result<PeriodRow, StoreError> {
    Ok(PeriodRow {
        id: PeriodId(row.get("id")?),
        started_ms: row.get("started_ms")?,
        length_ms: row.get("length_ms")?,
        profile: parse_profile(&row.get::<String>("profile")?)?,
        closed_ms: row.get("closed_ms")?,
    })
}

fn parse_contender(row: &Row) -> Result<ContenderRow, StoreError> {
    let counts = parse_counts(row)?;
    let capacity = Capacity {
        declared: row.get("declared")?,
        accepted: counts.capacity,
        to_score: row.get("to_score")?,
    };
    let offer = NewContender {
        task: parse_column(row, "task")?,
        hotkey: parse_column(row, "hotkey")?,
        uid: Uid(integer_column(row, "uid")?),
        capacity,
        concurrency: row
            .get::<Option<i64>>("concurrency")?
            .and_then(|concurrency| usize::try_from(concurrency).ok()),
    };
    Ok(ContenderRow { offer, counts, sent: row.get("sent")?, score: row.get("score")? })
}

fn parse_counts(row: &Row) -> Result<PeriodCounts, StoreError> {
    Ok(PeriodCounts {
        total_requests: row.get("total_requests")?,
        capacity: row.get("accepted")?,
        consumed_capacity: row.get("consumed")?,
        requests_429: row.get("requests_429")?,
        requests_500: row.get("requests_500")?,
    })
}

pub(crate) const fn profile_name(profile: PeriodProfile) -> &'static str {
    match profile {
        PeriodProfile::Reference => "reference",
        PeriodProfile::Later => "later",
        PeriodProfile::Seed => "seed",
    }
}

fn parse_profile(text: &str) -> Result<PeriodProfile, StoreError> {
    let profiles = [PeriodProfile::Reference, PeriodProfile::Later, PeriodProfile::Seed];
    profiles
        .into_iter()
        .find(|profile| profile_name(*profile) == text)
        .ok_or_else(|| invalid_value("profile", &text))
}
