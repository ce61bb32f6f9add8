//! Parts of a period's counters, one per process.

use taonet_database::{Transaction, statement};
use taonet_nineteen_core::TaskName;

use crate::{ContenderRow, PeriodId, Store, StoreError};

/// Random ID of a process, which identifies its part of the counters. A restarted process has a new
/// ID; the part stored under the old ID remains.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(String);

impl Process {
    /// Creates a random ID.
    pub fn random() -> Self {
        Self(hex::encode(rand::random::<[u8; 8]>()))
    }

    pub(crate) const fn new(id: String) -> Self {
        Self(id)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Synthetic requests of a task that a process has sent or replaced with organic ones in the open
/// period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentBudget {
    /// Name of the task.
    pub task: TaskName,
    /// Number of requests.
    pub requests: u64,
}

impl Store {
    /// Stores the part of `process` in the counters of an open period, as absolute values. Storing
    /// a part again has no further effect; storing a part of a closed period has none. Returns
    /// whether the period is open.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn put_part(
        &self,
        period: PeriodId,
        process: &Process,
        rows: &[ContenderRow],
        spent: &[SpentBudget],
    ) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        let is_open = crate::periods::lock_open_period(&mut transaction, period).await?;
        if is_open {
            put_part(&mut transaction, period, process, rows, spent).await?;
        }
        transaction.commit().await?;
        Ok(is_open)
    }
}

pub(crate) async fn put_part(
    transaction: &mut Transaction,
    period: PeriodId,
    process: &Process,
    rows: &[ContenderRow],
    spent: &[SpentBudget],
) -> Result<(), StoreError> {
    for ContenderRow { offer, counts, sent, .. } in rows {
        statement(
            "INSERT INTO contender_part (period_id, task, hotkey, process, sent, total_requests, requests_429,
                                         requests_500, consumed)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (period_id, task, hotkey, process) DO UPDATE SET sent = excluded.sent,
             total_requests = excluded.total_requests, requests_429 = excluded.requests_429,
             requests_500 = excluded.requests_500, consumed = excluded.consumed",
        )
        .bind(period.0)
        .bind(offer.task.as_str())
        .bind(offer.hotkey.to_string())
        .bind(process.as_str())
        .bind(*sent)
        .bind(counts.total_requests)
        .bind(counts.requests_429)
        .bind(counts.requests_500)
        .bind(counts.consumed_capacity)
        .execute(&mut *transaction)
        .await?;
    }
    for SpentBudget { task, requests } in spent.iter().filter(|spent| spent.requests > 0) {
        statement(
            "INSERT INTO budget_part (period_id, task, process, spent) VALUES ($1, $2, $3, $4)
             ON CONFLICT (period_id, task, process) DO UPDATE SET spent = excluded.spent",
        )
        .bind(period.0)
        .bind(task.as_str())
        .bind(process.as_str())
        .bind(i64::try_from(*requests).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

/// Subtracts the requests in a period's parts from its budgets, then deletes all parts of the
/// period. The caller must already have added the contenders' parts to their counters.
pub(crate) async fn merge_parts(
    transaction: &mut Transaction,
    period: PeriodId,
) -> Result<(), StoreError> {
    for sql in [
        "UPDATE budget SET remaining = remaining - COALESCE((SELECT CAST(SUM(spent) AS BIGINT) FROM budget_part
         WHERE budget_part.period_id = $1 AND budget_part.task = budget.task), 0) WHERE period_id = $1",
        "DELETE FROM budget_part WHERE period_id = $1",
        "DELETE FROM contender_part WHERE period_id = $1",
    ] {
        statement(sql).bind(period.0).execute(&mut *transaction).await?;
    }
    Ok(())
}
