//! Stores this process's counters of the open period in the database, and reads the counters of
//! other processes.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use taonet_nineteen_core::{MarketConfig, TaskName};
use taonet_nineteen_store::{
    ContenderRow, Node, PeriodId, Process, Sample, SpentBudget, Store, StoreError,
};
use taonet_nineteen_transport::Session;
use taonet_primitives::Hotkey;
use taonet_service::{Clock, Shutdown, unix_time};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::membership::Membership;
use crate::{Division, Divisions, Market, PeriodMiners, TaskMiner};

/// Interval between writes of the counters.
const FLUSH_INTERVAL: Duration = Duration::from_millis(250);
/// Interval between reads of the other processes' counters.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between searches for miners that the validator has admitted since the period opened.
const LATE_MINERS_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum age of the rewards from which a query worker computes the miners' qualities.
const MAX_REWARD_AGE: Duration = Duration::from_hours(24);

/// Role of a process in the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessRole {
    /// Runs periods and sends synthetic requests; may also serve buyers.
    Validator,
    /// Sends buyers' requests to miners.
    Worker,
    /// Sends no requests to miners.
    Entry,
}

/// Stores the counters and the answers of this process, and divides the limits of a shared market
/// among the processes that send requests.
#[derive(Debug, Clone)]
pub struct Recorder {
    store: Store,
    market: Market,
    process: Process,
    role: ProcessRole,
}

impl Recorder {
    /// Creates a recorder for the counters in `market`. If other processes can share the database,
    /// the miners' limits are small until [`Self::sync_counters`] has found these processes.
    pub fn new(store: Store, market: Market, role: ProcessRole) -> Self {
        let recorder = Self { store, market, process: Process::random(), role };
        if recorder.divides_limits() {
            recorder.market.divide(Divisions::new([Division::UNKNOWN], false));
        }
        recorder
    }

    /// Stores changed counters, reads the counters of other processes and divides the market's
    /// limits, until shutdown.
    pub async fn sync_counters(&self, shutdown: &Shutdown) {
        tokio::select! {
            () = self.sync_counters_until_shutdown(shutdown) => {}
            // The database may be unreachable, or take long.
            () = self.market.watch_division() => {}
        }
        if !self.divides_limits() {
            return;
        }
        // The other processes take over this one's share while it completes its requests.
        self.market.unsettle();
        if let Err(error) = self.store.delete_process(&self.process).await {
            tracing::debug!(
                error = &error as &dyn Error,
                "other processes wait until this one counts as dead"
            );
        }
    }

    /// Returns whether this process divides the market's limits with other processes.
    fn divides_limits(&self) -> bool {
        self.store.is_shared() && self.role != ProcessRole::Entry
    }

    async fn sync_counters_until_shutdown(&self, shutdown: &Shutdown) {
        let membership = || Membership::new(self.process.clone(), self.role == ProcessRole::Worker);
        let mut membership = self.divides_limits().then(membership);
        // The first update happens in the first iteration.
        let mut last_read = Instant::now().checked_sub(READ_INTERVAL).unwrap_or_else(Instant::now);
        while !shutdown.is_requested() {
            shutdown.sleep(FLUSH_INTERVAL).await;
            let mut result = self.flush().await;
            if result.is_ok() && self.store.is_shared() && last_read.elapsed() >= READ_INTERVAL {
                if let Some(membership) = &mut membership {
                    result = membership.update(&self.store, &self.market, Instant::now()).await;
                }
                result = result.and(self.read_other_processes().await);
                last_read = Instant::now();
            }
            if let Err(error) = result {
                tracing::error!(error = &error as &dyn Error, "failed to store counters");
            }
        }
    }

    /// Stores answers for checking, until shutdown.
    pub async fn store_samples(&self, mut samples: mpsc::Receiver<Sample>, shutdown: &Shutdown) {
        loop {
            let sample = tokio::select! {
                () = shutdown.requested() => return,
                sample = samples.recv() => sample,
            };
            let Some(sample) = sample else { return };
            let period_miners = self.market.period_miners();
            let Some(task_miners) = period_miners
                .as_ref()
                .and_then(|period_miners| period_miners.task(sample.task.as_str()))
            else {
                continue;
            };
            match self.store.put_sample(&sample, task_miners.task.weight).await {
                // The scorer enables sampling again; in processes without a scorer, the next period
                // does.
                Ok(keeps_samples) => task_miners.set_keeps_samples(keeps_samples),
                Err(error) => {
                    tracing::error!(error = &error as &dyn Error, "failed to store an answer");
                }
            }
        }
    }

    /// Stores changed counters. If the period is closed, they count in the next one.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; the next call retries.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let Some(period_miners) = self.market.period_miners() else { return Ok(()) };
        let changed: Vec<_> = period_miners
            .contenders()
            .filter_map(|contender| Some((Arc::clone(contender), contender.take_changes()?)))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = changed.iter().map(|(_, (row, _))| row.clone()).collect();
        let stored = self
            .store
            .put_part(period_miners.period, &self.process, &rows, &spent_budgets(&period_miners))
            .await;
        for (contender, (_, unstored)) in &changed {
            match stored {
                Ok(true) => {}
                Ok(false) => contender.carry_over(unstored),
                Err(_) => contender.mark_changed(),
            }
        }
        stored.map(drop)
    }

    /// Closes a period with the counters of all processes, including the current ones of this
    /// process.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn close_period(&self, period: PeriodId, now_ms: i64) -> Result<(), StoreError> {
        let period_miners =
            self.market.period_miners().filter(|period_miners| period_miners.period == period);
        let contenders: Vec<_> =
            period_miners.iter().flat_map(|period_miners| period_miners.contenders()).collect();
        let rows: Vec<ContenderRow> =
            contenders.iter().map(|contender| contender.part().0).collect();
        let spent = period_miners.as_deref().map(spent_budgets).unwrap_or_default();
        let result = self.store.close_period(period, &self.process, &rows, &spent, now_ms).await;
        if result.is_err() {
            for contender in &contenders {
                contender.mark_changed();
            }
        }
        result
    }

    /// Loads each period into the market as soon as the validator's process has opened it, and
    /// miners that it admits later, until shutdown. Calls `on_config` with the period's
    /// configuration.
    pub async fn follow(
        &self,
        on_config: impl Fn(MarketConfig),
        clock: &Clock,
        shutdown: &Shutdown,
    ) {
        let mut last_search = Instant::now();
        loop {
            let mut result = self.follow_once(&on_config, clock).await;
            if result.is_ok() && last_search.elapsed() >= LATE_MINERS_INTERVAL {
                result = self.admit_late_miners().await;
                last_search = Instant::now();
            }
            if let Err(error) = result {
                tracing::error!(error = &error as &dyn Error, "failed to read the open period");
            }
            if !shutdown.sleep(FLUSH_INTERVAL).await {
                return;
            }
        }
    }

    async fn follow_once(
        &self,
        on_config: &impl Fn(MarketConfig),
        clock: &Clock,
    ) -> Result<(), StoreError> {
        // Between two periods, keep the miners of the last one.
        let Some(period) = self.store.current_period().await? else { return Ok(()) };
        if self
            .market
            .period_miners()
            .is_some_and(|period_miners| period_miners.period == period.id)
        {
            return Ok(());
        }
        // A period that an earlier release has opened has no configuration.
        let Some(config) = self.store.config(Some(period.id)).await? else { return Ok(()) };
        let rows = self.store.contenders_excluding(period.id, &self.process).await?;
        let budgets = self.store.budgets(period.id, Some(&self.process)).await?;
        let budgets: Vec<_> = budgets.into_iter().map(|row| (row.task, row.remaining)).collect();
        let sessions = sessions(self.store.nodes().await?);
        let since = unix_time(clock()).saturating_sub(MAX_REWARD_AGE);
        let qualities =
            self.store.qualities_since(i64::try_from(since.as_millis()).unwrap_or(0)).await?;
        self.market.open(PeriodMiners::from_rows(period.id, &config, &rows, &sessions, &budgets));
        if let Some(period_miners) = self.market.period_miners() {
            set_qualities(&period_miners, qualities);
            tracing::info!(period = %period.id, contenders = period_miners.contenders().count(), "period loaded");
        }
        on_config(config);
        Ok(())
    }

    /// Adds the miners that the validator's process has admitted since the period opened. This
    /// process sends them no synthetic requests.
    async fn admit_late_miners(&self) -> Result<(), StoreError> {
        let Some(period_miners) = self.market.period_miners() else { return Ok(()) };
        let mut rows = self.store.contenders_excluding(period_miners.period, &self.process).await?;
        rows.retain(|row| {
            let task_miners = period_miners.task(row.offer.task.as_str());
            let is_same_miner =
                |contender: &Arc<TaskMiner>| contender.offer.hotkey == row.offer.hotkey;
            task_miners
                .is_some_and(|task_miners| !task_miners.contenders().iter().any(is_same_miner))
        });
        if rows.is_empty() {
            return Ok(());
        }
        let sessions = sessions(self.store.nodes().await?);
        let late_miners = |row: &ContenderRow| {
            Some(TaskMiner::new(row, sessions.get(&row.offer.hotkey)?.clone(), 0.0))
        };
        let late_miners: Vec<_> = rows.iter().filter_map(late_miners).collect();
        if !late_miners.is_empty() {
            self.market.admit(period_miners.period, late_miners);
        }
        Ok(())
    }

    /// Reads the counters of the other processes, which reduce the remaining capacity.
    async fn read_other_processes(&self) -> Result<(), StoreError> {
        let Some(period_miners) = self.market.period_miners() else { return Ok(()) };
        // Once the period has closed, the sums include this process's part, which must not be
        // counted twice.
        if self.store.current_period().await?.is_none_or(|period| period.id != period_miners.period)
        {
            return Ok(());
        }
        let rows = self.store.contenders_excluding(period_miners.period, &self.process).await?;
        let rows: HashMap<_, _> =
            rows.iter().map(|row| ((&row.offer.task, row.offer.hotkey), row)).collect();
        for contender in period_miners.contenders() {
            if let Some(row) = rows.get(&(&contender.offer.task, contender.offer.hotkey)) {
                contender.set_other_counts(row);
            }
        }
        for row in self.store.budgets(period_miners.period, Some(&self.process)).await? {
            if let Some(task_miners) = period_miners.task(row.task.as_str()) {
                task_miners.set_budget(row.remaining);
            }
        }
        Ok(())
    }
}

/// Returns the sessions of miners by hotkey, without miners that have no session.
pub fn sessions(nodes: Vec<Node>) -> HashMap<Hotkey, Session> {
    nodes.into_iter().filter_map(|node| Some((*node.peer.hotkey(), node.session?))).collect()
}

fn spent_budgets(period_miners: &PeriodMiners) -> Vec<SpentBudget> {
    let tasks = period_miners.tasks().iter();
    tasks
        .map(|task_miners| SpentBudget {
            task: task_miners.task.task.clone(),
            requests: task_miners.spent(),
        })
        .collect()
}

fn set_qualities(period_miners: &PeriodMiners, qualities: Vec<(TaskName, Hotkey, f64)>) {
    for (task, hotkey, quality) in qualities {
        let contenders = period_miners
            .task(task.as_str())
            .map(crate::TaskMiners::contenders)
            .unwrap_or_default();
        if let Some(contender) =
            contenders.iter().find(|contender| contender.offer.hotkey == hotkey)
        {
            contender.set_quality(quality);
        }
    }
}

#[cfg(test)]
mod tests {
    use taonet_database::testing::Postgres;

    use super::*;

    /// The other processes take over the share of a process that stops, while it completes its
    /// requests.
    #[tokio::test]
    async fn rejections_do_not_count_once_the_process_stops() {
        let Some(server) = Postgres::start() else { return };
        let store = Store::connect(&server.url()).await.unwrap();
        let (market, shutdown) = (Market::default(), Shutdown::new());
        let recorder = Recorder::new(store, market.clone(), ProcessRole::Validator);
        assert!(!market.divisions().keeps_limit(64), "other processes are unknown");
        let stop = shutdown.clone();
        let sync_task = tokio::spawn(async move { recorder.sync_counters(&stop).await });
        let start = Instant::now();
        while !market.divisions().keeps_limit(64) {
            assert!(start.elapsed() < Duration::from_mins(1), "no update within 60 s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shutdown.request();
        sync_task.await.unwrap();
        assert_eq!((market.divisions().keeps_limit(64), market.divisions().share(64)), (false, 64));
    }
}
