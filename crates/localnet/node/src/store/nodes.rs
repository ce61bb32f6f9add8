//! Trie nodes: their rows on disk, staged nodes in memory, and lookups by the trie.
//!
//! The trie identifies a node by its position (a prefix of storage keys) and its hash. A row's key starts with the
//! position and the block that created the node, so that the versions of a position are adjacent and consecutive blocks
//! write to the same few pages. A state reads the newest version created at or before its block.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hash_db::Prefix;
use lru::LruCache;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use sp_core::H256;
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{DBValue, TrieBackendStorage};

use super::StoreError;

/// The table of nodes, keyed by [`row_key`].
pub(crate) const NODES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("nodes");

/// The size of the node cache in bytes.
const CACHE_BYTES: usize = 32 << 20;
/// The overhead of a cache entry in bytes.
const ENTRY_OVERHEAD: usize = 128;
/// The length of the hash prefix in a row's key, in bytes.
const TAG: usize = 8;

/// Identifier of a node as in the trie's own memory databases: the prefix, then 32 bytes of hash.
pub(crate) type NodeName = Arc<[u8]>;

/// A node and the block that created it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) birth: u32,
    pub(crate) bytes: Arc<DBValue>,
}

fn name_of(hash: &H256, prefix: Prefix<'_>) -> Vec<u8> {
    let mut name = Vec::with_capacity(prefix.0.len() + 33);
    name.extend_from_slice(prefix.0);
    name.extend(prefix.1);
    name.extend_from_slice(hash.as_bytes());
    name
}

/// Returns the key of a node's row: length of the prefix, prefix, creating block, first bytes of the hash.
pub(crate) fn row_key(name: &[u8], birth: u32) -> Vec<u8> {
    let (prefix, hash) = name.split_at(name.len().saturating_sub(32));
    let mut key = position(prefix, birth);
    key.extend_from_slice(hash.get(..TAG).unwrap_or(hash));
    key
}

fn position(prefix: &[u8], birth: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + prefix.len() + 4 + TAG);
    key.extend_from_slice(&u16::try_from(prefix.len()).unwrap_or(u16::MAX).to_be_bytes());
    key.extend_from_slice(prefix);
    key.extend_from_slice(&birth.to_be_bytes());
    key
}

/// Returns the block that created the node of a row.
pub(crate) fn birth_of(key: &[u8]) -> Option<u32> {
    let (rest, _) = key.split_last_chunk::<TAG>()?;
    rest.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Returns the newest version of a node visible at block `at`.
pub(crate) fn find(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    name: &[u8],
    at: u32,
) -> Result<Option<Node>, StoreError> {
    let (prefix, hash) = name.split_at(name.len().saturating_sub(32));
    let tag = hash.get(..TAG).unwrap_or(hash);
    let first = position(prefix, 0);
    let mut last = position(prefix, at);
    last.extend_from_slice(&[u8::MAX; TAG]);
    for row in table.range(first.as_slice()..=last.as_slice())?.rev() {
        let (key, value) = row?;
        let Some(birth) = birth_of(key.value()) else { continue };
        if key.value().ends_with(tag) {
            return Ok(Some(Node { birth, bytes: Arc::new(value.value().to_vec()) }));
        }
    }
    Ok(None)
}

/// Trie nodes in memory: staged ones, and a cache of recently used ones.
pub(crate) struct NodeMemory {
    staged: RwLock<HashMap<NodeName, Node>>,
    cache: Mutex<NodeCache>,
}

struct NodeCache {
    nodes: LruCache<NodeName, Node>,
    bytes: usize,
}

impl NodeCache {
    fn put(&mut self, name: NodeName, node: Node) {
        self.bytes += weight(&name, &node);
        if let Some((name, node)) = self.nodes.push(name, node) {
            self.bytes = self.bytes.saturating_sub(weight(&name, &node));
        }
        while self.bytes > CACHE_BYTES {
            let Some((name, node)) = self.nodes.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(weight(&name, &node));
        }
    }
}

fn weight(name: &NodeName, node: &Node) -> usize {
    name.len() + node.bytes.len() + ENTRY_OVERHEAD
}

impl NodeMemory {
    pub(crate) fn new() -> Self {
        let cache = NodeCache { nodes: LruCache::unbounded(), bytes: 0 };
        Self { staged: RwLock::default(), cache: Mutex::new(cache) }
    }

    fn get(&self, name: &[u8]) -> Option<Node> {
        let staged = self.staged.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        staged.or_else(|| self.cache.lock().unwrap_or_else(PoisonError::into_inner).nodes.get(name).cloned())
    }

    fn remember(&self, name: NodeName, node: Node) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(name, node);
    }

    /// Returns the block that created a node, if the node is in memory.
    pub(crate) fn birth(&self, name: &[u8]) -> Option<u32> {
        let staged = self.staged.read().unwrap_or_else(PoisonError::into_inner).get(name).map(|node| node.birth);
        staged.or_else(|| {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.nodes.peek(name).map(|node| node.birth)
        })
    }

    /// Stages a node of an uncommitted block.
    pub(crate) fn stage(&self, name: NodeName, node: Node) {
        self.staged.write().unwrap_or_else(PoisonError::into_inner).insert(name, node);
    }

    /// Marks the staged nodes of the blocks up to `newest` as committed, and moves them to the cache.
    pub(crate) fn settle(&self, newest: u32) {
        let mut staged = self.staged.write().unwrap_or_else(PoisonError::into_inner);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, node) in staged.extract_if(|_, node| node.birth <= newest) {
            cache.put(name, node);
        }
    }

    /// Discards the staged nodes.
    pub(crate) fn discard(&self) {
        self.staged.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The trie nodes visible in one block's state.
///
/// The view holds a read transaction from its creation: nodes pruned later stay visible to it.
pub(crate) struct NodeView {
    pub(crate) database: Arc<Database>,
    pub(crate) memory: Arc<NodeMemory>,
    pub(crate) table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(crate) at: u32,
    /// Whether to cache nodes that are read: only for the newest state, since marking a node as obsolete requires the
    /// number of the block that created it.
    pub(crate) newest: bool,
}

impl NodeView {
    fn read(&self, name: &[u8]) -> Result<Option<Node>, StoreError> {
        if let Some(node) = find(&self.table, name, self.at)? {
            return Ok(Some(node));
        }
        // A staged node can be committed, and leave memory, after this view was created.
        find(&self.database.begin_read()?.open_table(NODES)?, name, self.at)
    }
}

impl TrieBackendStorage<BlakeTwo256> for NodeView {
    fn get(&self, hash: &H256, prefix: Prefix<'_>) -> Result<Option<DBValue>, String> {
        let name = name_of(hash, prefix);
        if let Some(node) = self.memory.get(&name) {
            return Ok(Some(DBValue::clone(&node.bytes)));
        }
        let Some(node) = self.read(&name).map_err(|error| error.to_string())? else { return Ok(None) };
        if self.newest {
            self.memory.remember(name.into(), node.clone());
        }
        Ok(Some(DBValue::clone(&node.bytes)))
    }
}
