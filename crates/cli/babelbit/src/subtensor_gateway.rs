//! The `bb subtensor-gateway` command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_config::Config;
use taonet_chain::{ChainError, Client};
use taonet_cli_base::chain::{NetworkArgs, not_development_error};
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{Daemon, MetricsArgs, state_directory};
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::memory;
use taonet_cli_base::preflight;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_http::{Readiness, disable_huge_pages};
use taonet_ledger::{Ledger, Submitter};
use taonet_service::Shutdown;
use taonet_settings::Network;
use taonet_validator::operator_http::OperatorLimits;
use taonet_validator::subtensor_gateway::{Gateway, GatewaySettings};
use taonet_wallet::Keypair;

use super::access::AccessArgs;
use crate::settings;

/// The reference's fallback node of the main network.
const FINNEY_FALLBACK: &str = "wss://lite.sub.latent.to:443";
/// Pause between attempts to connect to the chain.
const CONNECT_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Serve chain access to the validator's daemons: blocks, neurons, weights
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// Listen address [default: SUBTENSOR_GATEWAY_HOST and SUBTENSOR_GATEWAY_PORT, or 127.0.0.1:8090]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    access: AccessArgs,
    /// Directory of the weight ledger, weights.sqlite [default: subtensor-gateway in the state
    /// directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

pub(crate) fn run(args: &GatewayArgs, context: &Context) -> anyhow::Result<()> {
    memory::protect();
    let config = settings::load()?;
    let listen = args.listen.unwrap_or_else(|| config.gateway_listen());
    let token = args.access.token(&config, listen)?;
    let keypair = args.key.load(Some(&args.network))?;
    let hotkey = keypair.hotkey();
    let network = args.network.network_with_fallback(fallback(&config))?;
    let ledger_dir = args.ledger_directory();
    let gateway = Gateway::new(GatewaySettings::new(config.netuid, hotkey));
    disable_huge_pages();
    context.block_on(async {
        let daemon = Daemon::bind(listen, &args.metrics).await?;
        Gateway::describe_metrics();
        // The ledger is opened before the service starts, because its lock detects a second
        // gateway.
        let ledger = Ledger::open(&ledger_dir).await?;
        context.print_notice(&format!("hotkey {hotkey}"));
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        preflight::spawn_disk_check(
            vec![WriteDirectory::new("weight ledger", &ledger_dir, DiskNeeds::STATE)],
            &shutdown,
        );
        let (stop, readiness) = (shutdown.clone(), Readiness::starting());
        let ready = readiness.clone();
        let chain = async {
            tokio::select! {
                () = stop.requested() => return Ok(()),
                connected = args.connect(&gateway, &network, ledger, &keypair) => {
                    let client = connected.inspect_err(|_| stop.request())?;
                    preflight::spawn_clock_check(client, &stop);
                }
            }
            ready.set_ready();
            gateway.follow(&stop).await;
            Ok(())
        };
        let router = gateway.router(OperatorLimits::new(token));
        let service = daemon.serve_with(readiness, shutdown, "subtensor gateway", router, context);
        let (service_result, chain_result): (_, anyhow::Result<()>) = tokio::join!(service, chain);
        chain_result?;
        service_result
    })
}

/// Returns the configured fallback node, else the reference's for the main network.
pub(crate) fn fallback(config: &Config) -> Option<&str> {
    match (&config.operator.network, config.services.fallback_node.as_deref()) {
        // A development chain has no fallback nodes.
        (Network::Local, _) => None,
        (Network::Finney, None) => Some(FINNEY_FALLBACK),
        (_, configured) => configured,
    }
}

impl GatewayArgs {
    /// Returns the directory of the weight ledger.
    fn ledger_directory(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| state_directory("subtensor-gateway"))
    }

    /// Connects to the chain, and retries until a node responds. Returns the connected client.
    /// Errors of the ledger are permanent. So is a development key on a chain that is not a
    /// development chain, which is unknown if no node responded when the key was opened.
    async fn connect(
        &self,
        gateway: &Gateway,
        network: &taonet_chain::Network,
        ledger: Ledger,
        keypair: &Keypair,
    ) -> anyhow::Result<Arc<Client>> {
        let mut ledger = Some(ledger);
        loop {
            let open_ledger = match ledger.take() {
                Some(ledger) => ledger,
                None => Ledger::open(&self.ledger_directory()).await?,
            };
            match self.create_submitter(network, open_ledger, keypair).await {
                Ok(Some((client, submitter))) => {
                    tracing::info!(%network, genesis = %client.genesis(), "connected to the chain");
                    gateway.connect(Arc::clone(&client) as _, submitter);
                    return Ok(client);
                }
                Ok(None) => return Err(not_development_error(network)),
                Err(error) => tracing::warn!(%network, %error, "cannot reach the chain, retrying"),
            }
            tokio::time::sleep(CONNECT_RETRY_DELAY).await;
        }
    }

    /// Connects to the chain; returns `None` if it does not accept the key, which is a development
    /// key.
    async fn create_submitter(
        &self,
        network: &taonet_chain::Network,
        ledger: Ledger,
        keypair: &Keypair,
    ) -> Result<Option<(Arc<Client>, Submitter)>, ChainError> {
        let client = Arc::new(Client::connect(network).await?);
        if self.key.is_development() && !client.is_development().await? {
            return Ok(None);
        }
        let submitter = Submitter::new(ledger, Arc::clone(&client) as _, keypair.clone()).await?;
        Ok(Some((client, submitter)))
    }
}
