//! Trie nodes: their rows on disk, staged nodes in memory, and lookups by the trie.
//!
//! The trie identifies a node by its position (a prefix of storage keys) and its hash. The nodes
//! that a recent block created are one row of [`RECENT_NODES`], because writing a row for each
//! takes most of the time of an empty block, and most of them are obsolete after the next block.
//! Later, the others move to [`NODES`]. There, a row's key starts with the position and the block
//! that created the node, so that the versions of a position are adjacent. A state reads the newest
//! version created at or before its block.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use codec::{Compact, Decode as _, Encode as _};
use foldhash::fast::RandomState;
use hash_db::Prefix;
use lru::LruCache;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
};
use sp_core::H256;
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{DBValue, TrieBackendStorage};

use super::StoreError;

/// The table of single nodes, keyed by [`row_key`].
pub(crate) const NODES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("nodes");
/// The nodes of recent blocks, keyed by the number of the block that created them; see
/// [`nodes_in`].
pub(crate) const RECENT_NODES: TableDefinition<'static, u32, &[u8]> =
    TableDefinition::new("recent");

/// Maximum number of nodes in a row of [`RECENT_NODES`], which a lookup searches from its start.
/// Larger blocks, such as the genesis block, have only rows in [`NODES`]. Small in unit tests,
/// which change few keys.
pub(crate) const MAX_RECENT_NODES: usize = if cfg!(test) { 512 } else { 4_096 };
/// The size of the node cache in bytes.
const CACHE_BYTES: usize = 32 << 20;
/// The overhead of a cache entry in bytes.
const ENTRY_OVERHEAD: usize = 128;
/// The length of the hash prefix in a row's key, in bytes.
const HASH_TAG_BYTES: usize = 8;

/// Identifier of a node as in the trie's own memory databases: the prefix, then 32 bytes of hash.
pub(crate) type NodeName = Arc<[u8]>;

/// A staged node and the block that created it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) created_in: u32,
    pub(crate) bytes: Arc<DBValue>,
}

fn node_name(hash: &H256, prefix: Prefix<'_>) -> Vec<u8> {
    let mut name = Vec::with_capacity(prefix.0.len() + 33);
    name.extend_from_slice(prefix.0);
    name.extend(prefix.1);
    name.extend_from_slice(hash.as_bytes());
    name
}

/// Returns the key of a node's row: length of the prefix, prefix, creating block, first bytes of
/// the hash.
pub(crate) fn row_key(name: &[u8], created_in: u32) -> Vec<u8> {
    let (prefix, hash) = name.split_at(name.len().saturating_sub(32));
    let mut key = position_key(prefix, created_in);
    key.extend_from_slice(hash.get(..HASH_TAG_BYTES).unwrap_or(hash));
    key
}

fn position_key(prefix: &[u8], created_in: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + prefix.len() + 4 + HASH_TAG_BYTES);
    key.extend_from_slice(&u16::try_from(prefix.len()).unwrap_or(u16::MAX).to_be_bytes());
    key.extend_from_slice(prefix);
    key.extend_from_slice(&created_in.to_be_bytes());
    key
}

/// Returns the block that created the node of a row.
pub(crate) fn creation_block_of(key: &[u8]) -> Option<u32> {
    let (without_tag, _) = key.split_last_chunk::<HASH_TAG_BYTES>()?;
    without_tag.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Returns the newest version of a node in [`NODES`] visible at block `block_number`, with the
/// block that created it.
pub(crate) fn find_node(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    name: &[u8],
    block_number: u32,
) -> Result<Option<(u32, DBValue)>, StoreError> {
    let (prefix, hash) = name.split_at(name.len().saturating_sub(32));
    let hash_tag = hash.get(..HASH_TAG_BYTES).unwrap_or(hash);
    let first = position_key(prefix, 0);
    let mut last = position_key(prefix, block_number);
    last.extend_from_slice(&[u8::MAX; HASH_TAG_BYTES]);
    for row in table.range(first.as_slice()..=last.as_slice())?.rev() {
        let (key, value) = row?;
        let Some(created_in) = creation_block_of(key.value()) else { continue };
        if key.value().ends_with(hash_tag) {
            return Ok(Some((created_in, value.value().to_vec())));
        }
    }
    Ok(None)
}

/// Encodes a row of [`RECENT_NODES`]: name and bytes of each node, with their lengths.
pub(crate) fn recent_row(nodes: &[(NodeName, Arc<DBValue>)]) -> Vec<u8> {
    let mut row =
        Vec::with_capacity(nodes.iter().map(|(name, bytes)| name.len() + bytes.len() + 8).sum());
    for (name, bytes) in nodes {
        (&**name, bytes.as_slice()).encode_to(&mut row);
    }
    row
}

/// Returns the names and bytes of the nodes in a row of [`RECENT_NODES`].
pub(crate) fn nodes_in(mut row: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), StoreError>> {
    std::iter::from_fn(move || {
        let node =
            (!row.is_empty()).then(|| Some((read_sized(&mut row)?, read_sized(&mut row)?)))?;
        if node.is_none() {
            row = &[];
        }
        Some(node.ok_or(StoreError::Damaged("malformed list of a block's trie nodes")))
    })
}

fn read_sized<'a>(row: &mut &'a [u8]) -> Option<&'a [u8]> {
    let Compact(length) = Compact::<u32>::decode(row).ok()?;
    let (bytes, remaining) = row.split_at_checked(length as usize)?;
    *row = remaining;
    Some(bytes)
}

/// Trie nodes in memory: staged ones, a cache of recently read ones, and the blocks of those in
/// [`RECENT_NODES`].
pub(crate) struct NodeMemory {
    staged: RwLock<HashMap<NodeName, Node, RandomState>>,
    /// The blocks that created the nodes in [`RECENT_NODES`], by the hash of the name.
    creation_blocks: RwLock<HashMap<u64, u32, RandomState>>,
    cache: Mutex<NodeCache>,
    hasher: RandomState,
}

struct NodeCache {
    nodes: LruCache<NodeName, Arc<DBValue>, RandomState>,
    bytes: usize,
}

impl NodeCache {
    fn put(&mut self, name: NodeName, node: Arc<DBValue>) {
        self.bytes += entry_bytes(&name, &node);
        if let Some((name, node)) = self.nodes.push(name, node) {
            self.bytes = self.bytes.saturating_sub(entry_bytes(&name, &node));
        }
        while self.bytes > CACHE_BYTES {
            let Some((name, node)) = self.nodes.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(entry_bytes(&name, &node));
        }
    }
}

fn entry_bytes(name: &NodeName, node: &DBValue) -> usize {
    name.len() + node.len() + ENTRY_OVERHEAD
}

impl NodeMemory {
    pub(crate) fn new() -> Self {
        let cache =
            NodeCache { nodes: LruCache::unbounded_with_hasher(RandomState::default()), bytes: 0 };
        Self {
            staged: RwLock::default(),
            creation_blocks: RwLock::default(),
            cache: Mutex::new(cache),
            hasher: RandomState::default(),
        }
    }

    fn get(&self, name: &[u8]) -> Option<Arc<DBValue>> {
        let staged = self.staged.read().unwrap_or_else(PoisonError::into_inner);
        let staged = staged.get(name).map(|node| node.bytes.clone());
        staged.or_else(|| {
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).nodes.get(name).cloned()
        })
    }

    fn cache_node(&self, name: NodeName, node: Arc<DBValue>) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(name, node);
    }

    /// Returns the block that created a staged node or one in [`RECENT_NODES`].
    pub(crate) fn created_in_block(&self, name: &[u8]) -> Option<u32> {
        let staged = self
            .staged
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .map(|node| node.created_in);
        staged.or_else(|| self.recent_creation_block(name))
    }

    fn recent_creation_block(&self, name: &[u8]) -> Option<u32> {
        self.creation_blocks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&self.hasher.hash_one(name))
            .copied()
    }

    /// Stages a node of an uncommitted block.
    pub(crate) fn stage(&self, name: NodeName, node: Node) {
        self.staged.write().unwrap_or_else(PoisonError::into_inner).insert(name, node);
    }

    /// Adds the names of nodes in the row of block `created_in` in [`RECENT_NODES`].
    pub(crate) fn add_recent<'a>(&self, created_in: u32, names: impl Iterator<Item = &'a [u8]>) {
        let mut creation_blocks =
            self.creation_blocks.write().unwrap_or_else(PoisonError::into_inner);
        creation_blocks.extend(names.map(|name| (self.hasher.hash_one(name), created_in)));
    }

    /// Adds the names of all nodes in [`RECENT_NODES`].
    pub(crate) fn load_recent(
        &self,
        table: &impl ReadableTable<u32, &'static [u8]>,
    ) -> Result<(), StoreError> {
        for row in table.iter()? {
            let (number, row) = row?;
            let names: Vec<&[u8]> =
                nodes_in(row.value()).map(|node| Ok(node?.0)).collect::<Result<_, StoreError>>()?;
            self.add_recent(number.value(), names.into_iter());
        }
        Ok(())
    }

    /// Removes the names of nodes of which the row in [`RECENT_NODES`] was removed, each with its
    /// block.
    pub(crate) fn remove_recent(&self, names: &[(u32, Vec<u8>)]) {
        let mut creation_blocks =
            self.creation_blocks.write().unwrap_or_else(PoisonError::into_inner);
        for (created_in, name) in names {
            let name = self.hasher.hash_one(name.as_slice());
            // Another block may have created the node again since.
            if creation_blocks.get(&name) == Some(created_in) {
                creation_blocks.remove(&name);
            }
        }
    }

    /// Returns the number of nodes in [`RECENT_NODES`] with different names.
    pub(crate) fn recent_count(&self) -> u64 {
        self.creation_blocks.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Forgets the staged nodes of the blocks up to `newest`, which are committed.
    pub(crate) fn drop_committed(&self, newest: u32) {
        self.staged
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, node| node.created_in > newest);
    }

    /// Discards the staged nodes.
    pub(crate) fn discard_staged(&self) {
        self.staged.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The tables of nodes as of one read transaction.
pub(crate) struct NodeTables {
    nodes: ReadOnlyTable<&'static [u8], &'static [u8]>,
    recent: ReadOnlyTable<u32, &'static [u8]>,
}

impl NodeTables {
    pub(crate) fn open(read_txn: &ReadTransaction) -> Result<Self, StoreError> {
        Ok(Self { nodes: read_txn.open_table(NODES)?, recent: read_txn.open_table(RECENT_NODES)? })
    }

    /// Returns a node, given the block in whose row of [`RECENT_NODES`] it may be.
    fn find_node(
        &self,
        name: &[u8],
        created_in: Option<u32>,
        block_number: u32,
    ) -> Result<Option<DBValue>, StoreError> {
        if let Some(created_in) = created_in
            && let Some(node) = self.find_recent(name, created_in)?
        {
            return Ok(Some(node));
        }
        Ok(find_node(&self.nodes, name, block_number)?.map(|(_, node)| node))
    }

    fn find_recent(&self, name: &[u8], created_in: u32) -> Result<Option<DBValue>, StoreError> {
        let Some(row) = self.recent.get(created_in)? else { return Ok(None) };
        for node in nodes_in(row.value()) {
            let (node_name, bytes) = node?;
            if node_name == name {
                return Ok(Some(bytes.to_vec()));
            }
        }
        Ok(None)
    }

    /// Searches all rows of [`RECENT_NODES`] up to block `block_number` for a node.
    fn search_recent_rows(
        &self,
        name: &[u8],
        block_number: u32,
    ) -> Result<Option<DBValue>, StoreError> {
        for row in self.recent.range(..=block_number)?.rev() {
            if let Some(node) = self.find_recent(name, row?.0.value())? {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }
}

/// The trie nodes visible in one block's state.
///
/// The view holds a read transaction from its creation: nodes pruned later stay visible to it.
pub(crate) struct NodeView {
    pub(crate) database: Arc<Database>,
    pub(crate) memory: Arc<NodeMemory>,
    pub(crate) tables: NodeTables,
    pub(crate) block_number: u32,
}

impl NodeView {
    fn read(&self, name: &[u8]) -> Result<Option<DBValue>, StoreError> {
        if let Some(node) = self.tables.find_node(
            name,
            self.memory.recent_creation_block(name),
            self.block_number,
        )? {
            return Ok(Some(node));
        }
        // Since this view was created, a staged node can be committed and leave memory, and the row
        // of a recent node can be removed.
        let tables = NodeTables::open(&self.database.begin_read()?)?;
        match tables.find_node(name, self.memory.recent_creation_block(name), self.block_number)? {
            Some(node) => Ok(Some(node)),
            None => self.tables.search_recent_rows(name, self.block_number),
        }
    }
}

impl TrieBackendStorage<BlakeTwo256> for NodeView {
    fn get(&self, hash: &H256, prefix: Prefix<'_>) -> Result<Option<DBValue>, String> {
        let name = node_name(hash, prefix);
        if let Some(node) = self.memory.get(&name) {
            return Ok(Some(DBValue::clone(&node)));
        }
        let node = self.read(&name).map_err(|error| error.to_string())?;
        if let Some(node) = &node {
            self.memory.cache_node(name.into(), Arc::new(node.clone()));
        }
        Ok(node)
    }
}
