//! `tao localnet start`: runs the chain until shutdown.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use taonet_chain::NodeUrl;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::serve_metrics;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::preflight;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_localnet::{FollowError, History, Node, NodeConfig, NodeError, NodeHandle, StoreError};
use taonet_localnet_recording::{Fork, Recording};
use taonet_localnet_runtime::genesis::{
    ACCOUNTS, GenesisError, Preset, development_account, genesis_with,
};
use taonet_primitives::{Coldkey, Rao};
use taonet_service::Shutdown;
use tokio::sync::oneshot;

use super::announce::{Account, Announcement};
use super::beacon::relay;
use super::clock::BlockTime;
use super::data_dir::{DATABASE, DataArgs, ProcessRecord};
use super::record::print_omitted_items;

/// Variable for an endowed account, as in reference builds.
const ENDOWED_ACCOUNT_VARIABLE: &str = "BT_DEFAULT_TOKEN_WALLET";

/// Start the chain
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Block time: an interval such as 12s or 250ms, `fast` (as fast as possible), `instant` (a
    /// block per submission) or `manual` (on demand) [default: the chain's last one, 250ms for a
    /// new chain]
    #[arg(long, value_name = "TIME")]
    block_time: Option<BlockTime>,
    /// Time at which a new chain begins, such as 2026-01-31T12:00:00Z; its clock runs from there
    /// [default: now]
    #[arg(long, value_name = "TIME", value_parser = super::time::parse_instant)]
    at: Option<u64>,
    /// Subnets of a new chain: `development` (root and 1 to 59) or `reference` (root and 1, as in
    /// the reference's local network) [default: development]
    #[arg(long, value_name = "PRESET", conflicts_with = "fork", hide_possible_values = true)]
    genesis: Option<Genesis>,
    /// Begin a new chain with the state in this file, written by `tao localnet record`
    #[arg(long, value_name = "FILE")]
    fork: Option<PathBuf>,
    /// Follow the localnet at this URL, such as ws://127.0.0.1:9944: import its blocks, forward
    /// submitted extrinsics to it, and produce no blocks
    #[arg(
        long,
        value_name = "URL",
        value_parser = parse_leader_url,
        conflicts_with_all = ["block_time", "at", "genesis", "fork", "endow"]
    )]
    follow: Option<String>,
    /// Fetch the pulses that reveal timelocked data from this API of the drand beacon [without URL:
    /// https://api.drand.sh]
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        default_missing_value = "https://api.drand.sh",
        value_parser = parse_drand_url,
        conflicts_with = "follow"
    )]
    drand: Option<String>,
    /// Number of newest blocks that are not finalized. On the real chain, whose validators vote on
    /// blocks, it is 2 or more
    #[arg(long, value_name = "BLOCKS", default_value = "0", value_parser = clap::value_parser!(u32).range(..=100))]
    finality_lag: u32,
    /// Listen address. Control methods such as `dev_mine` are enabled on loopback only
    #[arg(long, default_value = "127.0.0.1:9944", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Port, instead of the port of --listen; 0 selects a free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Allow requests with this Origin, such as https://polkadot.js.org; loopback origins and
    /// requests without one are always allowed
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin)]
    allow_origin: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Keep the state in memory and discard it on shutdown
    #[arg(long, conflicts_with = "data")]
    memory: bool,
    /// Number of blocks whose states are kept, at least 2400 [default: 2500]; headers and content
    /// are kept of 100 000 blocks
    #[arg(long, value_name = "N", conflicts_with = "archive", value_parser = clap::value_parser!(u32).range(i64::from(History::MIN)..))]
    keep_blocks: Option<u32>,
    /// Keep the state of all blocks
    #[arg(long)]
    archive: bool,
    /// Endow this address with 1 000 000 TAO in the genesis block [env: BT_DEFAULT_TOKEN_WALLET]
    #[arg(long, value_name = "SS58")]
    endow: Vec<Coldkey>,
    /// Listen address of /metrics and /readyz [default: disabled]
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

pub(crate) fn run(args: &StartArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let readiness = serve_metrics("localnet", args.metrics, &shutdown).await?;
        let directory = (!args.memory).then(|| args.data.directory());
        if let Some(directory) = &directory {
            preflight::spawn_disk_check(
                vec![WriteDirectory::new("chain", directory, DiskNeeds::STATE)],
                &shutdown,
            );
        }
        let endowed = if args.follow.is_some() { Vec::new() } else { args.endowed()? };
        let (node, loaded_fork) = args.start(directory.as_deref(), &endowed).await?;
        let process = ProcessRecord { pid: std::process::id(), url: node.url() };
        let record = directory.as_deref().map(|directory| process.record(directory)).transpose()?;
        let accounts = accounts(&node, &endowed)?;
        let announcement = Announcement {
            node: &node,
            leader_url: args.follow.as_deref(),
            directory: directory.as_deref(),
            loaded_fork: loaded_fork.as_ref(),
            accounts,
        };
        if context.json {
            // The message is on one line, so that a program can read it separately.
            context.print(&announcement.document().to_string())?;
        } else {
            context.print(&announcement.text())?;
            if let Some(LoadedFork { fork, .. }) = &loaded_fork {
                print_omitted_items(&fork.omitted_items, context);
            }
        }
        readiness.set_ready();
        let stop = shutdown.clone();
        let drand = args.drand.clone();
        let (end_sender, end_receiver) = oneshot::channel();
        shutdown.spawn("localnet", async move {
            let end_result = tokio::select! {
                () = stop.requested() => Ok(()),
                result = node.stop_requested() => result,
                never = relay(&node, drand.as_deref()) => match never {},
            };
            stop.request();
            node.stop().await;
            drop(record);
            // The receiver is gone if the shutdown deadline has passed.
            let _ = end_sender.send(end_result);
        });
        shutdown.finished().await.context("the localnet did not stop in time")?;
        Ok(end_receiver.await.context("the localnet stopped unexpectedly")??)
    })
}

impl StartArgs {
    /// Starts the node; also returns the fork that it loaded.
    async fn start(
        &self,
        directory: Option<&Path>,
        endowed: &[Coldkey],
    ) -> anyhow::Result<(NodeHandle, Option<LoadedFork>)> {
        let listen = SocketAddr::new(self.listen.ip(), self.port.unwrap_or(self.listen.port()));
        let accounts: Vec<_> = endowed.iter().map(|coldkey| (*coldkey.as_bytes()).into()).collect();
        if self.at.is_some()
            && let Some(directory) = directory.filter(|directory| directory.join(DATABASE).exists())
        {
            bail!(
                "--at is for a new chain, but there is a chain in {}\nhint: advance its time with `tao localnet \
                 advance`, or delete it with `tao localnet reset`",
                directory.display()
            );
        }
        let mut genesis = genesis_with(self.genesis.unwrap_or_default().into(), &accounts)?;
        let mut loaded_fork = None;
        if let Some(file) = &self.fork {
            let recording = Recording::read(file)?;
            let fork = recording.fork(&mut genesis)?;
            loaded_fork = Some(LoadedFork { recording, fork });
        }
        let mut config = NodeConfig::new(genesis);
        config.start = self.at;
        config.finality_lag = self.finality_lag;
        config.follow.clone_from(&self.follow);
        config.directory = directory.map(Path::to_owned);
        config.clock = self.block_time.map(|BlockTime(clock)| clock);
        config.history = match self.keep_blocks {
            _ if self.archive => History::Archive,
            Some(blocks) => History::Last(blocks),
            None => History::default(),
        };
        config.listen = listen;
        config.dev_methods = listen.ip().is_loopback();
        config.allow_origins.clone_from(&self.allow_origin);
        if self.follow.is_some() {
            return match Node::start(config).await {
                Err(NodeError::Follow(error @ FollowError::Unreachable { .. })) => {
                    Err(ClassifiedError::error(Failure::Network, error.to_string()))
                }
                node => Ok((node?, None)),
            };
        }
        if endowed.is_empty()
            && self.genesis.is_none()
            && directory.is_some()
            && loaded_fork.is_none()
        {
            // An existing chain keeps its genesis accounts.
            let genesis = config.genesis.take();
            match Node::start(config.clone()).await {
                Err(NodeError::Store(StoreError::Missing(_))) => config.genesis = genesis,
                other => return Ok((other?, None)),
            }
        }
        match (Node::start(config).await, directory) {
            (Err(NodeError::Store(StoreError::Genesis { .. })), Some(directory))
                if loaded_fork.is_some() =>
            {
                bail!(
                    "--fork is for a new chain, but there is another chain in {}\nhint: choose another directory with \
                 --data, or delete the chain with `tao localnet reset`",
                    directory.display()
                )
            }
            (node, _) => Ok((node?, loaded_fork)),
        }
    }

    fn endowed(&self) -> anyhow::Result<Vec<Coldkey>> {
        let mut endowed = self.endow.clone();
        if let Some(text) =
            std::env::var(ENDOWED_ACCOUNT_VARIABLE).ok().filter(|text| !text.is_empty())
        {
            let account = text.parse();
            endowed.push(account.map_err(|error| {
                ClassifiedError::usage(format!("{ENDOWED_ACCOUNT_VARIABLE}: {error}"))
            })?);
        }
        Ok(endowed)
    }
}

/// Subnets of a new chain.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Genesis {
    #[default]
    Development,
    Reference,
}

impl From<Genesis> for Preset {
    fn from(genesis: Genesis) -> Self {
        match genesis {
            Genesis::Development => Self::Development,
            Genesis::Reference => Self::Reference,
        }
    }
}

/// A recording, and the fork that the chain loaded from it.
pub(crate) struct LoadedFork {
    pub(crate) recording: Recording,
    pub(crate) fork: Fork,
}

/// Checks the URL of the node to follow.
fn parse_leader_url(text: &str) -> Result<String, &'static str> {
    let is_url = text.starts_with("ws://") && text.parse::<NodeUrl>().is_ok();
    if is_url { Ok(text.to_owned()) } else { Err("expected ws://HOST:PORT") }
}

/// Checks the URL of a drand API.
fn parse_drand_url(text: &str) -> Result<String, &'static str> {
    let is_url = url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if is_url { Ok(text.to_owned()) } else { Err("expected a URL such as https://api.drand.sh") }
}

/// Parses an origin in the form that browsers send.
fn parse_origin(text: &str) -> Result<String, &'static str> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty()
            && !host.is_empty()
            && !host.contains(['/', '?', '#', '@'])
            && text.is_ascii()
    });
    if is_origin || text == "null" {
        Ok(text.to_owned())
    } else {
        Err("expected scheme://host, or scheme://host:port")
    }
}

/// Returns the accounts of the genesis block with their current balances. Reads them in this
/// process, so that a loaded machine with short block times cannot fail the start by a timeout.
fn accounts(node: &NodeHandle, endowed: &[Coldkey]) -> anyhow::Result<Vec<Account>> {
    let mut accounts = Vec::new();
    for (name, _) in ACCOUNTS {
        let account = development_account(name).map_err(GenesisError::Key)?;
        accounts.push((Some(format!("//{name}")), Coldkey::from_bytes(account.into())));
    }
    accounts.extend(endowed.iter().map(|address| (None, *address)));
    let accounts = accounts.into_iter().map(|(name, address)| {
        let free = node.free_balance(&(*address.as_bytes()).into())?;
        Ok(Account { name, address: address.to_string(), free: Rao::new(free) })
    });
    accounts.collect()
}
