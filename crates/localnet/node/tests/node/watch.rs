//! Tests of the subscriptions of WebSocket clients.

use std::time::Duration;

use jsonrpsee::core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde_json::{Value, json};
use taonet_localnet::{Node, NodeHandle};
use tokio::time::timeout;

use crate::support::{Signing, account_key, config, hex, node, remark, rpc, signed, transfer};

pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) async fn client(node: &NodeHandle) -> WsClient {
    WsClientBuilder::default().build(node.url()).await.unwrap()
}

pub(crate) async fn next(subscription: &mut Subscription<Value>) -> Value {
    timeout(WAIT_TIMEOUT, subscription.next()).await.unwrap().unwrap().unwrap()
}

pub(crate) async fn watch(client: &WsClient, bytes: &[u8]) -> Subscription<Value> {
    let params = rpc_params![hex(bytes)];
    client
        .subscribe("author_submitAndWatchExtrinsic", params, "author_unwatchExtrinsic")
        .await
        .unwrap()
}

#[tokio::test]
async fn watcher_is_notified_of_ready_in_block_and_finalized() {
    let node = node().await;
    let client = client(&node).await;
    let mut events = watch(&client, &signed(&node, "Alice", 0, &remark("watched"))).await;
    assert_eq!(next(&mut events).await, "ready");
    let head = node.mine(1).await.unwrap();
    assert_eq!(next(&mut events).await, json!({"inBlock": head.hash}));
    assert_eq!(next(&mut events).await, json!({"finalized": head.hash}));
    node.stop().await;
}

#[tokio::test]
async fn extrinsic_after_nonce_gap_is_future_until_filled() {
    let node = node().await;
    let client = client(&node).await;
    let mut second = watch(&client, &signed(&node, "Alice", 1, &remark("second"))).await;
    assert_eq!(next(&mut second).await, "future");
    node.mine(1).await.unwrap();
    let mut first = watch(&client, &signed(&node, "Alice", 0, &remark("first"))).await;
    assert_eq!(next(&mut first).await, "ready");
    assert_eq!(next(&mut second).await, "ready");
    let head = node.mine(1).await.unwrap();
    assert_eq!(next(&mut second).await, json!({"inBlock": head.hash}));
    node.stop().await;
}

#[tokio::test]
async fn higher_tip_usurps_pooled_extrinsic() {
    let node = node().await;
    let client = client(&node).await;
    let mut low_tip_events = watch(&client, &signed(&node, "Alice", 0, &remark("poor"))).await;
    assert_eq!(next(&mut low_tip_events).await, "ready");
    let mut signing = Signing::new(node.genesis(), 0);
    signing.tip = 1_000_000_000;
    let high_tip_extrinsic = signing.sign("Alice", &remark("rich"));
    let mut high_tip_events = watch(&client, &high_tip_extrinsic).await;
    assert_eq!(next(&mut high_tip_events).await, "ready");
    assert_eq!(
        next(&mut low_tip_events).await,
        json!({"usurped": hex(&sp_io::hashing::blake2_256(&high_tip_extrinsic))})
    );
    node.stop().await;
}

#[tokio::test]
async fn watcher_is_notified_of_invalid_extrinsic() {
    let node = node().await;
    let client = client(&node).await;
    // Dave can pay for either extrinsic, but not for both.
    let amount = 2_000_000_000_000 - 3_000_000;
    let mut first = watch(&client, &signed(&node, "Dave", 0, &transfer("Alice", amount))).await;
    let mut signing = Signing::new(node.genesis(), 1);
    signing.tip = 1_000_000_000;
    let mut second = watch(&client, &signing.sign("Dave", &remark("broke"))).await;
    assert_eq!(next(&mut first).await, "ready");
    assert_eq!(next(&mut second).await, "ready");
    node.mine(1).await.unwrap();
    assert_eq!(next(&mut second).await, "invalid");
    node.stop().await;
}

#[tokio::test]
async fn stopping_node_drops_pooled_extrinsics() {
    let node = node().await;
    let client = client(&node).await;
    let mut events = watch(&client, &signed(&node, "Alice", 0, &remark("late"))).await;
    assert_eq!(next(&mut events).await, "ready");
    let stop_task = tokio::spawn(node.stop());
    let last = timeout(WAIT_TIMEOUT, events.next()).await.unwrap();
    // The submitter gets a "dropped" event or the end of the stream, and never waits forever.
    assert!(last.is_none_or(|event| event.is_ok_and(|event| event == "dropped")));
    timeout(WAIT_TIMEOUT, stop_task).await.unwrap().unwrap();
}

#[tokio::test]
async fn refused_extrinsic_rejects_the_subscription() {
    let node = node().await;
    let client = client(&node).await;
    let params = rpc_params!["0x1234"];
    let result: Result<Subscription<Value>, _> =
        client.subscribe("author_submitAndWatchExtrinsic", params, "author_unwatchExtrinsic").await;
    assert!(result.unwrap_err().to_string().contains("1001"));
    node.stop().await;
}

#[tokio::test]
async fn heads_are_announced_in_order() {
    let node = node().await;
    let client = client(&node).await;
    for (subscribe, unsubscribe) in [
        ("chain_subscribeNewHeads", "chain_unsubscribeNewHeads"),
        ("chain_subscribeFinalizedHeads", "chain_unsubscribeFinalizedHeads"),
        ("chain_subscribeAllHeads", "chain_unsubscribeAllHeads"),
    ] {
        let mut heads: Subscription<Value> =
            client.subscribe(subscribe, rpc_params![], unsubscribe).await.unwrap();
        let first = u32::from_str_radix(
            next(&mut heads).await["number"].as_str().unwrap().trim_start_matches("0x"),
            16,
        );
        let first = first.unwrap();
        assert_eq!(first, node.head().number());
        node.mine(3).await.unwrap();
        for number in first + 1..=first + 3 {
            assert_eq!(next(&mut heads).await["number"], format!("0x{number:x}"));
        }
        heads.unsubscribe().await.unwrap();
    }
    node.stop().await;
}

#[tokio::test]
async fn finality_lag_delays_finalized_heads_and_events() {
    let mut config = config();
    config.finality_lag = 2;
    let node = Node::start(config).await.unwrap();
    let client = client(&node).await;
    let (subscribe, unsubscribe) =
        ("chain_subscribeFinalizedHeads", "chain_unsubscribeFinalizedHeads");
    let mut heads: Subscription<Value> =
        client.subscribe(subscribe, rpc_params![], unsubscribe).await.unwrap();
    assert_eq!(next(&mut heads).await["number"], "0x0");
    let mut events = watch(&client, &signed(&node, "Alice", 0, &remark("final"))).await;
    assert_eq!(next(&mut events).await, "ready");
    let block = node.mine(1).await.unwrap();
    assert_eq!(next(&mut events).await, json!({"inBlock": block.hash}));
    node.mine(1).await.unwrap();
    assert_eq!(rpc(&node, "chain_getFinalizedHead", json!([])).await, json!(node.genesis()));
    node.mine(1).await.unwrap();
    assert_eq!(next(&mut events).await, json!({"finalized": block.hash}));
    assert_eq!(next(&mut heads).await["number"], "0x1");
    assert_eq!(rpc(&node, "chain_getFinalizedHead", json!([])).await, json!(block.hash));
    // A revert deletes a block that is not final: its extrinsic is dropped.
    let mut events = watch(&client, &signed(&node, "Alice", 1, &remark("reverted"))).await;
    assert_eq!(next(&mut events).await, "ready");
    node.take_snapshot("before").unwrap();
    let block = node.mine(1).await.unwrap();
    assert_eq!(next(&mut events).await, json!({"inBlock": block.hash}));
    node.revert("before").await.unwrap();
    node.mine(3).await.unwrap();
    assert_eq!(next(&mut events).await, "dropped");
    node.stop().await;
}

#[tokio::test]
async fn storage_changes_are_announced() {
    let node = node().await;
    let client = client(&node).await;
    let key = hex(&account_key("Eve"));
    let mut changes: Subscription<Value> = client
        .subscribe("state_subscribeStorage", rpc_params![[&key]], "state_unsubscribeStorage")
        .await
        .unwrap();
    assert_eq!(next(&mut changes).await["changes"][0][0], key);
    node.mine(2).await.unwrap();
    node.submit(signed(&node, "Alice", 0, &transfer("Eve", 7))).await.unwrap();
    let head = node.mine(1).await.unwrap();
    let notification = next(&mut changes).await;
    assert_eq!(notification["block"], json!(head.hash));
    assert_eq!(notification["changes"][0][1], rpc(&node, "state_getStorage", json!([key])).await);
    node.stop().await;
}

#[tokio::test]
async fn runtime_version_is_announced_once() {
    let node = node().await;
    let client = client(&node).await;
    let (subscribe, unsubscribe) =
        ("state_subscribeRuntimeVersion", "state_unsubscribeRuntimeVersion");
    let mut version: Subscription<Value> =
        client.subscribe(subscribe, rpc_params![], unsubscribe).await.unwrap();
    assert_eq!(next(&mut version).await, rpc(&node, "state_getRuntimeVersion", json!([])).await);
    node.stop().await;
}

#[tokio::test]
async fn dev_methods_mine_blocks_and_stop_the_node() {
    let node = node().await;
    let client = client(&node).await;
    let head: Value = client.request("dev_mine", rpc_params![100]).await.unwrap();
    assert_eq!(head, json!({"number": 100, "hash": node.head().hash}));
    let status: Value = client.request("dev_status", rpc_params![]).await.unwrap();
    assert_eq!(status["number"], 100);
    assert_eq!(status["clock"], "manual");
    assert_eq!(status["pool"], json!({"ready": 0, "future": 0}));
    assert!(client.request::<Value, _>("dev_mine", rpc_params![-1]).await.is_err());
    let _: Value = client.request("dev_stop", rpc_params![]).await.unwrap();
    timeout(WAIT_TIMEOUT, node.stop_requested()).await.unwrap().unwrap();
    timeout(WAIT_TIMEOUT, node.stop()).await.unwrap();
}
