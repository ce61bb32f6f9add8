//! The way of results to the scoring API.

use std::sync::Arc;

use taonet_babelbit_node::config::Config;
use taonet_babelbit_node::object_storage::ObjectStorage;
use taonet_babelbit_node::runner::{Ledger, RunPaths};
use taonet_babelbit_node::submission::{Outbox, OutboxSettings};
use taonet_wallet::Keypair;

/// Whether results are submitted. On local networks only where a scoring API is named: most have none.
pub(super) fn is_wanted(config: &Config) -> bool {
    config.submission.enabled && (!config.network.is_local() || config.submit_api_url.is_some())
}

/// What submits the results of a ledger, where that is wanted.
pub(super) fn outbox(
    config: &Config,
    keypair: &Arc<Keypair>,
    ledger: &Arc<Ledger>,
    paths: RunPaths,
) -> anyhow::Result<Option<Outbox>> {
    if !is_wanted(config) {
        return Ok(None);
    }
    let storage = config.s3.enabled.then(|| ObjectStorage::open(&config.s3)).transpose()?;
    let settings = OutboxSettings {
        timeout: config.submission.timeout,
        concurrency: config.submission.concurrency,
        ..OutboxSettings::new(config.submit_api_url(), paths)
    };
    Ok(Some(Outbox::new(Arc::clone(ledger), Arc::clone(keypair), storage, settings)?))
}
