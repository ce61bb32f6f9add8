//! Services of a validator in one process: periods, tests, checks, and weight submission.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use taonet_chain::{Chain, Client};
use taonet_nineteen_control::{ChainNodes, ControlSettings, Controller, MarketFile, Nineteen, References, Scorer};
use taonet_nineteen_query::{Market, Querier, QueryDeadlines};
use taonet_nineteen_store::Store;
use taonet_nineteen_transport::{FiberClient, Trust};
use taonet_primitives::{NetUid, Uid};
use taonet_service::{Shutdown, monotonic_clock, sleeper, system_clock};
use taonet_validator::{StateFile, Validator, ValidatorSettings};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, SystemClock};
use tokio::sync::mpsc;

use crate::submission;

/// Maximum concurrent requests per miner and task.
const MOST_RUNNING: usize = 32;
/// Capacity of the queue of answers to store.
const SAMPLES_AHEAD: usize = 256;
/// Maximum idle connections per miner.
const IDLE_PER_MINER: usize = 32;

/// Settings of an [`Operation`].
pub(super) struct OperationSettings {
    pub(super) netuid: NetUid,
    pub(super) control: ControlSettings,
    pub(super) deadlines: QueryDeadlines,
    pub(super) trust: Trust,
}

/// Components of a validator's market.
pub(super) struct Operation {
    pub(super) store: Store,
    pub(super) market: MarketFile,
    pub(super) querier: Querier,
    pub(super) controller: Arc<Controller>,
    pub(super) scorer: Arc<Scorer>,
    samples: mpsc::Receiver<taonet_nineteen_store::Sample>,
}

impl Operation {
    /// Creates the components without starting them.
    pub(super) fn new(
        keypair: &Keypair,
        chain: Arc<Client>,
        store: Store,
        market: MarketFile,
        references: References,
        settings: OperationSettings,
    ) -> anyhow::Result<Self> {
        let OperationSettings { netuid, control, deadlines, trust } = settings;
        let config = ClientConfig { idle_per_host: IDLE_PER_MINER, ..ClientConfig::default() };
        let client = FiberClient::new(keypair.clone(), trust, config, Arc::new(SystemClock))?;
        let (sender, samples) = mpsc::channel(SAMPLES_AHEAD);
        let floor = Market::default();
        let clocks = (system_clock(), monotonic_clock());
        let querier = Querier::new(client.clone(), floor.clone(), deadlines, MOST_RUNNING, clocks, sender);
        let nodes = Box::new(ChainNodes::new(chain as Arc<dyn Chain>, netuid));
        let hotkey = keypair.hotkey();
        let controller = Controller::new(
            hotkey,
            store.clone(),
            querier.clone(),
            client,
            nodes,
            market.clone(),
            control,
            system_clock(),
        );
        let scorer = Scorer::new(store.clone(), market.clone(), floor, references, system_clock());
        Ok(Self { store, market, querier, controller: Arc::new(controller), scorer: Arc::new(scorer), samples })
    }

    /// Spawns the background tasks that store counters and answers and check answers. The caller runs the periods.
    pub(super) fn spawn(self, shutdown: &Shutdown) -> RunningOperation {
        let Self { store, market, querier, controller, scorer, samples } = self;
        let (counting, stop) = (Arc::clone(&controller), shutdown.clone());
        shutdown.spawn("counters", async move { counting.keep_counters(&stop).await });
        let (keeping, stop) = (Arc::clone(&controller), shutdown.clone());
        shutdown.spawn("samples", async move { keeping.keep_samples(samples, &stop).await });
        let (scoring, stop) = (Arc::clone(&scorer), shutdown.clone());
        shutdown.spawn("scorer", async move { scoring.run(&stop).await });
        RunningOperation { store, market, querier, controller, scorer }
    }
}

/// A market with running background tasks.
pub(super) struct RunningOperation {
    pub(super) store: Store,
    pub(super) market: MarketFile,
    pub(super) querier: Querier,
    pub(super) controller: Arc<Controller>,
    pub(super) scorer: Arc<Scorer>,
}

/// Starts the services that submit weights, on loopback ports that only this process can use, and returns the epoch
/// loop.
pub(super) async fn weights_loop(
    keypair: &Keypair,
    chain: Arc<Client>,
    directory: &Path,
    subnet: Nineteen,
    settings: ValidatorSettings,
    shutdown: &Shutdown,
) -> anyhow::Result<Validator<Nineteen>> {
    let keypair = Arc::new(keypair.clone());
    let retry = (settings.retries, settings.retry_delay);
    let services = submission::start(chain, &keypair, settings.netuid, directory, retry, shutdown).await?;
    let state = StateFile::open(&directory.join("validator.json"))?;
    Ok(Validator::new(subnet, services, settings, state, system_clock(), sleeper()))
}

/// Returns the settings of the epoch loop. After 24 epochs without scores, all weight goes to the subnet's owner.
pub(super) fn validator_settings(netuid: NetUid, tempo: u32) -> ValidatorSettings {
    ValidatorSettings {
        netuid,
        tempo,
        burn_uid: Uid(0),
        max_skipped_epochs: 24,
        retries: 20,
        retry_delay: Duration::from_millis(500),
    }
}
