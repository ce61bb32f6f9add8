//! Import of the rows that the database does not have yet.

use std::collections::HashSet;

use taonet_database::{Transaction, statement};
use taonet_nineteen_core::period::PeriodProfile;

use super::rows::{ContenderRecord, DUPLICATE, KeyRecord, PeriodRecord};
use super::schema::{API_KEYS, CONTENDERS_HISTORY, REWARD_DATA};
use super::{ImportReport, ReferenceRecords, Remarks, TableReport};
use crate::credits::grant;
use crate::keys::insert_key;
use crate::periods::profile_name;
use crate::samples::insert_reward;
use crate::{KeyTerms, MAX_CREDITS, Reward, Sample, Store, StoreError};

/// Reason of the grants for balances.
const BALANCE: &str = "balance at the reference";
/// Reason of a note on rows of miners that have left the subnet.
const UNREGISTERED: &str = "not registered: counts if the hotkey registers again";

/// Rows that the database already has.
#[derive(Debug, Default)]
struct ExistingRows {
    /// Hashes of the API keys.
    hashes: HashSet<String>,
    /// IDs of the rewards.
    job_ids: HashSet<String>,
    periods: Vec<ExistingPeriod>,
    /// Balance of the account `issued`.
    issued: i64,
}

/// A period of the database.
#[derive(Debug)]
struct ExistingPeriod {
    id: i64,
    started_ms: i64,
    /// `None` for the open period, which no process runs during an import.
    closed_ms: Option<i64>,
}

/// New rows, and the report on all rows.
struct ImportPlan<'a> {
    /// Keys with their credits.
    keys: Vec<(&'a KeyRecord, i64)>,
    rewards: Vec<&'a (Sample, Reward)>,
    /// Periods with their numbers.
    periods: Vec<(i64, &'a PeriodRecord)>,
    report: ImportReport,
}

impl ReferenceRecords {
    /// Returns what [`Store::import`] would store in an empty database.
    ///
    /// # Errors
    /// [`StoreError::TooManyCredits`] when the credits of all keys together are too many.
    pub fn preview(&self, credits: Option<i64>) -> Result<ImportReport, StoreError> {
        Ok(plan_import(self, &ExistingRows::default(), credits)?.report)
    }
}

impl Store {
    /// Stores the rows that the database does not have, in one transaction. Each key gets
    /// `credits`, or else those of its balance; keys of an earlier import keep their credits and
    /// limits. The caller must hold the lock of the process that runs the periods
    /// ([`Self::lock_control`]).
    ///
    /// # Errors
    /// [`StoreError::TooManyCredits`] when more than [`MAX_CREDITS`] would exist in total; another
    /// [`StoreError`] when the database fails. Nothing is stored then.
    pub async fn import(
        &self,
        records: &ReferenceRecords,
        credits: Option<i64>,
    ) -> Result<ImportReport, StoreError> {
        let mut transaction = self.database.begin().await?;
        let existing = ExistingRows::read(&mut transaction).await?;
        let ImportPlan { keys, rewards, periods, report } =
            plan_import(records, &existing, credits)?;
        for (key, credits) in keys {
            import_key(&mut transaction, key, credits, records.now_ms).await?;
        }
        for (sample, reward) in rewards {
            insert_reward(&mut transaction, sample, reward).await?;
        }
        for (id, period) in periods {
            import_period(&mut transaction, id, period).await?;
        }
        transaction.commit().await?;
        Ok(report)
    }

    /// Returns what [`Self::import`] would store, without writing.
    ///
    /// # Errors
    /// The errors of [`Self::import`].
    pub async fn preview_import(
        &self,
        records: &ReferenceRecords,
        credits: Option<i64>,
    ) -> Result<ImportReport, StoreError> {
        let mut transaction = self.database.begin_reading().await?;
        let existing = ExistingRows::read(&mut transaction).await?;
        Ok(plan_import(records, &existing, credits)?.report)
    }
}

impl ExistingRows {
    async fn read(transaction: &mut Transaction) -> Result<Self, StoreError> {
        let hashes = statement("SELECT hash FROM api_key");
        let hashes = hashes.values::<String>(&mut *transaction).await?;
        let job_ids = statement("SELECT job_id FROM reward");
        let job_ids = job_ids.values::<String>(&mut *transaction).await?;
        let periods = statement("SELECT id, started_ms, closed_ms FROM period");
        let periods = periods.rows(&mut *transaction).await?;
        let periods = periods.iter().map(|row| {
            Ok(ExistingPeriod {
                id: row.get("id")?,
                started_ms: row.get("started_ms")?,
                closed_ms: row.get("closed_ms")?,
            })
        });
        let issued = statement("SELECT balance FROM account WHERE name = 'issued'");
        Ok(Self {
            hashes: hashes.into_iter().collect(),
            job_ids: job_ids.into_iter().collect(),
            periods: periods.collect::<Result<_, StoreError>>()?,
            issued: issued.value(transaction).await?.unwrap_or(0),
        })
    }
}

/// Returns the rows that are not in the database yet, and the report.
fn plan_import<'a>(
    records: &'a ReferenceRecords,
    existing: &ExistingRows,
    credits: Option<i64>,
) -> Result<ImportPlan<'a>, StoreError> {
    let (mut left_out, mut notes) = (records.left_out.clone(), Remarks::default());
    let keys = select_new_keys(records, existing, credits, &mut left_out, &mut notes);
    let credits = keys.iter().map(|(_, credits)| *credits).fold(0, i64::saturating_add);
    let remaining = MAX_CREDITS.saturating_add(existing.issued).max(0);
    if credits > remaining {
        return Err(StoreError::TooManyCredits { amount: credits, remaining });
    }
    let rewards = select_new_rewards(records, existing, &mut left_out, &mut notes);
    let periods = select_new_periods(records, existing, &mut left_out, &mut notes);
    let contenders: u64 = periods.iter().map(|(_, period)| period.contenders.len() as u64).sum();
    let imported = [
        (API_KEYS, keys.len() as u64),
        (REWARD_DATA, rewards.len() as u64),
        (CONTENDERS_HISTORY, contenders),
    ];
    let tables = records.tables.iter().map(|&(table, rows, note)| {
        let Some((_, imported)) = imported.iter().copied().find(|(name, _)| *name == table) else {
            return TableReport { table, rows, imported: 0, present: 0, left_out: rows, note };
        };
        let left_out = left_out.count_rows_of(table);
        let present = rows.saturating_sub(imported).saturating_sub(left_out);
        TableReport { table, rows, imported, present, left_out, note }
    });
    let report = ImportReport {
        tables: tables.collect(),
        left_out: left_out.0.clone(),
        notes: notes.0,
        periods: periods.len() as u64,
        credits,
    };
    Ok(ImportPlan { keys, rewards, periods, report })
}

fn select_new_keys<'a>(
    records: &'a ReferenceRecords,
    existing: &ExistingRows,
    credits: Option<i64>,
    left_out: &mut Remarks,
    notes: &mut Remarks,
) -> Vec<(&'a KeyRecord, i64)> {
    let (mut keys, mut seen_hashes) = (Vec::new(), HashSet::new());
    for key in records.keys.iter().filter(|key| !existing.hashes.contains(&key.hash)) {
        if !seen_hashes.insert(&key.hash) {
            left_out.add(API_KEYS, "key", DUPLICATE, &key.name);
            continue;
        }
        for &(column, note) in &key.notes {
            notes.add(API_KEYS, column, note, &key.name);
        }
        let balance = credits.map_or(key.balance, Ok).unwrap_or_else(|note| {
            notes.add(API_KEYS, "balance", note, &key.name);
            0
        });
        keys.push((key, balance));
    }
    keys
}

fn select_new_rewards<'a>(
    records: &'a ReferenceRecords,
    existing: &ExistingRows,
    left_out: &mut Remarks,
    notes: &mut Remarks,
) -> Vec<&'a (Sample, Reward)> {
    let (mut rewards, mut seen_ids) = (Vec::new(), HashSet::new());
    for row in
        records.rewards.iter().filter(|(sample, _)| !existing.job_ids.contains(&sample.job_id))
    {
        let (sample, _) = row;
        if !seen_ids.insert(&sample.job_id) {
            left_out.add(REWARD_DATA, "id", DUPLICATE, &sample.job_id);
            continue;
        }
        if !records.registered.contains(&sample.hotkey) {
            notes.add(REWARD_DATA, "node_hotkey", UNREGISTERED, &sample.job_id);
        }
        rewards.push(row);
    }
    rewards
}

fn select_new_periods<'a>(
    records: &'a ReferenceRecords,
    existing: &ExistingRows,
    left_out: &mut Remarks,
    notes: &mut Remarks,
) -> Vec<(i64, &'a PeriodRecord)> {
    let existing = &existing.periods;
    let newest_ms =
        existing.iter().map(|period| period.closed_ms.unwrap_or(period.started_ms)).max();
    let first_id = existing.iter().map(|period| period.id).max().unwrap_or(0).saturating_add(1);
    let mut periods = Vec::new();
    let is_imported = |period: &PeriodRecord| {
        existing.iter().any(|existing_period| existing_period.closed_ms == Some(period.closed_ms))
    };
    for period in records.periods.iter().filter(|period| !is_imported(period)) {
        // Periods are numbered in the order of time.
        if newest_ms.is_some_and(|newest_ms| period.closed_ms < newest_ms) {
            for contender in &period.contenders {
                let reason = "older than the newest period of this database";
                left_out.add(CONTENDERS_HISTORY, "expired_at", reason, &contender.id);
            }
            continue;
        }
        let profile = period.profile();
        for contender in &period.contenders {
            add_contender_remarks(contender, profile, records, notes);
        }
        periods.push(period);
    }
    (first_id..).zip(periods).collect()
}

fn add_contender_remarks(
    contender: &ContenderRecord,
    profile: PeriodProfile,
    records: &ReferenceRecords,
    notes: &mut Remarks,
) {
    let ContenderRecord { id, hotkey, .. } = contender;
    if !records.registered.contains(hotkey) {
        notes.add(CONTENDERS_HISTORY, "node_hotkey", UNREGISTERED, id);
    }
    if !contender.matches_formula(profile) {
        let reason = "differs from the formula: imported as it is";
        notes.add(CONTENDERS_HISTORY, "period_score", reason, id);
    }
}

async fn import_key(
    transaction: &mut Transaction,
    key: &KeyRecord,
    credits: i64,
    now_ms: i64,
) -> Result<(), StoreError> {
    let id = hex::encode(rand::random::<[u8; 8]>());
    let terms = KeyTerms::new(&key.name, key.rate_per_minute);
    insert_key(transaction, &id, &key.hash, &terms, key.created_ms.unwrap_or(now_ms)).await?;
    if credits > 0 {
        grant(transaction, &id, credits, ("grant", BALANCE), now_ms).await?;
    }
    Ok(())
}

async fn import_period(
    transaction: &mut Transaction,
    id: i64,
    period: &PeriodRecord,
) -> Result<(), StoreError> {
    statement("INSERT INTO period (id, started_ms, length_ms, profile, closed_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(period.started_ms)
        .bind(period.closed_ms.saturating_sub(period.started_ms))
        .bind(profile_name(period.profile()))
        .bind(period.closed_ms)
        .execute(&mut *transaction)
        .await?;
    for ContenderRecord { task, hotkey, uid, capacity, counts, score, .. } in &period.contenders {
        statement(
            "INSERT INTO contender (period_id, task, hotkey, uid, declared, accepted, to_score, total_requests,
                                    requests_429, requests_500, consumed, score)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(id)
        .bind(task.as_str())
        .bind(hotkey.to_string())
        .bind(i64::from(uid.0))
        .bind(capacity.declared)
        .bind(capacity.accepted)
        .bind(capacity.to_score)
        .bind(counts.total_requests)
        .bind(counts.requests_429)
        .bind(counts.requests_500)
        .bind(counts.consumed_capacity)
        .bind(*score)
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}
