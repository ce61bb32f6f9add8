//! Life cycle of periods.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use taonet_nineteen_core::capacity::Capacity;
use taonet_nineteen_core::schedule::synthetic_requests;
use taonet_nineteen_core::{MarketConfig, TaskName};
use taonet_nineteen_query::{Contender, Querier, Roster, TaskFloor};
use taonet_nineteen_store::{ContenderRow, NewContender, PeriodId, PeriodRow, Sample, Store, StoreError};
use taonet_nineteen_transport::{FiberClient, Session};
use taonet_primitives::Hotkey;
use taonet_service::{Clock, Shutdown, unix_time};
use taonet_wire::Peer;
use tokio::sync::mpsc;

use crate::nodes::{AddressRules, NodeSource, NodesError};
use crate::onboarding::{Offer, offers};
use crate::schedule::{Random, draw, random, send_all};
use crate::{MarketFile, measures};

/// Interval between writes of the counters.
const FLUSH: Duration = Duration::from_millis(250);
/// Default delay before the next attempt to open a period.
const PAUSE: Duration = Duration::from_secs(20);
/// How long a session key must remain valid after the period's end.
const KEY_MARGIN: Duration = Duration::from_mins(10);
/// Retention of rewards and periods that no longer count.
const KEEP_HISTORY: Duration = Duration::from_hours(7 * 24);
/// Retention of unchecked answers.
const KEEP_SAMPLES: Duration = Duration::from_hours(5);

/// Settings of a [`Controller`].
#[derive(Debug, Clone)]
pub struct ControlSettings {
    /// Maximum age of the list of miners.
    pub refresh: Duration,
    /// Rules for miners' addresses.
    pub addresses: AddressRules,
    /// Delay before a retry after an error, and while no miner offers capacity.
    pub pause: Duration,
    /// Seed of the random draws, for tests and demonstrations.
    pub seed: Option<u64>,
}

impl Default for ControlSettings {
    /// The list is refreshed every 30 minutes; only public addresses are allowed.
    fn default() -> Self {
        Self { refresh: Duration::from_mins(30), addresses: AddressRules::default(), pause: PAUSE, seed: None }
    }
}

/// Failure to run a period.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain could not be read.
    #[error(transparent)]
    Nodes(#[from] NodesError),
}

/// Runs periods one after the other.
pub struct Controller {
    me: Hotkey,
    store: Store,
    querier: Querier,
    client: FiberClient,
    nodes: Box<dyn NodeSource>,
    market: MarketFile,
    settings: ControlSettings,
    clock: Clock,
    random: Random,
}

impl Controller {
    /// Creates a controller for the validator `me`.
    #[expect(clippy::too_many_arguments, reason = "each part is made by the caller")]
    pub fn new(
        me: Hotkey,
        store: Store,
        querier: Querier,
        client: FiberClient,
        nodes: Box<dyn NodeSource>,
        market: MarketFile,
        settings: ControlSettings,
        clock: Clock,
    ) -> Self {
        let random = random(settings.seed);
        Self { me, store, querier, client, nodes, market, settings, clock, random }
    }

    /// Runs periods until shutdown, then writes the counters. The running period stays open for the next start.
    pub async fn run(&self, shutdown: &Shutdown) {
        loop {
            let period = tokio::select! {
                () = shutdown.requested() => break,
                period = self.period() => period,
            };
            let pause = match period {
                Ok(true) => continue,
                Ok(false) => {
                    tracing::warn!("no miner offers capacity");
                    self.settings.pause
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "failed to run a period");
                    self.settings.pause
                }
            };
            tokio::select! {
                () = shutdown.requested() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Err(error) = self.flush().await {
            tracing::error!(error = &error as &dyn std::error::Error, "failed to store the final counters");
        }
    }

    /// Writes changed counters until shutdown.
    pub async fn keep_counters(&self, shutdown: &Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(FLUSH) => {}
            }
            if let Err(error) = self.flush().await {
                tracing::error!(error = &error as &dyn std::error::Error, "failed to store counters");
            }
        }
    }

    /// Stores answers for checking, until shutdown.
    pub async fn keep_samples(&self, mut samples: mpsc::Receiver<Sample>, shutdown: &Shutdown) {
        loop {
            let sample = tokio::select! {
                () = shutdown.requested() => return,
                sample = samples.recv() => sample,
            };
            let Some(sample) = sample else { return };
            let weight = self.market.current().task(sample.task.as_str()).map_or(0.0, |task| task.weight);
            match self.store.put_sample(&sample, weight).await {
                Ok(kept) => {
                    let roster = self.querier.market().roster();
                    if let Some(floor) = roster.as_ref().and_then(|roster| roster.floor(sample.task.as_str())) {
                        // The scorer enables sampling again.
                        floor.set_keeps_samples(kept);
                    }
                }
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "failed to store an answer"),
            }
        }
    }

    /// Runs one period to its end, or resumes the open one. Returns `false` when no miner offers capacity.
    ///
    /// # Errors
    /// [`ControlError`] when the database fails or the chain cannot be read.
    pub async fn period(&self) -> Result<bool, ControlError> {
        let config = self.market.reload();
        let running = self.store.open_period().await?;
        // Only after a start is a period open in the database but not in memory.
        let resumed = match (&running, self.querier.market().roster()) {
            (Some(period), None) if self.left(period) > Duration::ZERO => self.resume(period, &config).await?,
            _ => None,
        };
        let (roster, left) = match resumed {
            Some(resumed) => resumed,
            None => match self.open(running.map(|period| period.id), &config).await? {
                Some(opened) => opened,
                None => return Ok(false),
            },
        };
        measures::period(roster.period.0);
        for floor in roster.floors() {
            measures::contenders(floor.task.task.as_str(), floor.contenders().len());
        }
        send_all(&self.querier, &roster, left, &self.random).await;
        self.flush().await?;
        Ok(true)
    }

    /// Closes the running period with its current counters.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        let Some(period) = self.store.open_period().await? else { return Ok(()) };
        self.close_period(period.id).await
    }

    async fn close_period(&self, period: PeriodId) -> Result<(), StoreError> {
        let roster = self.querier.market().roster().filter(|roster| roster.period == period);
        let rows: Vec<_> =
            roster.iter().flat_map(|roster| roster.contenders()).map(|contender| contender.row()).collect();
        self.store.close_period(period, &rows, self.now_ms()).await?;
        tracing::info!(%period, "period closed");
        Ok(())
    }

    /// Refreshes the list of miners, queries their capacities, closes the last period and opens the next one.
    async fn open(
        &self,
        running: Option<PeriodId>,
        config: &MarketConfig,
    ) -> Result<Option<(Arc<Roster>, Duration)>, ControlError> {
        self.refresh_nodes().await?;
        let length = Duration::from_secs_f64(config.period().get());
        let needed = unix_time((self.clock)()) + length + KEY_MARGIN;
        let needed = u64::try_from(needed.as_nanos()).unwrap_or(u64::MAX);
        let nodes = self.store.nodes().await?;
        let offers = offers(&self.client, &self.store, nodes, config, needed, || draw(&self.random)).await?;
        if let Some(running) = running {
            self.close_period(running).await?;
        }
        self.sweep().await?;
        let contenders: Vec<_> = offers.iter().flat_map(|offer| offer.contenders.clone()).collect();
        if contenders.is_empty() {
            return Ok(None);
        }
        let budgets: Vec<_> =
            config.enabled().map(|task| (task.task.clone(), budget(config, &task.task, &contenders))).collect();
        let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        let period =
            self.store.begin_period(self.now_ms(), length_ms, config.period_profile, &contenders, &budgets).await?;
        let sessions: HashMap<Hotkey, Session> =
            offers.into_iter().map(|Offer { session, .. }| (*session.peer().hotkey(), session)).collect();
        let rows = contenders.into_iter().map(new_row).collect();
        let roster = self.publish(period, config, rows, &sessions, &budgets);
        tracing::info!(%period, contenders = roster.contenders().count(), seconds = length.as_secs_f64(), "period opened");
        Ok(Some((roster, length)))
    }

    /// Resumes a period that an earlier process opened. Returns `None` when no session key of its miners is left.
    async fn resume(
        &self,
        period: &PeriodRow,
        config: &MarketConfig,
    ) -> Result<Option<(Arc<Roster>, Duration)>, StoreError> {
        let nodes = self.store.nodes().await?;
        let sessions: HashMap<Hotkey, Session> =
            nodes.into_iter().filter_map(|node| Some((*node.peer.hotkey(), node.session?))).collect();
        let rows = self.store.contenders(period.id).await?;
        if !rows.iter().any(|row| sessions.contains_key(&row.offer.hotkey)) {
            return Ok(None);
        }
        let budgets = self.store.budgets(period.id).await?;
        let budgets: Vec<_> = budgets.into_iter().map(|row| (row.task, row.remaining)).collect();
        let roster = self.publish(period.id, config, rows, &sessions, &budgets);
        let left = self.left(period);
        tracing::info!(period = %period.id, seconds = left.as_secs_f64(), "period resumed");
        Ok(Some((roster, left)))
    }

    fn publish(
        &self,
        period: PeriodId,
        config: &MarketConfig,
        rows: Vec<ContenderRow>,
        sessions: &HashMap<Hotkey, Session>,
        budgets: &[(TaskName, u64)],
    ) -> Arc<Roster> {
        let multiplier = config.period_multiplier();
        let mut by_task: HashMap<TaskName, Vec<Contender>> = HashMap::new();
        for row in rows {
            let Some(session) = sessions.get(&row.offer.hotkey) else { continue };
            let Capacity { to_score, .. } = row.offer.capacity;
            let contender = Contender::new(&row, session.clone(), to_score * multiplier);
            by_task.entry(row.offer.task.clone()).or_default().push(contender);
        }
        let floor = |task: &taonet_nineteen_core::Task| {
            let budget = budgets.iter().find(|(name, _)| *name == task.task).map_or(0, |(_, budget)| *budget);
            TaskFloor::new(Arc::new(task.clone()), by_task.remove(&task.task).unwrap_or_default(), budget)
        };
        let roster = Roster::new(period, config.enabled().map(floor).collect());
        let market = self.querier.market();
        market.open(roster);
        // It was just opened, and only the controller opens periods.
        market.roster().unwrap_or_else(|| Arc::new(Roster::new(period, Vec::new())))
    }

    async fn refresh_nodes(&self) -> Result<(), ControlError> {
        let now = self.now_ms();
        let age = self.store.nodes_seen_ms().await?.map(|seen| now.saturating_sub(seen));
        if age
            .is_some_and(|age| (0..i64::try_from(self.settings.refresh.as_millis()).unwrap_or(i64::MAX)).contains(&age))
        {
            return Ok(());
        }
        let found = match self.nodes.nodes().await {
            Ok(found) => found,
            // Keep the last list while the chain is unreachable.
            Err(error) if age.is_some() => {
                tracing::warn!(error = &error as &dyn std::error::Error, "list of miners not refreshed");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let peer = |node: &crate::FoundNode| Some((node.uid, self.settings.addresses.peer(node)?));
        let nodes: Vec<(_, Peer)> = found.iter().filter(|node| node.hotkey != self.me).filter_map(peer).collect();
        Ok(self.store.replace_nodes(&nodes, now).await?)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let Some(roster) = self.querier.market().roster() else { return Ok(()) };
        let rows: Vec<_> = roster.contenders().filter_map(|contender| contender.take_changes()).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let budgets: Vec<_> = roster.floors().iter().map(|floor| (floor.task.task.clone(), floor.budget())).collect();
        self.store.put_counts(roster.period, &rows, &budgets).await
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let before = |age: Duration| self.now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        self.store.sweep(before(KEEP_HISTORY), before(KEEP_HISTORY), before(KEEP_SAMPLES)).await
    }

    fn left(&self, period: &PeriodRow) -> Duration {
        let end = period.started_ms.saturating_add(period.length_ms);
        // A clock that was set back must not extend a period.
        let left = end.saturating_sub(self.now_ms()).min(period.length_ms);
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(unix_time((self.clock)()).as_millis()).unwrap_or(i64::MAX)
    }
}

fn new_row(offer: NewContender) -> ContenderRow {
    let counts = taonet_nineteen_core::period::PeriodCounts::with_capacity(offer.capacity.accepted);
    ContenderRow { offer, counts, sent: 0.0, score: None }
}

/// Returns the number of synthetic requests of a task in one period.
fn budget(config: &MarketConfig, task: &TaskName, contenders: &[NewContender]) -> u64 {
    let to_score: f64 =
        contenders.iter().filter(|offer| offer.task == *task).map(|offer| offer.capacity.to_score).sum();
    let volume = config.task(task.as_str()).map_or(f64::INFINITY, |task| task.volume_to_requests_conversion);
    synthetic_requests(to_score, config.period_multiplier(), volume)
}
