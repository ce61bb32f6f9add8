//! Tests of storage, runtime calls, and the list of methods.

use std::collections::BTreeSet;

use codec::Encode;
use serde_json::{Value, json};

use crate::support::{
    account, account_key, hex, node, remark, rpc, signed, storage_key, transfer, try_rpc, unhex,
};

#[tokio::test]
async fn every_method_that_clients_use_is_served() {
    let node = node().await;
    let response = rpc(&node, "rpc_methods", json!([])).await;
    let listed: BTreeSet<_> =
        response["methods"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let client_methods = [
        "account_nextIndex",
        "author_pendingExtrinsics",
        "author_submitAndWatchExtrinsic",
        "author_submitExtrinsic",
        "author_unwatchExtrinsic",
        "chain_getBlock",
        "chain_getBlockHash",
        "chain_getFinalizedHead",
        "chain_getHead",
        "chain_getHeader",
        "chain_subscribeAllHeads",
        "chain_subscribeFinalizedHeads",
        "chain_subscribeNewHeads",
        "chain_unsubscribeAllHeads",
        "chain_unsubscribeFinalizedHeads",
        "chain_unsubscribeNewHeads",
        "payment_queryFeeDetails",
        "payment_queryInfo",
        "rpc_methods",
        "state_call",
        "state_getKeys",
        "state_getKeysPaged",
        "state_getMetadata",
        "state_getRuntimeVersion",
        "state_getStorage",
        "state_getStorageAt",
        "state_queryStorageAt",
        "state_subscribeRuntimeVersion",
        "state_subscribeStorage",
        "state_unsubscribeRuntimeVersion",
        "state_unsubscribeStorage",
        "system_accountNextIndex",
        "system_chain",
        "system_chainType",
        "system_health",
        "system_name",
        "system_properties",
        "system_version",
    ];
    for method in client_methods {
        assert!(listed.contains(method), "{method}");
    }
    // If these methods were listed, subxt would use a different protocol.
    assert!(
        !listed.iter().any(|name| name.starts_with("chainHead_") || name.starts_with("archive_"))
    );
    let properties = json!({"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO"});
    assert_eq!(rpc(&node, "system_properties", json!([])).await, properties);
    node.stop().await;
}

#[tokio::test]
async fn coverage_page_lists_exactly_the_served_methods() {
    let node = node().await;
    let response = rpc(&node, "rpc_methods", json!([])).await;
    let served: BTreeSet<_> =
        response["methods"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/localnet-coverage.md");
    let document = std::fs::read_to_string(document).unwrap();
    let section =
        document.split("\n## ").find(|section| section.starts_with("JSON-RPC methods\n")).unwrap();
    let (supported, unsupported) = section.split_once("| Unsupported methods |").unwrap();
    let listed: BTreeSet<_> = quoted(supported).collect();
    assert_eq!(listed, served);
    let absent: Vec<_> =
        unsupported.lines().filter_map(|row| row.split('|').nth(1)).flat_map(quoted).collect();
    assert!(absent.len() > 20, "{absent:?}");
    for name in absent {
        let is_served = match name.strip_suffix('*') {
            Some(prefix) => served.iter().any(|method| method.starts_with(prefix)),
            None => served.contains(name),
        };
        assert!(!is_served, "{name}");
    }
    node.stop().await;
}

/// Returns the words of a Markdown text that are in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[tokio::test]
async fn unknown_method_returns_error_code() {
    let node = node().await;
    let error = try_rpc(&node, "state_call", json!(["NoSuchApi_nothing", "0x"])).await.unwrap_err();
    assert_eq!(error["code"], 4003);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("Exported method NoSuchApi_nothing is not found"),
        "{error}"
    );
    let error = try_rpc(&node, "no_such_method", json!([])).await.unwrap_err();
    assert_eq!(error["code"], -32601);
    node.stop().await;
}

#[tokio::test]
async fn runtime_call_with_wrong_arguments_fails_without_stopping_the_node() {
    let node = node().await;
    let error = try_rpc(&node, "state_call", json!(["AccountNonceApi_account_nonce", "0x0102"]))
        .await
        .unwrap_err();
    assert_eq!(error["code"], 4003, "{error}");
    assert_eq!(rpc(&node, "system_name", json!([])).await, "taonet localnet");
    node.stop().await;
}

#[tokio::test]
async fn versions_and_metadata_are_served() {
    let node = node().await;
    let version = rpc(&node, "state_getRuntimeVersion", json!([])).await;
    assert_eq!(version["specName"], "node-subtensor");
    assert_eq!(version["transactionVersion"], 1);
    assert_eq!(version["stateVersion"], 1);
    assert!(version["apis"].as_array().unwrap().len() > 3);
    let metadata = unhex(&rpc(&node, "state_getMetadata", json!([])).await);
    assert_eq!(&metadata[..5], b"meta\x0e");
    let response = unhex(
        &rpc(&node, "state_call", json!(["Metadata_metadata_at_version", "0x0f000000"])).await,
    );
    assert!(response.windows(5).take(10).any(|window| window == b"meta\x0f"));
    let unknown = "0x".to_owned() + &"22".repeat(32);
    let error = try_rpc(&node, "state_getRuntimeVersion", json!([unknown])).await.unwrap_err();
    assert_eq!(error["code"], 4003);
    node.stop().await;
}

#[tokio::test]
async fn storage_is_readable_at_each_block() {
    let node = node().await;
    let before = node.mine(1).await.unwrap();
    node.submit(signed(&node, "Alice", 0, &transfer("Dave", 1_000_000_000))).await.unwrap();
    let after = node.mine(1).await.unwrap();
    let key = hex(&account_key("Dave"));
    let free = |value: Value| u64::from_le_bytes(unhex(&value)[16..24].try_into().unwrap());
    let old = free(rpc(&node, "state_getStorage", json!([key, before.hash])).await);
    let new = free(rpc(&node, "state_getStorageAt", json!([key, after.hash])).await);
    assert_eq!(new - old, 1_000_000_000);
    assert_eq!(free(rpc(&node, "state_getStorage", json!([key])).await), new);
    let absent = hex(b"nothing is here");
    assert_eq!(rpc(&node, "state_getStorage", json!([absent])).await, Value::Null);
    let queried = rpc(&node, "state_queryStorageAt", json!([[key, absent], after.hash])).await;
    assert_eq!(queried[0]["block"], json!(after.hash));
    assert_eq!(queried[0]["changes"][1], json!([absent, null]));
    assert_eq!(free(queried[0]["changes"][0][1].clone()), new);
    assert_eq!(rpc(&node, "state_queryStorageAt", json!([[]])).await[0]["changes"], json!([]));
    let size = rpc(&node, "state_getStorageSize", json!([key])).await;
    assert_eq!(size, unhex(&rpc(&node, "state_getStorage", json!([key])).await).len());
    node.stop().await;
}

#[tokio::test]
async fn storage_at_unknown_block_is_an_error() {
    let node = node().await;
    let unknown = "0x".to_owned() + &"33".repeat(32);
    let error = try_rpc(&node, "state_getStorage", json!(["0x00", unknown])).await.unwrap_err();
    assert_eq!(error["code"], 4003);
    let text =
        format!("Client error: UnknownBlock: Header was not found in the database: {unknown}");
    assert_eq!(error["message"], text);
    node.stop().await;
}

#[tokio::test]
async fn storage_keys_are_paged_in_order() {
    let node = node().await;
    let prefix = hex(&storage_key("System", "Account"));
    let all = rpc(&node, "state_getKeys", json!([prefix])).await;
    let all: Vec<_> =
        all.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
    assert!(all.len() >= 9, "{}", all.len());
    assert!(all.is_sorted());
    let mut paged: Vec<String> = Vec::new();
    loop {
        let page =
            rpc(&node, "state_getKeysPaged", json!([prefix, 4, paged.last(), node.head().hash]))
                .await;
        let page = page.as_array().unwrap().clone();
        if page.is_empty() {
            break;
        }
        paged.extend(page.iter().map(|key| key.as_str().unwrap().to_owned()));
    }
    assert_eq!(paged, all);
    let error = try_rpc(&node, "state_getKeysPaged", json!([prefix, 1_001])).await.unwrap_err();
    assert_eq!(error["code"], 4002);
    node.stop().await;
}

#[tokio::test]
async fn next_nonce_includes_pooled_extrinsics() {
    let node = node().await;
    let alice = account("Alice").to_string();
    assert_eq!(rpc(&node, "system_accountNextIndex", json!([alice])).await, 0);
    node.submit(signed(&node, "Alice", 0, &remark("0"))).await.unwrap();
    node.submit(signed(&node, "Alice", 1, &remark("1"))).await.unwrap();
    // An extrinsic whose nonce leaves a gap.
    node.submit(signed(&node, "Alice", 3, &remark("3"))).await.unwrap();
    for method in ["system_accountNextIndex", "account_nextIndex"] {
        assert_eq!(rpc(&node, method, json!([alice])).await, 2);
    }
    assert_eq!(
        rpc(&node, "author_pendingExtrinsics", json!([])).await.as_array().unwrap().len(),
        3
    );
    node.mine(1).await.unwrap();
    assert_eq!(rpc(&node, "system_accountNextIndex", json!([alice])).await, 2);
    node.submit(signed(&node, "Alice", 2, &remark("2"))).await.unwrap();
    assert_eq!(rpc(&node, "system_accountNextIndex", json!([alice])).await, 4);
    node.mine(1).await.unwrap();
    assert_eq!(rpc(&node, "system_accountNextIndex", json!([alice])).await, 4);
    assert_eq!(rpc(&node, "author_pendingExtrinsics", json!([])).await, json!([]));
    assert!(try_rpc(&node, "system_accountNextIndex", json!(["nobody"])).await.is_err());
    node.stop().await;
}

#[tokio::test]
async fn estimated_fee_equals_the_charged_fee() {
    let node = node().await;
    let extrinsic = signed(&node, "Bob", 0, &transfer("Dave", 5));
    let info = rpc(&node, "payment_queryInfo", json!([hex(&extrinsic)])).await;
    let fee: u64 = info["partialFee"].as_str().unwrap().parse().unwrap();
    assert!(fee > extrinsic.len() as u64 / 2, "{info}");
    assert_eq!(info["class"], "normal");
    assert!(info["weight"]["ref_time"].as_u64().unwrap() > 0, "{info}");
    let details = rpc(&node, "payment_queryFeeDetails", json!([hex(&extrinsic)])).await;
    assert!(details["inclusionFee"]["lenFee"].as_str().unwrap().starts_with("0x"), "{details}");
    let free = |value: Vec<u8>| u64::from_le_bytes(value[16..24].try_into().unwrap());
    let before = free(node.storage(&account_key("Bob")).unwrap().unwrap());
    node.submit(extrinsic).await.unwrap();
    node.mine(1).await.unwrap();
    let after = free(node.storage(&account_key("Bob")).unwrap().unwrap());
    assert_eq!(before - after, fee + 5);
    let error = try_rpc(&node, "payment_queryInfo", json!(["0x1234"])).await.unwrap_err();
    assert_eq!(error["message"], "Unable to query dispatch info.");
    node.stop().await;
}

#[tokio::test]
async fn node_handle_calls_the_runtime() {
    let node = node().await;
    let response = node.call("AccountNonceApi_account_nonce", &account("Alice")).unwrap();
    assert_eq!(response, 0u32.encode());
    assert!(node.call("Nothing_here", &()).is_err());
    node.stop().await;
}
