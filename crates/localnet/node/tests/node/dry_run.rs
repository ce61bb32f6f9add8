//! Tests of the simulation of extrinsics.

use codec::{Decode, Encode};
use serde_json::{Value, json};
use taonet_localnet_runtime::RuntimeCall;

use crate::support::{account_key, hex, node, remark, rpc, signed, transfer, try_rpc, unhex};

/// Number of events up to and including the extrinsic.
fn count(simulated: &Value) -> u32 {
    codec::Compact::<u32>::decode(&mut unhex(&simulated["events"]).as_slice()).unwrap().0
}

#[tokio::test]
async fn simulated_call_reports_its_effect_without_applying_it() {
    let node = node().await;
    for blocks in [0, 2] {
        node.mine(blocks).await.unwrap();
        let (head, before) = (node.head(), node.storage(&account_key("Bob")).unwrap());
        let succeeding = signed(&node, "Bob", 0, &transfer("Dave", 1_000_000_000));
        let simulated = rpc(&node, "dev_dryRun", json!([hex(&succeeding)])).await;
        assert_eq!(
            (&simulated["parent"], &simulated["error"]),
            (&json!(head.hash), &Value::Null),
            "{simulated}"
        );
        assert!(simulated["index"].as_u64() > Some(0) && count(&simulated) > 1, "{simulated}");
        let failing = signed(&node, "Bob", 0, &transfer("Dave", u64::MAX / 2));
        let simulated = rpc(&node, "dev_dryRun", json!([hex(&failing)])).await;
        assert!(!simulated["error"].is_null(), "{simulated}");
        // Nothing happened.
        assert_eq!(
            (node.head().hash, node.storage(&account_key("Bob")).unwrap()),
            (head.hash, before)
        );
        assert_eq!(rpc(&node, "author_pendingExtrinsics", json!([])).await, json!([]));
    }
    node.stop().await;
}

#[tokio::test]
async fn simulation_predicts_events_of_next_block() {
    let node = node().await;
    node.mine(1).await.unwrap();
    let extrinsic = signed(&node, "Bob", 0, &transfer("Dave", 1_000_000_000));
    let simulated = rpc(&node, "dev_dryRun", json!([hex(&extrinsic)])).await;
    node.submit(extrinsic).await.unwrap();
    let block = node.mine(1).await.unwrap();
    let events =
        [sp_io::hashing::twox_128(b"System"), sp_io::hashing::twox_128(b"Events")].concat();
    let events = node.storage(&events).unwrap().unwrap();
    // The first byte or bytes count the events; the block may have more of them after the
    // extrinsic.
    let count_length = |bytes: &[u8]| {
        codec::Compact(codec::Compact::<u32>::decode(&mut &*bytes).unwrap().0).encode().len()
    };
    let predicted = unhex(&simulated["events"]);
    assert!(
        events[count_length(&events)..].starts_with(&predicted[count_length(&predicted)..]),
        "{}",
        block.hash
    );
    node.stop().await;
}

#[tokio::test]
async fn invalid_extrinsic_is_not_simulated() {
    let node = node().await;
    node.mine(1).await.unwrap();
    let mut forged = signed(&node, "Bob", 0, &remark("x"));
    forged[50] ^= 1;
    for extrinsic in [
        forged,
        signed(&node, "Nobody", 0, &remark("poor")),
        signed(&node, "Bob", 7, &remark("future")),
    ] {
        let refused = try_rpc(&node, "dev_dryRun", json!([hex(&extrinsic)])).await.unwrap_err();
        assert_eq!(refused["code"], 1010, "{refused}");
    }
    let deep = (0..400).fold(remark("deep"), |call, _| {
        RuntimeCall::Utility(pallet_utility::Call::batch { calls: vec![call] })
    });
    for malformed in [json!(["0xffff"]), json!([]), json!([hex(&signed(&node, "Bob", 0, &deep))])] {
        assert_eq!(try_rpc(&node, "dev_dryRun", malformed).await.unwrap_err()["code"], -32602);
    }
    node.mine(1).await.unwrap();
    node.stop().await;
}
