//! Floods and malformed requests from careless or hostile clients.

use std::time::Duration;

use jsonrpsee::core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::WsClientBuilder;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sp_core::H256;
use taonet_localnet::{Node, NodeHandle};
use taonet_localnet_runtime::RuntimeCall;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::process::{Process, announce};
use crate::support::{
    Signing, config, frame, hex, node, post, post_to, rpc, storage_key, try_rpc, try_rpc_at, unhex,
    upgrade, websocket,
};

async fn assert_alive(node: &NodeHandle) {
    assert_eq!(rpc(node, "system_chain", json!([])).await, "Bittensor");
    let before = node.head().number();
    assert_eq!(node.mine(1).await.unwrap().number(), before + 1);
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let node = node().await;
    let nested_array = "[".repeat(100_000);
    let long_array = format!("[{}]", vec!["1"; 5_000].join(","));
    for body in [
        "",
        "{",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{}",
        "[1,2",
        "\u{0}\u{1}",
        "{\"jsonrpc\":\"2.0\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":1}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"state_call\",\"params\":1}",
        &nested_array,
        &long_array,
    ] {
        let (status, response) = post(node.address(), body.as_bytes()).await;
        let text = &body[..body.len().min(60)];
        assert!(status >= 400 || response.contains("error"), "{text}: {status} {response}");
    }
    let (status, response) = post(node.address(), &[0xff; 1_000]).await;
    assert!(status >= 400 || response.contains("error"), "{status} {response}");
    assert_alive(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn oversized_request_or_batch_is_refused() {
    let mut config = config();
    config.rpc.request_bytes = 100_000;
    config.rpc.batch = 10;
    let node = Node::start(config).await.unwrap();
    let oversized_request = json!({
        "jsonrpc": "2.0", "id": 1, "method": "state_getStorage",
        "params": ["0x".to_owned() + &"00".repeat(100_000)],
    });
    let (status, response) = post(node.address(), oversized_request.to_string().as_bytes()).await;
    assert!(
        status == 413 || response.contains("-32007") || response.is_empty(),
        "{status} {response}"
    );
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "system_name", "params": []});
    let (_, response) =
        post(node.address(), json!(vec![request.clone(); 10]).to_string().as_bytes()).await;
    assert_eq!(serde_json::from_str::<Value>(&response).unwrap().as_array().unwrap().len(), 10);
    let (_, response) = post(node.address(), json!(vec![request; 11]).to_string().as_bytes()).await;
    assert!(response.contains("error"), "{response}");
    assert_alive(&node).await;
    node.stop().await;
}

/// Any parameters for any method yield a response, and the node survives.
#[tokio::test]
async fn arbitrary_parameters_get_a_response() {
    let node = node().await;
    let response = rpc(&node, "rpc_methods", json!([])).await;
    let methods: Vec<_> = response["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "(0x)?[0-9a-f]{0,80}".prop_map(Value::from),
        Just(json!("0x".to_owned() + &"00".repeat(32))),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z]{1,5}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    });
    let params = proptest::collection::vec(value, 0..5);
    let mut runner = TestRunner::deterministic();
    for method in methods {
        // These methods stop the node, produce blocks or write files, and are not under test here.
        if ["dev_stop", "dev_mine", "dev_snapshot"].contains(&method.as_str()) {
            continue;
        }
        for _ in 0..6 {
            let params = params.new_tree(&mut runner).unwrap().current();
            let _ = try_rpc(&node, &method, json!(params)).await;
        }
        let _ = try_rpc(&node, &method, json!({"named": 1})).await;
    }
    assert_alive(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn thousand_subscriptions_receive_every_block() {
    let node = node().await;
    let client =
        WsClientBuilder::default().max_concurrent_requests(4_096).build(node.url()).await.unwrap();
    let mut subscriptions: Vec<Subscription<Value>> = Vec::new();
    for _ in 0..1_000 {
        let names = ("chain_subscribeNewHeads", "chain_unsubscribeNewHeads");
        subscriptions.push(client.subscribe(names.0, rpc_params![], names.1).await.unwrap());
    }
    node.mine(2).await.unwrap();
    for subscription in &mut subscriptions {
        for number in ["0x0", "0x1", "0x2"] {
            let head = timeout(Duration::from_secs(20), subscription.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            assert_eq!(head["number"], number);
        }
    }
    drop(subscriptions);
    assert_alive(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn subscriptions_per_connection_are_limited() {
    let mut config = config();
    config.rpc.subscriptions = 3;
    let node = Node::start(config).await.unwrap();
    let client = WsClientBuilder::default().build(node.url()).await.unwrap();
    let mut open: Vec<Subscription<Value>> = Vec::new();
    for _ in 0..3 {
        let names = ("chain_subscribeNewHeads", "chain_unsubscribeNewHeads");
        open.push(client.subscribe(names.0, rpc_params![], names.1).await.unwrap());
    }
    let extra_subscription: Result<Subscription<Value>, _> = client
        .subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads")
        .await;
    assert!(extra_subscription.is_err());
    assert_alive(&node).await;
    node.stop().await;
}

/// A subscriber that never reads blocks neither block production nor other clients.
#[tokio::test]
async fn slow_subscriber_does_not_block_others() {
    let node = node().await;
    let mut stream = websocket(node.address()).await;
    for id in 0..50 {
        let text =
            json!({"jsonrpc": "2.0", "id": id, "method": "chain_subscribeNewHeads", "params": []})
                .to_string();
        stream.write_all(&frame(&text)).await.unwrap();
    }
    // Far more heads than fit in all buffers between the node and this client.
    timeout(Duration::from_secs(30), node.mine(2_000)).await.unwrap().unwrap();
    assert_alive(&node).await;
    timeout(Duration::from_secs(20), node.stop()).await.unwrap();
}

/// A web page may reach loopback under its own host name (DNS rebinding): such requests are
/// refused.
#[tokio::test]
async fn foreign_host_header_is_refused() {
    let node = node().await;
    let request =
        json!({"jsonrpc": "2.0", "id": 1, "method": "system_name", "params": []}).to_string();
    let (status, response) =
        post_to(node.address(), "evil.example:9944", "", request.as_bytes()).await;
    assert!(status == 403 && !response.contains("taonet"), "{status} {response}");
    let (status, _) = post_to(node.address(), "localhost:9944", "", request.as_bytes()).await;
    assert_eq!(status, 200);
    node.stop().await;
}

/// Browsers let any page connect to this machine, and send the page's origin: origins that are not
/// allowed are refused.
#[tokio::test]
async fn foreign_origin_is_refused() {
    let mut config = config();
    config.allow_origins = vec!["https://apps.example".to_owned()];
    let node = Node::start(config).await.unwrap();
    let request =
        json!({"jsonrpc": "2.0", "id": 1, "method": "dev_mine", "params": [1]}).to_string();
    let host = node.address().to_string();
    for (origin, allowed) in [
        ("http://evil.example", false),
        ("null", false),
        ("http://localhost:3000", true),
        ("http://127.0.0.1:8000", true),
        ("https://apps.example", true),
    ] {
        let header = format!("Origin: {origin}\r\n");
        let before = node.head().number();
        let (status, response) = post_to(node.address(), &host, &header, request.as_bytes()).await;
        assert_eq!(status, if allowed { 200 } else { 403 }, "{origin}: {response}");
        assert_eq!(node.head().number() - before, u32::from(allowed), "{origin}");
        let (_, response) = upgrade(node.address(), &header).await;
        assert_eq!(&response[9..12], if allowed { "101" } else { "403" }, "{origin}: {response}");
    }
    node.stop().await;
}

/// A command is cancelled when its client disconnects, and the command queue is bounded.
#[tokio::test]
async fn commands_are_cancelled_on_disconnect_and_bounded() {
    let node = node().await;
    let request = |blocks: u32| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "dev_mine", "params": [blocks]}).to_string()
    };
    let mut client = websocket(node.address()).await;
    client.write_all(&frame(&request(u32::MAX))).await.unwrap();
    while node.head().number() == 0 {
        tokio::task::yield_now().await;
    }
    let mut others = websocket(node.address()).await;
    others.write_all(&frame(&request(1)).repeat(100)).await.unwrap();
    let refused = timeout(Duration::from_secs(30), async {
        loop {
            // A command that timed out here still occupies its slot in the queue.
            if let Ok(Err(error)) =
                timeout(Duration::from_millis(100), try_rpc(&node, "dev_mine", json!([1]))).await
            {
                break error;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert!(refused["message"].as_str().unwrap().contains("queue is full"), "{refused}");
    drop((client, others));
    timeout(Duration::from_secs(30), async {
        while node.mine(1).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_alive(&node).await;
    node.stop().await;
}

#[tokio::test]
async fn repeated_large_requests_get_responses() {
    let node = node().await;
    let client = WsClientBuilder::default().build(node.url()).await.unwrap();
    let requests = (0..200).map(|_| client.request::<Value, _>("state_getMetadata", rpc_params![]));
    let mut response_count = 0;
    for request in requests {
        let metadata = timeout(Duration::from_secs(30), request).await.unwrap().unwrap();
        response_count += usize::from(metadata.as_str().unwrap().len() > 1_000);
    }
    assert_eq!(response_count, 200);
    node.stop().await;
}

/// Environment variable with the directory for the flooded child's address.
const FLOODED_DIRECTORY: &str = "TAONET_FLOODED_DIRECTORY";

/// Runs the process to flood if the environment variable is set; otherwise does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn flooded_process_entry() {
    let Some(directory) = std::env::var_os(FLOODED_DIRECTORY) else { return };
    let node = Node::start(config()).await.unwrap();
    announce(std::path::Path::new(&directory), node.address());
    node.stop_requested().await.unwrap();
}

/// A client sends the same request 10 000 times without reading a response: the node's memory stays
/// bounded.
#[tokio::test]
async fn memory_is_bounded_when_client_does_not_read_responses() {
    let directory = tempfile::tempdir().unwrap();
    let mut child =
        Process::start("flood::flooded_process_entry", FLOODED_DIRECTORY, directory.path());
    let address = child.wait_for_address().await;
    let text =
        json!({"jsonrpc": "2.0", "id": 1, "method": "state_getMetadata", "params": []}).to_string();
    let mut stream = websocket(address).await;
    let messages = frame(&text).repeat(10_000);
    // Requests that the node has not read stay in socket buffers, or in this task.
    let flood = tokio::spawn(async move { stream.write_all(&messages).await.map(|()| stream) });
    // Other clients are served during the flood: their requests do not wait for all of its
    // responses.
    for _ in 0..200 {
        child
            .with_bounded_memory(try_rpc_at(address, "state_getMetadata", json!([])))
            .await
            .unwrap();
    }
    flood.abort();
}

/// A request for one large value a thousand times would return gigabytes: building the response
/// stops at the size limit.
#[tokio::test]
async fn response_building_stops_at_the_size_limit() {
    let directory = tempfile::tempdir().unwrap();
    let mut child =
        Process::start("flood::flooded_process_entry", FLOODED_DIRECTORY, directory.path());
    let address = child.wait_for_address().await;
    let genesis = try_rpc_at(address, "chain_getBlockHash", json!([0])).await.unwrap();
    let genesis = H256::from_slice(&unhex(&genesis));
    // The events of a block are one storage value.
    let remark = RuntimeCall::System(frame_system::Call::remark_with_event { remark: Vec::new() });
    let batch =
        RuntimeCall::Utility(pallet_utility::Call::batch_all { calls: vec![remark; 5_000] });
    let extrinsic = Signing::new(genesis, 0).sign("Alice", &batch);
    try_rpc_at(address, "author_submitExtrinsic", json!([hex(&extrinsic)])).await.unwrap();
    try_rpc_at(address, "dev_mine", json!([1])).await.unwrap();
    let events = hex(&storage_key("System", "Events"));
    let size = try_rpc_at(address, "state_getStorageSize", json!([events])).await.unwrap();
    assert!(size.as_u64().unwrap() > 300_000, "{size}");
    let keys = vec![events; 1_000];
    let error = child
        .with_bounded_memory(try_rpc_at(address, "state_queryStorageAt", json!([keys])))
        .await
        .unwrap_err();
    assert_eq!(error["code"], -32008, "{error}");
}
