//! Starting the chain, and running it until it is to stop.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use taonet_chain::{At, Client};
use taonet_localnet::{History, Node, NodeConfig, NodeError, NodeHandle, StoreError};
use taonet_localnet_runtime::genesis::{ACCOUNTS, genesis};
use taonet_primitives::Coldkey;
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use tokio::sync::oneshot;

use super::announce::{Account, Announcement};
use super::clock::BlockTime;
use super::place::{DataArgs, Running};
use crate::chain::{failed, parse_network};
use crate::context::Context;
use crate::daemon::serve_metrics;
use crate::exit::{Classified, Failure};

/// Reference builds read this account from the environment, too.
const ENDOWED: &str = "BT_DEFAULT_TOKEN_WALLET";

/// Start the chain
#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// When blocks are made: every so often (12s, 250ms), as `fast` as possible, or on demand only (`manual`)
    #[arg(long, value_name = "TIME", default_value = "250ms")]
    block_time: BlockTime,
    /// Where to listen. Orders such as `mine` are taken on loopback only
    #[arg(long, default_value = "127.0.0.1:9944", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The port, instead of that of --listen; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Let a web page of this origin use the node, e.g. https://polkadot.js.org; pages of this machine may, and programs
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    allow_origin: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Keep the state in memory; it is gone when the chain stops
    #[arg(long, conflicts_with = "data")]
    memory: bool,
    /// Keep the state and content of so many blocks [default: 2500; the least is 2400]
    #[arg(long, value_name = "N", conflicts_with = "archive", value_parser = clap::value_parser!(u32).range(i64::from(History::MIN)..))]
    keep_blocks: Option<u32>,
    /// Keep the state of all blocks
    #[arg(long)]
    archive: bool,
    /// Give this address 1 000 000 TAO in the first block; BT_DEFAULT_TOKEN_WALLET sets one, too
    #[arg(long, value_name = "SS58")]
    endow: Vec<Coldkey>,
    /// Serve /metrics and /readyz here
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

pub(super) fn run(args: &StartArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("signals cannot be handled")?;
        let readiness = serve_metrics(args.metrics, &shutdown).await?;
        let directory = (!args.memory).then(|| args.data.directory());
        let endowed = args.endowed()?;
        let node = args.start(directory.as_deref(), &endowed).await?;
        let running = Running { pid: std::process::id(), url: node.url() };
        let announced = directory.as_deref().map(|directory| running.announce(directory)).transpose()?;
        let accounts = accounts(&node, &endowed).await?;
        let announcement =
            Announcement { node: &node, clock: args.block_time.0, directory: directory.as_deref(), accounts };
        if context.json {
            // One line, so that a program can read it and leave the rest.
            context.print(&announcement.document().to_string())?;
        } else {
            context.print(&announcement.text())?;
        }
        readiness.set_ready();
        let stop = shutdown.clone();
        let (tell, ended) = oneshot::channel();
        shutdown.spawn("localnet", async move {
            let ended = tokio::select! {
                () = stop.requested() => Ok(()),
                ended = node.stop_requested() => ended,
            };
            stop.request();
            node.stop().await;
            drop(announced);
            // Nobody waits for it where stopping took too long.
            let _ = tell.send(ended);
        });
        shutdown.finished().await.context("the localnet did not stop in time")?;
        Ok(ended.await.context("the localnet ended without a word")??)
    })
}

impl StartArgs {
    async fn start(&self, directory: Option<&Path>, endowed: &[Coldkey]) -> anyhow::Result<NodeHandle> {
        let listen = SocketAddr::new(self.listen.ip(), self.port.unwrap_or(self.listen.port()));
        let accounts: Vec<_> = endowed.iter().map(|coldkey| (*coldkey.as_bytes()).into()).collect();
        let mut config = NodeConfig::new(genesis(&accounts)?);
        config.directory = directory.map(Path::to_owned);
        config.clock = self.block_time.0;
        config.history = match self.keep_blocks {
            _ if self.archive => History::Archive,
            Some(blocks) => History::Last(blocks),
            None => History::default(),
        };
        config.listen = listen;
        config.dev_methods = listen.ip().is_loopback();
        config.allow_origins.clone_from(&self.allow_origin);
        if endowed.is_empty() && directory.is_some() {
            // A chain that is there keeps the accounts that it began with.
            let mut existing = config.clone();
            existing.genesis = None;
            match Node::start(existing).await {
                Err(NodeError::Store(StoreError::Missing(_))) => {}
                other => return Ok(other?),
            }
        }
        Ok(Node::start(config).await?)
    }

    fn endowed(&self) -> anyhow::Result<Vec<Coldkey>> {
        let mut endowed = self.endow.clone();
        if let Some(text) = std::env::var(ENDOWED).ok().filter(|text| !text.is_empty()) {
            let account = text.parse();
            endowed.push(account.map_err(|error| Classified::error(Failure::Usage, format!("{ENDOWED}: {error}")))?);
        }
        Ok(endowed)
    }
}

/// An origin as browsers write it: nothing else would ever match.
fn origin(text: &str) -> Result<String, &'static str> {
    let whole = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@']) && text.is_ascii()
    });
    if whole || text == "null" { Ok(text.to_owned()) } else { Err("expected scheme://host, or scheme://host:port") }
}

/// The accounts of the first block and what they have now.
async fn accounts(node: &NodeHandle, endowed: &[Coldkey]) -> anyhow::Result<Vec<Account>> {
    let chain = Client::connect(&parse_network(&node.url())?).await.map_err(failed)?;
    let mut accounts = Vec::new();
    for (name, _) in ACCOUNTS {
        let uri = format!("//{name}");
        let address = Keypair::from_uri(&uri).context("a development key")?.coldkey();
        accounts.push((Some(uri), address));
    }
    accounts.extend(endowed.iter().map(|address| (None, *address)));
    let mut known = Vec::new();
    for (name, address) in accounts {
        let free = chain.balance(address.into(), At::Head).await.map_err(failed)?.free;
        known.push(Account { name, address: address.to_string(), free });
    }
    Ok(known)
}
