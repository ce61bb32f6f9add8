//! Reading of the reference's rows. Rows with a value that a validator cannot use are left out.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use taonet_database::{Column, DatabaseError, Row, Statement, Transaction, statement};
use taonet_nineteen_core::TaskName;
use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::period::{PeriodCounts, PeriodProfile, period_score};
use taonet_primitives::{Hotkey, Uid};
use zeroize::Zeroizing;

use super::schema::{self, API_KEYS, CONTENDERS_HISTORY, NODES, NOT_IMPORTED, REWARD_DATA};
use super::{ReadTerms, ReferenceError, ReferenceRecords, Remarks};
use crate::keys::hash_secret;
use crate::{MAX_CREDITS, PeriodId, Reward, Sample};

/// Age from which rewards and periods are left out, in milliseconds: the validator deletes them at
/// its next period.
const MAX_AGE_MS: i64 = 7 * 24 * 3_600 * 1_000;
/// Accepted difference between the clocks of the two machines, in milliseconds.
const CLOCK_DIFFERENCE_MS: i64 = 60_000;
/// Longest time that the reference takes to close the contenders of one period, in milliseconds.
const MAX_CLOSING_MS: i64 = 60_000;
/// Largest difference between a score and its formula, from rounding.
const ROUNDING_TOLERANCE: f64 = 1e-6;
/// Length of the reference's keys, which are UUIDs. Those made by hand can be shorter.
const KEY_LENGTH: usize = 36;

/// Reason of each imported reward.
const IMPORTED: &str = "imported from the reference";

/// Reasons for which rows are left out.
const MISSING: &str = "NULL";
const NO_TIME: &str = "NULL or infinite";
const FUTURE: &str = "in the future";
const OLD: &str = "older than 7 days";
const NO_AMOUNT: &str = "not a number of at least 0";
const NO_SHARE: &str = "not a number in 0..=1";
const NO_TASK: &str = "not the name of a task";
const NO_HOTKEY: &str = "not an address of the chain";
const NO_UID: &str = "not in 0..=65535";
const NO_HEADER: &str = "not text that a request's header can have";
const OTHER_SUBNET: &str = "another subnet";
pub(super) const DUPLICATE: &str = "duplicate";

/// An API key. Its text is only hashed.
#[derive(Debug)]
pub(super) struct KeyRecord {
    pub(super) hash: String,
    pub(super) name: String,
    /// Credits for the balance, or why there are none.
    pub(super) balance: Result<i64, &'static str>,
    pub(super) rate_per_minute: u32,
    /// Time of creation; `None` if it is unknown.
    pub(super) created_ms: Option<i64>,
    /// Columns with what deserves attention in them.
    pub(super) notes: Vec<(&'static str, &'static str)>,
}

/// A miner's offer for one task in a closed period, and the result.
#[derive(Debug)]
pub(super) struct ContenderRecord {
    pub(super) id: String,
    pub(super) task: TaskName,
    pub(super) hotkey: Hotkey,
    pub(super) uid: Uid,
    pub(super) capacity: Capacity,
    pub(super) counts: PeriodCounts,
    pub(super) score: Option<f64>,
    started_ms: i64,
    closed_ms: i64,
}

/// A closed period: rows of `contenders_history` that were closed at the same time.
#[derive(Debug)]
pub(super) struct PeriodRecord {
    pub(super) started_ms: i64,
    pub(super) closed_ms: i64,
    /// Time at which the first contender was closed.
    first_closed_ms: i64,
    pub(super) contenders: Vec<ContenderRecord>,
}

impl PeriodRecord {
    fn new(contender: ContenderRecord) -> Self {
        let ContenderRecord { started_ms, closed_ms, .. } = contender;
        Self { started_ms, closed_ms, first_closed_ms: closed_ms, contenders: vec![contender] }
    }

    fn add(&mut self, contender: ContenderRecord) {
        self.started_ms = self.started_ms.min(contender.started_ms);
        self.closed_ms = self.closed_ms.max(contender.closed_ms);
        self.contenders.push(contender);
    }

    /// Returns the formula of the period's scores: the later one if it explains all of them, and
    /// that of the reference's release of October 2024 does not.
    pub(super) fn profile(&self) -> PeriodProfile {
        let all_match =
            |profile| self.contenders.iter().all(|contender| contender.matches_formula(profile));
        if !all_match(PeriodProfile::Reference) && all_match(PeriodProfile::Later) {
            PeriodProfile::Later
        } else {
            PeriodProfile::Reference
        }
    }
}

impl ContenderRecord {
    /// Returns whether the score is that of a formula.
    pub(super) fn matches_formula(&self, profile: PeriodProfile) -> bool {
        match (self.score, period_score(&self.counts, profile)) {
            (Some(score), Some(expected)) => (score - expected).abs() <= ROUNDING_TOLERANCE,
            (score, _) => score.is_none(),
        }
    }
}

/// Why a row yields no record.
enum RowError {
    LeftOut { column: &'static str, reason: &'static str },
    Database(DatabaseError),
}

impl From<DatabaseError> for RowError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

const fn omitted_row(column: &'static str, reason: &'static str) -> RowError {
    RowError::LeftOut { column, reason }
}

/// Reads all tables.
pub(super) async fn read(
    transaction: &mut Transaction,
    terms: &ReadTerms,
) -> Result<ReferenceRecords, ReferenceError> {
    let existing = schema::table_names(transaction).await?;
    schema::check_tables(transaction, &existing).await?;
    let mut left_out = Remarks::default();
    let latest_ms = terms.now_ms.saturating_add(CLOCK_DIFFERENCE_MS);

    let rows = query_rows(transaction, API_KEYS, statement(SELECT_KEYS)).await?;
    let mut tables =
        vec![(API_KEYS, row_count(&rows), "keys of buyers, with rate limits and credits")];
    let keys =
        parse_records(&rows, (API_KEYS, "name"), &mut left_out, |row| parse_key(row, terms))?;

    let statements = (SELECT_REWARDS, COUNT_OLD_REWARDS);
    let (rows, count) =
        recent_rows(transaction, (REWARD_DATA, "created_at"), statements, terms, &mut left_out)
            .await?;
    tables.push((REWARD_DATA, count, "rewards of the last 7 days"));
    let rewards = parse_records(&rows, (REWARD_DATA, "id"), &mut left_out, |row| {
        parse_reward(row, latest_ms)
    })?;

    let statements = (SELECT_CONTENDERS, COUNT_OLD_CONTENDERS);
    let (rows, count) = recent_rows(
        transaction,
        (CONTENDERS_HISTORY, "expired_at"),
        statements,
        terms,
        &mut left_out,
    )
    .await?;
    tables.push((CONTENDERS_HISTORY, count, "period scores of the last 7 days"));
    let contenders = parse_records(&rows, (CONTENDERS_HISTORY, "id"), &mut left_out, |row| {
        parse_contender(row, terms, latest_ms)
    })?;
    let periods = group_periods(contenders, &mut left_out);

    let select = statement(SELECT_NODES).bind(i64::from(terms.netuid.0));
    let registered = query_rows(transaction, NODES, select).await?;
    let registered =
        parse_records(&registered, (NODES, "hotkey"), &mut Remarks::default(), |row| {
            required_parsed(row, "hotkey", NO_HOTKEY)
        })?;
    for (table, select, reason) in NOT_IMPORTED {
        if existing.contains(table) {
            tables.push((
                table,
                query_number(transaction, table, statement(select)).await?,
                reason,
            ));
        }
    }
    Ok(ReferenceRecords {
        now_ms: terms.now_ms,
        keys,
        rewards,
        periods,
        registered: registered.into_iter().collect::<HashSet<Hotkey>>(),
        tables,
        left_out,
    })
}

/// SQL for a time in milliseconds since the Unix epoch. A time without a time zone is one in UTC,
/// whatever the session's time zone is. Infinite times become NULL.
macro_rules! unix_ms {
    ($column:literal) => {
        concat!(
            "CASE WHEN isfinite(",
            $column,
            ") THEN (EXTRACT(EPOCH FROM ",
            $column,
            ") * 1000)::bigint END"
        )
    };
}

const SELECT_KEYS: &str = concat!(
    "SELECT key::text AS key, name::text AS name, balance::float8 AS balance,
            rate_limit_per_minute::bigint AS rate_limit_per_minute, ",
    unix_ms!("created_at"),
    " AS created_at
     FROM api_keys ORDER BY api_keys.created_at, api_keys.key"
);

const SELECT_REWARDS: &str = concat!(
    "SELECT * FROM (
        SELECT id::text AS id, task::text AS task, node_id::bigint AS node_id, quality_score::float8 AS quality_score,
               node_hotkey::text AS node_hotkey, synthetic_query::int::bigint AS synthetic_query,
               response_time::float8 AS response_time, volume::float8 AS volume, metric::float8 AS metric, ",
    unix_ms!("created_at"),
    " AS created_at
        FROM reward_data
     ) AS reward WHERE created_at IS NULL OR created_at >= $1 ORDER BY created_at, id"
);

const COUNT_OLD_REWARDS: &str =
    concat!("SELECT COUNT(*) FROM reward_data WHERE ", unix_ms!("created_at"), " < $1");

const SELECT_CONTENDERS: &str = concat!(
    "SELECT * FROM (
        SELECT id::text AS id, node_hotkey::text AS node_hotkey, node_id::bigint AS node_id, netuid::bigint AS netuid,
               task::text AS task, raw_capacity::float8 AS raw_capacity, capacity::float8 AS capacity,
               capacity_to_score::float8 AS capacity_to_score, consumed_capacity::float8 AS consumed_capacity,
               total_requests_made::float8 AS total_requests_made, requests_429::float8 AS requests_429,
               requests_500::float8 AS requests_500, period_score::float8 AS period_score, ",
    unix_ms!("created_at"),
    " AS created_at, ",
    unix_ms!("expired_at"),
    " AS expired_at
        FROM contenders_history
     ) AS contender WHERE expired_at IS NULL OR expired_at >= $1 ORDER BY expired_at, id"
);

const COUNT_OLD_CONTENDERS: &str =
    concat!("SELECT COUNT(*) FROM contenders_history WHERE ", unix_ms!("expired_at"), " < $1");

const SELECT_NODES: &str = "SELECT hotkey::text AS hotkey FROM nodes WHERE netuid = $1";

fn row_count(rows: &[Row]) -> u64 {
    rows.len() as u64
}

async fn query_rows(
    transaction: &mut Transaction,
    table: &'static str,
    select: Statement,
) -> Result<Vec<Row>, ReferenceError> {
    select.rows(transaction).await.map_err(|source| ReferenceError::Read { table, source })
}

async fn query_number(
    transaction: &mut Transaction,
    table: &'static str,
    select: Statement,
) -> Result<u64, ReferenceError> {
    let number = select.number(transaction).await;
    let number = number.map_err(|source| ReferenceError::Read { table, source })?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// Reads the rows of a table that are young enough, and counts the others as left out; returns the
/// rows, and the number of all rows.
async fn recent_rows(
    transaction: &mut Transaction,
    (table, time_column): (&'static str, &'static str),
    (select, count_old): (&'static str, &'static str),
    terms: &ReadTerms,
    left_out: &mut Remarks,
) -> Result<(Vec<Row>, u64), ReferenceError> {
    let since_ms = terms.now_ms.saturating_sub(MAX_AGE_MS);
    let rows = query_rows(transaction, table, statement(select).bind(since_ms)).await?;
    let old_row_count =
        query_number(transaction, table, statement(count_old).bind(since_ms)).await?;
    left_out.add_counted(table, time_column, OLD, old_row_count);
    let total = row_count(&rows).saturating_add(old_row_count);
    Ok((rows, total))
}

/// Converts rows, and adds those that are left out to the remarks, with the value of a column as
/// the example.
fn parse_records<T>(
    rows: &[Row],
    (table, example_column): (&'static str, &'static str),
    left_out: &mut Remarks,
    read: impl Fn(&Row) -> Result<T, RowError>,
) -> Result<Vec<T>, ReferenceError> {
    let read_error = |source| ReferenceError::Read { table, source };
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        match read(row) {
            Ok(record) => records.push(record),
            Err(RowError::LeftOut { column, reason }) => {
                let example: Option<String> = row.get(example_column).map_err(read_error)?;
                left_out.add(table, column, reason, example.as_deref().unwrap_or(MISSING));
            }
            Err(RowError::Database(source)) => return Err(read_error(source)),
        }
    }
    Ok(records)
}

fn required<T>(row: &Row, column: &'static str) -> Result<T, RowError>
where
    Option<T>: Column,
{
    row.get::<Option<T>>(column)?.ok_or(omitted_row(column, MISSING))
}

fn required_parsed<T: FromStr>(
    row: &Row,
    column: &'static str,
    reason: &'static str,
) -> Result<T, RowError> {
    required::<String>(row, column)?.parse().map_err(|_| omitted_row(column, reason))
}

/// Reads a finite number of at least 0, if there is one.
fn optional_amount(row: &Row, column: &'static str) -> Result<Option<f64>, RowError> {
    let amount: Option<f64> = row.get(column)?;
    if amount.is_some_and(|amount| !amount.is_finite() || amount < 0.0) {
        return Err(omitted_row(column, NO_AMOUNT));
    }
    Ok(amount)
}

fn required_amount(row: &Row, column: &'static str) -> Result<f64, RowError> {
    optional_amount(row, column)?.ok_or(omitted_row(column, MISSING))
}

/// Reads a number in `0..=1`, if there is one.
fn optional_share(row: &Row, column: &'static str) -> Result<Option<f64>, RowError> {
    let share: Option<f64> = row.get(column)?;
    if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return Err(omitted_row(column, NO_SHARE));
    }
    Ok(share)
}

fn required_time(row: &Row, column: &'static str, latest_ms: i64) -> Result<i64, RowError> {
    let time_ms: i64 = row.get::<Option<i64>>(column)?.ok_or(omitted_row(column, NO_TIME))?;
    if time_ms > latest_ms { Err(omitted_row(column, FUTURE)) } else { Ok(time_ms) }
}

fn required_uid(row: &Row) -> Result<Uid, RowError> {
    let uid: i64 = required(row, "node_id")?;
    Ok(Uid(u16::try_from(uid).map_err(|_| omitted_row("node_id", NO_UID))?))
}

fn parse_key(row: &Row, terms: &ReadTerms) -> Result<KeyRecord, RowError> {
    let secret = Zeroizing::new(required::<String>(row, "key")?);
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let is_trimmed = secret.trim() == secret.as_str();
    if secret.is_empty() || !is_trimmed || !secret.bytes().all(is_plain) {
        return Err(omitted_row("key", NO_HEADER));
    }
    let mut notes = Vec::new();
    if secret.len() < KEY_LENGTH {
        notes.push(("key", "shorter than a UUID: replace it if it can be guessed"));
    }
    let stored_name: String = row.get::<Option<String>>("name")?.unwrap_or_default();
    let name = (terms.display_name)(&stored_name);
    if name != stored_name {
        notes.push(("name", "changed to one line of 1 to 64 characters"));
    }
    let rate: Option<i64> = row.get("rate_limit_per_minute")?;
    let rate_per_minute = u32::try_from(rate.unwrap_or(0)).unwrap_or(0);
    if rate_per_minute == 0 {
        notes.push(("rate_limit_per_minute", "not positive: all requests get status 429"));
    }
    let created_ms: Option<i64> = row.get("created_at")?;
    if created_ms.is_none() {
        notes.push(("created_at", "unknown: the time of the import instead"));
    }
    let balance = credits_of_balance(row.get("balance")?);
    Ok(KeyRecord { hash: hash_secret(&secret), name, balance, rate_per_minute, created_ms, notes })
}

/// Returns the credits for a balance, rounded down, or why there are none.
fn credits_of_balance(balance: Option<f64>) -> Result<i64, &'static str> {
    match balance {
        None => Err("NULL: no credits"),
        Some(balance) if balance < 0.0 => Err("negative: no credits"),
        Some(balance) if balance <= MAX_CREDITS as f64 => Ok(balance as i64),
        Some(_) => Err("not a number of credits: no credits"),
    }
}

fn parse_reward(row: &Row, latest_ms: i64) -> Result<(Sample, Reward), RowError> {
    let created_ms = required_time(row, "created_at", latest_ms)?;
    let sample = Sample {
        job_id: required(row, "id")?,
        // Rewards count by their time, not by a period.
        period: PeriodId(0),
        task: required_parsed(row, "task", NO_TASK)?,
        hotkey: required_parsed(row, "node_hotkey", NO_HOTKEY)?,
        uid: required_uid(row)?,
        synthetic: required::<i64>(row, "synthetic_query")? != 0,
        request: String::new(),
        answer: String::new(),
        work: optional_amount(row, "volume")?.unwrap_or(0.0),
        response_time: optional_amount(row, "response_time")?,
        created_ms,
    };
    let quality = optional_share(row, "quality_score")?;
    let quality = Some(quality.ok_or(omitted_row("quality_score", MISSING))?);
    let metric = optional_amount(row, "metric")?;
    Ok((sample, Reward { quality, metric, reason: IMPORTED.to_owned(), created_ms }))
}

fn parse_contender(
    row: &Row,
    terms: &ReadTerms,
    latest_ms: i64,
) -> Result<ContenderRecord, RowError> {
    if required::<i64>(row, "netuid")? != i64::from(terms.netuid.0) {
        return Err(omitted_row("netuid", OTHER_SUBNET));
    }
    let closed_ms = required_time(row, "expired_at", latest_ms)?;
    let created_ms = required_time(row, "created_at", latest_ms)?;
    let accepted = required_amount(row, "capacity")?;
    let declared: Option<f64> = row.get("raw_capacity")?;
    Ok(ContenderRecord {
        id: required(row, "id")?,
        task: required_parsed(row, "task", NO_TASK)?,
        hotkey: required_parsed(row, "node_hotkey", NO_HOTKEY)?,
        uid: required_uid(row)?,
        capacity: Capacity {
            // A miner can declare anything; only the accepted capacity counts.
            declared: declared.filter(|declared| declared.is_finite()).unwrap_or(0.0),
            accepted,
            to_score: required_amount(row, "capacity_to_score")?,
        },
        counts: PeriodCounts {
            total_requests: required_amount(row, "total_requests_made")?,
            capacity: accepted,
            consumed_capacity: required_amount(row, "consumed_capacity")?,
            requests_429: required_amount(row, "requests_429")?,
            requests_500: required_amount(row, "requests_500")?,
        },
        score: optional_share(row, "period_score")?,
        started_ms: created_ms.min(closed_ms),
        closed_ms,
    })
}

/// Groups contenders by the period that they were closed with.
fn group_periods(
    mut contenders: Vec<ContenderRecord>,
    left_out: &mut Remarks,
) -> Vec<PeriodRecord> {
    contenders.sort_by_key(|contender| contender.closed_ms);
    let mut periods: Vec<PeriodRecord> = Vec::new();
    // Offers of the last period, with the times at which they began.
    let mut offers: HashMap<(TaskName, Hotkey), i64> = HashMap::new();
    for contender in contenders {
        let (offer, began_ms) = ((contender.task.clone(), contender.hotkey), contender.started_ms);
        let period = periods.last_mut().filter(|period| {
            contender.closed_ms.saturating_sub(period.first_closed_ms) <= MAX_CLOSING_MS
        });
        match (period, offers.get(&offer).copied()) {
            (Some(_), Some(earlier_ms)) if earlier_ms == began_ms => {
                left_out.add(CONTENDERS_HISTORY, "node_hotkey", DUPLICATE, &contender.id);
                continue;
            }
            (Some(period), None) => period.add(contender),
            // With periods of seconds, several end within a minute.
            _ => {
                offers.clear();
                periods.push(PeriodRecord::new(contender));
            }
        }
        offers.insert(offer, began_ms);
    }
    periods
}
