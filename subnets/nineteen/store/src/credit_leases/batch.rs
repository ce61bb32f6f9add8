//! One transaction for the pending holds and charges of many requests.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use taonet_database::{Database, Statement, Transaction, Value, statement};

use super::plan::{KeyState, Plan, SettledKey};
use super::teams::Teams;
use super::{Hold, PendingCharge};
use crate::budgets::{BudgetLimits, BudgetPeriod, Budgets};
use crate::{Process, StoreError};

/// Row counts of the prepared `INSERT` statements, in descending order: any number of rows up to 64
/// needs at most three of them. Executing a statement costs more than inserting a few rows.
const BATCH_SIZES: [usize; 12] = [64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1];

/// `INSERT` statements of a table, one for each of [`BATCH_SIZES`].
struct BatchInsert {
    columns: usize,
    statements: [&'static str; BATCH_SIZES.len()],
}

static LEASES: LazyLock<BatchInsert> = LazyLock::new(|| {
    BatchInsert::new(
        "INSERT INTO hold (request_id, key_id, amount, created_ms) VALUES ",
        4,
        " ON CONFLICT (request_id) DO UPDATE SET amount = excluded.amount, created_ms = excluded.created_ms",
    )
});
static USAGES: LazyLock<BatchInsert> = LazyLock::new(|| {
    BatchInsert::new(
        "INSERT INTO usage_day (key_id, day, model, requests, input_tokens, output_tokens, charged) VALUES ",
        7,
        " ON CONFLICT (key_id, day, model) DO UPDATE SET requests = usage_day.requests + excluded.requests,
         input_tokens = usage_day.input_tokens + excluded.input_tokens,
         output_tokens = usage_day.output_tokens + excluded.output_tokens,
         charged = usage_day.charged + excluded.charged",
    )
});
static TEAM_DAYS: LazyLock<BatchInsert> = LazyLock::new(|| {
    BatchInsert::new(
        "INSERT INTO team_day (team, day, charged) VALUES ",
        3,
        " ON CONFLICT (team, day) DO UPDATE SET charged = team_day.charged + excluded.charged",
    )
});
static ACCOUNTS: LazyLock<BatchInsert> = LazyLock::new(|| {
    BatchInsert::new(
        "INSERT INTO account (name, balance) VALUES ",
        2,
        " ON CONFLICT (name) DO UPDATE SET balance = account.balance + excluded.balance",
    )
});
static TRANSFERS: LazyLock<BatchInsert> = LazyLock::new(|| {
    BatchInsert::new("INSERT INTO transfer (id, kind, reference, created_ms) VALUES ", 4, "")
});
static POSTINGS: LazyLock<BatchInsert> = LazyLock::new(|| {
    BatchInsert::new("INSERT INTO posting (transfer_id, account, amount) VALUES ", 3, "")
});

#[expect(clippy::arithmetic_side_effects, reason = "counts of rows and columns are small")]
impl BatchInsert {
    /// Creates the statements, with static texts, so that the database prepares each only once.
    fn new(start: &str, columns: usize, end: &str) -> Self {
        let statements = BATCH_SIZES.map(|rows| {
            let mut sql = start.to_owned();
            for row in 0..rows {
                sql.push_str(if row == 0 { "(" } else { ", (" });
                for column in 1..=columns {
                    let _ = write!(
                        sql,
                        "{}${}",
                        if column == 1 { "" } else { ", " },
                        row * columns + column
                    );
                }
                sql.push(')');
            }
            sql.push_str(end);
            &*sql.leak()
        });
        Self { columns, statements }
    }

    /// Inserts all rows, in their order, with as few statements as possible.
    async fn execute(
        &self,
        transaction: &mut Transaction,
        values: Vec<Value>,
    ) -> Result<(), StoreError> {
        let mut remaining = values.len() / self.columns;
        let mut values = values.into_iter();
        for (rows, sql) in BATCH_SIZES.iter().zip(self.statements) {
            while remaining >= *rows {
                remaining -= rows;
                let insert =
                    values.by_ref().take(rows * self.columns).fold(statement(sql), Statement::bind);
                insert.execute(&mut *transaction).await?;
            }
        }
        Ok(())
    }
}

/// Rows to write.
#[derive(Default)]
struct PendingRows<'a> {
    leases: Vec<Value>,
    /// Ids of leases that end.
    ended_leases: Vec<String>,
    /// Requests, input tokens, output tokens and charges by key, day and model.
    usages: BTreeMap<(&'a str, &'a str, &'a str), [i64; 4]>,
    /// Changes of balances by account. Their order puts `revenue` last, which all processes lock.
    accounts: BTreeMap<String, i64>,
    transfers: Vec<Value>,
    postings: Vec<Value>,
}

/// Writes the pending work, by the ID of the API key; returns the results in the same order.
pub(super) async fn write(
    database: &Database,
    process: &Process,
    plans: &BTreeMap<String, Plan>,
) -> Result<Vec<SettledKey>, StoreError> {
    let mut transaction = database.begin().await?;
    let (mut rows, mut results) = (PendingRows::default(), Vec::with_capacity(plans.len()));
    let mut teams = Teams::lock(&mut transaction, plans).await?;
    for (key, plan) in plans {
        let id = format!("{}:{key}", process.as_str());
        let mut key_state = read_key_state(&mut transaction, key, &id, plan.day()).await?;
        if let Some(day) = plan.day()
            && let Some((budgets, keys)) =
                teams.budgets(&mut transaction, key, key_state.lease, day).await?
        {
            key_state.budgets =
                BudgetLimits { team: budgets, team_keys: keys, ..key_state.budgets };
        }
        let mut earlier_charges = Vec::with_capacity(plan.pending_charges.len());
        for pending_charge in &plan.pending_charges {
            let Hold { transfer_id, is_retried, .. } = pending_charge.hold;
            earlier_charges.push(if is_retried {
                earlier_charge(&mut transaction, transfer_id).await?
            } else {
                None
            });
        }
        let settled = plan.settle(&key_state, &earlier_charges);
        rows.add(key, &id, plan, &key_state, &earlier_charges, &settled);
        teams.record(
            key,
            new_charges(plan, &earlier_charges, &settled),
            (key_state.lease, settled.lease),
        );
        results.push(settled);
    }
    rows.execute(&mut transaction, teams).await?;
    transaction.commit().await?;
    Ok(results)
}

/// Reads a key's credits, and its own budgets. The latter count only if `day` is given.
async fn read_key_state(
    transaction: &mut Transaction,
    key: &str,
    id: &str,
    day: Option<&str>,
) -> Result<KeyState, StoreError> {
    let row = statement(
        "SELECT COALESCE((SELECT balance FROM account WHERE name = 'key:' || $1), 0) AS available,
         COALESCE((SELECT balance FROM account WHERE name = 'held:' || $1), 0) AS held,
         COALESCE((SELECT amount FROM hold WHERE request_id = $2), 0) AS lease,
         (SELECT monthly_budget FROM api_key WHERE id = $1) AS monthly,
         (SELECT daily_budget FROM api_key WHERE id = $1) AS daily,
         CAST((SELECT COALESCE(SUM(charged), 0) FROM usage_day WHERE key_id = $1 AND day LIKE $3 || '%') AS BIGINT)
         AS in_month,
         CAST((SELECT COALESCE(SUM(charged), 0) FROM usage_day WHERE key_id = $1 AND day = $4) AS BIGINT) AS in_day",
    );
    let day = day.unwrap_or("none");
    let row = row
        .bind(key)
        .bind(id)
        .bind(BudgetPeriod::Month.date_prefix(day))
        .bind(day)
        .row(transaction)
        .await?;
    let Some(row) = row else {
        return Ok(KeyState { available: 0, lease: 0, budgets: BudgetLimits::default() });
    };
    let (held, lease): (i64, i64) = (row.get("held")?, row.get("lease")?);
    let other_leases = held.saturating_sub(lease);
    let remaining = |budget: Option<i64>, spent: i64| {
        budget.map(|budget| budget.saturating_sub(spent).saturating_sub(other_leases))
    };
    let budgets = Budgets {
        month: remaining(row.get("monthly")?, row.get("in_month")?),
        day: remaining(row.get("daily")?, row.get("in_day")?),
    };
    let budgets = BudgetLimits { key: budgets, ..BudgetLimits::default() };
    Ok(KeyState { available: row.get("available")?, lease, budgets })
}

/// Returns the credits that an earlier transaction charged by a transfer, if any.
async fn earlier_charge(
    transaction: &mut Transaction,
    transfer: i64,
) -> Result<Option<i64>, StoreError> {
    let charge =
        statement("SELECT amount FROM posting WHERE transfer_id = $1 AND account = 'revenue'");
    Ok(charge.bind(transfer).value(transaction).await?)
}

/// Returns the requests that the transaction charges, with the charges; `None` if the request's
/// credits were released before.
fn new_charges<'a>(
    plan: &'a Plan,
    earlier_charges: &[Option<i64>],
    settled: &SettledKey,
) -> impl Iterator<Item = (&'a PendingCharge, Option<i64>)> {
    let charges = plan.pending_charges.iter().zip(&settled.charges).zip(earlier_charges);
    charges
        .filter(|(_, earlier_charge)| earlier_charge.is_none())
        .map(|((pending_charge, charge), _)| (pending_charge, *charge))
}

impl<'a> PendingRows<'a> {
    fn add(
        &mut self,
        key: &'a str,
        id: &str,
        plan: &'a Plan,
        key_state: &KeyState,
        earlier_charges: &[Option<i64>],
        settled: &SettledKey,
    ) {
        let (available_account, held_account) = (format!("key:{key}"), format!("held:{key}"));
        let mut remaining = key_state.lease;
        for (pending_charge, charge) in new_charges(plan, earlier_charges, settled) {
            let Some(charge) = charge else {
                tracing::warn!(
                    key,
                    request_id = pending_charge.request,
                    "the request's credits were released before its charge"
                );
                continue;
            };
            remaining = remaining.saturating_sub(charge);
            let sums = self
                .usages
                .entry((key, &pending_charge.usage.day, &pending_charge.usage.model))
                .or_default();
            // No sum of a day's requests overflows.
            let count = |count: u64| i64::from(u32::try_from(count).unwrap_or(u32::MAX));
            let increments = [
                1,
                count(pending_charge.usage.input_tokens),
                count(pending_charge.usage.output_tokens),
                charge,
            ];
            for (sum, increment) in sums.iter_mut().zip(increments) {
                *sum = sum.saturating_add(increment);
            }
            self.transfer(
                pending_charge.hold.transfer_id,
                "charge",
                &pending_charge.request,
                pending_charge.now_ms,
                charge,
                &held_account,
                "revenue",
            );
        }
        let newly_leased = settled.lease.saturating_sub(remaining);
        if newly_leased != 0 {
            // A sequential id would serialise all transfers.
            let number = i64::from_le_bytes(rand::random()) & i64::MAX;
            self.transfer(
                number,
                "hold",
                id,
                plan.now_ms,
                newly_leased,
                &available_account,
                &held_account,
            );
        }
        if settled.lease > 0 {
            self.leases.extend::<[Value; 4]>([
                id.into(),
                key.into(),
                settled.lease.into(),
                plan.now_ms.into(),
            ]);
        } else if key_state.lease > 0 {
            self.ended_leases.push(id.to_owned());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a transfer")]
    fn transfer(
        &mut self,
        id: i64,
        kind: &'static str,
        reference: &str,
        now_ms: i64,
        amount: i64,
        from: &str,
        to: &str,
    ) {
        self.transfers.extend::<[Value; 4]>([
            id.into(),
            kind.into(),
            reference.into(),
            now_ms.into(),
        ]);
        for (account, amount) in [(from, amount.saturating_neg()), (to, amount)] {
            let change = self.accounts.entry(account.to_owned()).or_default();
            *change = change.saturating_add(amount);
            self.postings.extend::<[Value; 3]>([id.into(), account.into(), amount.into()]);
        }
    }

    async fn execute(
        self,
        transaction: &mut Transaction,
        teams: Teams<'_>,
    ) -> Result<(), StoreError> {
        LEASES.execute(transaction, self.leases).await?;
        for id in self.ended_leases {
            statement("DELETE FROM hold WHERE request_id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        let usage = |((key, day, model), sums): ((&str, &str, &str), [i64; 4])| {
            [key, day, model].map(Value::from).into_iter().chain(sums.map(Value::from))
        };
        USAGES.execute(transaction, self.usages.into_iter().flat_map(usage).collect()).await?;
        TEAM_DAYS.execute(transaction, teams.into_rows()).await?;
        TRANSFERS.execute(transaction, self.transfers).await?;
        let account = |(name, change): (String, i64)| [Value::from(name), Value::from(change)];
        ACCOUNTS
            .execute(transaction, self.accounts.into_iter().flat_map(account).collect())
            .await?;
        POSTINGS.execute(transaction, self.postings).await
    }
}
