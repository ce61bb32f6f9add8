//! The `bb scoring-api` command.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_config::Config;
use taonet_babelbit_scoring_api::server::{
    Admission, ArtifactStore, ScoringApi, ScoringLimits, Store,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs, state_directory};
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::preflight;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_http::disable_huge_pages;
use taonet_objects::ObjectStorage;
use taonet_primitives::{Hotkey, without_bom};
use taonet_service::Shutdown;
use taonet_validator::subtensor_gateway::GatewayClient;

use super::access::TokenArgs;
use crate::settings;

/// Collect validators' results and serve the scores over all validators (subnet owner)
#[derive(Debug, Args)]
pub struct ScoringApiArgs {
    /// Listen address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8070")]
    listen: SocketAddr,
    /// Hotkeys allowed to submit and query: `permits` (validator permit according to the subtensor
    /// gateway), `anyone` (network `local` only), a hotkey, or a file with one hotkey per line; can
    /// be repeated [default: permits; on the network `local`, anyone]
    #[arg(long, value_name = "WHO")]
    validators: Vec<String>,
    /// Hotkey allowed to query scores without being a validator, such as the arena gateway's; can
    /// be repeated
    #[arg(long, value_name = "HOTKEY")]
    reader: Vec<Hotkey>,
    /// Directory for database and files [default: scoring-api in the state directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Database URL: postgres://… or sqlite:FILE; prefer DATABASE_URL, which other users cannot see
    /// [default: scoring.sqlite in --state]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Store submitted files in the S3 bucket S3_BUCKET_NAME instead of --state
    #[arg(long)]
    artifacts_in_s3: bool,
    /// Retention of results and files, in days
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    keep_days: u64,
    /// Maximum clock skew of a request, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    window: u64,
    /// Maximum file size, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_artifact_mib: u64,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
}

pub(crate) fn run(args: &ScoringApiArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let admission = admission_rule(args, &config)?;
    let state_dir = args.state.clone().unwrap_or_else(|| state_directory("scoring-api"));
    std::fs::create_dir_all(&state_dir).with_context(|| {
        format!(
            "cannot create {}\nhint: choose another directory with --state",
            state_dir.display()
        )
    })?;
    let bucket =
        args.artifacts_in_s3.then(|| ObjectStorage::open(&config.operator.s3)).transpose()?;
    let artifacts = ArtifactStore::open(&state_dir.join("artifacts"), bucket)?;
    let limits = ScoringLimits {
        window: Duration::from_secs(args.window),
        retention: Duration::from_hours(args.keep_days * 24),
        max_artifact_bytes: args.max_artifact_mib << 20,
        readers: args.reader.iter().copied().collect(),
        ..ScoringLimits::default()
    };
    let configured_url = config.operator.database_url.as_ref().map(|url| url.expose().to_owned());
    let database = args.database.clone().or(configured_url);
    let database = database
        .unwrap_or_else(|| format!("sqlite:{}", state_dir.join("scoring.sqlite").display()));
    disable_huge_pages();
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        ScoringApi::describe_metrics();
        let store = Store::open(&database).await?;
        let api = ScoringApi::new(store, artifacts, admission, limits);
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let directory = WriteDirectory::new("state", &state_dir, DiskNeeds::RECORDINGS);
        preflight::spawn_disk_check(vec![directory], &shutdown);
        preflight::spawn_network_clock_check(&shutdown);
        let (stop, maintained_api) = (shutdown.clone(), api.clone());
        shutdown.spawn("upkeep", async move { maintained_api.follow(&stop).await });
        daemon.serve_until(shutdown, "scoring API", api.router(), context).await
    })
}

/// Returns the admission rule that the arguments select.
fn admission_rule(args: &ScoringApiArgs, config: &Config) -> anyhow::Result<Admission> {
    let is_local = config.operator.network.is_local();
    match args.validators.as_slice() {
        [] if is_local => Ok(Admission::Open),
        [] => permit_admission(args, config),
        [value] if value == "permits" => permit_admission(args, config),
        [value] if value == "anyone" && is_local => Ok(Admission::Open),
        [value] if value == "anyone" => Err(ClassifiedError::usage(
            "--validators anyone is allowed on the network `local` only: anyone could submit \
                scores",
        )),
        values => {
            let mut listed = BTreeSet::new();
            for value in values {
                listed.extend(read_hotkeys(value).map_err(ClassifiedError::usage)?);
            }
            Ok(Admission::Listed(listed))
        }
    }
}

/// Returns the rule that admits the validators with a permit.
fn permit_admission(args: &ScoringApiArgs, config: &Config) -> anyhow::Result<Admission> {
    let token = args.token.token(config)?;
    let gateway =
        GatewayClient::new(&config.gateway_url(), token.as_ref(), config.services.gateway_timeout)?;
    Ok(Admission::Permits { gateway, netuid: config.netuid })
}

/// Parses a hotkey, or reads a file with one hotkey per line; `#` starts a comment.
fn read_hotkeys(value: &str) -> Result<Vec<Hotkey>, String> {
    if let Ok(hotkey) = value.parse() {
        return Ok(vec![hotkey]);
    }
    let text = std::fs::read_to_string(value).map_err(|error| {
        format!("--validators {value}: neither a hotkey nor a readable file: {error}")
    })?;
    let lines =
        without_bom(&text).lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            line.parse().map_err(|_| format!("{value}, line {}: expected a hotkey", index + 1))
        })
        .collect()
}
