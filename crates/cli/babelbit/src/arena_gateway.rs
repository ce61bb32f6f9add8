//! The `bb arena-gateway` command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_arena::gateway::{ArenaGateway, ArenaGatewayConfig, Listing, Members, Results};
use taonet_babelbit_config::Config;
use taonet_babelbit_scoring_api::ScoresClient;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs, state_directory};
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::preflight;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_http::disable_huge_pages;
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use taonet_validator::subtensor_gateway::GatewayClient;
use taonet_wallet::Keypair;

use super::access::TokenArgs;
use super::runner::{address_policy, engine_client};
use crate::settings;

/// Admit miners to the arena and forward validators' messages to them
#[derive(Debug, Args)]
pub struct ArenaGatewayArgs {
    /// Listen address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8060")]
    listen: SocketAddr,
    /// Hotkeys of validators allowed to obtain tokens [default: any, on loopback only]
    #[arg(long, value_name = "HOTKEY")]
    allow: Vec<Hotkey>,
    /// Admit only miners that won a main challenge within --window, according to the services at
    /// BB_UTTERANCE_ENGINE_URL and BB_SUBMIT_API_URL
    #[arg(long)]
    qualifying: bool,
    /// Admit only miners registered on the subnet, according to the gateway at
    /// SUBTENSOR_GATEWAY_URL
    #[arg(long)]
    registered: bool,
    #[command(flatten)]
    token: TokenArgs,
    /// Maximum number of miners in the arena
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    slots: usize,
    /// Age at which a win expires, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 168, value_parser = clap::value_parser!(u64).range(1..=8_760))]
    window: u64,
    /// Interval between queries to the utterance engine and the scoring API, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    poll: u64,
    /// List the miners' own endpoints, so that validators call them directly
    #[arg(long)]
    direct: bool,
    /// Token lifetime, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(30..=31_536_000))]
    token_lifetime: u64,
    /// Directory for submissions and wins [default: arena-gateway in the state directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &ArenaGatewayArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    if args.allow.is_empty() && !args.listen.ip().is_loopback() {
        let message = format!(
            "{} is not a loopback address: --allow is required\nhint: pass the hotkeys of the allowed \
             validators with --allow",
            args.listen
        );
        return Err(ClassifiedError::usage(message));
    }
    if !args.registered && !args.listen.ip().is_loopback() {
        let message = format!(
            "{} is not a loopback address: --registered is required\nhint: without --registered, anyone could enter \
             the arena under any uid",
            args.listen
        );
        return Err(ClassifiedError::usage(message));
    }
    let keypair = Arc::new(args.key.load(None)?);
    let state_dir = args.state.clone().unwrap_or_else(|| state_directory("arena-gateway"));
    let members = args.members(&config)?;
    let results = args.qualifying.then(|| args.results(&config, &keypair)).transpose()?;
    let gateway_config = args.config(&config, keypair);
    disable_huge_pages();
    context.block_on(async {
        let daemon = Daemon::bind(args.listen, &args.metrics).await?;
        ArenaGateway::describe_metrics();
        // Port 0 selects another port at each start, so there is nothing to persist.
        let is_persistent = args.listen.port() != 0;
        let gateway =
            ArenaGateway::open(gateway_config, &state_dir, is_persistent, members.clone()).await?;
        context.print_notice(&format!("hotkey {}", gateway.hotkey()));
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        preflight::spawn_disk_check(
            vec![WriteDirectory::new("state", &state_dir, DiskNeeds::STATE)],
            &shutdown,
        );
        preflight::spawn_network_clock_check(&shutdown);
        if let Some(members) = members {
            shutdown.spawn_until("members", |stop| async move { members.follow(&stop).await });
        }
        if let Some(results) = results {
            let (stop, gateway) = (shutdown.clone(), gateway.clone());
            shutdown.spawn("results", async move { gateway.follow(&results, &stop).await });
        }
        daemon.serve_until(shutdown, "arena gateway", gateway.router(), context).await
    })
}

impl ArenaGatewayArgs {
    fn config(&self, config: &Config, keypair: Arc<Keypair>) -> ArenaGatewayConfig {
        ArenaGatewayConfig {
            allowed: (!self.allow.is_empty()).then(|| self.allow.iter().copied().collect()),
            policy: address_policy(config),
            predict_path: config.predict_endpoint.clone(),
            slots: self.slots,
            window: Duration::from_hours(self.window),
            wins_needed: self.qualifying,
            listing: if self.direct { Listing::Endpoints } else { Listing::Gateway },
            token_lifetime: Duration::from_secs(self.token_lifetime),
            ..ArenaGatewayConfig::new(keypair)
        }
    }

    fn members(&self, config: &Config) -> anyhow::Result<Option<Members>> {
        if !self.registered {
            return Ok(None);
        }
        let token = self.token.token(config)?;
        let chain = GatewayClient::new(
            &config.gateway_url(),
            token.as_ref(),
            config.services.gateway_timeout,
        )?;
        Ok(Some(Members::new(chain, config.netuid)))
    }

    fn results(&self, config: &Config, keypair: &Arc<Keypair>) -> anyhow::Result<Results> {
        Ok(Results {
            engine: engine_client(config, keypair)?,
            scores: ScoresClient::new(&config.submit_api_url(), Arc::clone(keypair))?,
            interval: Duration::from_secs(self.poll),
        })
    }
}
