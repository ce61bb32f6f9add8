//! Values and the trie of the newest state in memory: blocks and the transaction pool read mostly
//! the same items again, and reading one from the trie takes several nodes. Consecutive blocks
//! change mostly the same paths of the trie.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::fast::RandomState;
use sp_core::H256;
use sp_core::storage::{ChildInfo, StateVersion};
use sp_runtime::traits::BlakeTwo256;
use sp_state_machine::{
    Backend, BackendTransaction, DefaultError, IterArgs, StateMachineStats, StorageIterator,
    StorageKey, StorageValue, UsageInfo,
};
use sp_trie::MerkleValue;
use taonet_localnet_runtime::dev::StorageEntry;
use taonet_localnet_trie::{Tree, TreeError};

use super::{State, StoreError};

/// Maximum size of the values and their keys in bytes; beyond it they are read from the trie again.
const MAX_BYTES: usize = 16 << 20;
/// Maximum number of positions whose next key is cached.
const MAX_POSITIONS: usize = 1_000;
/// Maximum number of decoded trie nodes; beyond it they are read again.
const MAX_NODES: usize = 65_536;

type BackendResult<T> = Result<T, DefaultError>;
type TrieKeys = <State as Backend<BlakeTwo256>>::RawIter;

/// Values of one state.
#[derive(Debug, Default)]
pub(crate) struct ValueCache {
    tree: Tree,
    /// The trie after the changes whose root was computed last. They may be those of the next
    /// block.
    candidate_tree: Option<Tree>,
    /// The items that were read; `None` for keys without a value.
    items: HashMap<StorageKey, Option<StorageValue>, RandomState>,
    /// The size of `items` in bytes.
    bytes: usize,
    /// The first key after a position.
    next_keys: BTreeMap<StorageKey, Option<StorageKey>>,
}

impl ValueCache {
    /// Applies the changes of the block after the state with root `parent`. Values of another state
    /// are discarded.
    fn advance(&mut self, parent: H256, root: H256, changes: &[StorageEntry]) {
        let tree = self
            .candidate_tree
            .take()
            .filter(|tree| tree.root() == root)
            .unwrap_or_else(|| Tree::new(root));
        if self.tree.root() != parent {
            *self = Self { tree, ..Self::default() };
            return;
        }
        self.tree = tree;
        for (key, value) in changes {
            self.apply_change(key, value.as_ref());
            self.remove_positions(key, value.is_some());
        }
    }

    /// Caches the trie of a state that may be the next one.
    fn set_candidate_tree(&mut self, tree: Tree) {
        let is_within_limit = tree.loaded_nodes() <= MAX_NODES;
        if !is_within_limit {
            self.tree = Tree::new(self.tree.root());
        }
        self.candidate_tree = is_within_limit.then_some(tree);
    }

    /// Removes the positions whose first key changes when a key appears or disappears.
    fn remove_positions(&mut self, key: &StorageKey, exists: bool) {
        // A later position has no earlier first key, so the affected ones are the last before the
        // key.
        let affected_positions: Vec<StorageKey> = self
            .next_keys
            .range::<StorageKey, _>(..key)
            .rev()
            .take_while(|(_, next)| match next {
                Some(next) if exists => next > key,
                Some(next) => next == key,
                None => exists,
            })
            .map(|(position, _)| position.clone())
            .collect();
        for position in affected_positions {
            self.next_keys.remove(&position);
        }
    }

    fn apply_change(&mut self, key: &StorageKey, value: Option<&StorageValue>) {
        let Some(item) = self.items.get_mut(key) else { return };
        self.bytes = self.bytes.saturating_sub(size(item.as_ref()));
        match (&item, value) {
            // Most items that disappear do not return, such as the hash of an old block.
            (Some(_), None) => {
                self.bytes = self.bytes.saturating_sub(key.len());
                self.items.remove(key);
            }
            (_, value) => {
                self.bytes = self.bytes.saturating_add(size(value));
                *item = value.cloned();
            }
        }
    }

    fn cache_value(&mut self, key: &[u8], value: Option<&StorageValue>) {
        let bytes = key.len().saturating_add(size(value));
        if self.bytes.saturating_add(bytes) > MAX_BYTES {
            self.items.clear();
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.items.insert(key.to_vec(), value.cloned());
    }

    fn cache_next(&mut self, position: &[u8], next: Option<&StorageKey>) {
        if self.next_keys.len() >= MAX_POSITIONS {
            self.next_keys.clear();
        }
        self.next_keys.insert(position.to_vec(), next.cloned());
    }
}

fn size(value: Option<&StorageValue>) -> usize {
    value.map_or(0, Vec::len)
}

/// A state that reads cached values from memory, and others from the trie.
#[derive(Debug)]
pub(crate) struct CachedState {
    state: State,
    /// Values of this state, or of another one if blocks were built since.
    values: Arc<RwLock<ValueCache>>,
    /// The first error of computing a root.
    root_error: OnceLock<TreeError>,
}

impl CachedState {
    pub(crate) fn new(state: State, values: Arc<RwLock<ValueCache>>) -> Self {
        Self { state, values, root_error: OnceLock::new() }
    }

    /// Checks that all roots of changes to this state could be computed: [`Backend::storage_root`]
    /// has no error.
    ///
    /// # Errors
    /// Why a root could not be computed; [`Backend::storage_root`] then returned the unchanged
    /// root.
    pub(crate) fn check_roots(&self) -> Result<(), String> {
        match self.root_error.get() {
            None => Ok(()),
            Some(TreeError::Storage(reason)) => Err(reason.clone()),
            Some(error) => Err(StoreError::Corrupt(error.to_string()).to_string()),
        }
    }

    /// Updates the values to the state after the next block, whose state root is `root`.
    pub(crate) fn advance(&self, root: H256, changes: &[StorageEntry]) {
        self.values.write().unwrap_or_else(PoisonError::into_inner).advance(
            *self.state.root(),
            root,
            changes,
        );
    }

    /// Returns the values, unless they are those of another state.
    fn values(&self) -> Option<RwLockReadGuard<'_, ValueCache>> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        (values.tree.root() == *self.state.root()).then_some(values)
    }

    fn values_mut(&self) -> Option<RwLockWriteGuard<'_, ValueCache>> {
        let values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        (values.tree.root() == *self.state.root()).then_some(values)
    }

    /// Returns the value of a key, if it is cached.
    #[allow(clippy::option_option, reason = "not cached, cached as absent, or a value")]
    fn cached_value(&self, key: &[u8]) -> Option<Option<StorageValue>> {
        self.values()?.items.get(key).cloned()
    }

    /// Whether no key has this prefix.
    fn is_empty(&self, prefix: &[u8]) -> BackendResult<bool> {
        let has_next = self.next_storage_key(prefix)?.is_some_and(|next| next.starts_with(prefix));
        Ok(!has_next && !self.exists_storage(prefix)?)
    }

    /// Computes the root after changes, and the nodes that appear and disappear.
    fn compute_root<'b>(
        &self,
        delta: impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)>,
    ) -> Result<(H256, BackendTransaction<BlakeTwo256>), TreeError> {
        let cached = self.values().map(|values| values.tree.clone());
        let tree = cached.unwrap_or_else(|| Tree::new(*self.state.root()));
        let (tree, nodes) = tree.with_changes(delta, self.state.backend_storage())?;
        let root = tree.root();
        if let Some(mut values) = self.values_mut() {
            values.set_candidate_tree(tree);
        }
        Ok((root, nodes))
    }
}

impl Backend<BlakeTwo256> for CachedState {
    type Error = DefaultError;
    type TrieBackendStorage = <State as Backend<BlakeTwo256>>::TrieBackendStorage;
    type RawIter = KeyIterator;

    fn storage(&self, key: &[u8]) -> BackendResult<Option<StorageValue>> {
        if let Some(value) = self.cached_value(key) {
            return Ok(value);
        }
        let value = self.state.storage(key)?;
        if let Some(mut values) = self.values_mut() {
            values.cache_value(key, value.as_ref());
        }
        Ok(value)
    }

    fn exists_storage(&self, key: &[u8]) -> BackendResult<bool> {
        if let Some(exists) =
            self.values().and_then(|values| values.items.get(key).map(Option::is_some))
        {
            return Ok(exists);
        }
        Ok(self.storage(key)?.is_some())
    }

    fn next_storage_key(&self, key: &[u8]) -> BackendResult<Option<StorageKey>> {
        if let Some(next) = self.values().and_then(|values| values.next_keys.get(key).cloned()) {
            return Ok(next);
        }
        let next = self.state.next_storage_key(key)?;
        if let Some(mut values) = self.values_mut() {
            values.cache_next(key, next.as_ref());
        }
        Ok(next)
    }

    fn raw_iter(&self, args: IterArgs<'_>) -> BackendResult<Self::RawIter> {
        let is_empty = match args.prefix {
            Some(prefix) if args.child_info.is_none() => self.is_empty(prefix)?,
            _ => false,
        };
        Ok(KeyIterator(if is_empty { TrieKeys::default() } else { self.state.raw_iter(args)? }))
    }

    fn storage_root<'b>(
        &self,
        delta: impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)>,
        state_version: StateVersion,
    ) -> (H256, BackendTransaction<BlakeTwo256>) {
        if state_version != StateVersion::V1 {
            return self.state.storage_root(delta, state_version);
        }
        self.compute_root(delta).unwrap_or_else(|error| {
            // The first failure is the one to report.
            let _ = self.root_error.set(error);
            (*self.state.root(), BackendTransaction::default())
        })
    }

    fn storage_hash(&self, key: &[u8]) -> BackendResult<Option<H256>> {
        self.state.storage_hash(key)
    }

    fn closest_merkle_value(&self, key: &[u8]) -> BackendResult<Option<MerkleValue<H256>>> {
        self.state.closest_merkle_value(key)
    }

    fn child_closest_merkle_value(
        &self,
        child: &ChildInfo,
        key: &[u8],
    ) -> BackendResult<Option<MerkleValue<H256>>> {
        self.state.child_closest_merkle_value(child, key)
    }

    fn child_storage(&self, child: &ChildInfo, key: &[u8]) -> BackendResult<Option<StorageValue>> {
        self.state.child_storage(child, key)
    }

    fn child_storage_hash(&self, child: &ChildInfo, key: &[u8]) -> BackendResult<Option<H256>> {
        self.state.child_storage_hash(child, key)
    }

    fn next_child_storage_key(
        &self,
        child: &ChildInfo,
        key: &[u8],
    ) -> BackendResult<Option<StorageKey>> {
        self.state.next_child_storage_key(child, key)
    }

    fn child_storage_root<'b>(
        &self,
        child: &ChildInfo,
        delta: impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)>,
        state_version: StateVersion,
    ) -> (H256, bool, BackendTransaction<BlakeTwo256>) {
        self.state.child_storage_root(child, delta, state_version)
    }

    fn register_overlay_stats(&self, stats: &StateMachineStats) {
        self.state.register_overlay_stats(stats);
    }

    fn usage_info(&self) -> UsageInfo {
        self.state.usage_info()
    }
}

/// An iterator over the keys of a [`CachedState`].
pub(crate) struct KeyIterator(TrieKeys);

impl StorageIterator<BlakeTwo256> for KeyIterator {
    type Backend = CachedState;
    type Error = DefaultError;

    fn next_key(&mut self, state: &CachedState) -> Option<BackendResult<StorageKey>> {
        self.0.next_key(&state.state)
    }

    fn next_pair(
        &mut self,
        state: &CachedState,
    ) -> Option<BackendResult<(StorageKey, StorageValue)>> {
        self.0.next_pair(&state.state)
    }

    fn was_complete(&self) -> bool {
        self.0.was_complete()
    }
}

#[cfg(test)]
mod tests;
