//! Life cycle of scoring periods.

mod late_miners;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use taonet_chain::{Chain, ChainError};
use taonet_neuron::{AddressPolicy, MinerDirectory, Neurons};
use taonet_nineteen_core::schedule::synthetic_request_count;
use taonet_nineteen_core::{MarketConfig, TaskName};
use taonet_nineteen_query::{PeriodMiners, ProcessRole, Querier, Recorder, sessions};
use taonet_nineteen_store::{
    ContenderRow, NewContender, Node, PeriodId, PeriodRow, Store, StoreError,
};
use taonet_nineteen_transport::{FiberClient, Session};
use taonet_primitives::{Hotkey, NetUid};
use taonet_service::{Clock, Shutdown, millis, unix_millis, unix_time};
use tokio::time::Instant;

use crate::onboarding::{HandshakeLog, Offer, query_offers};
use crate::schedule::{Random, draw, seeded_random, send_all};
use crate::synthetic::Drafts;
use crate::{MarketFile, metrics};

/// Default delay before the next attempt to open a period.
const OPEN_RETRY_DELAY: Duration = Duration::from_secs(20);
/// Default interval at which miners that have offered no capacity are queried again.
const CAPACITY_RETRY_INTERVAL: Duration = Duration::from_mins(3);
/// Minimum validity of a session key after the period's end.
const MIN_KEY_MARGIN: Duration = Duration::from_mins(10);
/// Retention of rewards and closed periods.
const HISTORY_RETENTION: Duration = Duration::from_hours(7 * 24);
/// Retention of unchecked answers.
const SAMPLE_RETENTION: Duration = Duration::from_hours(5);

/// Settings of a [`Controller`].
#[derive(Debug, Clone)]
pub struct ControlSettings {
    /// Maximum age of the list of miners when a period opens after another one: an older list is
    /// refreshed from the chain.
    pub max_list_age: Duration,
    /// Rules for miners' addresses.
    pub addresses: AddressPolicy,
    /// Interval at which the list is refreshed during a period, and miners that have offered no
    /// capacity in it are queried again.
    pub capacity_retry_interval: Duration,
    /// Delay before a retry after an error, and while no miner offers capacity.
    pub retry_delay: Duration,
    /// Seed of the random draws, for tests and demonstrations.
    pub seed: Option<u64>,
    /// Conversations for synthetic requests, written by the checking model.
    pub drafts: Drafts,
}

impl Default for ControlSettings {
    /// Returns the defaults: a period opens with a list of miners of the last 30 minutes, miners
    /// without an offer, and new ones, are queried every 3 minutes, and only public addresses are
    /// allowed.
    fn default() -> Self {
        Self {
            max_list_age: Duration::from_mins(30),
            addresses: AddressPolicy::default(),
            capacity_retry_interval: CAPACITY_RETRY_INTERVAL,
            retry_delay: OPEN_RETRY_DELAY,
            seed: None,
            drafts: Drafts::default(),
        }
    }
}

/// Why a period cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain could not be read.
    #[error("cannot read the subnet's neurons from the chain")]
    Chain(#[from] ChainError),
}

/// Runs a validator's scoring periods one after the other.
pub struct Controller {
    directory: MinerDirectory,
    store: Store,
    recorder: Recorder,
    querier: Querier,
    client: FiberClient,
    chain: Arc<dyn Chain>,
    netuid: NetUid,
    market: MarketFile,
    settings: ControlSettings,
    clock: Clock,
    random: Random,
    handshakes: HandshakeLog,
}

impl Controller {
    /// Creates a controller for the validator with the hotkey `own_hotkey` on the subnet `netuid`.
    #[expect(clippy::too_many_arguments, reason = "the caller creates each part")]
    pub fn new(
        own_hotkey: Hotkey,
        store: Store,
        querier: Querier,
        client: FiberClient,
        chain: Arc<dyn Chain>,
        netuid: NetUid,
        market: MarketFile,
        settings: ControlSettings,
        clock: Clock,
    ) -> Self {
        let random = seeded_random(settings.seed);
        let recorder =
            Recorder::new(store.clone(), querier.market().clone(), ProcessRole::Validator);
        let handshakes = HandshakeLog::default();
        let policy = settings.addresses.clone();
        let directory =
            MinerDirectory { own_hotkey: Some(own_hotkey), ..MinerDirectory::new(policy) };
        Self {
            directory,
            store,
            recorder,
            querier,
            client,
            chain,
            netuid,
            market,
            settings,
            clock,
            random,
            handshakes,
        }
    }

    /// Runs periods until shutdown, then writes the counters. The next start resumes the open
    /// period.
    pub async fn run(&self, shutdown: &Shutdown) {
        loop {
            let period = tokio::select! {
                () = shutdown.requested() => break,
                period = self.run_period() => period,
            };
            let delay = match period {
                Ok(true) => continue,
                Ok(false) => {
                    tracing::warn!("no miner offers capacity");
                    self.settings.retry_delay
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn Error, "failed to run a period");
                    self.settings.retry_delay
                }
            };
            if !shutdown.sleep(delay).await {
                break;
            }
        }
        if let Err(error) = self.recorder.flush().await {
            tracing::error!(error = &error as &dyn Error, "failed to store the final counters");
        }
    }

    /// Returns the recorder of this process's counters and answers.
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Runs one period to its end, or resumes the open one. Returns `false` when no miner offers
    /// capacity.
    ///
    /// # Errors
    /// [`ControlError`] when the database fails or the chain cannot be read.
    pub async fn run_period(&self) -> Result<bool, ControlError> {
        let config = self.market.reload();
        let open_period = self.store.current_period().await?;
        // While no miner offers capacity, a new miner must be listed at once.
        let max_age =
            if open_period.is_some() { self.settings.max_list_age } else { Duration::ZERO };
        self.refresh_nodes(max_age).await?;
        // After a restart, a period is open in the database but not in memory.
        let resumed = match (&open_period, self.querier.market().period_miners()) {
            (Some(period), None) if self.time_left(period) > Duration::ZERO => {
                self.resume_period(period, &config).await?
            }
            _ => None,
        };
        let (period_miners, time_left) = match resumed {
            Some(resumed) => resumed,
            None => {
                match self.open_next_period(open_period.map(|period| period.id), &config).await? {
                    Some(opened) => opened,
                    None => return Ok(false),
                }
            }
        };
        metrics::set_period(period_miners.period.0);
        metrics::set_contenders(&period_miners);
        tokio::select! {
            () = send_all(&self.querier, &period_miners, time_left, &self.random, &self.settings.drafts, &config) => {}
            () = self.admit_late_miners(period_miners.period, Instant::now() + time_left, &config) => {}
        }
        self.recorder.flush().await?;
        Ok(true)
    }

    /// Closes the running period with its current counters.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        let Some(period) = self.store.current_period().await? else { return Ok(()) };
        self.close_period(period.id).await
    }

    async fn close_period(&self, period: PeriodId) -> Result<(), StoreError> {
        self.recorder.close_period(period, self.now_ms()).await?;
        tracing::info!(%period, "period closed");
        Ok(())
    }

    /// Queries the miners' capacities, closes the last period and opens the next one. Returns
    /// `None` when no miner offers capacity.
    async fn open_next_period(
        &self,
        open_period: Option<PeriodId>,
        config: &MarketConfig,
    ) -> Result<Option<(Arc<PeriodMiners>, Duration)>, ControlError> {
        let length = Duration::from_secs_f64(config.period().get());
        let nodes = self.store.nodes().await?;
        self.handshakes.retain_miners(&nodes);
        let offers = self.query_offers(nodes, config, length).await?;
        if let Some(open_period) = open_period {
            self.close_period(open_period).await?;
        }
        self.sweep().await?;
        let contenders: Vec<_> = offers.iter().flat_map(|offer| offer.contenders.clone()).collect();
        if contenders.is_empty() {
            return Ok(None);
        }
        let budgets: Vec<_> = config
            .enabled()
            .map(|task| (task.task.clone(), synthetic_budget(config, &task.task, &contenders)))
            .collect();
        let (now_ms, length_ms, profile) = (self.now_ms(), millis(length), config.period_profile);
        let period = self
            .store
            .begin_period(now_ms, length_ms, profile, &contenders, &budgets, config)
            .await?;
        let sessions: HashMap<Hotkey, Session> = offers
            .into_iter()
            .map(|Offer { session, .. }| (*session.peer().hotkey(), session))
            .collect();
        let rows: Vec<_> = contenders.into_iter().map(initial_row).collect();
        let period_miners =
            self.open_market(PeriodMiners::from_rows(period, config, &rows, &sessions, &budgets));
        let contenders = period_miners.contenders().count();
        tracing::info!(%period, contenders, seconds = length.as_secs_f64(), "period opened");
        Ok(Some((period_miners, length)))
    }

    /// Queries the capacities of `nodes` for a period that ends after `time_left`.
    async fn query_offers(
        &self,
        nodes: Vec<Node>,
        config: &MarketConfig,
        time_left: Duration,
    ) -> Result<Vec<Offer>, StoreError> {
        let min_expiry = unix_time((self.clock)()) + time_left + MIN_KEY_MARGIN;
        let min_expiry_ns = u64::try_from(min_expiry.as_nanos()).unwrap_or(u64::MAX);
        let draw = || draw(&self.random);
        query_offers(
            &self.client,
            &self.handshakes,
            &self.store,
            nodes,
            config,
            min_expiry_ns,
            draw,
        )
        .await
    }

    /// Resumes a period that an earlier process opened. Returns `None` when no miner of the period
    /// has a session key.
    async fn resume_period(
        &self,
        period: &PeriodRow,
        config: &MarketConfig,
    ) -> Result<Option<(Arc<PeriodMiners>, Duration)>, StoreError> {
        let nodes = self.store.nodes().await?;
        let sessions = sessions(nodes);
        let rows = self.store.contenders(period.id).await?;
        if !rows.iter().any(|row| sessions.contains_key(&row.offer.hotkey)) {
            return Ok(None);
        }
        let budgets = self.store.budgets(period.id, None).await?;
        let budgets: Vec<_> = budgets.into_iter().map(|row| (row.task, row.remaining)).collect();
        let period_miners = self
            .open_market(PeriodMiners::from_rows(period.id, config, &rows, &sessions, &budgets));
        let time_left = self.time_left(period);
        tracing::info!(period = %period.id, seconds = time_left.as_secs_f64(), "period resumed");
        Ok(Some((period_miners, time_left)))
    }

    fn open_market(&self, period_miners: PeriodMiners) -> Arc<PeriodMiners> {
        let period = period_miners.period;
        let market = self.querier.market();
        market.open(period_miners);
        // The period is open: only the controller opens periods.
        market.period_miners().unwrap_or_else(|| Arc::new(PeriodMiners::new(period, Vec::new())))
    }

    /// Reads the subnet's neurons from the chain and replaces the list of miners, if the list is at
    /// least `max_age` old.
    async fn refresh_nodes(&self, max_age: Duration) -> Result<(), ControlError> {
        let now = self.now_ms();
        let age = self.store.nodes_seen_ms().await?.map(|seen_ms| now.saturating_sub(seen_ms));
        if age.is_some_and(|age| (0..millis(max_age)).contains(&age)) {
            return Ok(());
        }
        let neurons = match Neurons::read(&*self.chain, self.netuid).await {
            Ok(neurons) => neurons,
            // Keep the last list while the chain is unreachable.
            Err(error) if age.is_some() => {
                tracing::warn!(error = &error as &dyn Error, "list of miners not refreshed");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let miners = self.directory.select(&neurons).miners;
        let miners: Vec<_> =
            miners.iter().filter_map(|miner| Some((miner.uid, miner.peer().ok()?))).collect();
        // The reference ranks all neurons by speed, also those that it cannot call.
        let registered: Vec<_> =
            neurons.list.iter().map(|neuron| (neuron.uid, neuron.hotkey)).collect();
        Ok(self.store.replace_nodes(&miners, &registered, now).await?)
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let cutoff_ms = |age: Duration| self.now_ms().saturating_sub(millis(age));
        self.store
            .sweep(
                cutoff_ms(HISTORY_RETENTION),
                cutoff_ms(HISTORY_RETENTION),
                cutoff_ms(SAMPLE_RETENTION),
            )
            .await
    }

    fn time_left(&self, period: &PeriodRow) -> Duration {
        let end = period.started_ms.saturating_add(period.length_ms);
        // A clock that was set back must not extend a period.
        let left_ms = end.saturating_sub(self.now_ms()).min(period.length_ms);
        Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))
    }

    fn now_ms(&self) -> i64 {
        unix_millis((self.clock)())
    }
}

fn initial_row(offer: NewContender) -> ContenderRow {
    let counts = taonet_nineteen_core::period::PeriodCounts::with_capacity(offer.capacity.accepted);
    ContenderRow { offer, counts, sent: 0.0, score: None }
}

/// Returns the number of synthetic requests of a task in one period.
fn synthetic_budget(config: &MarketConfig, task: &TaskName, contenders: &[NewContender]) -> u64 {
    let to_score: f64 = contenders
        .iter()
        .filter(|offer| offer.task == *task)
        .map(|offer| offer.capacity.to_score)
        .sum();
    let volume =
        config.task(task.as_str()).map_or(f64::INFINITY, |task| task.volume_to_requests_conversion);
    synthetic_request_count(to_score, config.period_multiplier(), volume)
}
