//! The `bb validate` command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_babelbit_config::Config;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::weights::{ArenaShare, REFERENCE_TEMPO};
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_babelbit_validator::{Babelbit, BabelbitSettings, CurrentChallenge};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{serve_metrics_or_warn, state_directory};
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::preflight;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::WEIGHT_VECTOR;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_http::disable_huge_pages;
use taonet_service::Shutdown;
use taonet_service::{sleeper, system_clock};
use taonet_validator::signer::SignerClient;
use taonet_validator::subtensor_gateway::GatewayClient;
use taonet_validator::{
    EpochError, EpochReport, HttpWeights, ReadError, StateFile, Validator, ValidatorSettings,
    WeightService, WeightsOutcome,
};
use taonet_wallet::Keypair;

use super::access::TokenArgs;
use super::runner::engine_client;
use crate::contest::Contest;
use crate::settings;

/// Submit weights from the scores of the current challenge, once per epoch
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Process the current epoch, print the result and exit
    #[arg(long)]
    once: bool,
    /// Contest to compute weights for: speech or text (prediction of text)
    #[arg(long, value_name = "CONTEST", default_value = "speech", hide_possible_values = true)]
    contest: Contest,
    /// Length of an epoch, in blocks
    #[arg(long, value_name = "BLOCKS", default_value_t = REFERENCE_TEMPO, value_parser = clap::value_parser!(u32).range(1..))]
    tempo: u32,
    /// Share of the weights for the arena's winner, in percent [default:
    /// BB_ARENA_INCENTIVE_PERCENT, or 90]
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    arena_percent: Option<f64>,
    /// Scoring rules: reference or strict [env: BB_RULES] [default: reference]
    #[arg(long)]
    rules: Option<Rules>,
    /// State file [default: one per subnet and hotkey in the state directory]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    #[command(flatten)]
    token: TokenArgs,
    /// Listen address of /metrics and /readyz [default: BABELBIT_METRICS_ADDR and
    /// BABELBIT_METRICS_PORT, or 127.0.0.1:8010]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    key: KeyArgs,
    // The reference accepts and logs these options but ignores them.
    #[arg(long, hide = true)]
    tail: Option<String>,
    #[arg(long, hide = true)]
    alpha: Option<String>,
    #[arg(long, hide = true)]
    m_min: Option<String>,
}

pub(crate) fn run(args: &ValidateArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    for (name, value) in
        [("--tail", &args.tail), ("--alpha", &args.alpha), ("--m-min", &args.m_min)]
    {
        if value.is_some() {
            tracing::warn!("{name} has no effect");
        }
    }
    let keypair = Arc::new(args.key.load(None)?);
    let hotkey = keypair.hotkey();
    let state_file = args.state.clone().unwrap_or_else(|| {
        state_directory("validator").join(format!("{}-{hotkey}.json", config.netuid))
    });
    let state = StateFile::open(&state_file)?;
    let (subnet, service) =
        (babelbit_subnet(args, &config, &keypair)?, weight_service(args, &config)?);
    let settings = ValidatorSettings {
        netuid: config.netuid,
        tempo: args.tempo,
        burn_uid: config.burn_uid,
        max_skipped_epochs: config.services.max_skipped_epochs,
    };
    context.print_notice(&format!("hotkey {hotkey}"));
    disable_huge_pages();
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        if args.once {
            let mut validator =
                Validator::new(subnet, service, settings, state, system_clock(), sleeper());
            return tokio::select! {
                report = validator.run_once() => {
                    print_report(&report.map_err(|error| epoch_error(&error))?, context)
                }
                () = shutdown.requested() => bail!("stopped before the weights were submitted"),
            };
        }
        let directories = vec![
            WriteDirectory::of_file("validator state", &state_file, DiskNeeds::STATE),
            WriteDirectory::new("caches", &config.cache_dir, DiskNeeds::STATE),
        ];
        preflight::spawn_disk_check(directories, &shutdown);
        preflight::spawn_network_clock_check(&shutdown);
        // As in the reference, weights are submitted even if metrics cannot be served.
        let default_address = config.metrics_listen();
        let readiness =
            serve_metrics_or_warn("validator", args.metrics, default_address, &shutdown).await?;
        taonet_validator::describe_metrics();
        taonet_babelbit_validator::describe_metrics();
        let mut validator =
            Validator::new(subnet, service, settings, state, system_clock(), sleeper());
        if let Some(readiness) = readiness {
            validator = validator.with_readiness(readiness);
        }
        shutdown.spawn_until("validator", |stop| async move { validator.run(&stop).await });
        shutdown.finished().await.context("the validator did not stop in time")
    })
}

fn babelbit_subnet(
    args: &ValidateArgs,
    config: &Config,
    keypair: &Arc<Keypair>,
) -> anyhow::Result<Babelbit> {
    let scores = ScoresClient::new(&config.submit_api_url(), Arc::clone(keypair))?;
    let settings = BabelbitSettings {
        current: match args.contest {
            Contest::Speech => CurrentChallenge::Speech,
            Contest::Text => CurrentChallenge::Text,
        },
        arena_share: args.arena_percent.map_or(config.arena_share, ArenaShare::from_percent),
        rules: args.rules.unwrap_or(config.rules),
        cache_dir: config.cache_dir.clone(),
    };
    Ok(Babelbit::new(engine_client(config, keypair)?, scores, settings))
}

fn weight_service(args: &ValidateArgs, config: &Config) -> anyhow::Result<WeightService> {
    let token = args.token.token(config)?;
    let (retries, retry_delay) = config.set_weights_retries();
    let http = HttpWeights {
        gateway: GatewayClient::new(
            &config.gateway_url(),
            token.as_ref(),
            config.services.gateway_timeout,
        )?,
        signer: SignerClient::new(&config.signer_url(), token.as_ref())?,
        retries,
        retry_delay,
    };
    Ok(http.into())
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or_else(|| "expected a number in 0..=100".to_owned())
}

fn epoch_error(error: &EpochError) -> anyhow::Error {
    let failure = match error {
        EpochError::Read(ReadError::Gateway(error)) if error.is_authentication() => {
            Failure::Authentication
        }
        _ => Failure::Network,
    };
    ClassifiedError::error(failure, error.to_string())
}

fn print_report(report: &EpochReport, context: &Context) -> anyhow::Result<()> {
    let EpochReport { epoch, block, round, decision, weights, epochs_without_scores, outcome } =
        report;
    if context.json {
        context.print_json(&json!({
            "epoch": epoch,
            "block": block,
            "challenge_uid": round,
            "decision": decision,
            "weights": weights,
            "epochs_without_scores": epochs_without_scores,
            "success": outcome.is_success(),
            "error": outcome.error(),
            "details": outcome.details(),
        }))?;
    } else {
        let mut rows = table(&WEIGHT_VECTOR);
        for (uid, weight) in
            weights.iter().flat_map(|weights| weights.uids.iter().zip(&weights.weights))
        {
            rows.add_row([uid.to_string(), format!("{weight:.6}")]);
        }
        let challenge = round.as_deref().unwrap_or("unknown");
        context.print_notice(&format!("epoch {epoch}, challenge {challenge}: {decision}"));
        context.print(&rows.to_string())?;
        if matches!(outcome, WeightsOutcome::Unchanged { .. }) {
            context.print_notice(
                "other weights were already submitted in this chain epoch; they apply until the next one",
            );
        }
    }
    match outcome {
        WeightsOutcome::Submitted { .. } | WeightsOutcome::Unchanged { .. } => {}
        WeightsOutcome::NoWeights { reason } => {
            context.print_notice(&format!("no weights are submitted: {reason}"));
        }
        WeightsOutcome::NotSet { error, .. } => bail!("the weights were not set: {error}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use taonet_cli_base::exit::exit_code;
    use taonet_http::JsonCallError;
    use taonet_validator::subtensor_gateway::GatewayError;

    use super::*;

    /// Columns: status of the gateway's response, exit code.
    #[test]
    fn refused_access_token_has_its_own_exit_code() {
        for (status, code) in [(401_u16, 4), (403, 4), (500, 3)] {
            let (body, status) = ("no".to_owned(), status.try_into().unwrap());
            let source = JsonCallError::Status { status, body, retry_after: None };
            let error = GatewayError { path: "/v1/block/current", source };
            let error = epoch_error(&EpochError::Read(error.into()));
            assert_eq!(exit_code(&Err(error)), code, "{status}");
        }
    }
}
