//! The validator's database and its gateway, read at intervals.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use reqwest::{Client, StatusCode};
use taonet_dashboard::{Changes, poll, timestamp};
use taonet_http::{Fault, client};
use taonet_nineteen_store::{PeriodId, Store, StoreError};
use taonet_primitives::with_causes;
use taonet_service::{Shutdown, unix_millis};
use url::Url;

use crate::market::{Market, PastPeriods, PastSpend};
use crate::tasks::{StatusDocument, TaskState};

/// Interval between two reads.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout of a request to the gateway.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum size of the gateway's status in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Age of the oldest periods and checks to read, in milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Maximum number of past periods. The reference's periods take half an hour.
const MAX_PERIODS: usize = 48;

/// Number of days in the spend by key, of which the last one is today.
pub(crate) const SPEND_DAYS: i64 = 7;
/// Maximum number of rows of the spend by key.
const MAX_SPEND_ROWS: u32 = 500;

/// Reader of both sources, with the latest state.
#[derive(Debug)]
pub(crate) struct Source {
    directory: Option<PathBuf>,
    gateway: Option<Url>,
    market: RwLock<Arc<Market>>,
}

/// Returns the current time in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    unix_millis(SystemTime::now())
}

impl Source {
    pub(crate) fn new(directory: Option<PathBuf>, gateway: Option<Url>) -> Self {
        Self { directory, gateway, market: RwLock::default() }
    }

    pub(crate) fn market(&self) -> Arc<Market> {
        Arc::clone(&self.market.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether the validator's database is a source.
    pub(crate) const fn has_database(&self) -> bool {
        self.directory.is_some()
    }

    /// Reads both sources until shutdown, and reports each change.
    pub(crate) async fn follow(&self, changes: &Changes, shutdown: &Shutdown) {
        poll(POLL_INTERVAL, shutdown, || self.read(changes)).await;
    }

    /// Reads both sources once, and reports a change.
    pub(crate) async fn read(&self, changes: &Changes) {
        let previous = self.market();
        let mut market = Market::clone(&previous);
        if let Some(directory) = &self.directory {
            let result = read_database(directory, &mut market, now_ms()).await;
            market.database_problem = result.err().map(|error| with_causes(&error));
        }
        if let Some(url) = &self.gateway {
            (market.gateway, market.gateway_problem) = match read_gateway(url).await {
                Ok(tasks) => (Some(tasks), None),
                Err(fault) => (None, Some(fault.to_string())),
            };
        }
        if market != *previous {
            *self.market.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(market);
            changes.report();
        }
    }
}

/// Reads the newest period, and past periods if one has been closed since the last read. The spend
/// of the days before yesterday is only read then, and when a day ends.
async fn read_database(
    directory: &Path,
    market: &mut Market,
    now_ms: i64,
) -> Result<(), StoreError> {
    // Opened each time: the file may have been replaced.
    let store = Store::read(directory).await?;
    let result = async {
        let since_ms = now_ms.saturating_sub(DAY_MS);
        let period = store.newest_period().await?;
        let contenders = match &period {
            Some(period) => store.contenders(period.id).await?,
            None => Vec::new(),
        };
        let newest_closed = period.map(|period| match period.closed_ms {
            Some(_) => period.id,
            None => PeriodId(period.id.0.saturating_sub(1)),
        });
        let yesterday = day(now_ms.saturating_sub(DAY_MS));
        if newest_closed != market.newest_closed || market.older_spend.end_day != yesterday {
            let first_day = day(now_ms.saturating_sub((SPEND_DAYS - 1) * DAY_MS));
            let rows = store.spend_between(&first_day, &yesterday, MAX_SPEND_ROWS).await?;
            market.older_spend = Arc::new(PastSpend { end_day: yesterday.clone(), rows });
        }
        if newest_closed != market.newest_closed {
            let past = match newest_closed {
                Some(newest) => read_past(&store, newest, since_ms).await?,
                None => PastPeriods::default(),
            };
            market.past_periods = Arc::new(past);
            market.newest_closed = newest_closed;
        }
        let mut qualities = HashMap::<_, Vec<_>>::new();
        for (task, hotkey, quality) in store.qualities_since(since_ms).await? {
            qualities.entry(hotkey).or_default().push((task, quality));
        }
        for tasks in qualities.values_mut() {
            tasks.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        let tomorrow = day(now_ms.saturating_add(DAY_MS));
        let mut spend = store.spend_between(&yesterday, &tomorrow, MAX_SPEND_ROWS).await?;
        spend.extend(market.older_spend.rows.iter().cloned());
        spend.truncate(MAX_SPEND_ROWS as usize);
        market.spend = spend;
        (market.period, market.contenders, market.qualities) = (period, contenders, qualities);
        Ok::<_, StoreError>(())
    }
    .await;
    store.close().await;
    result
}

/// Returns the day in UTC of a time in milliseconds since the Unix epoch, such as `2026-11-21`.
fn day(time_ms: i64) -> String {
    timestamp(time_ms / 1_000).chars().take("2026-11-21".len()).collect()
}

/// Reads the periods closed since `since_ms`, up to `newest`, at most [`MAX_PERIODS`].
async fn read_past(
    store: &Store,
    newest: PeriodId,
    since_ms: i64,
) -> Result<PastPeriods, StoreError> {
    let mut periods = Vec::new();
    for id in (1..=newest.0).rev().take(MAX_PERIODS) {
        match store.period(PeriodId(id)).await? {
            Some(period) if period.closed_ms.is_some_and(|closed_ms| closed_ms >= since_ms) => {
                periods.push(period);
            }
            _ => break,
        }
    }
    // The database may have many more results of the last day if its periods are short.
    let oldest_ms = periods.last().and_then(|period| period.closed_ms);
    let results = match oldest_ms {
        Some(oldest_ms) => store.history_since(oldest_ms).await?,
        None => Vec::new(),
    };
    Ok(PastPeriods::new(periods, results))
}

async fn read_gateway(url: &Url) -> Result<Vec<TaskState>, Fault> {
    let client: Client = client::builder().timeout(TIMEOUT).build().map_err(client::fault)?;
    let response =
        client.get(client::join_path(url, "status.json")).send().await.map_err(client::fault)?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(Fault::Status { status, retry_after: None });
    }
    let body = client::read_capped(response, MAX_BODY_BYTES).await?;
    let document: StatusDocument = serde_json::from_slice(&body).map_err(Fault::Payload)?;
    Ok(document.tasks)
}
