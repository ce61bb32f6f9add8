//! Runs a miner or a validator of the summing subnet.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use taonet_chain::{Chain, Client, Network};
use taonet_http::{Readiness, ServeLimits, readiness_routes, serve};
use taonet_kit::{AddressPolicy, MinerSettings, Validator, ValidatorSettings};
use taonet_primitives::NetUid;
use taonet_service::Shutdown;
use taonet_telemetry::{LogFormat, Metrics, init_tracing};
use taonet_wallet::{DEFAULT_ROOT, Keypair, Name, Wallets, expand_home};
use tokio::net::TcpListener;

use taonet_summing_subnet::{Summing, miner};

/// Run a neuron of the summing subnet
#[derive(Debug, Parser)]
struct Arguments {
    /// Network: finney, test, local or the URL of a node
    #[arg(long, env = "BT_NETWORK", default_value = "local")]
    network: Network,
    /// Netuid of the subnet
    #[arg(long)]
    netuid: NetUid,
    /// Directory of the wallets
    #[arg(long, env = "BT_WALLET_PATH", default_value = DEFAULT_ROOT)]
    wallet_path: PathBuf,
    /// Name of the wallet with the hotkey
    #[arg(long, default_value = "default")]
    wallet_name: Name,
    /// Name of the hotkey, which must not be encrypted
    #[arg(long, default_value = "default")]
    wallet_hotkey: Name,
    /// Listen address of /metrics and /readyz [default: 127.0.0.1:9090 for a miner, 127.0.0.1:9091
    /// for a validator]
    #[arg(long)]
    metrics: Option<SocketAddr>,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Answer the requests of validators
    Miner {
        /// Listen address
        #[arg(long, default_value = "0.0.0.0:8091")]
        listen: SocketAddr,
        /// External address to publish on the chain
        #[arg(long, value_name = "IP:PORT")]
        announce: Option<SocketAddr>,
        /// Log of accepted requests, so that none is accepted again after a restart
        #[arg(long, default_value = "replay.log")]
        replay_log: PathBuf,
    },
    /// Query miners and set weights
    Validator {
        /// Directory of the scores and of the submitted weights
        #[arg(long, default_value = "state")]
        state: PathBuf,
        /// Seconds between the starts of two steps
        #[arg(long, default_value_t = 60)]
        interval: u64,
        /// Address that represents this machine; for development chains, which reject loopback
        /// addresses
        #[arg(long, value_name = "IP")]
        local_miner_ip: Option<String>,
    },
}

impl Role {
    /// Returns the default listen address of the metrics: both roles can run on the same machine.
    fn metrics(&self) -> SocketAddr {
        let port = match self {
            Self::Miner { .. } => 9090,
            Self::Validator { .. } => 9091,
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    init_tracing(1, std::env::var("RUST_LOG").ok().as_deref(), LogFormat::Human);
    let metrics = Metrics::install()?;
    taonet_kit::describe_metrics();
    let shutdown = Shutdown::on_signals()?;
    let keypair = hotkey(&arguments).context("cannot read the hotkey")?;
    let chain: Arc<dyn Chain> = Arc::new(Client::connect(&arguments.network).await?);
    let address = arguments.metrics.unwrap_or_else(|| arguments.role.metrics());
    let listener = TcpListener::bind(address).await.context("cannot listen on the address of --metrics")?;
    let (readiness, stop) = (Readiness::starting(), shutdown.clone());
    let routes = readiness_routes(readiness.clone(), Some(metrics));
    shutdown.spawn("metrics", async move { serve(listener, routes, &stop, ServeLimits::default()).await });
    match arguments.role {
        Role::Miner { listen, announce, replay_log } => {
            let replay_log = Some(replay_log);
            let settings = MinerSettings { announce, replay_log, ..MinerSettings::new(arguments.netuid) };
            let listener = TcpListener::bind(listen).await.context("cannot listen on the address of --listen")?;
            miner(keypair, settings).with_readiness(readiness).run(listener, chain, &shutdown).await?;
        }
        Role::Validator { state, interval, local_miner_ip } => {
            let addresses = AddressPolicy { local_miner_ip, ..AddressPolicy::default() };
            let interval = Duration::from_secs(interval);
            let settings = ValidatorSettings { addresses, interval, ..ValidatorSettings::new(arguments.netuid) };
            let validator = Validator::open(Summing, keypair, chain, &state, settings, &shutdown).await?;
            validator.with_readiness(readiness).run(&shutdown).await;
        }
    }
    Ok(shutdown.finished().await?)
}

fn hotkey(arguments: &Arguments) -> anyhow::Result<Keypair> {
    let root = expand_home(&arguments.wallet_path, std::env::home_dir().as_deref())?;
    let wallet = Wallets::new(root).wallet(arguments.wallet_name.clone());
    Ok(wallet.hotkey(&arguments.wallet_hotkey)?.open(None)?.into_keypair()?)
}
