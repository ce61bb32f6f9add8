//! Tests of forks: chains that continue from the recorded state of another one.

use codec::{Decode, Encode};
use serde_json::{Value, json};
use taonet_localnet::{Node, NodeHandle};
use taonet_localnet_recording::{Origin, Recording, Source, record};
use taonet_localnet_runtime::types::{NetUid, TaoBalance};
use taonet_localnet_runtime::{RuntimeCall, VERSION, genesis, subtensor};

use crate::support::{account, config, hex, rpc, signed, storage_key, transfer, try_rpc_at, unhex};

const BABELBIT: u16 = 59;
const TAO: u64 = 1_000_000_000;

/// A node, read over JSON-RPC at one block.
struct Remote {
    address: std::net::SocketAddr,
    block: Value,
}

impl Remote {
    async fn request(&self, method: &str, params: Value) -> Result<Value, String> {
        try_rpc_at(self.address, method, params).await.map_err(|error| error.to_string())
    }
}

impl Source for Remote {
    type Error = String;

    async fn keys(&self, _: &str, prefixes: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, String> {
        let mut keys = Vec::new();
        for prefix in prefixes {
            let page = self
                .request("state_getKeysPaged", json!([hex(&prefix), 1_000, null, self.block]))
                .await?;
            keys.extend(page.as_array().unwrap().iter().map(unhex));
        }
        Ok(keys)
    }

    async fn values(&self, _: &str, keys: Vec<Vec<u8>>) -> Result<Vec<(Vec<u8>, Vec<u8>)>, String> {
        let mut values = Vec::new();
        for keys in keys.chunks(1_000) {
            let keys: Vec<String> = keys.iter().map(|key| hex(key)).collect();
            let response = self.request("state_queryStorageAt", json!([keys, self.block])).await?;
            let changes = response[0]["changes"].as_array().unwrap().clone();
            let present_changes = changes.iter().filter(|change| !change[1].is_null());
            values.extend(present_changes.map(|change| (unhex(&change[0]), unhex(&change[1]))));
        }
        Ok(values)
    }
}

/// Records subnets of a running node.
async fn record_subnets(node: &NodeHandle, netuids: &[u16]) -> Recording {
    let head = node.head();
    let remote = Remote { address: node.address(), block: json!(head.hash) };
    let metadata = unhex(&remote.request("state_getMetadata", json!([head.hash])).await.unwrap());
    let origin = Origin {
        chain: "Recorded".to_owned(),
        genesis: node.genesis(),
        block: head.number(),
        block_hash: head.hash,
        spec_version: VERSION.spec_version,
    };
    record(&remote, origin, &metadata, netuids).await.unwrap()
}

/// Includes a call in a block.
async fn include(node: &NodeHandle, signer: &str, call: impl Into<RuntimeCall>) {
    let nonce = rpc(node, "system_accountNextIndex", json!([account(signer).to_string()])).await;
    let nonce = u32::try_from(nonce.as_u64().unwrap()).unwrap();
    let events = storage_key("System", "Events");
    node.submit(signed(node, signer, nonce, &call.into())).await.unwrap();
    node.mine(1).await.unwrap();
    // ExtrinsicFailed is event 1 of pallet 0, in phase ApplyExtrinsic(1).
    let events = node.storage(&events).unwrap().unwrap();
    let failed_event = [&[0][..], &1u32.encode(), &[0, 1]].concat();
    assert!(
        !events.windows(failed_event.len()).any(|bytes| bytes == failed_event),
        "{signer}'s call failed: {}",
        hex(&events)
    );
}

fn register(hotkey: &str) -> subtensor::Call<taonet_localnet_runtime::Runtime> {
    subtensor::Call::burned_register { netuid: NetUid(BABELBIT), hotkey: account(hotkey) }
}

fn stake(hotkey: &str, netuid: u16, tao: u64) -> subtensor::Call<taonet_localnet_runtime::Runtime> {
    let amount_staked = TaoBalance(tao * TAO);
    subtensor::Call::add_stake { hotkey: account(hotkey), netuid: NetUid(netuid), amount_staked }
}

/// Changes a subnet: two registrations, stake of two coldkeys, weights, and two epochs.
async fn use_subnet(node: &NodeHandle) {
    for name in ["Zoe", "Yan"] {
        include(node, "Alice", transfer(name, 5_000 * TAO)).await;
    }
    include(node, "Zoe", register("Zoe_hk")).await;
    include(node, "Yan", register("Yan_hk")).await;
    include(node, "Zoe", stake("Zoe_hk", BABELBIT, 1_000)).await;
    include(node, "Yan", stake("Zoe_hk", BABELBIT, 500)).await;
    include(node, "Zoe", stake("Zoe_hk", 0, 700)).await;
    node.mine_to_epoch(BABELBIT).await.unwrap();
    let (netuid, dests, weights) = (NetUid(BABELBIT), vec![1, 2], vec![1, 3]);
    include(
        node,
        "Zoe_hk",
        subtensor::Call::set_weights { netuid, dests, weights, version_key: 0 },
    )
    .await;
    node.mine_to_epoch(BABELBIT).await.unwrap();
    node.mine(3).await.unwrap();
}

fn number(node: &NodeHandle, pallet: &str, item: &str) -> u64 {
    u64::decode(&mut node.storage(&storage_key(pallet, item)).unwrap().unwrap().as_slice()).unwrap()
}

fn assert_issuance_balances(node: &NodeHandle) {
    let total = number(node, "SubtensorModule", "TotalIssuance");
    assert_eq!(
        total,
        number(node, "Balances", "TotalIssuance") + number(node, "SubtensorModule", "TotalStake")
    );
}

/// Returns the results of the runtime APIs with which clients display a subnet.
fn displayed_state(node: &NodeHandle) -> Vec<Vec<u8>> {
    let subnet_methods = [
        "SubnetInfoRuntimeApi_get_metagraph",
        "NeuronInfoRuntimeApi_get_neurons",
        "SubnetInfoRuntimeApi_get_subnet_hyperparams_v2",
    ];
    let mut results: Vec<_> =
        subnet_methods.iter().map(|method| node.call(method, &BABELBIT).unwrap()).collect();
    for coldkey in ["Zoe", "Yan"] {
        results.push(
            node.call("StakeInfoRuntimeApi_get_stake_info_for_coldkey", &account(coldkey)).unwrap(),
        );
        results.push(node.free_balance(&account(coldkey)).unwrap().encode());
    }
    results
}

#[tokio::test]
async fn fork_continues_recorded_subnet() {
    let source_node = Node::start(config()).await.unwrap();
    use_subnet(&source_node).await;
    let recording = record_subnets(&source_node, &[BABELBIT]).await;
    assert_eq!(record_subnets(&source_node, &[BABELBIT]).await, recording);
    let mut config = config();
    config.start = None;
    let fork = recording.fork(config.genesis.as_mut().unwrap()).unwrap();
    assert!(fork.omitted_items.is_empty(), "{:?}", fork.omitted_items);
    let node = Node::start(config).await.unwrap();
    assert_eq!(node.head().number(), source_node.head().number());
    assert_eq!(displayed_state(&node), displayed_state(&source_node));
    assert_issuance_balances(&node);
    // The accounts of the genesis state can be used as before.
    assert_eq!(node.free_balance(&account("Alice")).unwrap(), 1_000_000 * TAO);
    include(&node, "Alice", transfer("Xia", 5_000)).await;

    // Both continue with the same blocks: calls with the accounts' nonces, and an epoch.
    node.mine(1).await.unwrap();
    source_node.mine(2).await.unwrap();
    for node in [&node, &source_node] {
        include(node, "Yan", stake("Zoe_hk", BABELBIT, 10)).await;
        include(node, "Yan", stake("Yan_hk", BABELBIT, 10)).await;
    }
    assert_eq!(node.head().number(), source_node.head().number());
    assert_eq!(
        node.mine_to_epoch(BABELBIT).await.unwrap().number(),
        source_node.mine_to_epoch(BABELBIT).await.unwrap().number()
    );
    assert_issuance_balances(&node);
    let neurons =
        |node: &NodeHandle| node.call("NeuronInfoRuntimeApi_get_neurons", &BABELBIT).unwrap();
    assert!(!neurons(&node).is_empty());
    node.stop().await;
    source_node.stop().await;
}

#[tokio::test]
async fn fork_is_a_new_chain_without_earlier_blocks() {
    let source = Node::start(config()).await.unwrap();
    source.mine(5).await.unwrap();
    let recording = record_subnets(&source, &[1]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut fork_config = config();
    fork_config.directory = Some(directory.path().to_owned());
    fork_config.kept_blocks = 0;
    recording.fork(fork_config.genesis.as_mut().unwrap()).unwrap();
    let node = Node::start(fork_config.clone()).await.unwrap();
    let (first, genesis_hash) = (node.head(), node.genesis());
    assert_ne!(genesis_hash, source.genesis());
    let hash = async |node: &NodeHandle, number: u32| {
        rpc(node, "chain_getBlockHash", json!([number])).await
    };
    assert_eq!(hash(&node, 0).await, json!(genesis_hash));
    assert_eq!(hash(&node, 3).await, Value::Null);
    assert_eq!(hash(&node, 5).await, json!(first.hash));
    let header = rpc(&node, "chain_getHeader", json!([first.hash])).await;
    assert_eq!((&header["parentHash"], &header["number"]), (&json!(genesis_hash), &json!("0x5")));
    assert_eq!(rpc(&node, "chain_getBlock", json!([genesis_hash])).await, Value::Null);
    // Old blocks are pruned as ever, and the first one is one of them.
    include(&node, "Alice", transfer("Bob", 5)).await;
    assert_eq!(node.mine(2_600).await.unwrap().number(), 2_606);
    assert_eq!(hash(&node, 5).await, Value::Null);
    assert_eq!(hash(&node, 0).await, json!(genesis_hash));
    let head = node.head();
    node.stop().await;
    // The same recording opens it again; other states are refused.
    let node = Node::start(fork_config.clone()).await.unwrap();
    assert_eq!((node.head(), node.genesis()), (head, genesis_hash));
    node.mine(1).await.unwrap();
    node.stop().await;
    fork_config.genesis = Some(genesis::genesis(&[]).unwrap());
    let error = Node::start(fork_config).await.unwrap_err().to_string();
    assert!(error.contains("the chain has genesis"), "{error}");
    source.stop().await;
}
