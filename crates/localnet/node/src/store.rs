//! Blocks and states on disk, one transaction a commit.
//!
//! A commit holds everything of its blocks: trie nodes, the list of nodes that each block made obsolete, header, body,
//! number by hash, and the pruning of what grew too old. So the file is at some block's end at any moment.

mod file;
mod nodes;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codec::{Decode, Encode};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction, backends::InMemoryBackend,
};
use sp_core::H256;
use sp_core::storage::{StateVersion, Storage};
use sp_runtime::Digest;
use sp_runtime::traits::{BlakeTwo256, Hash as _, Header as _};
use sp_state_machine::{BackendTransaction, InMemoryBackend as MemoryState, TrieBackend, TrieBackendBuilder};
use taonet_localnet_runtime::{Header, VERSION};

use file::{Flushing, LazyFile};
use nodes::{NODES, Node, NodeMemory, NodeName, NodeView, find, row_key};

pub use snapshot::{SnapshotError, load_snapshot};

const HEADERS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("headers");
const BODIES: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("bodies");
const NUMBERS: TableDefinition<'static, &[u8; 32], u32> = TableDefinition::new("numbers");
/// By block, the rows of [`NODES`] that it made obsolete.
const DEATHS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("deaths");
const META: TableDefinition<'static, u8, u64> = TableDefinition::new("meta");

/// The database inside a chain's directory.
const FILE: &str = "chain.redb";
/// Bytes of the mark at the start of a database.
const MARK: u64 = 9;
/// The layout of the tables.
const FORMAT: u64 = 1;
const FORMAT_KEY: u8 = 0;
const SPEC_KEY: u8 = 1;
/// Bytes of database pages kept in memory; the nodes that matter are kept as nodes.
const PAGE_CACHE: usize = 32 << 20;
/// Blocks pruned in one commit beyond those that it adds, when a chain is opened with less history than it has.
const PRUNE_AHEAD: u32 = 64;

/// The state of one block.
pub(crate) type State = TrieBackend<NodeView, BlakeTwo256>;

/// A database that does not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the chain open.
    #[error("the chain in {0} is in use by another process; stop that one, or choose another directory")]
    InUse(PathBuf),
    /// The file or its directory cannot be made or opened.
    #[error("cannot open the chain at {path}: {source}; check that the directory is yours and writable")]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory holds no chain, and no first block was given.
    #[error("there is no chain in {0}; start one with a genesis")]
    Missing(PathBuf),
    /// The file is of another layout.
    #[error(
        "the chain in {path} is of format {found}, this build reads {FORMAT}; reset the chain to go on: tao localnet reset"
    )]
    Format {
        /// The directory.
        path: PathBuf,
        /// The layout found.
        found: u64,
    },
    /// The chain was made by a runtime of another version.
    #[error(
        "the chain was made by runtime version {found}, this build has {}; reset the chain to go on: tao localnet reset",
        VERSION.spec_version
    )]
    Spec {
        /// The version found.
        found: u64,
    },
    /// The chain starts from another first block.
    #[error(
        "the chain starts from {found:?}, and not from {given:?} as this start would have it, with other accounts; start \
         it as it was begun, or reset the chain: tao localnet reset"
    )]
    Genesis {
        /// The first block on disk.
        found: H256,
        /// The first block of the given genesis.
        given: H256,
    },
    /// A record is not what this build writes.
    #[error("the chain's file is damaged: {0}; reset the chain, or load a snapshot")]
    Damaged(&'static str),
    /// The database refused, for instance because the disk is full.
    #[error("the chain's file cannot be read or written: {0}; check the disk's free space and the file's health")]
    Database(Box<redb::Error>),
}

macro_rules! from_redb {
    ($($error:ty),+) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )+};
}
from_redb!(
    redb::CommitError,
    redb::DatabaseError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::SetDurabilityError
);

/// How much history a chain keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// State and body of the newest blocks, this many, and of no others.
    Last(u32),
    /// Everything.
    Archive,
}

impl History {
    /// What clients may ask for in any case: a mortal call may name a block of this age.
    pub const LEAST: u32 = 2_400;
}

impl Default for History {
    /// Somewhat more than [`History::LEAST`], so that a client that counts back from a head some blocks old finds it.
    fn default() -> Self {
        Self::Last(Self::LEAST + 100)
    }
}

/// A block's header and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The hash: BLAKE2b-256 of the encoded header.
    pub hash: H256,
    /// The header.
    pub header: Header,
}

impl Head {
    pub(crate) fn of(header: Header) -> Self {
        Self { hash: header.hash(), header }
    }

    /// The block's height.
    pub fn number(&self) -> u32 {
        *self.header.number()
    }
}

/// A block that is made and not yet on disk.
pub(crate) struct Staged {
    pub(crate) head: Head,
    pub(crate) extrinsics: Vec<Vec<u8>>,
    born: Vec<(NodeName, Vec<u8>)>,
    dead: Vec<(NodeName, Option<u32>)>,
}

impl Staged {
    /// Bytes of new trie nodes.
    pub(crate) fn weight(&self) -> usize {
        self.born.iter().map(|(name, node)| name.len() + node.len()).sum()
    }
}

/// The chain's file, or the same tables in memory.
pub(crate) struct Store {
    database: Arc<Database>,
    memory: Arc<NodeMemory>,
    history: History,
    flushing: Flushing,
    path: Option<PathBuf>,
}

impl Store {
    /// Opens the chain in `directory`, or makes it from `genesis`; without a directory it lives in memory.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn open(
        directory: Option<&Path>,
        genesis: Option<Storage>,
        history: History,
    ) -> Result<Self, StoreError> {
        let flushing = Flushing::default();
        let database = match directory {
            Some(directory) => open_file(directory, genesis.is_some(), flushing.clone())?,
            None => builder().create_with_backend(InMemoryBackend::new())?,
        };
        let store = Self {
            database: Arc::new(database),
            memory: Arc::new(NodeMemory::new()),
            history,
            flushing,
            path: directory.map(|directory| directory.join(FILE)),
        };
        store.found(directory, genesis)?;
        Ok(store)
    }

    /// A chain on another kind of file.
    #[cfg(test)]
    pub(crate) fn on(file: impl redb::StorageBackend, genesis: Storage) -> Self {
        let flushing = Flushing::default();
        let database = builder().create_with_backend(LazyFile::on(file, flushing.clone())).unwrap();
        let store = Self {
            database: Arc::new(database),
            memory: Arc::new(NodeMemory::new()),
            history: History::Archive,
            flushing,
            path: None,
        };
        store.found(None, Some(genesis)).unwrap();
        store
    }

    /// Checks the chain that is there, or writes the first block.
    fn found(&self, directory: Option<&Path>, genesis: Option<Storage>) -> Result<(), StoreError> {
        let place = || directory.unwrap_or(Path::new("memory")).to_owned();
        let write = self.database.begin_write()?;
        let (format, spec) = {
            let meta = write.open_table(META)?;
            let number = |key: u8| Ok::<_, StoreError>(meta.get(key)?.map(|value| value.value()));
            (number(FORMAT_KEY)?, number(SPEC_KEY)?)
        };
        if let Some(found) = format {
            write.abort().map_err(StoreError::from)?;
            if found != FORMAT {
                return Err(StoreError::Format { path: place(), found });
            }
            let found = spec.ok_or(StoreError::Damaged("it states no runtime version"))?;
            if found != u64::from(VERSION.spec_version) {
                return Err(StoreError::Spec { found });
            }
            self.hash(0)?.ok_or(StoreError::Damaged("it has no first block"))?;
            return genesis.map_or(Ok(()), |genesis| self.must_begin_with(genesis));
        }
        let (head, nodes) = first_block(genesis.ok_or_else(|| StoreError::Missing(place()))?);
        {
            let mut meta = write.open_table(META)?;
            meta.insert(FORMAT_KEY, FORMAT)?;
            meta.insert(SPEC_KEY, u64::from(VERSION.spec_version))?;
        }
        let staged = self.stage(head, Vec::new(), nodes);
        self.write(&write, &[staged])?;
        write.commit()?;
        self.memory.settle();
        Ok(())
    }

    /// Checks that the first block has this state.
    ///
    /// # Errors
    /// [`StoreError::Genesis`].
    pub(crate) fn must_begin_with(&self, genesis: Storage) -> Result<(), StoreError> {
        let found = self.hash(0)?.ok_or(StoreError::Damaged("it has no first block"))?;
        let given = first_block(genesis).0.hash;
        if given == found { Ok(()) } else { Err(StoreError::Genesis { found, given }) }
    }

    /// The newest block on disk.
    pub(crate) fn head(&self) -> Result<Head, StoreError> {
        let headers = self.database.begin_read()?.open_table(HEADERS)?;
        let (_, bytes) = headers.last()?.ok_or(StoreError::Damaged("it has no block"))?;
        decode_head(bytes.value())
    }

    /// The number of the oldest block after the first one.
    pub(crate) fn oldest(&self) -> Result<u32, StoreError> {
        let headers = self.database.begin_read()?.open_table(HEADERS)?;
        Ok(headers.range(1..)?.next().transpose()?.map_or(0, |(number, _)| number.value()))
    }

    /// The hash of block `number`.
    pub(crate) fn hash(&self, number: u32) -> Result<Option<H256>, StoreError> {
        let headers = self.database.begin_read()?.open_table(HEADERS)?;
        headers.get(number)?.map(|bytes| decode_head(bytes.value()).map(|head| head.hash)).transpose()
    }

    /// The header of the block of this hash.
    pub(crate) fn header(&self, hash: H256) -> Result<Option<Header>, StoreError> {
        Ok(find_head(&self.database.begin_read()?, hash)?.map(|head| head.header))
    }

    /// Header and extrinsics of the block of this hash.
    #[allow(clippy::type_complexity, reason = "a head and its extrinsics, where there are any")]
    pub(crate) fn block(&self, hash: H256) -> Result<Option<(Head, Vec<Vec<u8>>)>, StoreError> {
        let read = self.database.begin_read()?;
        let Some(head) = find_head(&read, hash)? else { return Ok(None) };
        let bodies = read.open_table(BODIES)?;
        let Some(bytes) = bodies.get(head.number())? else { return Ok(None) };
        let extrinsics = Vec::decode(&mut bytes.value()).map_err(|_| StoreError::Damaged("a body does not decode"))?;
        Ok(Some((head, extrinsics)))
    }

    /// The state after the block of this hash; the inner `None` when it was pruned.
    pub(crate) fn state(&self, hash: H256) -> Result<Option<(Head, Option<State>)>, StoreError> {
        let read = self.database.begin_read()?;
        let Some(head) = find_head(&read, hash)? else { return Ok(None) };
        let bodies = read.open_table(BODIES)?;
        let newest = bodies.last()?.is_some_and(|(number, _)| number.value() == head.number());
        let kept = bodies.get(head.number())?.is_some();
        let state = if kept { Some(self.view(&read, &head, newest)?) } else { None };
        Ok(Some((head, state)))
    }

    /// The state after `head`, which may be a staged block.
    pub(crate) fn tip(&self, head: &Head) -> Result<State, StoreError> {
        self.view(&self.database.begin_read()?, head, true)
    }

    fn view(&self, read: &ReadTransaction, head: &Head, newest: bool) -> Result<State, StoreError> {
        let view = NodeView {
            database: self.database.clone(),
            memory: self.memory.clone(),
            table: read.open_table(NODES)?,
            at: head.number(),
            newest,
        };
        Ok(TrieBackendBuilder::new(view, *head.header.state_root()).build())
    }

    /// Holds a new block in memory until [`Self::commit`].
    pub(crate) fn stage(
        &self,
        head: Head,
        extrinsics: Vec<Vec<u8>>,
        mut nodes: BackendTransaction<BlakeTwo256>,
    ) -> Staged {
        let birth = head.number();
        let (mut born, mut dead) = (Vec::new(), Vec::new());
        for (name, (bytes, references)) in nodes.drain() {
            let name = name.into_boxed_slice();
            if references > 0 {
                born.push((name, bytes));
            } else if references < 0 {
                let birth = self.memory.birth(&name);
                dead.push((name, birth));
            }
        }
        // After the deaths: a node may die and another of the same name be born in one block.
        for (name, bytes) in &born {
            self.memory.stage(name.clone(), Node { birth, bytes: bytes.clone() });
        }
        Staged { head, extrinsics, born, dead }
    }

    /// Puts the staged blocks on disk, and prunes, in one transaction.
    ///
    /// # Errors
    /// [`StoreError`]; the staged blocks are lost then.
    pub(crate) fn commit(&self, blocks: &[Staged]) -> Result<(), StoreError> {
        let written = self.database.begin_write().map_err(StoreError::from).and_then(|write| {
            self.write(&write, blocks)?;
            self.prune(&write, blocks)?;
            Ok(write.commit()?)
        });
        match written {
            Ok(()) => self.memory.settle(),
            Err(_) => self.memory.discard(),
        }
        written
    }

    #[allow(clippy::unused_self, reason = "the rows of this store")]
    fn write(&self, write: &WriteTransaction, blocks: &[Staged]) -> Result<(), StoreError> {
        let mut nodes = write.open_table(NODES)?;
        let mut headers = write.open_table(HEADERS)?;
        let mut bodies = write.open_table(BODIES)?;
        let mut numbers = write.open_table(NUMBERS)?;
        let mut deaths = write.open_table(DEATHS)?;
        for block in blocks {
            let number = block.head.number();
            let mut dead = Vec::with_capacity(block.dead.len());
            for (name, birth) in &block.dead {
                let birth = match birth {
                    Some(birth) => Some(*birth),
                    None => find(&nodes, name, number.saturating_sub(1))?.map(|node| node.birth),
                };
                dead.extend(birth.map(|birth| row_key(name, birth)));
            }
            for (name, bytes) in &block.born {
                nodes.insert(row_key(name, number).as_slice(), bytes.as_slice())?;
            }
            deaths.insert(number, dead.encode().as_slice())?;
            headers.insert(number, block.head.encode().as_slice())?;
            bodies.insert(number, block.extrinsics.encode().as_slice())?;
            numbers.insert(&block.head.hash.0, number)?;
        }
        Ok(())
    }

    /// Drops the blocks that are too old: the state of block `n` needs the nodes that died in block `n + 1`.
    fn prune(&self, write: &WriteTransaction, added: &[Staged]) -> Result<(), StoreError> {
        let History::Last(keep) = self.history else { return Ok(()) };
        let Some(newest) = added.last().map(|block| block.head.number()) else { return Ok(()) };
        let mut bodies = write.open_table(BODIES)?;
        let oldest = bodies.first()?.map_or(0, |(number, _)| number.value());
        let bound = (newest + 1).saturating_sub(keep);
        let most = u32::try_from(added.len()).unwrap_or(u32::MAX).saturating_add(PRUNE_AHEAD);
        let mut nodes = write.open_table(NODES)?;
        let mut headers = write.open_table(HEADERS)?;
        let mut numbers = write.open_table(NUMBERS)?;
        let mut deaths = write.open_table(DEATHS)?;
        for number in oldest..bound.min(oldest.saturating_add(most)) {
            bodies.remove(number)?;
            let rows = deaths.remove(number + 1)?;
            let rows = rows.ok_or(StoreError::Damaged("a block's list of obsolete nodes is missing"))?;
            let rows = Vec::<Vec<u8>>::decode(&mut rows.value())
                .map_err(|_| StoreError::Damaged("a block's list of obsolete nodes does not decode"))?;
            for row in rows {
                nodes.remove(row.as_slice())?;
            }
            // Clients know the chain by its first block.
            if number == 0 {
                continue;
            }
            let head = headers.remove(number)?.ok_or(StoreError::Damaged("a header is missing"))?;
            let head = decode_head(head.value())?;
            numbers.remove(&head.hash.0)?;
        }
        Ok(())
    }

    /// Makes everything committed so far, and whatever comes, survive a power cut: for the end.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.flushing.on();
        Ok(self.database.begin_write()?.commit()?)
    }

    /// Makes everything committed so far survive a power cut.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let flushed = self.flush();
        self.flushing.off();
        flushed
    }

    /// Bytes of the file; 0 in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.path.as_ref().and_then(|path| fs::metadata(path).ok()).map_or(0, |metadata| metadata.len())
    }

    /// How many trie nodes are stored.
    pub(crate) fn node_count(&self) -> Result<u64, StoreError> {
        Ok(self.database.begin_read()?.open_table(NODES)?.len()?)
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(PAGE_CACHE);
    builder
}

fn open_file(directory: &Path, create: bool, flushing: Flushing) -> Result<Database, StoreError> {
    let path = directory.join(FILE);
    if !create && !path.exists() {
        return Err(StoreError::Missing(directory.to_owned()));
    }
    let failed = |source| StoreError::Open { path: path.clone(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    let file = OpenOptions::new().read(true).write(true).create(create).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(directory.to_owned())),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Killed while the file was made, a process left it without the mark that the database writes last.
    if is_unborn(&file).map_err(failed)? {
        if !create {
            return Err(StoreError::Missing(directory.to_owned()));
        }
        file.set_len(0).map_err(failed)?;
    }
    Ok(builder().create_with_backend(LazyFile::new(file, flushing)?)?)
}

/// Whether a file begins with zeros only, where a database has its mark.
fn is_unborn(file: &File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.take(MARK).read_to_end(&mut start)?;
    Ok(start.iter().all(|byte| *byte == 0))
}

fn first_block(genesis: Storage) -> (Head, BackendTransaction<BlakeTwo256>) {
    let state: MemoryState<BlakeTwo256> = (genesis, StateVersion::V1).into();
    let extrinsics_root = BlakeTwo256::ordered_trie_root(Vec::new(), StateVersion::V0);
    let header = Header::new(0, extrinsics_root, *state.root(), H256::zero(), Digest::default());
    (Head::of(header), state.into_storage())
}

fn decode_head(bytes: &[u8]) -> Result<Head, StoreError> {
    Head::decode(&mut &*bytes).map_err(|_| StoreError::Damaged("a header does not decode"))
}

fn find_head(read: &ReadTransaction, hash: H256) -> Result<Option<Head>, StoreError> {
    let Some(number) = read.open_table(NUMBERS)?.get(&hash.0)?.map(|number| number.value()) else { return Ok(None) };
    let headers = read.open_table(HEADERS)?;
    headers.get(number)?.map(|bytes| decode_head(bytes.value())).transpose()
}
