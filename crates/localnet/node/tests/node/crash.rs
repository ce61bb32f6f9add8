//! `kill -9` at any moment loses nothing that anybody has seen.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use taonet_localnet::{Clock, Node};

use crate::process::{Process, announce};
use crate::support::{account_key, config, get, post, remark, signed, storage_key};

/// Where the child keeps its chain.
const DIRECTORY: &str = "TAONET_CRASH_DIRECTORY";
const KILLS: u32 = 50;

/// Not a test by itself: the process that is killed, when the variable names its chain.
#[tokio::test]
async fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let mut config = config();
    config.directory = Some(directory.to_owned());
    config.clock = Clock::Every(Duration::from_millis(2));
    let node = Node::start(config).await.unwrap();
    announce(directory, node.address());
    let alice = crate::support::account("Alice").to_string();
    let mut nonce = get(&node, "system_accountNextIndex", json!([alice])).await.as_u64().unwrap() as u32;
    loop {
        let _ = node.submit(signed(&node, "Alice", nonce, &remark("load"))).await;
        nonce += 1;
        if nonce.is_multiple_of(16) {
            let head = node.head().number();
            while node.head().number() == head {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Asks the child for its head this many times; returns the last number and hash that it stated.
async fn watch(child: &Process, moments: u32) -> (u64, Value) {
    let address = child.address().await;
    let mut seen = (0, Value::Null);
    for _ in 0..moments {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "dev_status", "params": []});
        let (_, body) = post(address, request.to_string().as_bytes()).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        seen = (answer["result"]["number"].as_u64().unwrap(), answer["result"]["hash"].clone());
    }
    seen
}

#[tokio::test]
async fn nothing_seen_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut previous = 0;
    for round in 0..KILLS {
        let mut child = Process::start("crash::child", DIRECTORY, directory.path());
        let (number, hash) = watch(&child, 1 + round % 5).await;
        // Not in step with the child's blocks.
        tokio::time::sleep(Duration::from_micros(u64::from(round * 397 % 4_000))).await;
        child.kill();

        let mut config = config();
        config.directory = Some(directory.path().to_owned());
        let node = Node::start(config).await.unwrap();
        let head = node.head();
        assert!(u64::from(head.number()) >= number, "round {round}: seen {number}, left {}", head.number());
        assert_eq!(get(&node, "chain_getBlockHash", json!([number])).await, hash, "round {round}");
        // The state is whole: its root is the header's, every key can be read, and the next block can be made.
        let keys = get(&node, "state_getKeys", json!(["0x"])).await;
        let values = get(&node, "state_queryStorageAt", json!([keys])).await;
        let values = values[0]["changes"].as_array().unwrap();
        assert!(values.len() > 20 && values.iter().all(|change| change[1].is_string()), "round {round}");
        let stored = node.storage(&storage_key("System", "Number")).unwrap().unwrap();
        assert_eq!(stored, head.number().to_le_bytes());
        // The chain is one chain: every block since the last round names its parent.
        for number in previous..head.number() {
            let hash = get(&node, "chain_getBlockHash", json!([number])).await;
            let next = get(&node, "chain_getBlockHash", json!([number + 1])).await;
            assert_eq!(get(&node, "chain_getHeader", json!([next])).await["parentHash"], hash, "block {number}");
        }
        previous = node.mine(1).await.unwrap().number();
        node.stop().await;
    }
    assert!(previous > KILLS, "the children made no blocks");
    let mut config = config();
    config.directory = Some(directory.path().to_owned());
    let node = Node::start(config).await.unwrap();
    let alice = node.storage(&account_key("Alice")).unwrap().unwrap();
    assert!(u32::from_le_bytes(alice[..4].try_into().unwrap()) > 100, "there was no load");
    node.stop().await;
}
