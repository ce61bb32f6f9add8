//! A process that serves buyers.

use std::sync::Arc;

use taonet_nineteen_control::MarketFile;
use taonet_nineteen_entry::Gateway;
use taonet_nineteen_query::{ProcessRole, Recorder};
use taonet_nineteen_store::Store;
use taonet_service::{Shutdown, system_clock};
use tokio::sync::mpsc;

use super::{SAMPLE_QUEUE_CAPACITY, Shared, querier, watch_balances};
use crate::process::ProcessRun;
use crate::services::listen;

/// Runs `tao nineteen entry` and `tao nineteen query` in one process. `delay_seconds` is that of
/// [`watch_balances`].
pub(super) async fn query(
    process_run: ProcessRun,
    shared: Shared,
    delay_seconds: u64,
) -> anyhow::Result<()> {
    let (shutdown, clock) = (Shutdown::new(), system_clock());
    let store = Store::open_shared(&shared.database).await?;
    let (sender, samples) = mpsc::channel(SAMPLE_QUEUE_CAPACITY);
    let (_, querier) = querier(sender)?;
    let recorder = Recorder::new(store.clone(), querier.market().clone(), ProcessRole::Worker);
    let market = MarketFile::empty();
    if let Some(config) = store.config(None).await? {
        market.replace(config);
    }
    let following = market.clone();
    let gateway = Gateway::new(store.clone(), querier, market, Arc::clone(&clock));
    gateway.load_tokenizers(|_| None).await;
    gateway.recover().await?;
    let service = listen(&process_run, gateway.router(), &shutdown);
    tokio::join!(
        service,
        recorder.sync_counters(&shutdown),
        recorder.store_samples(samples, &shutdown),
        recorder.follow(move |config| following.replace(config), &clock, &shutdown),
        gateway.run_maintenance(&shutdown),
        watch_balances(&store, delay_seconds),
    )
    .0
}
