use proptest::prelude::*;
use sp_runtime::Digest;
use sp_runtime::traits::Header as _;
use sp_state_machine::OverlayedChanges;
use taonet_localnet_runtime::{Header, genesis};

use super::*;
use crate::store::{Head, History, Store};

/// Keys that are read: few and short, so that they are often prefixes and successors of each other.
fn key() -> impl Strategy<Value = StorageKey> {
    prop::collection::vec(0..3_u8, 1..4)
}

/// Keys that are changed. They have one length, because the reference, `trie-db`, panics when it
/// removes a missing key that is a prefix of other keys.
fn changed_key() -> impl Strategy<Value = StorageKey> {
    prop::collection::vec(0..3_u8, 3)
}

fn value() -> impl Strategy<Value = Option<StorageValue>> {
    // From 33 bytes on, the trie stores a value in its own node.
    prop::option::of(
        (0..3_u8, prop_oneof![Just(1_usize), Just(40)])
            .prop_map(|(byte, length)| vec![byte; length]),
    )
}

/// The keys that a block reads, and its changes.
fn block() -> impl Strategy<Value = (Vec<StorageKey>, Vec<StorageEntry>)> {
    (prop::collection::vec(key(), 0..8), prop::collection::vec((changed_key(), value()), 0..8))
}

fn keys_of<B: Backend<BlakeTwo256>>(state: &B, prefix: &[u8]) -> Vec<StorageKey> {
    let mut args = IterArgs::default();
    args.prefix = Some(prefix);
    state.keys(args).ok().unwrap().map(|key| key.ok().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cached_values_equal_trie_values(blocks in prop::collection::vec(block(), 1..12)) {
        let store = Store::open(None, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap();
        let mut head = store.head().unwrap();
        for (reads, changes) in blocks {
            let newest = store.tip_state(&head).unwrap();
            let state = &newest.state;
            for key in &reads {
                prop_assert_eq!(newest.storage(key), state.storage(key));
                prop_assert_eq!(newest.exists_storage(key), state.exists_storage(key));
                prop_assert_eq!(newest.next_storage_key(key), state.next_storage_key(key));
                prop_assert_eq!(keys_of(&newest, key), keys_of(state, key));
            }
            let mut overlay = OverlayedChanges::<BlakeTwo256>::default();
            for (key, value) in changes {
                overlay.set_storage(key, value);
            }
            let expected = overlay.clone().drain_storage_changes(state, StateVersion::V1).unwrap();
            let actual = overlay.drain_storage_changes(&newest, StateVersion::V1).unwrap();
            prop_assert_eq!(actual.transaction_storage_root, expected.transaction_storage_root);
            prop_assert_eq!(&actual.main_storage_changes, &expected.main_storage_changes);
            prop_assert_eq!(actual.transaction.keys(), expected.transaction.keys());
            newest.advance(actual.transaction_storage_root, &actual.main_storage_changes);
            let (number, root) = (head.number() + 1, actual.transaction_storage_root);
            head = Head::of(Header::new(number, H256::zero(), root, head.hash, Digest::default()));
            let staged = store.stage(head.clone(), Vec::new(), actual.transaction);
            store.commit(&[staged]).unwrap();
        }
    }
}

/// Returns a view of the newest state, and its root.
fn newest_state(store: &Store) -> (CachedState, H256) {
    let state = store.tip_state(&store.head().unwrap()).unwrap();
    let root = *state.state.root();
    (state, root)
}

#[test]
fn cached_item_is_not_read_again() {
    let store = Store::open(None, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap();
    let (state, root) = newest_state(&store);
    let key = b":slot_duration";
    // The first block of an author makes its state the one whose values are kept.
    state.advance(root, &[]);
    assert_eq!(state.storage(key), Ok(None));
    store.value_cache.write().unwrap().items.insert(key.to_vec(), Some(vec![7]));
    assert_eq!(state.storage(key), Ok(Some(vec![7])));
    assert_eq!(newest_state(&store).0.storage(key), Ok(Some(vec![7])));
}

#[test]
fn cached_values_of_another_state_are_not_used() {
    let store = Store::open(None, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap();
    let (state, root) = newest_state(&store);
    state.advance(root, &[]);
    let (key, next) = (b":slot_duration".to_vec(), H256::repeat_byte(1));
    assert_eq!(state.storage(&key), Ok(None));
    state.advance(next, &[(key.clone(), Some(vec![7]))]);
    assert_eq!(store.value_cache.read().unwrap().items.get(&key), Some(&Some(vec![7])));
    assert_eq!(state.storage(&key), Ok(None));
    assert_eq!(state.storage(b"another"), Ok(None));
    assert!(!store.value_cache.read().unwrap().items.contains_key(b"another".as_slice()));
    // A block after the older state, for instance after a revert.
    state.advance(root, &[]);
    assert!(store.value_cache.read().unwrap().items.is_empty());
    assert_eq!(state.storage(&key), Ok(None));
}

/// Returns the root after a change of one item, and the change.
fn change_one_item(state: &CachedState) -> (H256, [StorageEntry; 1]) {
    let (key, value) = (b"key".to_vec(), b"value".to_vec());
    let (root, _) = state
        .storage_root([(key.as_slice(), Some(value.as_slice()))].into_iter(), StateVersion::V1);
    (root, [(key, Some(value))])
}

#[test]
fn missing_trie_node_is_reported() {
    let store = Store::open(None, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap();
    let (state, root) = newest_state(&store);
    let _ = change_one_item(&state);
    assert_eq!(state.check_roots(), Ok(()));
    let incomplete = Head::of(Header::new(
        1,
        H256::zero(),
        H256::repeat_byte(1),
        H256::zero(),
        Digest::default(),
    ));
    let state = store.tip_state(&incomplete).unwrap();
    // The trie in memory is of this state, or of another one.
    for root in [*state.state.root(), root] {
        store.value_cache.write().unwrap().advance(H256::zero(), root, &[]);
        let state = store.tip_state(&incomplete).unwrap();
        assert_eq!(change_one_item(&state).0, *incomplete.header.state_root());
        assert!(state.check_roots().unwrap_err().contains("is missing; hint: reset the chain"));
    }
}

#[test]
fn trie_of_next_state_stays_in_memory() {
    let store = Store::open(None, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap();
    let (state, root) = newest_state(&store);
    let (first, changes) = change_one_item(&state);
    assert!(
        store.value_cache.read().unwrap().candidate_tree.is_none(),
        "the trie of another state"
    );
    state.advance(root, &[]);
    let (second, _) = change_one_item(&state);
    assert_eq!(second, first);
    state.advance(second, &changes);
    let values = store.value_cache.read().unwrap();
    assert_eq!(values.tree.root(), second);
    assert!(values.tree.loaded_nodes() > 1, "no node is in memory");
}

#[test]
fn trie_of_discarded_state_leaves_memory() {
    let store = Store::open(None, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap();
    let (state, root) = newest_state(&store);
    state.advance(root, &[]);
    let _ = change_one_item(&state);
    state.advance(H256::repeat_byte(1), &[]);
    let values = store.value_cache.read().unwrap();
    assert_eq!(values.tree.root(), H256::repeat_byte(1));
    assert_eq!(values.tree.loaded_nodes(), 1, "only the tree");
    assert!(values.candidate_tree.is_none());
}

#[test]
fn number_of_cached_nodes_is_bounded() {
    let store = Store::open(None, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap();
    let (state, _) = newest_state(&store);
    let empty = Tree::new(sp_trie::empty_trie_root::<sp_trie::LayoutV1<BlakeTwo256>>());
    let keys: Vec<_> = (0..65_600_u32).map(u32::to_be_bytes).collect();
    let delta = keys.iter().map(|key| (key.as_slice(), Some(key.as_slice())));
    let (tree, _) = empty.with_changes(delta, state.state.backend_storage()).unwrap();
    let mut values = ValueCache { tree, ..ValueCache::default() };
    let root = values.tree.root();
    values.set_candidate_tree(values.tree.clone());
    assert!(values.candidate_tree.is_none());
    assert_eq!(values.tree.root(), root);
    assert_eq!(values.tree.loaded_nodes(), 1, "only the tree");
}

/// Columns: changed key · whether it exists afterwards · positions to forget
#[test]
fn change_invalidates_positions_up_to_the_previous_key() {
    for (key, exists, forgotten) in [
        (5, false, &[2, 3, 4][..]),
        (5, true, &[]),
        (1, true, &[0]),
        (6, true, &[5]),
        (6, false, &[]),
        (7, true, &[5, 6]),
        (8, false, &[5, 6, 7]),
        (9, true, &[8]),
    ] {
        let mut values = ValueCache::default();
        for position in 0..10_u8 {
            let next = [2, 5, 8].into_iter().find(|key| *key > position).map(|key| vec![key]);
            values.cache_next(&[position], next.as_ref());
        }
        values.advance(H256::zero(), H256::zero(), &[(vec![key], exists.then(|| vec![1]))]);
        let expected: Vec<StorageKey> = (0..10)
            .filter(|position| !forgotten.contains(position))
            .map(|position| vec![position])
            .collect();
        assert_eq!(values.next_keys.into_keys().collect::<Vec<_>>(), expected, "{key} {exists}");
    }
}

/// Returns the size of all items in bytes.
fn item_bytes(values: &ValueCache) -> usize {
    values.items.iter().map(|(key, value)| key.len() + size(value.as_ref())).sum()
}

#[test]
fn memory_of_the_value_cache_is_bounded() {
    let mut values = ValueCache::default();
    let large = vec![0; MAX_BYTES / 4];
    for number in 0..20_u8 {
        values.cache_value(&[number], Some(&large));
        values.cache_next(&[number], None);
        assert!(values.bytes <= MAX_BYTES);
        assert_eq!(values.bytes, item_bytes(&values));
    }
    let changes = [(vec![19], Some(vec![1])), (vec![18], None), (vec![0], Some(vec![2]))];
    values.advance(H256::zero(), H256::zero(), &changes);
    assert_eq!(values.items.get(&vec![19]), Some(&Some(vec![1])));
    assert_eq!(values.items.get(&vec![18]), None);
    assert_eq!(values.bytes, item_bytes(&values));
    for number in 0..3_000_u32 {
        values.cache_next(&number.to_le_bytes(), None);
    }
    assert!(values.next_keys.len() <= MAX_POSITIONS);
}
