//! Tests of calls as any account, without its key.

use codec::Encode;
use serde_json::{Value, json};
use taonet_localnet::NodeHandle;
use taonet_localnet_runtime::RuntimeCall;

use crate::support::{
    account, account_key, hex, node, remark, rpc, signed, transfer, try_rpc, unhex,
};

/// Makes a call as an account.
async fn call_as(node: &NodeHandle, name: &str, call: &RuntimeCall) -> Result<Value, Value> {
    try_rpc(node, "dev_impersonate", json!([account(name).to_string(), hex(&call.encode())])).await
}

fn nonce_and_free(node: &NodeHandle, name: &str) -> (u32, u64) {
    let account = node.storage(&account_key(name)).unwrap().unwrap();
    (
        u32::from_le_bytes(account[..4].try_into().unwrap()),
        u64::from_le_bytes(account[16..24].try_into().unwrap()),
    )
}

/// Re-executes a block on the state of its parent.
pub(crate) async fn reexecute(node: &NodeHandle, hash: &Value) -> Result<Value, Value> {
    let block = rpc(node, "chain_getBlock", json!([hash])).await;
    let header = &block["block"]["header"];
    let extrinsics = block["block"]["extrinsics"].as_array().unwrap();
    let extrinsics: Vec<u8> = extrinsics.iter().flat_map(unhex).collect();
    let count = codec::Compact(block["block"]["extrinsics"].as_array().unwrap().len() as u32);
    let logs = header["digest"]["logs"].as_array().unwrap();
    let number =
        u32::from_str_radix(header["number"].as_str().unwrap().trim_start_matches("0x"), 16)
            .unwrap();
    let encoded = [
        unhex(&header["parentHash"]),
        codec::Compact(number).encode(),
        unhex(&header["stateRoot"]),
        unhex(&header["extrinsicsRoot"]),
        codec::Compact(logs.len() as u32).encode(),
        logs.iter().flat_map(unhex).collect(),
        count.encode(),
        extrinsics,
    ]
    .concat();
    try_rpc(node, "state_call", json!(["Core_execute_block", hex(&encoded), header["parentHash"]]))
        .await
}

#[tokio::test]
async fn impersonated_call_needs_no_key() {
    let node = node().await;
    node.mine(2).await.unwrap();
    let before = nonce_and_free(&node, "Bob");
    let response = call_as(&node, "Bob", &transfer("Dave", 1_000_000_000)).await.unwrap();
    assert_eq!(
        (&response["number"], &response["hash"], &response["error"]),
        (&json!(3), &json!(node.head().hash), &Value::Null)
    );
    let block = rpc(&node, "chain_getBlock", json!([response["hash"]])).await;
    let index = response["extrinsic"]["index"].as_u64().unwrap() as usize;
    let extrinsic = unhex(&block["block"]["extrinsics"][index]);
    assert_eq!(json!(hex(&sp_io::hashing::blake2_256(&extrinsic))), response["extrinsic"]["hash"]);
    // The account pays the fee, and its nonce increases.
    let (nonce, free) = nonce_and_free(&node, "Bob");
    assert_eq!(nonce, before.0 + 1);
    let paid = before.1 - 1_000_000_000 - free;
    assert!((1..10_000_000).contains(&paid), "{paid}");
    // The same bytes in another block are refused, as is the placeholder signature in any
    // extrinsic that clients submit.
    let refused =
        try_rpc(&node, "author_submitExtrinsic", json!([hex(&extrinsic)])).await.unwrap_err();
    assert_eq!(refused["code"], 1010, "{refused}");
    node.stop().await;
}

#[tokio::test]
async fn impersonated_call_works_in_the_first_block() {
    let node = node().await;
    let response = call_as(&node, "Bob", &remark("first")).await.unwrap();
    assert_eq!((&response["number"], &response["error"]), (&json!(1), &Value::Null));
    node.stop().await;
}

#[tokio::test]
async fn stored_block_with_impersonated_call_is_reexecuted() {
    let node = node().await;
    node.mine(1).await.unwrap();
    let response = call_as(&node, "Bob", &remark(&"long".repeat(100))).await.unwrap();
    node.submit(signed(&node, "Alice", 0, &remark("plain"))).await.unwrap();
    let plain = node.mine(1).await.unwrap();
    for hash in [&response["hash"], &json!(plain.hash)] {
        reexecute(&node, hash).await.unwrap();
    }
    node.stop().await;
}

#[tokio::test]
async fn impersonated_call_leaves_the_pool_unchanged() {
    let node = node().await;
    node.submit(signed(&node, "Alice", 0, &remark("waits"))).await.unwrap();
    call_as(&node, "Bob", &remark("alone")).await.unwrap();
    assert_eq!(
        rpc(&node, "author_pendingExtrinsics", json!([])).await.as_array().unwrap().len(),
        1
    );
    node.mine(1).await.unwrap();
    assert_eq!(nonce_and_free(&node, "Alice").0, 1);
    node.stop().await;
}

#[tokio::test]
async fn failed_call_is_in_a_block_and_refused_call_is_not() {
    let node = node().await;
    // The call is in a block, and fails there.
    let response = call_as(&node, "Dave", &transfer("Alice", u64::MAX / 2)).await.unwrap();
    assert_eq!(response["number"], 1);
    assert!(!response["error"].is_null(), "{response}");
    // An account without funds cannot pay the fee: no block.
    let refused = call_as(&node, "Nobody", &remark("poor")).await.unwrap_err();
    assert_eq!(refused["code"], 1010, "{refused}");
    assert!(refused["data"].as_str().unwrap().contains("fees"), "{refused}");
    let code = RuntimeCall::System(frame_system::Call::set_code { code: vec![1] });
    let refused = call_as(&node, "Alice", &code).await.unwrap_err();
    assert_eq!(refused["code"], 1010, "{refused}");
    assert_eq!(node.head().number(), 1);
    for malformed in
        [json!(["nobody", "0x00"]), json!([account("Bob").to_string(), "0xffff"]), json!([])]
    {
        assert_eq!(try_rpc(&node, "dev_impersonate", malformed).await.unwrap_err()["code"], -32602);
    }
    let trailing = hex(&[remark("x").encode(), vec![0]].concat());
    let refused = try_rpc(&node, "dev_impersonate", json!([account("Bob").to_string(), trailing]))
        .await
        .unwrap_err();
    assert_eq!(refused["code"], -32602);
    node.mine(1).await.unwrap();
    node.stop().await;
}

/// Nested calls, encoded by hand: encoding them must not recurse either.
#[tokio::test]
async fn nested_calls_do_not_overflow_the_stack() {
    let node = node().await;
    let batch = RuntimeCall::Utility(pallet_utility::Call::batch_all { calls: vec![remark("x")] });
    let start = &batch.encode()[..3];
    for depth in [200, 3_000] {
        let mut call = remark("deep").encode();
        for _ in 0..depth {
            call = [start, &call].concat();
        }
        let response =
            try_rpc(&node, "dev_impersonate", json!([account("Bob").to_string(), hex(&call)]))
                .await;
        // Nested batches fail in their block, and deeper ones are malformed.
        match response {
            Ok(response) => assert!(depth == 200 && !response["error"].is_null(), "{response}"),
            Err(error) => assert_eq!((depth, &error["code"]), (3_000, &json!(-32602)), "{error}"),
        }
    }
    node.mine(1).await.unwrap();
    node.stop().await;
}
