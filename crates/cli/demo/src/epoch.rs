//! One epoch of the demonstration's validator.

use std::path::Path;
use std::sync::Arc;

use taonet_babelbit_config::Config;
use taonet_babelbit_core::weights::REFERENCE_TEMPO;
use taonet_babelbit_validator::{Babelbit, BabelbitSettings};
use taonet_cli_babelbit::runner::engine_client;
use taonet_cli_localnet::demo_chain::{NETUID, submit_weights};
use taonet_service::{sleeper, system_clock};
use taonet_validator::{EpochReport, HttpWeights, StateFile, Validator, ValidatorSettings};
use taonet_wallet::Keypair;

use super::services::Services;

/// Reads the scores of the engine's current challenge and submits the weights.
pub(crate) async fn set_weights(
    config: &Config,
    babelbit: BabelbitSettings,
    services: &Services,
    validator: &Arc<Keypair>,
    state: &Path,
) -> anyhow::Result<EpochReport> {
    let settings = ValidatorSettings {
        netuid: NETUID,
        tempo: REFERENCE_TEMPO,
        burn_uid: config.burn_uid,
        max_skipped_epochs: config.services.max_skipped_epochs,
    };
    let engine = engine_client(config, validator)?;
    let scores = services.scores_client(validator)?;
    let babelbit = Babelbit::new(engine, scores, babelbit);
    let (retries, retry_delay) = config.set_weights_retries();
    let (gateway, signer) = (services.gateway.clone(), services.signer.clone());
    let service = HttpWeights { gateway, signer, retries, retry_delay }.into();
    let state = StateFile::open(state)?;
    let mut validator =
        Validator::new(babelbit, service, settings, state, system_clock(), sleeper());
    submit_weights(async || validator.run_once().await).await
}
