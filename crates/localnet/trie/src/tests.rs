use std::collections::{BTreeMap, BTreeSet};

use hash_db::HashDBRef;
use proptest::prelude::*;
use sp_core::storage::StateVersion;
use sp_state_machine::{Backend, DBValue, TrieBackendBuilder};
use sp_trie::PrefixedMemoryDB;

use super::*;

type Delta = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The nodes of one state, as on disk.
#[derive(Default, Clone)]
struct NodeStore(BTreeMap<Vec<u8>, Vec<u8>>);

impl TrieBackendStorage<BlakeTwo256> for NodeStore {
    fn get(&self, hash: &H256, prefix: Prefix<'_>) -> Result<Option<DBValue>, String> {
        let name = sp_trie::prefixed_key::<BlakeTwo256>(hash, prefix);
        if *hash == empty_root() { Ok(Some(vec![0])) } else { Ok(self.0.get(&name).cloned()) }
    }
}

/// The nodes that appear with their bytes, and the names of those that disappear.
type NodeChanges = (BTreeMap<Vec<u8>, Vec<u8>>, BTreeSet<Vec<u8>>);

fn node_changes(mut transaction: BackendTransaction<BlakeTwo256>) -> NodeChanges {
    let (mut added, mut removed) = NodeChanges::default();
    for (name, (bytes, references)) in transaction.drain() {
        if references > 0 {
            assert_eq!(references, 1, "two equal nodes at {name:x?}");
            added.insert(name, bytes);
        } else if references < 0 {
            assert_eq!(references, -1, "a node disappears twice at {name:x?}");
            removed.insert(name);
        }
    }
    (added, removed)
}

impl NodeStore {
    fn apply(&mut self, (added, removed): NodeChanges) {
        for name in removed {
            assert!(self.0.remove(&name).is_some(), "no node {name:x?}");
        }
        self.0.extend(added);
    }
}

fn empty_root() -> H256 {
    sp_trie::NodeCodec::<BlakeTwo256>::hashed_null_node()
}

fn borrowed(delta: &Delta) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    delta.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
}

/// The state by `trie-db`, and by the tree.
struct TriePair {
    items: BTreeMap<Vec<u8>, Vec<u8>>,
    disk: NodeStore,
    tree: Tree,
}

impl TriePair {
    fn new() -> Self {
        Self { items: BTreeMap::new(), disk: NodeStore::default(), tree: Tree::new(empty_root()) }
    }

    /// Applies changes to both, and compares the results.
    fn change(&mut self, delta: &Delta) {
        // `trie-db` damages the trie, or panics, when it removes a missing key that is a prefix of
        // others.
        let mut exists: BTreeSet<_> = self.items.keys().cloned().collect();
        let mut applicable = Delta::new();
        let last: BTreeMap<_, _> = delta.iter().cloned().collect();
        for (key, value) in last {
            if value.is_some() || exists.remove(&key) {
                applicable.push((key, value));
            }
        }
        let state = TrieBackendBuilder::new(self.disk.clone(), self.tree.root()).build();
        let (root, expected) = state.storage_root(borrowed(&applicable), StateVersion::V1);
        let (tree, transaction) = self.tree.with_changes(borrowed(delta), &self.disk).unwrap();
        let changes = node_changes(transaction);
        assert_eq!((tree.root(), &changes), (root, &node_changes(expected)), "{delta:x?}");
        self.disk.apply(changes);
        for (key, value) in applicable {
            match value {
                Some(value) => self.items.insert(key, value),
                None => self.items.remove(&key),
            };
        }
        self.tree = tree;
    }

    fn unload(&mut self) {
        self.tree = Tree::new(self.tree.root());
    }
}

/// Returns the first half of a hash, as long as the hashes in storage keys.
fn half_hash(bytes: &[u8]) -> Vec<u8> {
    BlakeTwo256::hash(bytes)[..16].to_vec()
}

/// Short keys, often prefixes of each other, and keys of storage maps.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let nibbles = prop::sample::select(vec![0_u8, 1, 0x10, 0x11, 0xff]);
    let short = prop::collection::vec(nibbles.clone(), 0..4);
    let item = (0..3_u8, prop::collection::vec(nibbles, 0..3)).prop_map(|(pallet, suffix)| {
        let mut key = half_hash(&[pallet]);
        key.extend(half_hash(&[pallet % 2]));
        key.extend(suffix);
        key
    });
    prop_oneof![short, item]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![Just(0_usize), 1..4_usize, 20..36_usize, 31..34_usize, Just(80)];
    (0..3_u8, length).prop_map(|(byte, length)| vec![byte; length])
}

fn delta() -> impl Strategy<Value = Delta> {
    let change = || (key(), prop::option::weighted(0.6, value()));
    prop_oneof![4 => prop::collection::vec(change(), 0..6), 1 => prop::collection::vec(change(), 0..60)]
}

#[derive(Debug, Clone)]
enum Step {
    Change(Delta),
    RemoveAll,
    /// Drops the nodes from memory, so that they are read again.
    Unload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => delta().prop_map(Step::Change),
        1 => Just(Step::RemoveAll),
        2 => Just(Step::Unload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn roots_and_nodes_equal_the_reference_trie(steps in prop::collection::vec(step(), 1..16)) {
        let mut both = TriePair::new();
        for step in steps {
            match step {
                Step::Change(delta) => both.change(&delta),
                Step::RemoveAll => {
                    let delta = both.items.keys().map(|key| (key.clone(), None)).collect();
                    both.change(&delta);
                    prop_assert_eq!(both.tree.root(), empty_root());
                    prop_assert!(both.disk.0.is_empty());
                }
                Step::Unload => both.unload(),
            }
        }
    }

    #[test]
    fn missing_node_is_an_error(first in delta(), second in delta(), missing in any::<prop::sample::Index>()) {
        let mut both = TriePair::new();
        both.change(&first);
        both.unload();
        if !both.disk.0.is_empty() {
            let name = missing.get(&both.disk.0.keys().cloned().collect::<Vec<_>>()).clone();
            let complete = both.disk.clone();
            both.disk.0.remove(&name);
            let (expected, _) = both.tree.with_changes(borrowed(&second), &complete).unwrap();
            both.unload();
            match both.tree.with_changes(borrowed(&second), &both.disk) {
                Ok((tree, _)) => prop_assert_eq!(tree.root(), expected.root()),
                Err(error) => {
                    let hash = H256::from_slice(&name[name.len() - 32..]);
                    prop_assert_eq!(error, TreeError::Missing(hash));
                }
            }
        }
    }
}

/// 100 keys of a storage map with values of 40 bytes.
fn map_items() -> Delta {
    (0..100_u8).map(|number| (half_hash(&[number]), Some(vec![1; 40]))).collect()
}

#[test]
fn missing_root_node_is_an_error() {
    let tree = Tree::new(H256::repeat_byte(1));
    let delta = [(b"key".as_slice(), None)];
    let error = tree.with_changes(delta, &NodeStore::default()).err();
    assert_eq!(error, Some(TreeError::Missing(H256::repeat_byte(1))));
}

#[test]
fn malformed_node_is_an_error() {
    let mut both = TriePair::new();
    both.change(&map_items());
    both.unload();
    let root = both.tree.root();
    for bytes in [vec![], vec![0], vec![0xff; 9]] {
        both.disk.0.insert(root.as_bytes().to_vec(), bytes);
        let error = both.tree.with_changes([(b"key".as_slice(), None)], &both.disk).err();
        assert_eq!(error, Some(TreeError::Malformed(root)));
    }
}

#[test]
fn ineffective_changes_leave_trie_unchanged() {
    let mut both = TriePair::new();
    let delta = map_items();
    both.change(&delta);
    let removed = (b"missing".to_vec(), None);
    let same = delta.iter().cloned().chain([removed]).collect::<Delta>();
    let (tree, transaction) = both.tree.with_changes(borrowed(&same), &both.disk).unwrap();
    assert_eq!(tree.root(), both.tree.root());
    assert!(transaction.keys().is_empty());
}

#[test]
fn last_change_of_a_key_wins() {
    let empty = Tree::new(empty_root());
    let root_after = |delta: &Delta| {
        empty.with_changes(borrowed(delta), &NodeStore::default()).unwrap().0.root()
    };
    let (key, one, two) = (b"key".to_vec(), Some(vec![1]), Some(vec![2]));
    let twice = root_after(&vec![
        (key.clone(), two.clone()),
        (b"a".to_vec(), one.clone()),
        (key.clone(), one.clone()),
    ]);
    assert_eq!(twice, root_after(&vec![(b"a".to_vec(), one.clone()), (key.clone(), one)]));
    assert_eq!(root_after(&vec![(key.clone(), two), (key, None)]), empty_root());
}

/// Forwards to the nodes, and counts how often they are read.
struct CountingNodes<'a>(&'a NodeStore, std::sync::atomic::AtomicUsize);

impl TrieBackendStorage<BlakeTwo256> for CountingNodes<'_> {
    fn get(&self, hash: &H256, prefix: Prefix<'_>) -> Result<Option<DBValue>, String> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.get(hash, prefix)
    }
}

#[test]
fn trie_nodes_are_read_once_and_counted_until_dropped() {
    let mut both = TriePair::new();
    both.change(&map_items());
    both.unload();
    assert_eq!(both.tree.loaded_nodes(), 1, "only the tree");
    let delta: Delta = vec![(map_items()[7].0.clone(), Some(vec![2]))];
    let nodes = CountingNodes(&both.disk, 0.into());
    let (changed_tree, _) = both.tree.with_changes(borrowed(&delta), &nodes).unwrap();
    let reads = nodes.1.into_inner();
    assert!((2..8).contains(&reads), "{reads}");
    // The nodes of the path, before and after the change.
    assert_eq!(both.tree.loaded_nodes(), 2 + 2 * reads);
    let nodes = CountingNodes(&both.disk, 0.into());
    both.tree.with_changes(borrowed(&delta), &nodes).unwrap();
    assert_eq!(nodes.1.into_inner(), 0);
    drop(both);
    assert_eq!(changed_tree.loaded_nodes(), 1 + reads);
}

#[test]
fn reference_backend_reads_the_same_values() {
    let mut both = TriePair::new();
    both.change(&map_items());
    let mut database = PrefixedMemoryDB::<BlakeTwo256>::default();
    let (tree, transaction) =
        Tree::new(empty_root()).with_changes(borrowed(&map_items()), &both.disk).unwrap();
    database.consolidate(transaction);
    for (name, bytes) in &both.disk.0 {
        let (prefix, hash) = name.split_at(name.len() - 32);
        assert_eq!(
            HashDBRef::get(&database, &H256::from_slice(hash), (prefix, None)).as_ref(),
            Some(bytes)
        );
    }
    let state = TrieBackendBuilder::new(database, tree.root()).build();
    for (key, value) in map_items() {
        assert_eq!(state.storage(&key).unwrap(), value);
    }
}
