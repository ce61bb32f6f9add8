//! Tests of directories, restarts, pruning, snapshots and clocks.

use std::time::Duration;

use codec::Decode;
use serde_json::json;
use taonet_localnet::{
    AuthorError, Clock, History, Node, NodeError, NodeHandle, SnapshotError, StoreError,
    load_snapshot,
};
use taonet_localnet_runtime::genesis;

use crate::support::{
    account, account_key, config, hex, remark, rpc, signed, storage_key, transfer, try_rpc, unhex,
};

#[tokio::test]
async fn chain_resumes_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let mut first_config = config();
    first_config.directory = Some(directory.path().join("deep/chain"));
    let node = Node::start(first_config.clone()).await.unwrap();
    node.submit(signed(&node, "Alice", 0, &transfer("Dave", 12))).await.unwrap();
    let head = node.mine(10).await.unwrap();
    let dave_account = node.storage(&account_key("Dave")).unwrap();
    // Only one process at a time can open the chain.
    assert!(matches!(
        Node::start(first_config.clone()).await,
        Err(NodeError::Store(StoreError::InUse(_)))
    ));
    node.stop().await;

    let mut second_config = config();
    second_config.directory.clone_from(&first_config.directory);
    second_config.genesis = None;
    let node = Node::start(second_config).await.unwrap();
    assert_eq!(node.head(), head);
    assert_eq!(node.storage(&account_key("Dave")).unwrap(), dave_account);
    let next = node.mine(1).await.unwrap();
    assert_eq!(next.number(), 11);
    assert_eq!(next.header.parent_hash, head.hash);
    node.stop().await;

    let mut genesis_config = config();
    genesis_config.directory = first_config.directory;
    genesis_config.genesis = Some(genesis::genesis(&[account("Somebody")]).unwrap());
    assert!(matches!(
        Node::start(genesis_config).await,
        Err(NodeError::Store(StoreError::Genesis { .. }))
    ));
    let mut missing_config = config();
    missing_config.directory = Some(directory.path().join("nothing"));
    missing_config.genesis = None;
    assert!(matches!(
        Node::start(missing_config).await,
        Err(NodeError::Store(StoreError::Missing(_)))
    ));
}

#[tokio::test]
async fn history_is_kept_for_the_configured_length() {
    let mut config = config();
    config.history = History::Last(2_400);
    config.kept_blocks = 0;
    let node = Node::start(config).await.unwrap();
    let head = node.mine(2_450).await.unwrap();
    let oldest = head.number() - 2_399;
    let key = hex(&storage_key("System", "Number"));
    for number in [oldest, oldest + 1, 2_000, head.number()] {
        let hash = rpc(&node, "chain_getBlockHash", json!([number])).await;
        let stored = rpc(&node, "state_getStorage", json!([key, hash])).await;
        assert_eq!(unhex(&stored), number.to_le_bytes(), "{number}");
        assert!(rpc(&node, "chain_getBlock", json!([hash])).await.is_object());
    }
    assert_eq!(rpc(&node, "chain_getBlockHash", json!([oldest - 1])).await, json!(null));
    // Clients identify the chain by its genesis block; its state was pruned.
    let first = rpc(&node, "chain_getBlockHash", json!([0])).await;
    assert_eq!(first, json!(node.genesis()));
    let error = try_rpc(&node, "state_getStorage", json!([key, first])).await.unwrap_err();
    let text = format!("State already discarded for {}", first.as_str().unwrap());
    assert!(error["message"].as_str().unwrap().contains(&text), "{error}");
    let error =
        try_rpc(&node, "state_call", json!(["Core_version", "0x", first])).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains(&text), "{error}");
    assert_eq!(rpc(&node, "dev_status", json!([])).await["oldest"], oldest);
    node.stop().await;
}

#[tokio::test]
async fn headers_and_bodies_outlive_their_states() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.history = History::Last(2_400);
    config.directory = Some(directory.path().to_owned());
    let node = Node::start(config.clone()).await.unwrap();
    let first = node.mine(1).await.unwrap();
    let body = rpc(&node, "chain_getBlock", json!([first.hash])).await;
    assert_eq!(body["block"]["extrinsics"].as_array().unwrap().len(), 1);
    node.mine(2_450).await.unwrap();
    node.stop().await;
    let node = Node::start(config).await.unwrap();
    assert_eq!(rpc(&node, "chain_getBlock", json!([first.hash])).await, body);
    assert_eq!(rpc(&node, "chain_getBlockHash", json!([1])).await, json!(first.hash));
    assert_eq!(rpc(&node, "chain_getHeader", json!([first.hash])).await, body["block"]["header"]);
    let error = try_rpc(&node, "state_getStorage", json!(["0x00", first.hash])).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("State already discarded"), "{error}");
    let status = rpc(&node, "dev_status", json!([])).await;
    assert_eq!(
        (&status["oldest"], &status["oldestBlock"]),
        (&json!(node.head().number() - 2_399), &json!(1))
    );
    node.stop().await;
}

#[tokio::test]
async fn instant_clock_makes_a_block_per_submission() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.start = None;
    config.clock = Some(Clock::Instant);
    config.directory = Some(directory.path().to_owned());
    let node = Node::start(config.clone()).await.unwrap();
    let wait_for_height = async |node: &NodeHandle, number: u32| {
        let height_reached = async {
            while node.head().number() < number {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), height_reached).await.unwrap();
        assert_eq!(node.head().number(), number);
    };
    node.submit(signed(&node, "Alice", 0, &remark("through the handle"))).await.unwrap();
    wait_for_height(&node, 1).await;
    let extrinsic = hex(&signed(&node, "Alice", 1, &remark("through the API")));
    rpc(&node, "author_submitExtrinsic", json!([extrinsic])).await;
    wait_for_height(&node, 2).await;
    // An extrinsic that waits for an earlier nonce is included together with that one.
    node.submit(signed(&node, "Alice", 3, &remark("later"))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(node.head().number(), 2);
    node.submit(signed(&node, "Alice", 2, &remark("sooner"))).await.unwrap();
    wait_for_height(&node, 3).await;
    assert_eq!(rpc(&node, "author_pendingExtrinsics", json!([])).await, json!([]));
    node.stop().await;
    config.clock = None;
    let node = Node::start(config).await.unwrap();
    assert_eq!((node.clock(), node.head().number()), (Some(Clock::Instant), 3));
    assert_eq!(rpc(&node, "dev_status", json!([])).await["clock"], "instant");
    node.stop().await;
}

#[tokio::test]
async fn history_below_minimum_is_refused() {
    let mut config = config();
    config.history = History::Last(2_399);
    assert!(matches!(Node::start(config).await, Err(NodeError::History { requested: 2_399 })));
}

#[tokio::test]
async fn snapshots_restore_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chain.snapshot");
    let node = Node::start(config()).await.unwrap();
    node.submit(signed(&node, "Alice", 0, &transfer("Dave", 99))).await.unwrap();
    let head = node.mine(30).await.unwrap();
    let saved = try_rpc(&node, "dev_snapshot", json!([file])).await.unwrap();
    assert_eq!(saved, json!(file));
    assert!(matches!(node.save_snapshot(&file), Err(SnapshotError::FileExists(_))));
    assert!(try_rpc(&node, "dev_snapshot", json!(["relative"])).await.is_err());
    let next = node.mine(5).await.unwrap();

    let restored = directory.path().join("restored");
    load_snapshot(&file, &restored).unwrap();
    assert!(matches!(load_snapshot(&file, &restored), Err(SnapshotError::ChainExists(_))));
    let mut again = config();
    again.directory = Some(restored);
    let copy = Node::start(again).await.unwrap();
    assert_eq!(copy.head(), head);
    assert_eq!(
        copy.storage(&account_key("Dave")).unwrap(),
        node.storage(&account_key("Dave")).unwrap()
    );
    // The same chain with the same timestamps produces the same blocks.
    assert_eq!(copy.mine(5).await.unwrap(), next);
    copy.stop().await;
    node.stop().await;

    let bytes = std::fs::read(&file).unwrap();
    for (name, damaged) in [
        ("cut", bytes[..bytes.len() / 2].to_vec()),
        ("longer", [bytes.clone(), vec![0]].concat()),
        (
            "changed",
            bytes
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ u8::from(at == bytes.len() / 2))
                .collect(),
        ),
        ("other", vec![7; 100]),
        ("empty", vec![]),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, damaged).unwrap();
        let target = directory.path().join("target");
        assert!(load_snapshot(&file, &target).is_err(), "{name}");
        assert!(std::fs::read_dir(&target).unwrap().next().is_none(), "{name} left something");
    }
}

#[tokio::test]
async fn automatic_clocks_produce_blocks() {
    for clock in [Clock::Every(Duration::from_millis(5)), Clock::Fastest] {
        let mut config = config();
        config.clock = Some(clock);
        let node = Node::start(config).await.unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while node.head().number() < 5 {
            assert!(tokio::time::Instant::now() < deadline, "{clock:?}");
            tokio::task::yield_now().await;
        }
        // Commands work on any clock.
        let before = node.head().number();
        assert!(node.mine(10).await.unwrap().number() >= before + 10);
        node.submit(signed(&node, "Alice", 0, &remark("timed"))).await.unwrap();
        node.stop().await;
    }
}

#[tokio::test]
async fn slot_duration_api_returns_initial_block_time() {
    let directory = tempfile::tempdir().unwrap();
    let slot = |node: &NodeHandle| {
        u64::decode(&mut node.call("AuraApi_slot_duration", &()).unwrap().as_slice()).unwrap()
    };
    let mut slow_config = config();
    slow_config.clock = Some(Clock::PRODUCTION);
    slow_config.directory = Some(directory.path().to_owned());
    let node = Node::start(slow_config.clone()).await.unwrap();
    assert_eq!(slot(&node), 12_000);
    let max_epochs = node.storage(&storage_key("SubtensorModule", "MaxEpochsPerBlock")).unwrap();
    assert_eq!(max_epochs, Some(vec![2]));
    node.mine(1).await.unwrap();
    node.stop().await;

    // On every clock, timestamps advance by the chain's own block time.
    let mut manual = slow_config.clone();
    manual.clock = Some(Clock::Manual);
    let node = Node::start(manual).await.unwrap();
    let now = |node: &NodeHandle| {
        u64::decode(
            &mut node.storage(&storage_key("Timestamp", "Now")).unwrap().unwrap().as_slice(),
        )
        .unwrap()
    };
    let before = now(&node);
    node.mine(1).await.unwrap();
    assert_eq!((slot(&node), now(&node)), (12_000, before + 12_000));
    node.stop().await;

    let mut fast_config = slow_config;
    fast_config.clock = Some(Clock::FAST);
    let error = Node::start(fast_config).await.unwrap_err();
    assert!(matches!(&error, NodeError::Author(AuthorError::BlockTime { .. })), "{error}");
    assert!(
        error.to_string().contains("block time of 12s")
            && error.to_string().contains("tao localnet reset"),
        "{error}"
    );

    let node = Node::start(config()).await.unwrap();
    assert_eq!(slot(&node), 250);
    assert_eq!(node.storage(&storage_key("SubtensorModule", "MaxEpochsPerBlock")).unwrap(), None);
    node.stop().await;
}

#[tokio::test]
async fn chain_resumes_on_its_last_clock() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.directory = Some(directory.path().to_owned());
    let every = Some(Clock::Every(Duration::from_secs(30)));
    let (manual, fastest) = (Some(Clock::Manual), Some(Clock::Fastest));
    // Columns: configured clock · clock of the started node
    for (configured, clock) in [
        (every, every),
        (None, every),
        (manual, manual),
        (None, manual),
        (None, manual),
        (fastest, fastest),
        (None, fastest),
        (every, every),
        (None, every),
    ] {
        config.clock = configured;
        let node = Node::start(config.clone()).await.unwrap();
        assert_eq!(node.clock(), clock, "{configured:?}");
        node.stop().await;
    }
}

#[tokio::test]
async fn port_in_use_is_reported() {
    let node = Node::start(config()).await.unwrap();
    let mut second = config();
    second.listen = node.address();
    assert!(matches!(Node::start(second).await, Err(NodeError::Listen { .. })));
    node.stop().await;
}

#[tokio::test]
async fn dropped_node_releases_its_chain() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.directory = Some(directory.path().to_owned());
    drop(Node::start(config.clone()).await.unwrap());
    let again = async {
        loop {
            match Node::start(config.clone()).await {
                Err(NodeError::Store(StoreError::InUse(_))) => tokio::task::yield_now().await,
                other => break other.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.unwrap().stop().await;
}

#[tokio::test]
async fn disabled_dev_methods_are_not_found() {
    let mut config = config();
    config.dev_methods = false;
    let node = Node::start(config).await.unwrap();
    for method in [
        "dev_stop",
        "dev_mine",
        "dev_snapshot",
        "dev_status",
        "dev_epoch",
        "dev_takeSnapshot",
        "dev_listSnapshots",
        "dev_revertSnapshot",
        "dev_dropSnapshot",
        "dev_advance",
        "dev_impersonate",
        "dev_setStorage",
        "dev_dryRun",
    ] {
        assert_eq!(
            try_rpc(&node, method, json!([1])).await.unwrap_err()["code"],
            -32601,
            "{method}"
        );
    }
    node.stop().await;
}
