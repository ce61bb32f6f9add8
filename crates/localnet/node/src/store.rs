//! The database of blocks and states, with one transaction per commit.
//!
//! A commit writes all data of its blocks (trie nodes, the list of nodes that each block made
//! obsolete, headers, bodies, block numbers by hash) and prunes old blocks. The database therefore
//! always ends at a complete block.
//!
//! Values and decoded trie nodes of the newest state stay in memory from block to block.

mod commit;
mod error;
mod file;
mod first_block;
mod named;
mod nodes;
mod snapshot;
#[cfg(test)]
mod tests;
mod time;
mod values;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use codec::{Decode, Encode};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, WriteTransaction, backends::InMemoryBackend,
};
use sp_core::H256;
use sp_core::storage::Storage;
use sp_runtime::traits::{BlakeTwo256, Header as _};
use sp_state_machine::{TrieBackend, TrieBackendBuilder};
use taonet_localnet_runtime::{Header, VERSION};

use crate::execute::panic_text;
use file::{FlushOnCommit, LazyFile};
use nodes::{NODES, NodeMemory, NodeTables, NodeView, RECENT_NODES};
use values::ValueCache;

pub(crate) use commit::StagedBlock;
pub use error::StoreError;
pub(crate) use first_block::FirstBlock;
pub(crate) use named::RevertTarget;
pub use named::Snapshot;
pub use snapshot::{SnapshotError, load_snapshot};
pub(crate) use time::TimeSetting;
pub(crate) use values::CachedState;

const HEADERS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("headers");
const BODIES: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("bodies");
const NUMBERS: TableDefinition<'static, &[u8; 32], u32> = TableDefinition::new("numbers");
/// The nodes that each block made obsolete, as keys of rows in [`NODES`].
const OBSOLETE_NODES: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("deaths");
const META: TableDefinition<'static, u8, u64> = TableDefinition::new("meta");

/// The database file in a chain's directory.
const FILE_NAME: &str = "chain.redb";
/// The length of the magic bytes at the start of a database file, in bytes.
const MAGIC_LENGTH: u64 = 9;
/// The version of the table layout.
const FORMAT_VERSION: u64 = 2;
const FORMAT_VERSION_KEY: u8 = 0;
const SPEC_VERSION_KEY: u8 = 1;
/// Key of the number of the oldest block whose state is stored; absent before the first state is
/// pruned.
const OLDEST_STATE_KEY: u8 = 6;
/// The size of the page cache in bytes; frequently used trie nodes have their own cache.
const PAGE_CACHE_BYTES: usize = 32 << 20;

/// The state of one block.
pub(crate) type State = TrieBackend<NodeView, BlakeTwo256>;

/// Default number of newest blocks whose headers and bodies are kept, also after their states are
/// pruned. An empty block takes about 450 bytes. Unit tests produce few blocks and keep no more
/// blocks than states.
pub(crate) const RETAINED_BLOCKS: u32 = if cfg!(test) { 0 } else { 100_000 };

/// Retention of blocks and their states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Keeps the states of only this many newest blocks; see [`crate::NodeConfig::kept_blocks`] for
    /// their content.
    Last(u32),
    /// Keeps every block and its state.
    Archive,
}

impl History {
    /// The minimum history, in blocks: a mortal extrinsic may refer to a block of this age.
    pub const MIN: u32 = 2_400;
    /// The default history: somewhat longer than [`Self::MIN`], so that a client that counts back
    /// from a slightly old head still finds the block.
    const DEFAULT: u32 = Self::MIN + 100;

    /// Returns the number of newest blocks whose trie nodes are in [`RECENT_NODES`].
    fn recent_blocks(self) -> u32 {
        // Short in unit tests, which produce few blocks.
        let max_blocks = if cfg!(test) { 16 } else { Self::DEFAULT };
        match self {
            Self::Last(blocks) => blocks.min(max_blocks),
            Self::Archive => max_blocks,
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self::Last(Self::DEFAULT)
    }
}

/// A block's header with its hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The BLAKE2b-256 hash of the encoded header.
    pub hash: H256,
    /// The header of the block.
    pub header: Header,
}

impl Head {
    pub(crate) fn of(header: Header) -> Self {
        Self { hash: header.hash(), header }
    }

    /// Returns the block's height.
    pub fn number(&self) -> u32 {
        *self.header.number()
    }
}

/// The chain's database, on disk or in memory.
pub(crate) struct Store {
    database: Arc<Database>,
    /// Replaced by a revert, after which older views may still fill the previous one.
    node_memory: RwLock<Arc<NodeMemory>>,
    value_cache: Arc<RwLock<ValueCache>>,
    history: History,
    /// Number of newest blocks whose headers and bodies are kept, if the history has fewer.
    kept_blocks: u32,
    flush_on_commit: FlushOnCommit,
    path: Option<PathBuf>,
}

impl Store {
    /// Opens the chain in `directory`, or creates it from `genesis`; without a directory the chain
    /// is stored in memory.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn open(
        directory: Option<&Path>,
        genesis: Option<Storage>,
        history: History,
    ) -> Result<Self, StoreError> {
        Self::open_from(directory, genesis.map(FirstBlock::from_genesis).transpose()?, history)
    }

    /// Opens the chain in `directory`, or creates it with its first block; without a directory the
    /// chain is stored in memory.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn open_from(
        directory: Option<&Path>,
        first_block: Option<FirstBlock>,
        history: History,
    ) -> Result<Self, StoreError> {
        let path = directory.map(|directory| directory.join(FILE_NAME));
        // The database panics on some malformed files.
        let result =
            catch_unwind(AssertUnwindSafe(|| Self::try_open(directory, first_block, history)));
        let result =
            result.unwrap_or_else(|panic| Err(StoreError::Corrupt(panic_text(panic.as_ref()))));
        result.map_err(|error| error.with_path(path.as_deref()))
    }

    fn try_open(
        directory: Option<&Path>,
        first_block: Option<FirstBlock>,
        history: History,
    ) -> Result<Self, StoreError> {
        let flush_on_commit = FlushOnCommit::default();
        let database = match directory {
            Some(directory) => {
                open_file(directory, first_block.is_some(), flush_on_commit.clone())?
            }
            None => database_builder().create_with_backend(InMemoryBackend::new())?,
        };
        let store = Self {
            database: Arc::new(database),
            node_memory: RwLock::new(Arc::new(NodeMemory::new())),
            value_cache: Arc::default(),
            history,
            kept_blocks: RETAINED_BLOCKS,
            flush_on_commit,
            path: directory.map(|directory| directory.join(FILE_NAME)),
        };
        store.check_or_create(directory, first_block)?;
        Ok(store)
    }

    /// Sets the number of newest blocks whose headers and bodies are kept, also after their states
    /// are pruned.
    pub(crate) fn with_kept_blocks(mut self, blocks: u32) -> Self {
        self.kept_blocks = blocks;
        self
    }

    /// Creates a chain on a custom storage backend.
    #[cfg(test)]
    pub(crate) fn on_backend(file: impl redb::StorageBackend, genesis: Storage) -> Self {
        let flush_on_commit = FlushOnCommit::default();
        let database = database_builder()
            .create_with_backend(LazyFile::on_backend(file, flush_on_commit.clone()))
            .unwrap();
        let store = Self {
            database: Arc::new(database),
            node_memory: RwLock::new(Arc::new(NodeMemory::new())),
            value_cache: Arc::default(),
            history: History::Archive,
            kept_blocks: RETAINED_BLOCKS,
            flush_on_commit,
            path: None,
        };
        store.check_or_create(None, Some(FirstBlock::from_genesis(genesis).unwrap())).unwrap();
        store
    }

    /// Checks an existing chain, or writes the genesis block of a new one.
    fn check_or_create(
        &self,
        directory: Option<&Path>,
        first_block: Option<FirstBlock>,
    ) -> Result<(), StoreError> {
        let path = directory.unwrap_or(Path::new("memory"));
        let write_txn = self.database.begin_write()?;
        let (format_version, spec_version) = {
            let meta = write_txn.open_table(META)?;
            let format_version = meta.get(FORMAT_VERSION_KEY)?.map(|value| value.value());
            let spec_version = meta.get(SPEC_VERSION_KEY)?.map(|value| value.value());
            (format_version, spec_version)
        };
        if let Some(format_version) = format_version {
            write_txn.abort().map_err(StoreError::from)?;
            if format_version != FORMAT_VERSION {
                return Err(StoreError::FormatVersion {
                    path: path.to_owned(),
                    stored: format_version,
                });
            }
            let spec_version =
                spec_version.ok_or(StoreError::Damaged("the runtime version is missing"))?;
            if spec_version != u64::from(VERSION.spec_version) {
                return Err(StoreError::SpecVersion { stored: spec_version });
            }
            self.hash(0)?.ok_or(StoreError::Damaged("the genesis block is missing"))?;
            self.node_memory()
                .load_recent(&self.database.begin_read()?.open_table(RECENT_NODES)?)?;
            return first_block.map_or(Ok(()), |first_block| self.check_first_block(&first_block));
        }
        let first_block = first_block.ok_or_else(|| StoreError::Missing(path.to_owned()))?;
        {
            let mut meta = write_txn.open_table(META)?;
            meta.insert(FORMAT_VERSION_KEY, FORMAT_VERSION)?;
            meta.insert(SPEC_VERSION_KEY, u64::from(VERSION.spec_version))?;
        }
        self.write_first_block(&write_txn, first_block)?;
        self.commit_and_clear_cache(write_txn)
    }

    /// Checks that `genesis` is the state of the genesis block.
    ///
    /// # Errors
    /// [`StoreError::Genesis`] if the states differ; also the errors of
    /// [`FirstBlock::from_genesis`].
    pub(crate) fn check_genesis(&self, genesis: Storage) -> Result<(), StoreError> {
        self.check_first_block(&FirstBlock::from_genesis(genesis)?)
    }

    fn check_first_block(&self, first_block: &FirstBlock) -> Result<(), StoreError> {
        let stored = self.hash(0)?.ok_or(StoreError::Damaged("the genesis block is missing"))?;
        let configured = first_block.genesis.hash;
        if configured == stored { Ok(()) } else { Err(StoreError::Genesis { stored, configured }) }
    }

    /// Returns the newest committed block.
    pub(crate) fn head(&self) -> Result<Head, StoreError> {
        let headers = self.database.begin_read()?.open_table(HEADERS)?;
        let (_, bytes) = headers.last()?.ok_or(StoreError::Damaged("there are no blocks"))?;
        decode_head(bytes.value())
    }

    /// Returns the number of the oldest block after the genesis block whose header and body are
    /// stored.
    pub(crate) fn oldest_block(&self) -> Result<u32, StoreError> {
        let headers = self.database.begin_read()?.open_table(HEADERS)?;
        Ok(headers.range(1..)?.next().transpose()?.map_or(0, |(number, _)| number.value()))
    }

    /// Returns the number of the oldest block whose state is stored.
    pub(crate) fn oldest_state(&self) -> Result<u32, StoreError> {
        let read_txn = self.database.begin_read()?;
        oldest_state(&read_txn.open_table(META)?, &read_txn.open_table(BODIES)?)
    }

    /// Whether the chain has no blocks after its first one.
    pub(crate) fn is_new(&self) -> Result<bool, StoreError> {
        let bodies = self.database.begin_read()?.open_table(BODIES)?;
        Ok(bodies.len()? == 1)
    }

    /// Returns the hash of block `number`.
    pub(crate) fn hash(&self, number: u32) -> Result<Option<H256>, StoreError> {
        let headers = self.database.begin_read()?.open_table(HEADERS)?;
        headers
            .get(number)?
            .map(|bytes| decode_head(bytes.value()).map(|head| head.hash))
            .transpose()
    }

    /// Returns the header of the block with this hash.
    pub(crate) fn header(&self, hash: H256) -> Result<Option<Header>, StoreError> {
        Ok(find_head(&self.database.begin_read()?, hash)?.map(|head| head.header))
    }

    /// Returns the header and the extrinsics of the block with this hash.
    #[allow(clippy::type_complexity, reason = "an optional head with its extrinsics")]
    pub(crate) fn block(&self, hash: H256) -> Result<Option<(Head, Vec<Vec<u8>>)>, StoreError> {
        let read_txn = self.database.begin_read()?;
        let Some(head) = find_head(&read_txn, hash)? else { return Ok(None) };
        let bodies = read_txn.open_table(BODIES)?;
        let Some(bytes) = bodies.get(head.number())? else { return Ok(None) };
        let extrinsics = Vec::decode(&mut bytes.value())
            .map_err(|_| StoreError::Damaged("malformed block body"))?;
        Ok(Some((head, extrinsics)))
    }

    /// Returns the state after the block with this hash; the inner `None` if it was pruned.
    pub(crate) fn state(&self, hash: H256) -> Result<Option<(Head, Option<State>)>, StoreError> {
        let memory = self.node_memory();
        let read_txn = self.database.begin_read()?;
        let Some(head) = find_head(&read_txn, hash)? else { return Ok(None) };
        let oldest = oldest_state(&read_txn.open_table(META)?, &read_txn.open_table(BODIES)?)?;
        let state =
            if head.number() >= oldest { Some(self.view(memory, &read_txn, &head)?) } else { None };
        Ok(Some((head, state)))
    }

    /// Returns the state after `head`, which may be a staged block.
    pub(crate) fn tip_state(&self, head: &Head) -> Result<CachedState, StoreError> {
        let memory = self.node_memory();
        let state = self.view(memory, &self.database.begin_read()?, head)?;
        Ok(CachedState::new(state, self.value_cache.clone()))
    }

    /// Returns the trie nodes in memory. A view gets them before its transaction begins: a view of
    /// reverted blocks must not fill the memory of the blocks that replace them.
    fn node_memory(&self) -> Arc<NodeMemory> {
        self.node_memory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Commits a transaction that wrote the first block or removed blocks, and empties the memory.
    ///
    /// # Errors
    /// [`StoreError`]; the transaction then has no effect.
    fn commit_and_clear_cache(&self, write_txn: WriteTransaction) -> Result<(), StoreError> {
        let memory = NodeMemory::new();
        memory.load_recent(&write_txn.open_table(RECENT_NODES)?)?;
        write_txn.commit()?;
        *self.node_memory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(memory);
        Ok(())
    }

    fn view(
        &self,
        memory: Arc<NodeMemory>,
        read_txn: &ReadTransaction,
        head: &Head,
    ) -> Result<State, StoreError> {
        let tables = NodeTables::open(read_txn)?;
        let view = NodeView {
            database: self.database.clone(),
            memory,
            tables,
            block_number: head.number(),
        };
        Ok(TrieBackendBuilder::new(view, *head.header.state_root()).build())
    }

    /// Makes all past and future commits durable, for shutdown.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.flush_on_commit.enable();
        Ok(self.database.begin_write()?.commit()?)
    }

    /// Makes all past commits durable.
    pub(crate) fn flush_once(&self) -> Result<(), StoreError> {
        let result = self.flush();
        self.flush_on_commit.disable();
        result
    }

    /// Returns the path of the database file; `None` in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the size of the database file in bytes; 0 in memory.
    pub(crate) fn file_size(&self) -> u64 {
        self.path
            .as_ref()
            .and_then(|path| fs::metadata(path).ok())
            .map_or(0, |metadata| metadata.len())
    }

    /// Returns the number of stored trie nodes.
    pub(crate) fn node_count(&self) -> Result<u64, StoreError> {
        let nodes = self.database.begin_read()?.open_table(NODES)?;
        Ok(nodes.len()?.saturating_add(self.node_memory().recent_count()))
    }
}

fn database_builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(PAGE_CACHE_BYTES);
    builder
}

fn open_file(
    directory: &Path,
    create: bool,
    flush_on_commit: FlushOnCommit,
) -> Result<Database, StoreError> {
    let path = directory.join(FILE_NAME);
    if !create && !path.exists() {
        return Err(StoreError::Missing(directory.to_owned()));
    }
    fs::create_dir_all(directory).map_err(|source| StoreError::open(&path, source))?;
    let options = OpenOptions::new().read(true).write(true).create(create).truncate(false).clone();
    let file = options.open(&path).map_err(|source| StoreError::open(&path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(directory.to_owned())),
        Err(TryLockError::Error(source)) => return Err(StoreError::open(&path, source)),
    }
    // If the process is killed while it creates the file, the magic bytes are missing: the database
    // writes them last.
    if is_uninitialized(&file).map_err(|source| StoreError::open(&path, source))? {
        if !create {
            // As when the database is closed; see `LazyFile`.
            file.unlock().map_err(|source| StoreError::open(&path, source))?;
            return Err(StoreError::Missing(directory.to_owned()));
        }
        file.set_len(0).map_err(|source| StoreError::open(&path, source))?;
    }
    Ok(database_builder().create_with_backend(LazyFile::new(file, flush_on_commit)?)?)
}

/// Whether a file is empty or starts with zeros instead of a database's magic bytes, because its
/// creation was interrupted.
fn is_uninitialized(file: &File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(MAGIC_LENGTH).read_to_end(&mut start)?;
    Ok(start.iter().all(|byte| *byte == 0))
}

/// Returns the number of the oldest block whose state is stored.
fn oldest_state(
    meta: &impl ReadableTable<u8, u64>,
    bodies: &impl ReadableTable<u32, &'static [u8]>,
) -> Result<u32, StoreError> {
    if let Some(number) = meta.get(OLDEST_STATE_KEY)? {
        return u32::try_from(number.value())
            .map_err(|_| StoreError::Damaged("malformed number of a block"));
    }
    let (first, _) = bodies.first()?.ok_or(StoreError::Damaged("there are no blocks"))?;
    Ok(first.value())
}

fn decode_head(bytes: &[u8]) -> Result<Head, StoreError> {
    Head::decode(&mut &*bytes).map_err(|_| StoreError::Damaged("malformed block header"))
}

fn find_head(read_txn: &ReadTransaction, hash: H256) -> Result<Option<Head>, StoreError> {
    let Some(number) = read_txn.open_table(NUMBERS)?.get(&hash.0)?.map(|number| number.value())
    else {
        return Ok(None);
    };
    let headers = read_txn.open_table(HEADERS)?;
    headers.get(number)?.map(|bytes| decode_head(bytes.value())).transpose()
}
