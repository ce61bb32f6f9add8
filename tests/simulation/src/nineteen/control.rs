//! The control of a validator's market: periods, tests, checks and weights.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use taonet_chain::Chain;
use taonet_neuron::AddressPolicy;
use taonet_nineteen_checker::{
    AnswerLogprobs, CheckError, LogprobsRequest, PositionLogprobs, ReferenceModel,
};
use taonet_nineteen_control::{
    ControlSettings, Controller, MarketFile, Nineteen, References, Scorer,
};
use taonet_nineteen_store::{KeyTerms, Store};
use taonet_primitives::Uid;
use taonet_service::{Shutdown, system_clock, unix_time};
use taonet_validator::{Validator, ValidatorSettings};
use tokio::sync::mpsc;

use super::buyers::KEYS;
use super::market_records::MarketRecords;
use super::miners::{LOGPROB, token};
use super::{SAMPLE_QUEUE_CAPACITY, Shared, config, querier, watch_balances};
use crate::chain::NETUID;
use crate::endpoint::{Endpoint, Node};
use crate::invariants::fail_all;
use crate::process::ProcessRun;
use crate::services::{VALIDATOR_TEMPO, validator_key};

/// Interval at which miners without an offer are asked again.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// Polling interval of the closed periods.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Runs the control, like `tao nineteen validator`, with the buyers' API keys in its database.
pub(super) async fn control(
    process_run: ProcessRun,
    shared: Shared,
    node: Node,
) -> anyhow::Result<()> {
    let (key, shutdown) = (validator_key(), Shutdown::new());
    let chain: Arc<dyn Chain> = Arc::new(Endpoint::new(node));
    let store = Store::open_shared(&shared.database).await?;
    let lock = store.lock_control().await?;
    create_keys(&store).await?;
    let (sender, samples) = mpsc::channel(SAMPLE_QUEUE_CAPACITY);
    let (client, querier) = querier(sender)?;
    let market = MarketFile::from_config(config()?);
    let references = References::for_all(Arc::new(Model));
    market.set_references(references.clone());
    let scorer = Scorer::new(
        store.clone(),
        market.clone(),
        querier.market().clone(),
        references,
        system_clock(),
    );
    let settings = ControlSettings {
        addresses: AddressPolicy::private(),
        capacity_retry_interval: RETRY_INTERVAL,
        ..ControlSettings::default()
    };
    let controller = Controller::new(
        key.hotkey(),
        store.clone(),
        querier,
        client,
        Arc::clone(&chain),
        NETUID,
        market.clone(),
        settings,
        system_clock(),
    );
    let subnet = Nineteen::new(store.clone(), market, system_clock());
    let settings = ValidatorSettings {
        netuid: NETUID,
        tempo: VALIDATOR_TEMPO,
        burn_uid: Uid(0),
        max_skipped_epochs: 24,
    };
    let directory = &process_run.directory;
    let mut validator =
        Validator::open(subnet, key, chain, directory, "validator.json", settings, &shutdown)
            .await?;
    let work = async {
        tokio::join!(
            controller.recorder().sync_counters(&shutdown),
            controller.recorder().store_samples(samples, &shutdown),
            controller.run(&shutdown),
            scorer.run(&shutdown),
            validator.run(&shutdown),
            watch_periods(&store, &shared.market_records),
            watch_balances(&store, 0),
        );
    };
    tokio::select! {
        () = work => Ok(()),
        error = lock.hold() => Err(error.into()),
    }
}

/// Creates the buyers' API keys with their credits, unless the database has them.
async fn create_keys(store: &Store) -> anyhow::Result<()> {
    let now_ms = i64::try_from(unix_time(system_clock()()).as_millis())?;
    for key in KEYS {
        if store.key(&key.id()).await?.is_none() {
            let terms = KeyTerms::new("buyer", 600);
            store.create_key_with_credits(&terms, key.credits, &[key.byte; 40], now_ms).await?;
        }
    }
    Ok(())
}

/// Checks at intervals that no closed period changes.
async fn watch_periods(store: &Store, market_records: &MarketRecords) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        if let Ok(history) = store.history_since(0).await {
            fail_all(market_records.observe(&history));
        }
    }
}

/// The model that miners must serve: each token follows from the request and the position.
struct Model;

#[async_trait]
impl ReferenceModel for Model {
    async fn logprobs(&self, request: &LogprobsRequest<'_>) -> Result<AnswerLogprobs, CheckError> {
        let position_logprobs = |position: &usize| PositionLogprobs {
            top: vec![(token(request.payload, *position), LOGPROB)],
            miner_token: None,
            end_logprob: None,
        };
        Ok(AnswerLogprobs::Positions(request.positions.iter().map(position_logprobs).collect()))
    }
}
