//! Tests of storage that is set directly.

use codec::Encode;
use serde_json::{Value, json};
use taonet_localnet::{History, Node};

use crate::impersonate::reexecute;
use crate::support::{account_key, config, hex, node, remark, rpc, signed, storage_key, try_rpc};
use crate::watch::{client, next};

/// Returns the storage key of `SubtensorModule.Tempo` for a subnet.
fn tempo(netuid: u16) -> Vec<u8> {
    [storage_key("SubtensorModule", "Tempo"), netuid.encode()].concat()
}

#[tokio::test]
async fn value_is_set_in_new_block() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.directory = Some(directory.path().to_owned());
    config.history = History::Archive;
    let node = Node::start(config.clone()).await.unwrap();
    let before = node.mine(3).await.unwrap();
    let old = node.storage(&tempo(59)).unwrap();
    let block =
        rpc(&node, "dev_setStorage", json!([[[hex(&tempo(59)), hex(&77u16.encode())]]])).await;
    assert_eq!(block, json!({"number": 4, "hash": node.head().hash}));
    assert_eq!(node.storage(&tempo(59)).unwrap(), Some(77u16.encode()));
    // The block before it has the old value.
    let key = hex(&tempo(59));
    let read = rpc(&node, "state_getStorage", json!([key, before.hash])).await;
    assert_eq!(read, json!(old.map(|old| hex(&old))));
    reexecute(&node, &block["hash"]).await.unwrap();
    // Several values, one of which is removed.
    let entries = json!([[[hex(&tempo(59)), Value::Null], [hex(&tempo(1)), hex(&5u16.encode())]]]);
    let block = rpc(&node, "dev_setStorage", entries).await;
    assert_eq!(node.storage(&tempo(59)).unwrap(), None);
    reexecute(&node, &block["hash"]).await.unwrap();
    node.mine(3).await.unwrap();
    node.stop().await;
    let node = Node::start(config).await.unwrap();
    assert_eq!(node.storage(&tempo(1)).unwrap(), Some(5u16.encode()));
    node.stop().await;
}

#[tokio::test]
async fn subscriber_is_notified_of_set_value() {
    use jsonrpsee::core::client::{Subscription, SubscriptionClientT};
    let node = node().await;
    let client = client(&node).await;
    let key = hex(&tempo(59));
    let mut changes: Subscription<Value> = client
        .subscribe(
            "state_subscribeStorage",
            jsonrpsee::rpc_params![[&key]],
            "state_unsubscribeStorage",
        )
        .await
        .unwrap();
    next(&mut changes).await;
    let block = rpc(&node, "dev_setStorage", json!([[[key, "0x0700"]]])).await;
    assert_eq!(
        next(&mut changes).await,
        json!({"block": block["hash"], "changes": [[key, "0x0700"]]})
    );
    node.stop().await;
}

/// Values with which the block cannot be built are refused, and leave the chain as it was.
#[tokio::test]
async fn chain_breaking_value_is_refused() {
    let (node, other_node) = (node().await, node().await);
    let pending_extrinsic = signed(&node, "Alice", 0, &remark("waits"));
    node.submit(pending_extrinsic.clone()).await.unwrap();
    let far_slot = hex(&u64::MAX.encode());
    for (pallet, item, value) in [
        ("Aura", "CurrentSlot", &far_slot),
        ("Timestamp", "Now", &far_slot),
        ("System", "Number", &hex(&7u32.encode())),
        ("System", "ParentHash", &hex(&[7; 32])),
        ("System", "Digest", &"0x00".to_owned()),
    ] {
        let params = json!([[[hex(&storage_key(pallet, item)), value]]]);
        let error = try_rpc(&node, "dev_setStorage", params).await.unwrap_err();
        assert_eq!(error["code"], 5001, "{pallet}.{item}: {error}");
        assert_eq!(node.head().number(), 0, "{pallet}.{item}");
    }
    assert_eq!(
        rpc(&node, "author_pendingExtrinsics", json!([])).await.as_array().unwrap().len(),
        1
    );
    other_node.submit(pending_extrinsic).await.unwrap();
    assert_eq!(node.mine(3).await.unwrap(), other_node.mine(3).await.unwrap());
    node.stop().await;
    other_node.stop().await;
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let node = node().await;
    let key = hex(&account_key("Bob"));
    for params in [
        json!([]),
        json!([[["0x", "0x00"]]]),
        json!([[[hex(b":code"), "0x00"]]]),
        json!([[[key]]]),
        json!([[[key, 7]]]),
        json!([[[key, "0x0"]]]),
        json!([[[key, hex(&vec![0; 64 << 10])]]]),
    ] {
        assert_eq!(
            try_rpc(&node, "dev_setStorage", params.clone()).await.unwrap_err()["code"],
            -32602,
            "{params}"
        );
    }
    assert_eq!(node.head().number(), 0);
    node.stop().await;
}
