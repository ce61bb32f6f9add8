//! Tests of blocks and their hashes.

use codec::Encode;
use serde_json::{Value, json};
use taonet_localnet_runtime::types::NetUid;
use taonet_localnet_runtime::{RuntimeCall, subtensor};

use crate::impersonate::reexecute;
use crate::support::{START, account, ask, get, node, remark, signed, storage_key, transfer, unhex};

#[tokio::test]
async fn a_header_hashes_to_the_blocks_hash() {
    let node = node().await;
    let head = node.mine(3).await.unwrap();
    for number in 0..=3 {
        let hash = get(&node, "chain_getBlockHash", json!([number])).await;
        let header = get(&node, "chain_getHeader", json!([hash])).await;
        let header: taonet_localnet_runtime::Header = serde_json::from_value(header).unwrap();
        assert_eq!(json!(format!("0x{}", hex::encode(sp_io::hashing::blake2_256(&header.encode())))), hash);
    }
    assert_eq!(get(&node, "chain_getBlockHash", json!([3])).await, json!(head.hash));
    node.stop().await;
}

#[tokio::test]
async fn block_hashes_are_asked_for_in_every_way() {
    let node = node().await;
    node.mine(20).await.unwrap();
    let sixteen = get(&node, "chain_getBlockHash", json!([16])).await;
    assert!(sixteen.is_string());
    assert_eq!(get(&node, "chain_getBlockHash", json!(["0x10"])).await, sixteen);
    assert_eq!(get(&node, "chain_getBlockHash", json!([[16, "0x10", 21]])).await, json!([sixteen, sixteen, null]));
    assert_eq!(get(&node, "chain_getBlockHash", json!([21])).await, Value::Null);
    assert_eq!(get(&node, "chain_getBlockHash", json!([1_u64 << 40])).await, Value::Null);
    let answer = get(&node, "chain_getBlockHash", json!([vec![16; 1_000]])).await;
    assert_eq!(answer, json!(vec![sixteen; 1_000]));
    assert_eq!(ask(&node, "chain_getBlockHash", json!([vec![16; 1_001]])).await.unwrap_err()["code"], 4002);
    let head = json!(node.head().hash);
    for (method, params) in [
        ("chain_getBlockHash", json!([])),
        ("chain_getBlockHash", json!([null])),
        ("chain_getHead", json!([])),
        ("chain_getFinalizedHead", json!([])),
        ("chain_getFinalisedHead", json!([])),
    ] {
        assert_eq!(get(&node, method, params).await, head, "{method}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_block_begins_with_its_time_and_holds_its_calls() {
    let node = node().await;
    let call = signed(&node, "Alice", 0, &remark("hello"));
    node.submit(call.clone()).await.unwrap();
    let head = node.mine(1).await.unwrap();
    let block = get(&node, "chain_getBlock", json!([head.hash])).await;
    assert_eq!(block["justifications"], Value::Null);
    let extrinsics = block["block"]["extrinsics"].as_array().unwrap();
    assert_eq!(extrinsics.len(), 2);
    assert_eq!(unhex(&extrinsics[1]), call);
    // Timestamp.set: pallet 2, call 0, then milliseconds as a compact integer.
    assert_eq!(&unhex(&extrinsics[0])[2..4], &[2, 0]);
    let now = get(&node, "state_getStorage", json!([crate::support::hex(&storage_key("Timestamp", "Now"))])).await;
    assert_eq!(unhex(&now), (START + 250).to_le_bytes());
    let unknown = json!(["0x".to_owned() + &"11".repeat(32)]);
    assert_eq!(get(&node, "chain_getBlock", unknown.clone()).await, Value::Null);
    assert_eq!(get(&node, "chain_getHeader", unknown).await, Value::Null);
    assert!(ask(&node, "chain_getBlock", json!(["0x11"])).await.is_err());
    node.stop().await;
}

#[tokio::test]
async fn the_same_start_gives_the_same_chain() {
    let (one, two) = (node().await, node().await);
    // Signed only once, since signatures are randomised.
    let call = signed(&one, "Alice", 0, &remark("same"));
    for node in [&one, &two] {
        node.submit(call.clone()).await.unwrap();
    }
    // One node commits each block, the other commits all blocks at once.
    for _ in 0..70 {
        one.mine(1).await.unwrap();
    }
    assert_eq!(one.mine(1).await.unwrap(), two.mine(71).await.unwrap());
    one.stop().await;
    two.stop().await;
}

/// Blocks are built with values in memory, while calls arrive and earlier blocks are written. Each block is the same as
/// its execution on the stored state of its parent.
#[tokio::test]
async fn every_block_is_its_execution_on_the_stored_state() {
    let node = node().await;
    let register = |number: u32| {
        let hotkey = account(&format!("hotkey {number}"));
        RuntimeCall::SubtensorModule(subtensor::Call::burned_register { netuid: NetUid(59), hotkey })
    };
    let calls = (0..60).map(|nonce| match nonce % 3 {
        0 => register(nonce),
        1 => transfer(&format!("account {nonce}"), 1_000_000 * u64::from(nonce)),
        _ => remark("call"),
    });
    let calls: Vec<_> = (0..).zip(calls).map(|(nonce, call)| signed(&node, "Alice", nonce, &call)).collect();
    let wanted = calls.len();
    let submitting = async {
        for call in calls {
            node.submit(call).await.unwrap();
        }
    };
    let ((), produced) = tokio::join!(submitting, node.mine(400));
    produced.unwrap();
    let head = node.mine(1).await.unwrap();
    let mut included = 0;
    for number in 1..=head.number() {
        let hash = get(&node, "chain_getBlockHash", json!([number])).await;
        let block = get(&node, "chain_getBlock", json!([hash])).await;
        // The first extrinsic is the inherent.
        included += block["block"]["extrinsics"].as_array().unwrap().len() - 1;
        reexecute(&node, &hash).await.unwrap_or_else(|error| panic!("block {number}: {error}"));
    }
    assert_eq!(included, wanted);
    node.stop().await;
}
