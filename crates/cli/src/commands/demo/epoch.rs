//! One epoch of the demonstration's validator.

use std::path::Path;
use std::sync::Arc;

use taonet_babelbit_config::Config;
use taonet_babelbit_core::weights::REFERENCE_TEMPO;
use taonet_babelbit_validator::{Babelbit, BabelbitSettings};
use taonet_service::{sleeper, system_clock};
use taonet_validator::{EpochReport, StateFile, Validator, ValidatorSettings};
use taonet_wallet::Keypair;

use super::services::Services;
use crate::commands::babelbit::runner::engine_client;
use crate::demo_chain::NETUID;

/// Reads the scores of the engine's current challenge and submits the weights.
pub(super) async fn set_weights(
    config: &Config,
    babelbit: BabelbitSettings,
    services: &Services,
    validator: &Arc<Keypair>,
    state: &Path,
) -> anyhow::Result<EpochReport> {
    let (retries, retry_delay) = config.set_weights_retries();
    let settings = ValidatorSettings {
        netuid: NETUID,
        tempo: REFERENCE_TEMPO,
        burn_uid: config.burn_uid,
        max_skipped_epochs: config.services.max_skipped_epochs,
        retries,
        retry_delay,
    };
    let engine = engine_client(config, validator)?;
    let scores = services.scores(validator)?;
    let babelbit = Babelbit::new(engine, scores, babelbit);
    let services = taonet_validator::Services { gateway: services.gateway.clone(), signer: services.signer.clone() };
    let state = StateFile::open(state)?;
    let mut validator = Validator::new(babelbit, services, settings, state, system_clock(), sleeper());
    let report = validator.run_once().await?;
    match &report.error {
        _ if report.success => Ok(report),
        error => anyhow::bail!("the weights were not set: {}", error.as_deref().unwrap_or("confirmation failed")),
    }
}
