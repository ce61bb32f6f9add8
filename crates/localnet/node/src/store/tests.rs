mod histories;
mod opening;

use std::collections::BTreeSet;

use sp_core::storage::StateVersion;
use sp_runtime::Digest;
use sp_state_machine::{Backend, InMemoryBackend as MemoryState, OverlayedChanges};
use sp_trie::{LayoutV1, TrieConfiguration};

use super::commit::MAX_EXTRA_PRUNED;
use super::nodes::{NodeName, nodes_in, recent_row, row_key};
use super::*;

/// Returns a genesis with some keys, short and long.
fn genesis() -> Storage {
    let mut storage = Storage::default();
    for number in 0..200u32 {
        storage.top.insert(
            sp_io::hashing::blake2_128(&number.encode()).to_vec(),
            vec![number as u8; 1 + number as usize],
        );
    }
    storage.top.insert(b"a".to_vec(), vec![1]);
    storage.top.insert(b"ab".to_vec(), vec![2; 40]);
    storage
}

/// Stages a block that changes, adds and removes keys, depending on its number.
fn stage_next(store: &Store, head: &Head) -> StagedBlock {
    let number = head.number() + 1;
    let key = |index: u32| sp_io::hashing::blake2_128(&(index % 260).encode()).to_vec();
    let changes = vec![
        (key(number * 7), Some(vec![number as u8; 50])),
        (key(number * 11), Some(number.encode())),
        (key(number * 13), None),
        // The same value appears and disappears, so nodes are removed and inserted again under one
        // name.
        (b"ab".to_vec(), number.is_multiple_of(3).then(|| vec![2; 40])),
        (b"abc".to_vec(), number.is_multiple_of(2).then(|| vec![3; 70])),
    ];
    stage(store, head, changes)
}

/// Stages a block with these changes.
fn stage(store: &Store, head: &Head, items: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> StagedBlock {
    let number = head.number() + 1;
    let state = store.tip_state(head).unwrap();
    let mut overlay = OverlayedChanges::<BlakeTwo256>::default();
    for (key, value) in items {
        overlay.set_storage(key, value);
    }
    let changes = overlay.drain_storage_changes(&state, StateVersion::V1).unwrap();
    state.check_roots().unwrap();
    let root = changes.transaction_storage_root;
    let header = Header::new(number, H256::zero(), root, head.hash, Digest::default());
    store.stage(Head::of(header), vec![number.encode()], changes.transaction)
}

/// Returns the changes of a block that has too many nodes for a row.
fn large_block_items(number: u8) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let key = |index: u32| sp_io::hashing::blake2_128(&(index, "large").encode()).to_vec();
    (0..400).map(|index| (key(index), Some(vec![number; 40]))).collect()
}

/// Produces blocks, with commits of these sizes in turn.
fn produce_blocks(store: &Store, blocks: u32, sizes: &[usize]) -> Head {
    let mut head = store.head().unwrap();
    let last = head.number() + blocks;
    let mut sizes = sizes.iter().cycle();
    while head.number() < last {
        let mut group = Vec::new();
        for _ in 0..*sizes.next().unwrap() {
            let staged = stage_next(store, &head);
            head = staged.head.clone();
            group.push(staged);
        }
        store.commit(&group).unwrap();
    }
    head
}

/// Returns all keys and values of a state, read from disk and not from memory.
fn pairs(store: &Store, head: &Head) -> Vec<(Vec<u8>, Vec<u8>)> {
    let uncached_store = Store {
        database: store.database.clone(),
        node_memory: RwLock::new(Arc::new(NodeMemory::new())),
        value_cache: Arc::default(),
        kept_blocks: 0,
        history: store.history,
        flush_on_commit: FlushOnCommit::default(),
        path: None,
    };
    let (_, state) = uncached_store.state(head.hash).unwrap().unwrap();
    state
        .unwrap()
        .pairs(sp_state_machine::IterArgs::default())
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Returns the rows of all stored nodes, also those in rows of recent blocks.
fn stored_rows(store: &Store) -> BTreeSet<Vec<u8>> {
    let read = store.database.begin_read().unwrap();
    let nodes = read.open_table(NODES).unwrap();
    let mut rows: BTreeSet<_> =
        nodes.iter().unwrap().map(|row| row.unwrap().0.value().to_vec()).collect();
    for row in read.open_table(RECENT_NODES).unwrap().iter().unwrap() {
        let (number, row) = row.unwrap();
        rows.extend(nodes_in(row.value()).map(|node| row_key(node.unwrap().0, number.value())));
    }
    rows
}

/// Returns the rows of all nodes that are reachable from the retained states.
fn reachable_rows(store: &Store) -> BTreeSet<Vec<u8>> {
    let stored_rows = stored_rows(store);
    let mut rows = BTreeSet::new();
    for number in store.oldest_state().unwrap()..=store.head().unwrap().number() {
        let head =
            find_head(&store.database.begin_read().unwrap(), store.hash(number).unwrap().unwrap());
        let head = head.unwrap().unwrap();
        let values: sp_core::storage::Storage = {
            let top = pairs(store, &head).into_iter().collect();
            Storage { top, ..Default::default() }
        };
        let trie: MemoryState<BlakeTwo256> = (values, StateVersion::V1).into();
        assert_eq!(trie.root(), head.header.state_root(), "block {number}");
        for (name, (_, references)) in trie.into_storage().drain() {
            if references > 0 && name.len() >= 32 {
                let tag = row_key(&name, 0).split_off(row_key(&name, 0).len() - 8);
                let mut visible =
                    stored_rows.range(row_key(&name, 0)..row_key(&name, number + 1)).rev();
                let row =
                    visible.find(|row| row.ends_with(&tag) && row.len() == row_key(&name, 0).len());
                rows.insert(row.unwrap_or_else(|| panic!("block {number} lacks a node")).clone());
            }
        }
    }
    rows
}

#[test]
fn pruning_keeps_exactly_the_nodes_of_kept_states() {
    for sizes in [&[1][..], &[7, 1, 30]] {
        let store = Store::open(None, Some(genesis()), History::Last(20)).unwrap();
        let head = produce_blocks(&store, 300, sizes);
        assert_eq!(store.oldest_block().unwrap(), head.number() - 19);
        let reached = reachable_rows(&store);
        let stored_rows = stored_rows(&store);
        assert_eq!(stored_rows.difference(&reached).count(), 0, "unreachable nodes");
        assert_eq!(reached.difference(&stored_rows).count(), 0);
    }
}

#[test]
fn only_recent_blocks_have_node_rows() {
    for (history, expected) in
        [(History::Last(5), 5), (History::Last(40), 16), (History::Archive, 16)]
    {
        let store = Store::open(None, Some(genesis()), history).unwrap();
        let head = produce_blocks(&store, 60, &[7, 1]);
        let rows = store.database.begin_read().unwrap().open_table(RECENT_NODES).unwrap();
        let numbers: Vec<u32> = rows.iter().unwrap().map(|row| row.unwrap().0.value()).collect();
        assert_eq!(numbers, (head.number() + 1 - expected..=head.number()).collect::<Vec<_>>());
        assert_eq!(stored_rows(&store), reachable_rows(&store));
    }
}

/// A value appears, disappears, appears again in a block with too many nodes for a row, and
/// disappears.
#[test]
fn nodes_recreated_by_large_block_are_pruned() {
    for group in [1, 4, 7] {
        let store = Store::open(None, Some(genesis()), History::Last(20)).unwrap();
        let (mut head, mut blocks) = (store.head().unwrap(), Vec::new());
        for number in 0..42_u8 {
            let (exists, is_large) = (number % 2 == 0, number % 4 == 2);
            let mut items = if is_large { large_block_items(number) } else { Vec::new() };
            items.push((b"again".to_vec(), exists.then(|| vec![9; 70])));
            let staged = stage(&store, &head, items);
            assert_eq!(staged.has_recent_row(), !is_large);
            head = staged.head.clone();
            blocks.push(staged);
            if blocks.len() == group {
                store.commit(&blocks).unwrap();
                blocks.clear();
            }
        }
        store.commit(&blocks).unwrap();
        produce_blocks(&store, 25, &[1]);
        assert_eq!(stored_rows(&store), reachable_rows(&store), "commits of {group} blocks");
    }
}

#[test]
fn headers_and_bodies_outlive_their_states() {
    let directory = tempfile::tempdir().unwrap();
    let open = |genesis| {
        Store::open(Some(directory.path()), genesis, History::Last(20))
            .unwrap()
            .with_kept_blocks(40)
    };
    let store = open(Some(genesis()));
    let first = produce_blocks(&store, 1, &[1]);
    let head = produce_blocks(&store, 99, &[1, 7]).number();
    drop(store);
    let store = open(None);
    assert_eq!(
        (store.oldest_state().unwrap(), store.oldest_block().unwrap()),
        (head - 19, head - 39)
    );
    for (number, has_block, has_state) in [
        (0, true, false),
        (1, false, false),
        (head - 39, true, false),
        (head - 20, true, false),
        (head - 19, true, true),
    ] {
        let hash = store.hash(number).unwrap();
        assert_eq!(hash.is_some(), has_block, "{number}");
        let Some(hash) = hash else { continue };
        assert!(store.block(hash).unwrap().is_some(), "{number}");
        assert_eq!(store.state(hash).unwrap().unwrap().1.is_some(), has_state, "{number}");
    }
    assert!(store.header(first.hash).unwrap().is_none());
    // The nodes of the states are pruned as before.
    let without_blocks = Store::open(None, Some(genesis()), History::Last(20)).unwrap();
    produce_blocks(&without_blocks, 1, &[1]);
    produce_blocks(&without_blocks, 99, &[1, 7]);
    assert_eq!(stored_rows(&store), stored_rows(&without_blocks));
}

#[test]
fn truncated_node_row_is_an_error() {
    let row = recent_row(&[(NodeName::from(&b"name"[..]), Arc::new(vec![7; 100]))]);
    let nodes: Vec<_> = nodes_in(&row).map(Result::unwrap).collect();
    assert_eq!(nodes, [(&b"name"[..], &[7; 100][..])]);
    for length in 1..row.len() {
        let actual: Vec<_> = nodes_in(&row[..length]).map(|node| node.is_ok()).collect();
        assert_eq!(actual, [false], "{length}");
    }
    assert_eq!(nodes_in(&[]).count(), 0);
}

#[test]
fn archive_keeps_every_state() {
    let archive = Store::open(None, Some(genesis()), History::Archive).unwrap();
    let head = produce_blocks(&archive, 120, &[5]);
    assert_eq!(archive.oldest_block().unwrap(), 1);
    assert!(reachable_rows(&archive).len() > 400);
    let first = archive.hash(0).unwrap().unwrap();
    assert!(archive.state(first).unwrap().unwrap().1.is_some());
    assert_eq!(archive.block(head.hash).unwrap().unwrap().1, vec![head.number().encode()]);
}

#[test]
fn view_remains_readable_after_pruning() {
    let store = Store::open(None, Some(genesis()), History::Last(10)).unwrap();
    let old = produce_blocks(&store, 5, &[1]);
    let (_, state) = store.state(old.hash).unwrap().unwrap();
    let state = state.unwrap();
    produce_blocks(&store, 50, &[1]);
    assert!(store.state(old.hash).unwrap().is_none());
    let mut keys = 0;
    for pair in state.pairs(sp_state_machine::IterArgs::default()).unwrap() {
        pair.unwrap();
        keys += 1;
    }
    assert!(keys > 190, "{keys}");
}

/// A reader and the writer take turns as the scheduler decides.
#[test]
fn states_are_complete_while_blocks_are_written_and_pruned() {
    let store = Store::open(None, Some(genesis()), History::Last(20)).unwrap();
    produce_blocks(&store, 30, &[1]);
    let read = |number: u32| -> u32 {
        let Some(hash) = store.hash(number).unwrap() else { return 0 };
        let Some((head, Some(state))) = store.state(hash).unwrap() else { return 0 };
        let pairs: Vec<_> = state
            .pairs(sp_state_machine::IterArgs::default())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            LayoutV1::<BlakeTwo256>::trie_root(pairs),
            *head.header.state_root(),
            "block {number}"
        );
        1
    };
    let read_repeatedly = || {
        let read_oldest_and_newest =
            || read(store.oldest_state().unwrap()) + read(store.head().unwrap().number());
        (0..100).map(|_| read_oldest_and_newest()).sum::<u32>()
    };
    std::thread::scope(|scope| {
        let reader = scope.spawn(read_repeatedly);
        while !reader.is_finished() {
            produce_blocks(&store, 10, &[7, 1]);
        }
        assert!(reader.join().unwrap() > 0, "no state was read");
    });
}

#[test]
fn reopened_chain_prunes_as_before() {
    let directory = tempfile::tempdir().unwrap();
    let open = |genesis| Store::open(Some(directory.path()), genesis, History::Last(20)).unwrap();
    let mut store = open(Some(genesis()));
    for _ in 0..12 {
        produce_blocks(&store, 9, &[4, 1]);
        drop(store);
        store = open(None);
    }
    assert_eq!(stored_rows(&store), reachable_rows(&store));
}

#[test]
fn chain_opened_with_less_history_is_pruned_gradually() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(Some(directory.path()), Some(genesis()), History::Archive).unwrap();
    produce_blocks(&store, 300, &[10]);
    drop(store);
    let store = Store::open(Some(directory.path()), None, History::Last(20)).unwrap();
    let head = produce_blocks(&store, 1, &[1]);
    assert_eq!(store.oldest_block().unwrap(), u32::from(MAX_EXTRA_PRUNED > 0) + MAX_EXTRA_PRUNED);
    let head = produce_blocks(&store, 10, &[1]).number().max(head.number());
    assert_eq!(store.oldest_block().unwrap(), head - 19);
}

#[test]
fn reverted_store_equals_its_snapshot() {
    for sizes in [&[1][..], &[7, 1, 30]] {
        let store = Store::open(None, Some(genesis()), History::Last(20)).unwrap();
        let head = produce_blocks(&store, 100, sizes);
        let (oldest, nodes, before) =
            (store.oldest_block().unwrap(), stored_rows(&store), pairs(&store, &head));
        store.take_snapshot("here").unwrap();
        for _ in 0..2 {
            let later = produce_blocks(&store, 150, sizes);
            // The snapshot keeps its own history.
            assert_eq!(store.oldest_block().unwrap(), oldest);
            store.take_snapshot("later").unwrap();
            store.set_time(TimeSetting { offset: 5, floor: 9 }).unwrap();
            let RevertTarget { head: target, time, .. } = store.revert_target("here").unwrap();
            store.revert(&target, time).unwrap();
            assert_eq!(store.time().unwrap(), TimeSetting::default());
            assert_eq!(store.head().unwrap(), head);
            assert_eq!(
                (store.oldest_block().unwrap(), stored_rows(&store)),
                (oldest, nodes.clone())
            );
            assert_eq!(pairs(&store, &head), before);
            assert!(store.header(later.hash).unwrap().is_none());
            assert!(store.hash(head.number() + 1).unwrap().is_none());
            let names: Vec<_> =
                store.snapshots().unwrap().into_iter().map(|snapshot| snapshot.name).collect();
            assert_eq!(names, ["here"]);
        }
        // Without the snapshot, pruning catches up and leaves no unreachable node.
        store.drop_snapshot("here").unwrap();
        let head = produce_blocks(&store, 300, sizes);
        assert_eq!(store.oldest_block().unwrap(), head.number() - 19);
        assert_eq!(stored_rows(&store), reachable_rows(&store));
    }
}

/// A request reads the newest state while the chain is reverted, and fills the node cache
/// afterwards.
#[test]
fn view_of_reverted_block_does_not_affect_later_blocks() {
    let store = Store::open(None, Some(genesis()), History::Last(20)).unwrap();
    produce_blocks(&store, 30, &[1]);
    store.take_snapshot("here").unwrap();
    let reverted_head = produce_blocks(&store, 40, &[1]);
    let target = store.revert_target("here").unwrap().head;
    let view = store.tip_state(&reverted_head).unwrap();
    store.revert(&target, TimeSetting::default()).unwrap();
    assert!(
        view.pairs(sp_state_machine::IterArgs::default()).unwrap().map(Result::unwrap).count()
            > 190
    );
    store.drop_snapshot("here").unwrap();
    let head = produce_blocks(&store, 100, &[1]);
    assert_eq!(store.oldest_block().unwrap(), head.number() - 19);
    assert_eq!(stored_rows(&store), reachable_rows(&store));
}

#[test]
fn revert_to_pruned_block_is_refused() {
    let store = Store::open(None, Some(genesis()), History::Last(20)).unwrap();
    produce_blocks(&store, 5, &[1]);
    store.take_snapshot("here").unwrap();
    store.drop_snapshot("here").unwrap();
    produce_blocks(&store, 100, &[1]);
    // A version of the node without named snapshots would leave such a row.
    let row = (5u32, H256::repeat_byte(5), TimeSetting::default()).encode();
    let write = store.database.begin_write().unwrap();
    write.open_table(named::SNAPSHOTS).unwrap().insert("here", row.as_slice()).unwrap();
    write.commit().unwrap();
    let error = store.revert_target("here").err().unwrap();
    assert!(matches!(error, SnapshotError::Pruned(_)), "{error}");
    assert!(matches!(store.revert_target("there"), Err(SnapshotError::Unknown(_))));
    store.drop_snapshot("here").unwrap();
}
