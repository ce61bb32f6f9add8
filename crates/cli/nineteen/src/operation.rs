//! Services of a validator: periods, tests, checks and weight submission in one process, and
//! queries in others.

use std::sync::Arc;

use taonet_chain::Client;
use taonet_nineteen_control::synthetic::Drafts;
use taonet_nineteen_control::{ControlSettings, Controller, MarketFile, References, Scorer};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_query::{
    Market, ProcessRole, Querier, QueryDeadlines, QueueSettings, Recorder,
};
use taonet_nineteen_store::{Sample, Store};
use taonet_nineteen_transport::{FiberClient, Trust};
use taonet_primitives::{NetUid, Uid};
use taonet_service::{Shutdown, monotonic_clock, system_clock};
use taonet_validator::ValidatorSettings;
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, SystemClock};
use tokio::sync::mpsc;

/// Maximum concurrent requests per miner; a miner may announce a lower limit.
const MAX_REQUESTS_PER_MINER: usize = 4_096;
/// Capacity of the queue of responses to store.
const SAMPLE_QUEUE_CAPACITY: usize = 256;
/// State file of the epoch loop, in the directory of the validator.
pub(crate) const STATE_FILE: &str = "validator.json";
/// Maximum idle connections per miner.
const MAX_IDLE_PER_MINER: usize = 256;

/// Settings of a [`MarketServices`].
pub(crate) struct MarketServicesSettings {
    pub(crate) netuid: NetUid,
    pub(crate) control: ControlSettings,
    pub(crate) deadlines: QueryDeadlines,
    pub(crate) queue: QueueSettings,
    pub(crate) trust: Trust,
}

/// Components of a validator's market.
pub(crate) struct MarketServices {
    pub(crate) store: Store,
    pub(crate) market: MarketFile,
    pub(crate) querier: Querier,
    pub(crate) controller: Arc<Controller>,
    pub(crate) scorer: Arc<Scorer>,
    samples: mpsc::Receiver<Sample>,
    drafts: Drafts,
    references: References,
}

impl MarketServices {
    /// Creates the components without starting them.
    pub(crate) fn new(
        keypair: &Keypair,
        chain: Arc<Client>,
        store: Store,
        market: MarketFile,
        references: References,
        settings: MarketServicesSettings,
    ) -> anyhow::Result<Self> {
        let MarketServicesSettings { netuid, control, deadlines, queue, trust } = settings;
        let (sender, samples) = mpsc::channel(SAMPLE_QUEUE_CAPACITY);
        let (client, querier) = create_querier(keypair, trust, deadlines, queue, sender)?;
        let drafts = control.drafts.clone();
        let hotkey = keypair.hotkey();
        let controller = Controller::new(
            hotkey,
            store.clone(),
            querier.clone(),
            client,
            chain,
            netuid,
            market.clone(),
            control,
            system_clock(),
        );
        let live_market = querier.market().clone();
        market.set_references(references.clone());
        let scorer = Scorer::new(
            store.clone(),
            market.clone(),
            live_market,
            references.clone(),
            system_clock(),
        );
        let (controller, scorer) = (Arc::new(controller), Arc::new(scorer));
        Ok(Self { store, market, querier, controller, scorer, samples, drafts, references })
    }

    /// Spawns the background tasks that store counters and answers, check answers, and write
    /// synthetic texts. The caller runs the periods.
    pub(crate) fn spawn(self, shutdown: &Shutdown) -> RunningMarket {
        let Self { store, market, querier, controller, scorer, samples, drafts, references } = self;
        let (counter_controller, stop) = (Arc::clone(&controller), shutdown.clone());
        shutdown.spawn("counters", async move {
            counter_controller.recorder().sync_counters(&stop).await;
        });
        let (sample_controller, stop) = (Arc::clone(&controller), shutdown.clone());
        shutdown.spawn("samples", async move {
            sample_controller.recorder().store_samples(samples, &stop).await;
        });
        let (running_scorer, stop) = (Arc::clone(&scorer), shutdown.clone());
        shutdown.spawn("scorer", async move { running_scorer.run(&stop).await });
        let (synthetic_market, stop) = (market.clone(), shutdown.clone());
        shutdown.spawn("drafts", async move {
            drafts.refill_until_shutdown(&synthetic_market, &references, &stop).await;
        });
        RunningMarket {
            store,
            market,
            querier,
            controller,
            #[cfg(feature = "localnet")]
            scorer,
        }
    }
}

/// Creates a querier of a market without an open period, and its client. Sends answers that must be
/// checked to `samples`.
fn create_querier(
    keypair: &Keypair,
    trust: Trust,
    deadlines: QueryDeadlines,
    queue: QueueSettings,
    samples: mpsc::Sender<Sample>,
) -> anyhow::Result<(FiberClient, Querier)> {
    let config = ClientConfig { idle_per_host: MAX_IDLE_PER_MINER, ..ClientConfig::default() };
    let client = FiberClient::new(keypair.clone(), trust, config, Arc::new(SystemClock))?;
    let clocks = (system_clock(), monotonic_clock());
    let querier = Querier::new(
        client.clone(),
        Market::default(),
        deadlines,
        MAX_REQUESTS_PER_MINER,
        clocks,
        samples,
    );
    Ok((client, querier.with_queue(queue)))
}

/// Starts a querier that loads the periods of a validator in another process. The caller must flush
/// the recorder after the last answer.
pub(crate) fn worker_querier(
    keypair: &Keypair,
    store: Store,
    deadlines: QueryDeadlines,
    queue: QueueSettings,
    shutdown: &Shutdown,
) -> anyhow::Result<(Querier, Recorder)> {
    let (sender, samples) = mpsc::channel(SAMPLE_QUEUE_CAPACITY);
    // The validator's process has already performed the handshakes under its trust policy.
    let (_, querier) = create_querier(keypair, Trust::Any, deadlines, queue, sender)?;
    let recorder = Recorder::new(store, querier.market().clone(), ProcessRole::Worker);
    let (sample_recorder, stop) = (recorder.clone(), shutdown.clone());
    shutdown.spawn("samples", async move { sample_recorder.store_samples(samples, &stop).await });
    follow(&recorder, |_| {}, shutdown);
    Ok((querier, recorder))
}

/// Spawns the tasks that follow a validator in another process: they load its open period and the
/// counters into the recorder's market. Calls `on_config` with the configuration of each period.
pub(crate) fn follow(
    recorder: &Recorder,
    on_config: impl Fn(MarketConfig) + Send + Sync + 'static,
    shutdown: &Shutdown,
) {
    let (counter_recorder, stop) = (recorder.clone(), shutdown.clone());
    shutdown.spawn("counters", async move { counter_recorder.sync_counters(&stop).await });
    let (period_recorder, stop) = (recorder.clone(), shutdown.clone());
    shutdown.spawn("periods", async move {
        period_recorder.follow(on_config, &system_clock(), &stop).await;
    });
}

/// A market with running background tasks.
pub(crate) struct RunningMarket {
    pub(crate) store: Store,
    pub(crate) market: MarketFile,
    pub(crate) querier: Querier,
    pub(crate) controller: Arc<Controller>,
    /// Checker of answers, with which the demonstration checks all of them before a round ends.
    #[cfg(feature = "localnet")]
    pub(crate) scorer: Arc<Scorer>,
}

/// Returns the settings of the epoch loop. After 24 epochs without scores, all weight goes to the
/// subnet's owner.
pub(crate) fn validator_settings(netuid: NetUid, tempo: u32) -> ValidatorSettings {
    ValidatorSettings { netuid, tempo, burn_uid: Uid(0), max_skipped_epochs: 24 }
}
