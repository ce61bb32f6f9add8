//! Tests of blocks and their hashes.

use codec::Encode;
use serde_json::{Value, json};
use taonet_localnet::Clock;
use taonet_localnet_runtime::types::NetUid;
use taonet_localnet_runtime::{RuntimeCall, subtensor};

use crate::impersonate::reexecute;
use crate::support::{
    START, account, node, remark, rpc, signed, storage_key, transfer, try_rpc, unhex,
};

#[tokio::test]
async fn block_hash_is_hash_of_header() {
    let node = node().await;
    let head = node.mine(3).await.unwrap();
    for number in 0..=3 {
        let hash = rpc(&node, "chain_getBlockHash", json!([number])).await;
        let header = rpc(&node, "chain_getHeader", json!([hash])).await;
        let header: taonet_localnet_runtime::Header = serde_json::from_value(header).unwrap();
        assert_eq!(
            json!(format!("0x{}", hex::encode(sp_io::hashing::blake2_256(&header.encode())))),
            hash
        );
    }
    assert_eq!(rpc(&node, "chain_getBlockHash", json!([3])).await, json!(head.hash));
    node.stop().await;
}

#[tokio::test]
async fn block_hash_accepts_every_parameter_form() {
    let node = node().await;
    node.mine(20).await.unwrap();
    let block_hash = rpc(&node, "chain_getBlockHash", json!([16])).await;
    assert!(block_hash.is_string());
    assert_eq!(rpc(&node, "chain_getBlockHash", json!(["0x10"])).await, block_hash);
    assert_eq!(
        rpc(&node, "chain_getBlockHash", json!([[16, "0x10", 21]])).await,
        json!([block_hash, block_hash, null])
    );
    assert_eq!(rpc(&node, "chain_getBlockHash", json!([21])).await, Value::Null);
    assert_eq!(rpc(&node, "chain_getBlockHash", json!([1_u64 << 40])).await, Value::Null);
    let response = rpc(&node, "chain_getBlockHash", json!([vec![16; 1_000]])).await;
    assert_eq!(response, json!(vec![block_hash; 1_000]));
    assert_eq!(
        try_rpc(&node, "chain_getBlockHash", json!([vec![16; 1_001]])).await.unwrap_err()["code"],
        4002
    );
    let head = json!(node.head().hash);
    for (method, params) in [
        ("chain_getBlockHash", json!([])),
        ("chain_getBlockHash", json!([null])),
        ("chain_getHead", json!([])),
        ("chain_getFinalizedHead", json!([])),
        ("chain_getFinalisedHead", json!([])),
    ] {
        assert_eq!(rpc(&node, method, params).await, head, "{method}");
    }
    node.stop().await;
}

/// Named parameters as sent by turbobt, and by clients generated with jsonrpsee.
#[tokio::test]
async fn named_parameters_are_accepted() {
    let node = node().await;
    let head = node.mine(3).await.unwrap();
    let hash = json!(head.hash);
    let key = crate::support::hex(&storage_key("System", "Number"));
    let extrinsic = crate::support::hex(&signed(&node, "Alice", 0, &remark("named")));
    for (method, named, positional) in [
        ("chain_getBlockHash", json!({"hash": 2}), json!([2])),
        ("chain_getHeader", json!({"hash": null}), json!([])),
        ("chain_getHeader", json!({"hash": hash}), json!([hash])),
        ("chain_getBlock", json!({"hash": hash}), json!([hash])),
        ("chain_getFinalizedHead", json!({}), json!([])),
        ("state_getRuntimeVersion", json!({"hash": null}), json!([])),
        ("state_getStorage", json!({"key": key, "hash": null}), json!([key])),
        ("state_getStorageHash", json!({"hash": hash, "key": key}), json!([key, hash])),
        ("state_getStorageSize", json!({"key": key}), json!([key])),
        ("state_queryStorageAt", json!({"keys": [key], "at": hash}), json!([[key], hash])),
        (
            "state_getKeysPaged",
            json!({"prefix": key, "count": 5, "start_key": null}),
            json!([key, 5]),
        ),
        (
            "state_getKeysPaged",
            json!({"prefix": "0x", "count": 5, "startKey": key}),
            json!(["0x", 5, key]),
        ),
        (
            "state_call",
            json!({"name": "Core_version", "bytes": "0x", "hash": null}),
            json!(["Core_version", "0x"]),
        ),
        ("payment_queryInfo", json!({"encoded_xt": extrinsic}), json!([extrinsic])),
        (
            "payment_queryFeeDetails",
            json!({"encodedXt": extrinsic, "at": hash}),
            json!([extrinsic, hash]),
        ),
        ("system_accountNextIndex", json!({"account": account("Bob")}), json!([account("Bob")])),
        ("dev_status", json!({}), json!([])),
    ] {
        assert_eq!(
            rpc(&node, method, named).await,
            rpc(&node, method, positional).await,
            "{method}"
        );
    }
    let submitted = rpc(&node, "author_submitExtrinsic", json!({"extrinsic": extrinsic})).await;
    assert_eq!(
        submitted,
        json!(sp_core::H256(sp_io::hashing::blake2_256(&unhex(&json!(extrinsic)))))
    );
    assert_eq!(rpc(&node, "dev_mine", json!({"blocks": 2})).await["number"], 5);
    let error = try_rpc(&node, "state_getStorage", json!({"hash": hash})).await.unwrap_err();
    assert_eq!(
        (&error["code"], &error["data"]),
        (&json!(-32602), &json!("a storage key must be a string"))
    );
    node.stop().await;
}

#[tokio::test]
async fn health_is_served_over_http_get() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let node = node().await;
    let health = rpc(&node, "system_health", json!([])).await;
    let request =
        format!("GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.address());
    let mut stream = tokio::net::TcpStream::connect(node.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), health, "{response}");
    node.stop().await;
}

/// polkadot-api reads no storage before it has the hash of the code.
#[tokio::test]
async fn code_hash_identifies_the_metadata() {
    let hash = async |clock| {
        let mut config = crate::support::config();
        config.clock = Some(clock);
        let node = taonet_localnet::Node::start(config).await.unwrap();
        let hash = rpc(&node, "state_getStorageHash", json!(["0x3a636f6465"])).await;
        node.mine(1).await.unwrap();
        assert_eq!(rpc(&node, "state_getStorageHash", json!(["0x3a636f6465"])).await, hash);
        node.stop().await;
        assert_eq!(unhex(&hash).len(), 32);
        hash
    };
    assert_eq!(hash(Clock::Manual).await, hash(Clock::Instant).await);
    // The metadata has the block time.
    assert_ne!(hash(Clock::Manual).await, hash(Clock::PRODUCTION).await);
}

#[tokio::test]
async fn block_contains_timestamp_and_submitted_extrinsic() {
    let node = node().await;
    let extrinsic = signed(&node, "Alice", 0, &remark("hello"));
    node.submit(extrinsic.clone()).await.unwrap();
    let head = node.mine(1).await.unwrap();
    let block = rpc(&node, "chain_getBlock", json!([head.hash])).await;
    assert_eq!(block["justifications"], Value::Null);
    let extrinsics = block["block"]["extrinsics"].as_array().unwrap();
    assert_eq!(extrinsics.len(), 2);
    assert_eq!(unhex(&extrinsics[1]), extrinsic);
    // Timestamp.set: pallet 2, call 0, then milliseconds as a compact integer.
    assert_eq!(&unhex(&extrinsics[0])[2..4], &[2, 0]);
    let timestamp = rpc(
        &node,
        "state_getStorage",
        json!([crate::support::hex(&storage_key("Timestamp", "Now"))]),
    )
    .await;
    assert_eq!(unhex(&timestamp), (START + 250).to_le_bytes());
    let unknown_hash = json!(["0x".to_owned() + &"11".repeat(32)]);
    assert_eq!(rpc(&node, "chain_getBlock", unknown_hash.clone()).await, Value::Null);
    assert_eq!(rpc(&node, "chain_getHeader", unknown_hash).await, Value::Null);
    assert!(try_rpc(&node, "chain_getBlock", json!(["0x11"])).await.is_err());
    node.stop().await;
}

#[tokio::test]
async fn same_configuration_gives_the_same_chain() {
    let (first_node, second_node) = (node().await, node().await);
    // Signed only once, since signatures are randomised.
    let extrinsic = signed(&first_node, "Alice", 0, &remark("same"));
    for node in [&first_node, &second_node] {
        node.submit(extrinsic.clone()).await.unwrap();
    }
    // One node commits each block, the other commits all blocks at once.
    for _ in 0..70 {
        first_node.mine(1).await.unwrap();
    }
    assert_eq!(first_node.mine(1).await.unwrap(), second_node.mine(71).await.unwrap());
    first_node.stop().await;
    second_node.stop().await;
}

/// Blocks are built with values in memory, while extrinsics arrive and earlier blocks are written.
/// Each block is the same as its execution on the stored state of its parent.
#[tokio::test]
async fn stored_blocks_reexecute_to_the_same_result() {
    let node = node().await;
    let register = |number: u32| {
        let hotkey = account(&format!("hotkey {number}"));
        RuntimeCall::SubtensorModule(subtensor::Call::burned_register {
            netuid: NetUid(59),
            hotkey,
        })
    };
    let calls = (0..60).map(|nonce| match nonce % 3 {
        0 => register(nonce),
        1 => transfer(&format!("account {nonce}"), 1_000_000 * u64::from(nonce)),
        _ => remark("call"),
    });
    let extrinsics: Vec<_> =
        (0..).zip(calls).map(|(nonce, call)| signed(&node, "Alice", nonce, &call)).collect();
    let submitted_count = extrinsics.len();
    let submitting = async {
        for extrinsic in extrinsics {
            node.submit(extrinsic).await.unwrap();
        }
    };
    let ((), produced) = tokio::join!(submitting, node.mine(400));
    produced.unwrap();
    let head = node.mine(1).await.unwrap();
    let mut included = 0;
    for number in 1..=head.number() {
        let hash = rpc(&node, "chain_getBlockHash", json!([number])).await;
        let block = rpc(&node, "chain_getBlock", json!([hash])).await;
        // The first extrinsic is the inherent.
        included += block["block"]["extrinsics"].as_array().unwrap().len() - 1;
        reexecute(&node, &hash).await.unwrap_or_else(|error| panic!("block {number}: {error}"));
    }
    assert_eq!(included, submitted_count);
    node.stop().await;
}
