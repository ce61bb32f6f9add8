//! Opening chains after a kill, with damage, or of another build; and chains that restart from a
//! new state.

use super::*;

#[test]
fn uncommitted_blocks_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(Some(directory.path()), Some(genesis()), History::Archive).unwrap();
    let head = produce_blocks(&store, 3, &[1]);
    let staged = stage_next(&store, &head);
    let uncommitted_head = staged.head.clone();
    assert!(store.tip_state(&uncommitted_head).unwrap().storage(b"a").unwrap().is_some());
    drop(store);
    let store = Store::open(Some(directory.path()), None, History::Archive).unwrap();
    assert_eq!(store.head().unwrap(), head);
    assert!(store.header(uncommitted_head.hash).unwrap().is_none());
    // The same block again has the same hash.
    assert_eq!(stage_next(&store, &head).head, uncommitted_head);
}

#[test]
fn file_of_interrupted_load_is_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let (saved, target) = (directory.path().join("saved"), directory.path().join("target"));
    let short_chain = Store::open(None, Some(genesis()), History::Archive).unwrap();
    let head = produce_blocks(&short_chain, 5, &[1]);
    short_chain.save(&saved).unwrap();
    let long_chain = Store::open(Some(&target), Some(genesis()), History::Archive).unwrap();
    produce_blocks(&long_chain, 50, &[10]);
    drop(long_chain);
    fs::rename(target.join(FILE_NAME), target.join(format!("{FILE_NAME}.loading"))).unwrap();

    load_snapshot(&saved, &target).unwrap();
    let loaded = Store::open(Some(&target), None, History::Archive).unwrap();
    assert_eq!(loaded.head().unwrap(), head);
    assert_eq!(loaded.node_count().unwrap(), short_chain.node_count().unwrap());
    assert!(!target.join(format!("{FILE_NAME}.loading")).exists());
}

#[test]
fn store_with_other_format_or_spec_version_is_refused() {
    for (key, value) in [
        (FORMAT_VERSION_KEY, FORMAT_VERSION - 1),
        (FORMAT_VERSION_KEY, FORMAT_VERSION + 1),
        (SPEC_VERSION_KEY, 7),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Some(directory.path()), Some(genesis()), History::Archive).unwrap();
        let write = store.database.begin_write().unwrap();
        write.open_table(META).unwrap().insert(key, value).unwrap();
        write.commit().unwrap();
        drop(store);
        let error =
            Store::open(Some(directory.path()), Some(genesis()), History::Archive).err().unwrap();
        assert!(error.to_string().contains("tao localnet reset"), "{error}");
    }
}

#[test]
fn partially_created_database_is_recreated() {
    let directory = tempfile::tempdir().unwrap();
    for length in [0, 4, 1 << 20] {
        let chain = directory.path().join(length.to_string());
        fs::create_dir(&chain).unwrap();
        fs::write(chain.join(FILE_NAME), vec![0; length]).unwrap();
        let missing = Store::open(Some(&chain), None, History::Archive);
        assert!(matches!(missing, Err(StoreError::Missing(_))), "{length}");
        let store = Store::open(Some(&chain), Some(genesis()), History::Archive).unwrap();
        assert_eq!(store.head().unwrap().number(), 0);
    }
}

#[test]
fn file_without_database_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE_NAME), b"no database").unwrap();
    assert!(Store::open(Some(directory.path()), Some(genesis()), History::Archive).is_err());
}

#[test]
fn damaged_database_error_names_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(Some(directory.path()), Some(genesis()), History::Archive).unwrap();
    produce_blocks(&store, 3, &[1]);
    let write = store.database.begin_write().unwrap();
    write.open_table(RECENT_NODES).unwrap().insert(2_u32, &[7_u8; 3][..]).unwrap();
    write.commit().unwrap();
    // A revert to a block with a malformed row has no effect.
    let target = find_head(&store.database.begin_read().unwrap(), store.hash(2).unwrap().unwrap())
        .unwrap()
        .unwrap();
    let error = store.revert(&target, TimeSetting::default()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert_eq!(store.head().unwrap().number(), 3);
    drop(store);
    let error =
        Store::open(Some(directory.path()), None, History::Archive).err().unwrap().to_string();
    let path = directory.path().join(FILE_NAME).display().to_string();
    assert!(
        error.contains(&path) && error.contains("hint: reset the chain, or load a snapshot"),
        "{error}"
    );
}

#[test]
fn database_with_only_its_header_is_unreadable() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(Some(directory.path()), Some(genesis()), History::Archive).unwrap();
    produce_blocks(&store, 3, &[1]);
    drop(store);
    let original = fs::read(directory.path().join(FILE_NAME)).unwrap();
    let mut overwritten = original.clone();
    overwritten[4_096..].fill(0xa5);
    for (name, bytes) in [("truncated", &original[..4_096]), ("overwritten", &overwritten[..])] {
        let chain = directory.path().join(name);
        fs::create_dir(&chain).unwrap();
        fs::write(chain.join(FILE_NAME), bytes).unwrap();
        let error = Store::open(Some(&chain), None, History::Archive).err().unwrap();
        assert!(matches!(error, StoreError::Unreadable { .. }), "{name}: {error}");
    }
}

/// Returns block 7 of another chain with this state, and its genesis block.
fn leader_block(state: &Storage) -> (Head, Head) {
    let trie: MemoryState<BlakeTwo256> = (state.clone(), StateVersion::V1).into();
    let genesis =
        Header::new(0, H256::zero(), H256::repeat_byte(1), H256::zero(), Digest::default());
    let header =
        Header::new(7, H256::zero(), *trie.root(), H256::repeat_byte(6), Digest::default());
    (Head::of(genesis), Head::of(header))
}

#[test]
fn store_restarts_from_leader_block() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(Some(directory.path()), Some(genesis()), History::Archive).unwrap();
    store.take_snapshot("mark").unwrap();
    let abandoned_head = produce_blocks(&store, 20, &[3]);
    assert!(!store.is_follower().unwrap());
    // A value that differs, and one that both chains have.
    let mut state = genesis();
    state.top.insert(b"a".to_vec(), vec![7; 70]);
    let (leader_genesis, head) = leader_block(&state);
    let first = |state: &Storage| {
        FirstBlock::from_leader(
            leader_genesis.clone(),
            head.clone(),
            vec![vec![1, 2]],
            state.top.clone(),
        )
    };
    let wrong_root = first(&genesis()).err().unwrap();
    assert_ne!(wrong_root, *head.header.state_root());
    store.restart(first(&state).ok().unwrap()).unwrap();
    assert!(store.is_follower().unwrap());
    assert_eq!((store.head().unwrap(), store.oldest_state().unwrap()), (head.clone(), 7));
    assert_eq!(
        (store.hash(0).unwrap(), store.header(abandoned_head.hash).unwrap()),
        (Some(leader_genesis.hash), None)
    );
    assert_eq!(store.block(head.hash).unwrap(), Some((head.clone(), vec![vec![1, 2]])));
    assert!(store.snapshots().unwrap().is_empty());
    let expected_pairs: Vec<_> = state.top.clone().into_iter().collect();
    assert_eq!(pairs(&store, &head), expected_pairs);
    // The chain continues, and survives a restart.
    let newest = produce_blocks(&store, 10, &[2, 3]);
    assert_eq!(newest.number(), 17);
    let reached = reachable_rows(&store);
    assert_eq!(stored_rows(&store), reached, "nodes of the earlier chain");
    let expected_pairs = pairs(&store, &newest);
    drop(store);
    let store = Store::open(Some(directory.path()), None, History::Archive).unwrap();
    assert_eq!((store.head().unwrap(), pairs(&store, &newest)), (newest.clone(), expected_pairs));
    assert!(store.is_follower().unwrap());
    store.clear_follower().unwrap();
    assert!(!store.is_follower().unwrap());
    // A named snapshot can be taken again.
    assert_eq!(store.take_snapshot("mark").unwrap().hash, newest.hash);
}
