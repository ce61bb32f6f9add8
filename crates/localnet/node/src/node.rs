//! Startup and shutdown of a node.

mod control;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use codec::Encode;
use sp_core::H256;
use sp_core::storage::Storage;
use taonet_localnet_runtime::genesis::set_block_time;
use taonet_localnet_runtime::{AccountId, Balance, Balances};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::author::{Action, Author, AuthorError, slot_millis};
use crate::chain::{Chain, StateError};
use crate::clock::Clock;
use crate::execute::{Overlay, execute_with};
use crate::follow::{FollowError, FollowTask, Follower, Leader, fetch_first_block};
use crate::pool::{Pool, PoolLimits, StatusSender, SubmitError};
use crate::rpc::{self, RpcLimits};
use crate::store::{Head, History, RETAINED_BLOCKS, Snapshot, Store, StoreError};

pub(crate) use control::Control;

/// The stack size of the author's thread, in bytes: calls can be nested, and the runtime recurses
/// into them.
const STACK_SIZE: usize = 64 << 20;
/// The timeout of a node's shutdown; client connections that are still open are then dropped.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The configuration of a node. Start from [`NodeConfig::new`] and change fields as needed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeConfig {
    /// The genesis state of a new chain, to which the clock's block time is added; with a recording
    /// of `taonet-localnet-recording`, the chain continues after a block of another one. An
    /// existing chain must have the same genesis state. `None` opens an existing chain with any
    /// genesis state, and never creates one.
    pub genesis: Option<Storage>,
    /// The directory of the chain; `None` keeps it in memory until shutdown.
    pub directory: Option<PathBuf>,
    /// The schedule of block production; `None` for the clock on which an existing chain last ran,
    /// and for [`Clock::FAST`] with a new chain.
    pub clock: Option<Clock>,
    /// The retention of old blocks and their states.
    pub history: History,
    /// The number of newest blocks whose headers and bodies are kept, also after their states are
    /// pruned, as a node of the real chain keeps them; the genesis block is always kept. With a
    /// smaller number than that of `history`, blocks are pruned with their states.
    pub kept_blocks: u32,
    /// The address on which the JSON-RPC server listens, for both HTTP and WebSocket; port 0 picks
    /// a free port.
    pub listen: SocketAddr,
    /// Whether to serve `dev_` methods (mine, stop, save a snapshot …), which anyone who can reach
    /// the port can call.
    pub dev_methods: bool,
    /// Origins of web pages that may connect in addition to loopback origins, for example
    /// `https://polkadot.js.org`. Browsers let any page connect, and send the page's origin.
    pub allow_origins: Vec<String>,
    /// The per-client limits of the RPC server.
    pub rpc: RpcLimits,
    /// The limits of the transaction pool.
    pub pool: PoolLimits,
    /// The WebSocket URL of another localnet to follow. The node then imports the other node's
    /// blocks, forwards extrinsics to it and produces no blocks; `genesis`, `clock`, `pool` and
    /// `start` have no effect.
    pub follow: Option<String>,
    /// The time at which a new chain begins, in milliseconds since the Unix epoch; `None` for the
    /// wall clock. The first block is stamped at least one slot later, and the chain's clock runs
    /// from there. If set, a chain on the manual clock is the same on every run.
    pub start: Option<u64>,
    /// The number of newest blocks that are not finalized, as on a real chain, whose validators
    /// vote on blocks; 0 finalizes each block at once.
    pub finality_lag: u32,
}

impl NodeConfig {
    /// Creates a configuration of a chain in memory on the manual clock, served on a free loopback
    /// port.
    pub fn new(genesis: Storage) -> Self {
        Self {
            genesis: Some(genesis),
            directory: None,
            clock: Some(Clock::Manual),
            history: History::default(),
            kept_blocks: RETAINED_BLOCKS,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            dev_methods: true,
            allow_origins: Vec::new(),
            rpc: RpcLimits::default(),
            pool: PoolLimits::default(),
            follow: None,
            start: None,
            finality_lag: 0,
        }
    }
}

/// Why a node failed to start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Opening the chain failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain to follow cannot be read.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The directory contains a chain that does not follow another node.
    #[error(
        "the chain in {0} does not follow another node; hint: choose another directory with --data, or delete the \
         chain with tao localnet reset"
    )]
    NotFollower(PathBuf),
    /// Starting the block author failed, for example because the requested block time differs from
    /// the chain's.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// The requested history is too short.
    #[error("a history of {requested} blocks is too short: clients need at least {min} blocks", min = History::MIN)]
    History {
        /// The requested history, in blocks.
        requested: u32,
    },
    /// Binding the port failed.
    #[error("cannot listen on {address}: {source}; hint: choose another port")]
    Listen {
        /// The address to listen on.
        address: SocketAddr,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Two RPC methods have the same name: a bug in this crate.
    #[error("duplicate RPC method: {0}")]
    Methods(#[from] jsonrpsee::core::RegisterMethodError),
    /// The path of an HTTP request is malformed or not unique: a bug in this crate.
    #[error("malformed HTTP path: {0}")]
    Path(#[from] jsonrpsee::server::middleware::http::ProxyGetRequestError),
    /// Starting a thread failed.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

/// An embedded node, started with [`Node::start`].
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Opens or creates the chain, and serves it over JSON-RPC. Must be called within a Tokio
    /// runtime.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn start(config: NodeConfig) -> Result<NodeHandle, NodeError> {
        if let History::Last(blocks) = config.history
            && blocks < History::MIN
        {
            return Err(NodeError::History { requested: blocks });
        }
        crate::meter::describe();
        let leader = config.follow.clone().map(|url| Arc::new(Leader::new(url)));
        let mut stored_clock = None;
        let (store, clock, start) = if let Some(leader) = &leader {
            (open_follower_store(&config, leader).await?, Clock::Manual, None)
        } else {
            let store = catch_panic(&config, || open_store(&config))?;
            let last = catch_panic(&config, || last_clock(&store))?;
            stored_clock = Some(last);
            (store, config.clock.unwrap_or(last), config.start)
        };
        let store = store.with_kept_blocks(config.kept_blocks);
        let head = store.head()?;
        let genesis = store.hash(0)?.ok_or(StoreError::Damaged("the genesis block is missing"))?;
        let pool = Pool::new(head.clone(), config.pool);
        let (mut chain, database_closed) = Chain::new(store, pool, genesis, head);
        chain.leader.clone_from(&leader);
        chain.finality_lag = config.finality_lag;
        let chain = Arc::new(chain);
        let stopping = Arc::new(AtomicBool::new(false));
        let author = catch_panic(&config, || {
            Author::new(chain.clone(), clock, start, stopping.clone()).map_err(NodeError::from)
        })?;
        let (control, command_queue) = Control::new(stopping, config.follow.map(Into::into));
        let server = rpc::serve(
            config.listen,
            rpc::Context::new(chain.clone(), control.clone(), clock, config.rpc)?,
            config.rpc,
            config.allow_origins,
            config.dev_methods,
        )
        .await?;
        // Only now: after a failed start, a chain that followed another node can still follow it.
        if leader.is_none() && chain.store.is_follower()? {
            chain.store.clear_follower()?;
        }
        if stored_clock.is_some_and(|stored| stored != clock) {
            chain.store.set_clock(clock)?;
        }
        let author = thread::Builder::new()
            .name("localnet-author".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || author.run(&command_queue))
            .map_err(NodeError::Thread)?;
        let author = control.watch_author(author, chain.clone());
        let clock = leader.is_none().then_some(clock);
        let follow_task = leader
            .map(|leader| Follower::start(chain.clone(), leader, control.clone(), config.history));
        Ok(NodeHandle { follow_task, chain, control, server, author, database_closed, clock })
    }
}

/// Opens a chain that follows another node, or fetches its first block from that node.
async fn open_follower_store(config: &NodeConfig, leader: &Leader) -> Result<Store, NodeError> {
    let directory = config.directory.as_deref();
    match Store::open(directory, None, config.history) {
        Ok(store) if store.is_follower()? => Ok(store),
        Ok(_) => Err(NodeError::NotFollower(config.directory.clone().unwrap_or_default())),
        Err(StoreError::Missing(_)) => {
            let first = fetch_first_block(leader, config.history).await?;
            Ok(Store::open_from(directory, Some(first), config.history)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns a panic as an error: the database panics when it reads some damaged files.
fn catch_panic<T>(
    config: &NodeConfig,
    operation: impl FnOnce() -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    let result = catch_unwind(AssertUnwindSafe(operation));
    result.unwrap_or_else(|panic| {
        Err(StoreError::from_panic(panic.as_ref(), config.directory.as_deref()).into())
    })
}

/// Opens an existing chain, or creates one from the configuration.
fn open_store(config: &NodeConfig) -> Result<Store, NodeError> {
    let directory = config.directory.as_deref();
    let Some(genesis) = &config.genesis else {
        return Ok(Store::open(directory, None, config.history)?);
    };
    let mut genesis = genesis.clone();
    match Store::open(directory, None, config.history) {
        Ok(store) => {
            set_block_time(&mut genesis, block_time(&store)?);
            store.check_genesis(genesis)?;
            Ok(store)
        }
        Err(StoreError::Missing(_)) => {
            set_block_time(&mut genesis, config.clock.unwrap_or(Clock::FAST).slot_millis());
            Ok(Store::open(directory, Some(genesis), config.history)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the clock on which the chain last ran: one block per block time, if no other clock was
/// stored.
fn last_clock(store: &Store) -> Result<Clock, NodeError> {
    if let Some(clock) = store.clock()? {
        return Ok(clock);
    }
    Ok(Clock::Every(Duration::from_millis(block_time(store)?)))
}

/// Returns the block time of a chain, in milliseconds.
fn block_time(store: &Store) -> Result<u64, NodeError> {
    Ok(slot_millis(&store.tip_state(&store.head()?)?).map_err(AuthorError::from)?)
}

/// A running node. [`NodeHandle::stop`] shuts it down and waits; dropping it shuts it down without
/// waiting.
pub struct NodeHandle {
    follow_task: Option<FollowTask>,
    chain: Arc<Chain>,
    control: Control,
    server: rpc::Server,
    author: JoinHandle<()>,
    database_closed: oneshot::Receiver<()>,
    clock: Option<Clock>,
}

impl std::fmt::Debug for NodeHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("NodeHandle")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl NodeHandle {
    /// Returns the address of the JSON-RPC server.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the WebSocket URL for clients, for example `ws://127.0.0.1:9944`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address())
    }

    /// Returns the schedule of block production; `None` if the node follows another one.
    pub fn clock(&self) -> Option<Clock> {
        self.clock
    }

    /// Whether the node follows another one, is connected to it and imports its blocks.
    pub fn is_following(&self) -> bool {
        self.chain.leader.as_ref().is_some_and(|leader| leader.is_connected())
    }

    /// Returns the newest committed block.
    pub fn head(&self) -> Head {
        self.chain.head()
    }

    /// Returns the hash of the genesis block.
    pub fn genesis(&self) -> H256 {
        self.chain.genesis
    }

    /// Produces `blocks` blocks immediately, regardless of the clock, and returns the newest.
    /// Dropping the future cancels the command.
    ///
    /// # Errors
    /// [`AuthorError`].
    pub async fn mine(&self, blocks: u32) -> Result<Head, AuthorError> {
        Ok(self.control.execute(Action::MineBlocks(blocks)).await?.head)
    }

    /// Produces blocks up to and including the next one in which this subnet's epoch runs, and
    /// returns that block. Dropping the future cancels the command.
    ///
    /// # Errors
    /// [`AuthorError`]; [`AuthorError::NoEpoch`] if the subnet does not exist or has no epochs.
    pub async fn mine_to_epoch(&self, netuid: u16) -> Result<Head, AuthorError> {
        Ok(self.control.execute(Action::MineToEpoch(netuid)).await?.head)
    }

    /// Takes a named snapshot: marks the newest block, so that [`Self::revert`] can return to it.
    ///
    /// # Errors
    /// [`crate::SnapshotError`], for instance if the name is in use.
    pub fn take_snapshot(&self, name: &str) -> Result<Snapshot, crate::SnapshotError> {
        self.chain.snapshot_store()?.take_snapshot(name)
    }

    /// Returns the named snapshots, oldest block first.
    ///
    /// # Errors
    /// [`crate::SnapshotError`].
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, crate::SnapshotError> {
        self.chain.store.snapshots()
    }

    /// Reverts the chain to a named snapshot, and returns its block. Deletes the later blocks and
    /// their snapshots, and drops all pooled extrinsics.
    ///
    /// # Errors
    /// [`AuthorError`]; [`AuthorError::Snapshot`] if there is no such snapshot.
    pub async fn revert(&self, name: &str) -> Result<Head, AuthorError> {
        Ok(self.control.execute(Action::Revert(name.to_owned())).await?.head)
    }

    /// Drops a named snapshot, so that its block is pruned like any other.
    ///
    /// # Errors
    /// [`crate::SnapshotError`], for instance if there is no such snapshot.
    pub fn drop_snapshot(&self, name: &str) -> Result<(), crate::SnapshotError> {
        self.chain.snapshot_store()?.drop_snapshot(name)
    }

    /// Adds a duration to the timestamps of the following blocks, and returns the time after which
    /// they are stamped, in milliseconds since the Unix epoch. Produces no block.
    ///
    /// # Errors
    /// [`AuthorError`]; [`AuthorError::TimeLimitExceeded`] beyond the year 9999.
    pub async fn advance(&self, duration: Duration) -> Result<u64, AuthorError> {
        let millis =
            u64::try_from(duration.as_millis()).map_err(|_| AuthorError::TimeLimitExceeded)?;
        self.control.execute(Action::Advance(millis)).await?;
        Ok(self.chain.store.time()?.floor)
    }

    /// Submits a signed extrinsic like `author_submitExtrinsic`, and returns its hash.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, extrinsic: Vec<u8>) -> Result<H256, SubmitError> {
        if let Some(leader) = &self.chain.leader {
            return leader.submit(extrinsic).await;
        }
        let chain = self.chain.clone();
        let submitted = self
            .server
            .workers()
            .run(move || chain.submit(extrinsic, StatusSender::default()))
            .await;
        let submitted = submitted.unwrap_or(Err(SubmitError::Stopping));
        if let (Ok(_), Some(clock)) = (&submitted, self.clock) {
            self.control.notify_submitted(clock);
        }
        submitted
    }

    /// Reads the value of a storage key in the state after the newest block.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn storage(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        use sp_state_machine::Backend;
        let (_, state) = self.chain.state(None)?;
        Ok(state.storage(key).map_err(StateError::Trie)?)
    }

    /// Reads the free balance of an account after the newest block.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn free_balance(&self, account: &AccountId) -> Result<Balance, ReadError> {
        let (_, state) = self.chain.state(None)?;
        let balance =
            execute_with(&mut Overlay::default(), &state, || Balances::free_balance(account));
        Ok(balance.map_err(StateError::Call)?)
    }

    /// Calls a runtime API method, such as `Core_version`, on the newest state, and returns the
    /// SCALE-encoded result.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn call(&self, method: &str, arguments: &impl Encode) -> Result<Vec<u8>, ReadError> {
        Ok(self.chain.call(None, method, &arguments.encode())?)
    }

    /// Saves a snapshot of the chain to a new file.
    ///
    /// # Errors
    /// [`crate::SnapshotError`].
    pub fn save_snapshot(&self, file: &Path) -> Result<(), crate::SnapshotError> {
        self.chain.store.save(file)
    }

    /// Waits until a shutdown is requested or the block author panics; then call [`Self::stop`].
    ///
    /// # Errors
    /// [`AuthorError::Panicked`] if the author panicked.
    pub async fn stop_requested(&self) -> Result<(), AuthorError> {
        self.control.wait_for_stop().await
    }

    /// Shuts the node down: commits the block in progress, completes requests in flight, and closes
    /// the connections and the database file. Connections that are still open after 10 seconds are
    /// dropped.
    pub async fn stop(self) {
        let Self { follow_task, chain, control, server, author, database_closed, clock: _ } = self;
        drop(follow_task);
        control.stop();
        let drain = async {
            server.stop().await;
            // The author's result was reported already; this only waits until its thread has ended.
            let _ = author.await;
            drop((chain, control));
            // Resolves when the sender is dropped with the chain; nothing is ever sent.
            let _ = database_closed.await;
        };
        if timeout(SHUTDOWN_TIMEOUT, drain).await.is_err() {
            tracing::warn!("node stopped while clients were connected");
        }
    }
}

/// Why reading the chain's state or calling the runtime failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ReadError(#[from] StateError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_at_startup_names_the_database() {
        let config =
            NodeConfig { directory: Some("chain".into()), ..NodeConfig::new(Storage::default()) };
        let error = catch_panic::<()>(&config, || panic!("a bad page")).unwrap_err().to_string();
        let database = Path::new("chain").join("chain.redb");
        assert!(error.contains(&format!("cannot open {}", database.display())), "{error}");
        assert!(error.contains("damaged: a bad page; hint: reset the chain"), "{error}");
    }
}
