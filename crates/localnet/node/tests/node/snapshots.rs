//! Tests of named snapshots of the running chain.

use jsonrpsee::core::client::{Subscription, SubscriptionClientT};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};
use taonet_localnet::{AuthorError, History, Node, SnapshotError};

use crate::support::{
    account, account_key, config, hex, node, remark, rpc, signed, storage_key, transfer, try_rpc,
    unhex,
};
use crate::watch::{client, next, watch};

#[tokio::test]
async fn chain_reverts_to_a_snapshot_repeatedly() {
    let node = node().await;
    let head = node.mine(5).await.unwrap();
    let snapshot = rpc(&node, "dev_takeSnapshot", json!(["before"])).await;
    assert_eq!(snapshot, json!({"name": "before", "number": 5, "hash": head.hash}));
    let extrinsic = signed(&node, "Alice", 0, &transfer("Dave", 1_000_000_000));
    let dave = node.storage(&account_key("Dave")).unwrap();
    for _ in 0..2 {
        // Extrinsics of reverted blocks can be submitted again.
        node.submit(extrinsic.clone()).await.unwrap();
        let abandoned_head = node.mine(3).await.unwrap();
        assert_ne!(node.storage(&account_key("Dave")).unwrap(), dave);
        let reverted = rpc(&node, "dev_revertSnapshot", json!(["before"])).await;
        assert_eq!(reverted, json!({"number": 5, "hash": head.hash}));
        assert_eq!(node.head(), head);
        assert_eq!(node.storage(&account_key("Dave")).unwrap(), dave);
        assert_eq!(rpc(&node, "chain_getBlockHash", json!([6])).await, Value::Null);
        assert_eq!(rpc(&node, "chain_getHeader", json!([abandoned_head.hash])).await, Value::Null);
        assert_eq!(
            rpc(&node, "system_accountNextIndex", json!([account("Alice").to_string()])).await,
            0
        );
    }
    // The manual clock makes timestamps repeatable: the chain continues with the same blocks.
    let same_head = node.mine(2).await.unwrap();
    node.revert("before").await.unwrap();
    assert_eq!(node.mine(2).await.unwrap(), same_head);
    node.stop().await;
}

#[tokio::test]
async fn chain_reverted_to_genesis_repeats_its_blocks() {
    let node = node().await;
    node.take_snapshot("genesis").unwrap();
    let first = node.mine(10).await.unwrap();
    assert_eq!(node.revert("genesis").await.unwrap().number(), 0);
    assert_eq!(node.mine(10).await.unwrap(), first);
    node.stop().await;
}

#[tokio::test]
async fn snapshots_are_listed_dropped_and_refused_by_name() {
    let node = node().await;
    assert_eq!(rpc(&node, "dev_listSnapshots", json!([])).await, json!([]));
    node.take_snapshot("z").unwrap();
    let second = node.mine(1).await.unwrap();
    node.take_snapshot("a").unwrap();
    node.mine(1).await.unwrap();
    node.take_snapshot("last").unwrap();
    let names = |listed: Value| -> Vec<String> {
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let listed = rpc(&node, "dev_listSnapshots", json!([])).await;
    assert_eq!(listed[1], json!({"name": "a", "number": 1, "hash": second.hash}));
    assert_eq!(names(listed), ["z", "a", "last"]);
    assert!(matches!(node.take_snapshot("a"), Err(SnapshotError::NameTaken(_))));
    for name in [String::new(), "two\nlines".to_owned(), "n".repeat(65)] {
        assert!(
            matches!(node.take_snapshot(&name), Err(SnapshotError::InvalidName(_))),
            "{name:?}"
        );
    }
    let error = node.revert("b").await.unwrap_err();
    assert!(matches!(error, AuthorError::Snapshot(SnapshotError::Unknown(_))), "{error}");
    assert!(try_rpc(&node, "dev_revertSnapshot", json!([])).await.is_err());
    // A revert drops the snapshots of later blocks.
    node.revert("a").await.unwrap();
    assert_eq!(names(rpc(&node, "dev_listSnapshots", json!([])).await), ["z", "a"]);
    assert_eq!(rpc(&node, "dev_dropSnapshot", json!(["a"])).await, true);
    assert_eq!(try_rpc(&node, "dev_dropSnapshot", json!(["a"])).await.unwrap_err()["code"], 5001);
    assert_eq!(names(rpc(&node, "dev_listSnapshots", json!([])).await), ["z"]);
    node.stop().await;
}

#[tokio::test]
async fn snapshot_survives_restarts_and_pruning() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.directory = Some(directory.path().to_owned());
    config.history = History::Last(2_400);
    let node = Node::start(config.clone()).await.unwrap();
    let head = node.mine(2_410).await.unwrap();
    node.take_snapshot("kept").unwrap();
    let oldest = rpc(&node, "dev_status", json!([])).await["oldest"].clone();
    node.mine(2_450).await.unwrap();
    node.stop().await;
    let node = Node::start(config.clone()).await.unwrap();
    assert_eq!(node.snapshots().unwrap()[0].hash, head.hash);
    assert_eq!(node.revert("kept").await.unwrap(), head);
    node.stop().await;
    let node = Node::start(config).await.unwrap();
    assert_eq!(node.head(), head);
    assert_eq!(rpc(&node, "dev_status", json!([])).await["oldest"], oldest);
    let number = node.storage(&storage_key("System", "Number")).unwrap().unwrap();
    assert_eq!(number, head.number().to_le_bytes());
    // The state of the oldest block is complete, too.
    let key = hex(&storage_key("System", "Number"));
    let hash = rpc(&node, "chain_getBlockHash", json!([oldest])).await;
    let number = unhex(&rpc(&node, "state_getStorage", json!([key, hash])).await);
    assert_eq!(json!(u32::from_le_bytes(number.try_into().unwrap())), oldest);
    node.stop().await;
}

#[tokio::test]
async fn subscribers_are_notified_of_a_revert() {
    let node = node().await;
    let client = client(&node).await;
    node.mine(2).await.unwrap();
    node.take_snapshot("here").unwrap();
    node.submit(signed(&node, "Alice", 0, &transfer("Eve", 7))).await.unwrap();
    let abandoned_head = node.mine(3).await.unwrap();
    let key = hex(&account_key("Eve"));
    let mut heads: Subscription<Value> = client
        .subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads")
        .await
        .unwrap();
    let mut eve: Subscription<Value> = client
        .subscribe("state_subscribeStorage", rpc_params![[&key]], "state_unsubscribeStorage")
        .await
        .unwrap();
    assert_eq!(next(&mut heads).await["number"], "0x5");
    let eve_account = next(&mut eve).await["changes"][0][1].clone();
    // Pooled extrinsics are dropped.
    let mut waiting = watch(&client, &signed(&node, "Alice", 2, &remark("gap"))).await;
    assert_eq!(next(&mut waiting).await, "future");

    let head = node.revert("here").await.unwrap();
    assert_eq!(next(&mut waiting).await, "dropped");
    assert_eq!(rpc(&node, "author_pendingExtrinsics", json!([])).await, json!([]));
    assert_eq!(next(&mut heads).await["number"], "0x2");
    let changes = next(&mut eve).await;
    assert_eq!(changes["block"], json!(head.hash));
    assert_eq!(changes["changes"][0][1], rpc(&node, "state_getStorage", json!([key])).await);
    assert_ne!(changes["changes"][0][1], eve_account);
    let next_block = node.mine(1).await.unwrap();
    let header = next(&mut heads).await;
    assert_eq!((&header["number"], &header["parentHash"]), (&json!("0x3"), &json!(head.hash)));
    assert_ne!(next_block.hash, abandoned_head.hash);
    node.stop().await;
}
