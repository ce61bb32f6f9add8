//! The `tao proof validator` command.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;
use taonet_cli_base::chain::NetworkArgs;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{serve_metrics, state_directory};
use taonet_cli_base::keys::NeuronKeyArgs;
use taonet_cli_base::preflight;
use taonet_cli_base::updates::{AutoUpdateArgs, ExitAction, run_with_rollback};
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_neuron::{AddressPolicy, MinerDirectory};
use taonet_primitives::{Hotkey, NetUid, Uid, counted};
use taonet_proof_core::scoring::Profile;
use taonet_proof_core::scoring::delivered_work::WorkRules;
use taonet_proof_validator::{
    Clients, Examiner, ExaminerSettings, ProofMiner, ProofSubnet, QuicClient, ScoreStore, Wire,
    describe_metrics, miner_directory,
};
use taonet_service::{Shutdown, system_clock};
use taonet_update::Trial;
use taonet_validator::{LocalWeights, Validator, ValidatorSettings, WeightService};
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, ClientConfig, Peer, SignedClient, Signer};
use tokio::sync::watch;

use super::api::ApiArgs;
use super::{CatalogueArgs, load_key, table};

/// Maximum response size: a proof of 16 MiB in hexadecimal digits, and outputs.
const MAX_RESPONSE_BYTES: usize = 40 << 20;
/// Epoch length in blocks.
const TEMPO: u32 = 100;
/// Epochs without scores after which all weight goes to the burn uid.
const MAX_SKIPPED_EPOCHS: u32 = 12;

/// State file of the epoch loop, in the directory of the validator.
pub(crate) const STATE_FILE: &str = "validator.json";

/// Run a validator: request proofs, verify every one, set weights
#[derive(Debug, Args)]
pub struct ValidatorArgs {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    /// Netuid of the subnet
    #[arg(long, default_value = "2")]
    netuid: NetUid,
    /// Scoring profile: delivered-work or seed
    #[arg(long, default_value = "delivered-work")]
    profile: Profile,
    /// Minimum number of outcomes before a miner gets a weight, in the profile delivered-work
    #[arg(long, value_name = "COUNT", default_value_t = WorkRules::default().minimum_answers)]
    min_answers: u64,
    /// Minimum time between two requests to a miner of capacity 1, in seconds; for other miners, it
    /// is divided by their capacity
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    interval: Duration,
    /// Maximum request timeout, in seconds; the timeout adapts to each miner's response times
    #[arg(long, value_name = "SECONDS", default_value = "180", value_parser = parse_seconds)]
    timeout: Duration,
    /// Maximum number of concurrent requests to all miners together, excluding overdue requests
    #[arg(long, alias = "dispatch-ceiling", value_name = "REQUESTS", default_value = "32")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    max_concurrency: u16,
    /// Maximum number of concurrent verifications [default: twice the number of cores]
    #[arg(long, value_name = "PROOFS", value_parser = clap::value_parser!(u16).range(1..))]
    verification_concurrency: Option<u16>,
    /// Percentage of the miners, fastest first, that are preferred for users' requests
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    api_miners_pct: u8,
    /// Send no benchmark requests: users' requests alone are scored
    #[arg(long, conflicts_with = "requests")]
    disable_benchmark: bool,
    /// Query only these uids
    #[arg(long, value_name = "UID", value_delimiter = ',')]
    target_uid: Vec<Uid>,
    /// Uid that receives unearned weight
    #[arg(long, value_name = "UID", default_value = "0")]
    burn_uid: Uid,
    /// Refresh interval of the metagraph, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = parse_seconds)]
    metagraph_sync_interval: Duration,
    /// Do not query the chain: request proofs from the miners given with --peer, and set no weights
    #[arg(long, requires = "peer")]
    loopback: bool,
    /// Protocol of the miners that the chain lists; the chain does not record it
    #[arg(long, value_enum, default_value = "http")]
    wire: WireName,
    /// Miner to query instead of those on the chain, over HTTP, or over QUIC as
    /// HOTKEY@quic://IP:PORT; may be repeated
    #[arg(long, value_name = "HOTKEY@HOST:PORT", requires = "loopback")]
    peer: Vec<PeerName>,
    /// Send this many requests to each miner, print the outcomes, and exit
    #[arg(long, value_name = "COUNT", requires = "loopback", conflicts_with = "auto_update")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    requests: Option<u32>,
    /// Directory for scores and submitted weights [default: one per subnet and hotkey in the user's
    /// state directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Keep the last proof of each miner in this directory, as a bundle that `tao proof verify`
    /// checks
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,
    /// Listen address of /metrics and /readyz
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    metrics: SocketAddr,
    /// Port of /metrics on 127.0.0.1, as in the reference's program
    #[arg(long, value_name = "PORT", conflicts_with = "metrics", hide = true)]
    metrics_port: Option<u16>,
    #[command(flatten)]
    _reference: ReferenceArgs,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    update: AutoUpdateArgs,
    #[command(flatten)]
    key: NeuronKeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Options of the reference's program that disable features which this program does not have
#[derive(Debug, Args)]
struct ReferenceArgs {
    /// No relay: the default here
    #[arg(long = "no-relay", conflicts_with = "relay_url", hide = true)]
    _no_relay: bool,
    /// No statistics are sent to anyone
    #[arg(long = "disable-metric-logging", hide = true)]
    _disable_metric_logging: bool,
    /// A validator publishes no endpoint
    #[arg(long = "disable-axon-publish", hide = true)]
    _disable_axon_publish: bool,
}

/// Protocols between validator and miner
#[derive(Debug, Clone, Copy, ValueEnum)]
enum WireName {
    Http,
    Quic,
}

impl From<WireName> for Wire {
    fn from(name: WireName) -> Self {
        match name {
            WireName::Http => Self::Http,
            WireName::Quic => Self::Quic,
        }
    }
}

/// Value of `--peer`: `HOTKEY@HOST:PORT`, or `HOTKEY@quic://IP:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerName(Peer, Wire);

fn malformed_peer(text: &str) -> String {
    format!("`{text}` is not HOTKEY@HOST:PORT")
}

impl FromStr for PeerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (hotkey, address) = text.split_once('@').ok_or_else(|| malformed_peer(text))?;
        let (address, wire) = match address.strip_prefix("quic://") {
            Some(address) => (address, Wire::Quic),
            None => (address, Wire::Http),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(|| malformed_peer(text))?;
        let hotkey: Hotkey = hotkey.parse().map_err(|error| format!("`{hotkey}`: {error}"))?;
        let port = port.parse().map_err(|_| malformed_peer(text))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Peer::new(hotkey, host, port)
            .map(|peer| Self(peer, wire))
            .map_err(|error| error.to_string())
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.001..=86_400.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a number of seconds from 0.001 to 86400".to_owned())
}

impl ValidatorArgs {
    fn settings(&self, state: &Path) -> ExaminerSettings {
        let defaults = ExaminerSettings::default();
        ExaminerSettings {
            interval: self.interval,
            timeout: self.timeout,
            requests: usize::from(self.max_concurrency),
            verifications: self
                .verification_concurrency
                .map_or(defaults.verifications, usize::from),
            benchmarks: !self.disable_benchmark,
            users_percent: self.api_miners_pct,
            bundles: self.bundles.clone(),
            performance: Some(state.join("performance.json")),
            ..defaults
        }
    }

    fn profile(&self) -> Profile {
        match self.profile {
            Profile::DeliveredWork(rules) => {
                Profile::DeliveredWork(WorkRules { minimum_answers: self.min_answers, ..rules })
            }
            Profile::Seed => Profile::Seed,
        }
    }

    fn metrics(&self) -> SocketAddr {
        self.metrics_port.map_or(self.metrics, |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    fn peers(&self) -> Vec<ProofMiner> {
        let entry =
            |PeerName(peer, wire): &PeerName| ProofMiner { peer: peer.clone(), wire: *wire };
        self.peer.iter().map(entry).collect()
    }
}

/// Creates a client that accepts responses with the largest proofs.
pub(crate) fn client(keypair: &Keypair) -> anyhow::Result<SignedClient> {
    let config = ClientConfig { max_response_bytes: MAX_RESPONSE_BYTES, ..ClientConfig::default() };
    Ok(SignedClient::new(Signer::new(keypair.clone(), "0.0.0.0", BtauthScheme::new()), config)?)
}

pub(crate) fn run(args: &ValidatorArgs, context: &Context) -> anyhow::Result<()> {
    run_with_rollback(|trial| validate(args, trial, context))
}

fn validate(args: &ValidatorArgs, trial: &Trial, context: &Context) -> anyhow::Result<()> {
    let is_idle = args.disable_benchmark && !args.api.serves_users();
    anyhow::ensure!(
        !is_idle,
        "--disable-benchmark requires --api or --relay-url: there would be no requests"
    );
    let keypair = Arc::new(load_key(&args.key, &args.network, args.loopback)?);
    let hotkey = keypair.hotkey();
    let catalogue = args.catalogue.open(context)?;
    let directory = args.state.clone();
    let directory = directory.unwrap_or_else(|| {
        state_directory("proof-validator").join(format!("{}-{hotkey}", args.netuid))
    });
    if let Some(bundles) = &args.bundles {
        std::fs::create_dir_all(bundles)
            .with_context(|| format!("cannot create {}", bundles.display()))?;
    }
    context.print_notice(&format!(
        "hotkey {hotkey}, {}",
        counted(catalogue.circuits().count(), "circuit")
    ));
    let exit_action = context.block_on(async {
        let score_store = Arc::new(ScoreStore::open(&directory).await?);
        let quic = QuicClient::bind(&keypair).context("cannot bind a UDP port for QUIC")?;
        let clients = Clients { http: client(&keypair)?, quic: Some(quic) };
        let examiner = Examiner::load(
            &catalogue,
            clients,
            Arc::clone(&score_store),
            args.settings(&directory),
            system_clock(),
        )?;
        let examiner = Arc::new(examiner);
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        if let Some(requests) = args.requests {
            return tokio::select! {
                () = examine(&examiner, args.peers(), requests) => {
                    table::print_tallies(&score_store, context).map(|()| ExitAction::Stop)
                }
                () = shutdown.requested() => anyhow::bail!("interrupted before all requests were sent"),
            };
        }
        let readiness = serve_metrics("proof validator", Some(args.metrics()), &shutdown).await?;
        trial.watch_daemon(readiness.clone(), shutdown.clone());
        let bundles = args.bundles.iter().map(|path| WriteDirectory::new("bundles", path, DiskNeeds::RECORDINGS));
        let state = WriteDirectory::new("state", &directory, DiskNeeds::STATE);
        preflight::spawn_disk_check(bundles.chain([state]).collect(), &shutdown);
        describe_metrics();
        taonet_validator::describe_metrics();
        LocalWeights::describe_metrics();
        let update = args.update.start(&shutdown)?;
        args.api.serve(&examiner, &directory, &shutdown, context).await?;
        args.api.follow_relay(&examiner, &keypair, &shutdown)?;
        let (miners_sender, miners_receiver) = watch::channel(Vec::new());
        if args.loopback {
            miners_sender.send_replace(args.peers());
            readiness.set_ready();
        } else {
            let chain = Arc::new(args.key.connect(&args.network).await?);
            preflight::spawn_clock_check(Arc::clone(&chain) as _, &shutdown);
            let settings = ValidatorSettings {
                netuid: args.netuid,
                tempo: TEMPO,
                burn_uid: args.burn_uid,
                max_skipped_epochs: MAX_SKIPPED_EPOCHS,
            };
            let subnet = ProofSubnet::new(Arc::clone(&score_store), args.profile(), system_clock());
            let key = Keypair::clone(&keypair);
            let validator =
                Validator::open(subnet, key, chain, &directory, STATE_FILE, settings, &shutdown)
                    .await?;
            let (stop, chain) = (shutdown.clone(), validator.service().clone());
            let miners = miner_directory(hotkey, args.target_uid.clone(), AddressPolicy::default());
            let query = MinerQuery { netuid: args.netuid, miners, wire: args.wire.into() };
            let sync_interval = args.metagraph_sync_interval;
            shutdown.spawn("metagraph", async move {
                follow_metagraph(&chain, &query, sync_interval, &miners_sender, &stop).await;
            });
            let (mut validator, stop) = (validator.with_readiness(readiness), shutdown.clone());
            shutdown.spawn("validator", async move { validator.run(&stop).await });
        }
        shutdown.spawn_until("examiner", |stop| async move {
            examiner.run(miners_receiver, &stop).await;
        });
        update.end(shutdown.finished().await.context("the validator did not stop in time")).await
    })?;
    exit_action.finish()
}

/// Sends `requests` requests to each miner; the requests to one miner are sequential, those to
/// different miners concurrent.
async fn examine(examiner: &Arc<Examiner>, miners: Vec<ProofMiner>, requests: u32) {
    let mut miner_tasks = tokio::task::JoinSet::new();
    for miner in miners {
        let examiner = Arc::clone(examiner);
        miner_tasks.spawn(async move {
            for _ in 0..requests {
                examiner.examine(&miner).await;
            }
        });
    }
    while miner_tasks.join_next().await.is_some() {}
}

/// Subnet, selection and protocol of the miners to query.
struct MinerQuery {
    netuid: NetUid,
    miners: MinerDirectory,
    wire: Wire,
}

/// Refreshes the list of miners periodically. While the chain is unreachable, the last list remains
/// in use.
async fn follow_metagraph(
    chain: &WeightService,
    query: &MinerQuery,
    sync_interval: Duration,
    miners_sender: &watch::Sender<Vec<ProofMiner>>,
    stop: &Shutdown,
) {
    loop {
        match chain.neurons(query.netuid).await {
            Ok(neurons) => {
                let selected = query.miners.select(&neurons).miners;
                let miners: Vec<_> = selected
                    .iter()
                    .filter_map(|miner| ProofMiner::new(miner, query.wire))
                    .collect();
                tracing::info!(
                    miners = miners.len(),
                    block = neurons.block.get(),
                    "metagraph read"
                );
                miners_sender.send_replace(miners);
            }
            Err(error) => tracing::warn!(%error, "cannot read the metagraph"),
        }
        if !stop.sleep(sync_interval).await {
            return;
        }
    }
}

/// Returns the JSON document of a miner's outcomes.
pub(crate) fn tally_document(
    hotkey: &Hotkey,
    tally: &taonet_proof_core::scoring::Tally,
) -> serde_json::Value {
    let verified = (tally.verified > 0).then_some(tally.verified as f64);
    json!({
        "hotkey": hotkey,
        "verified": tally.verified,
        "faults": tally.faults,
        "mean_seconds": verified.map(|verified| tally.time.as_secs_f64() / verified),
        "mean_proof_bytes": verified.map(|verified| tally.bytes as f64 / verified),
        "reason": tally.main_fault().map(|fault| fault.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_option_requires_hotkey_and_address() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        let peer = |text: &str| {
            text.parse::<PeerName>()
                .map(|PeerName(peer, wire)| (peer.host().to_owned(), peer.port(), wire))
        };
        assert_eq!(
            peer(&format!("{alice}@127.0.0.1:8091")),
            Ok(("127.0.0.1".to_owned(), 8091, Wire::Http))
        );
        assert_eq!(
            peer(&format!("{alice}@quic://127.0.0.1:8092")),
            Ok(("127.0.0.1".to_owned(), 8092, Wire::Quic))
        );
        assert_eq!(peer(&format!("{alice}@[::1]:1")), Ok(("::1".to_owned(), 1, Wire::Http)));
        for malformed in [
            "",
            "x@1.2.3.4:5",
            alice,
            &format!("{alice}@1.2.3.4"),
            &format!("{alice}@1.2.3.4:99999"),
        ] {
            assert!(peer(malformed).is_err(), "{malformed}");
        }
    }
}
