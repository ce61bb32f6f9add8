//! Tests of nodes that follow another one.

mod falsified_blocks;

use std::path::Path;
use std::time::Duration;

use codec::Encode;
use jsonrpsee::core::client::{Subscription, SubscriptionClientT};
use jsonrpsee::rpc_params;
use serde_json::{Value, json};
use taonet_localnet::{
    AuthorError, Clock, FollowError, History, Node, NodeConfig, NodeError, NodeHandle,
    SnapshotError,
};
use taonet_localnet_runtime::genesis;
use tokio::time::{Instant, sleep};

use crate::crash::check_state;
use crate::process::{Process, announce};
use crate::support::{
    account, account_key, config, hex, node, remark, rpc, signed, storage_key, transfer, try_rpc,
};
use crate::watch::{WAIT_TIMEOUT, client, next, watch};

/// Environment variable with the directory of the child process that runs a follower.
const FOLLOWER_DIRECTORY: &str = "TAONET_CRASH_FOLLOWING";
const KILLS: u64 = 12;

fn follower_config(leader: &NodeHandle) -> NodeConfig {
    let mut config = config();
    config.follow = Some(leader.url());
    config
}

async fn start_follower(leader: &NodeHandle) -> NodeHandle {
    Node::start(follower_config(leader)).await.unwrap()
}

/// Waits until a condition holds.
#[track_caller]
fn wait_until(condition_name: &str, condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    wait_while_progressing(condition_name, || (), condition)
}

/// Waits until a condition holds. Fails once `progress` has not changed for [`WAIT_TIMEOUT`].
#[track_caller]
fn wait_while_progressing<P: PartialEq>(
    condition_name: &str,
    progress: impl Fn() -> P,
    condition: impl Fn() -> bool,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let (mut last_progress, mut deadline) = (progress(), Instant::now() + WAIT_TIMEOUT);
        while !condition() {
            let current = progress();
            if current != last_progress {
                (last_progress, deadline) = (current, Instant::now() + WAIT_TIMEOUT);
            }
            assert!(Instant::now() < deadline, "{caller}: not {condition_name}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Waits until the follower has the leader's head. A follower that still imports blocks is not
/// stuck.
#[track_caller]
fn wait_until_caught_up(follower: &NodeHandle, leader: &NodeHandle) -> impl Future<Output = ()> {
    let is_caught_up = move || follower.head() == leader.head() && follower.is_following();
    wait_while_progressing("caught up", || follower.head(), is_caught_up)
}

/// Waits until a follower refuses its leader, and returns the reason.
async fn wait_for_leader_error(follower: &NodeHandle) -> String {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    loop {
        let status = rpc(follower, "dev_status", json!([])).await;
        if let Some(error) = status["leader"]["error"].as_str() {
            return error.to_owned();
        }
        assert!(Instant::now() < deadline, "{status}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Compares the blocks of two nodes.
async fn compare_blocks(
    follower: &NodeHandle,
    leader: &NodeHandle,
    numbers: impl Iterator<Item = u32>,
) {
    for number in numbers {
        let hash = rpc(leader, "chain_getBlockHash", json!([number])).await;
        assert_eq!(
            rpc(follower, "chain_getBlockHash", json!([number])).await,
            hash,
            "block {number}"
        );
        let block = rpc(leader, "chain_getBlock", json!([hash])).await;
        assert!(block.is_object(), "block {number}");
        assert_eq!(rpc(follower, "chain_getBlock", json!([hash])).await, block, "block {number}");
    }
}

#[tokio::test]
async fn follower_has_the_same_chain_and_announces_every_block() {
    let leader = node().await;
    leader.submit(signed(&leader, "Alice", 0, &transfer("Dave", 7))).await.unwrap();
    leader.mine(5).await.unwrap();
    let follower = start_follower(&leader).await;
    wait_until_caught_up(&follower, &leader).await;
    assert_eq!(follower.genesis(), leader.genesis());
    let client = client(&follower).await;
    let key = hex(&account_key("Dave"));
    let mut heads: Subscription<Value> = client
        .subscribe(
            "chain_subscribeFinalizedHeads",
            rpc_params![],
            "chain_unsubscribeFinalizedHeads",
        )
        .await
        .unwrap();
    let mut dave_changes: Subscription<Value> = client
        .subscribe("state_subscribeStorage", rpc_params![[&key]], "state_unsubscribeStorage")
        .await
        .unwrap();
    assert_eq!(next(&mut heads).await["number"], "0x5");
    next(&mut dave_changes).await;
    leader.submit(signed(&leader, "Alice", 1, &transfer("Dave", 8))).await.unwrap();
    let head = leader.mine(1).await.unwrap();
    assert_eq!(next(&mut dave_changes).await["block"], json!(head.hash));
    leader.mine(2).await.unwrap();
    for number in 6..=8 {
        assert_eq!(next(&mut heads).await["number"], format!("0x{number:x}"));
    }
    wait_until_caught_up(&follower, &leader).await;
    compare_blocks(&follower, &leader, 0..=8).await;
    assert_eq!(
        follower.storage(&account_key("Dave")).unwrap(),
        leader.storage(&account_key("Dave")).unwrap()
    );
    check_state(&follower, &json!(follower.head().hash)).await;
    let health = json!({"peers": 1, "isSyncing": false, "shouldHavePeers": true});
    assert_eq!(rpc(&follower, "system_health", json!([])).await, health);
    assert_eq!(rpc(&follower, "system_nodeRoles", json!([])).await, json!(["Full"]));
    let sync = json!({"startingBlock": 0, "currentBlock": 8, "highestBlock": 8});
    assert_eq!(rpc(&follower, "system_syncState", json!([])).await, sync);
    let state = json!({"url": leader.url(), "connected": true, "height": 8, "error": null});
    assert_eq!(rpc(&follower, "dev_status", json!([])).await["leader"], state);
    assert_eq!(rpc(&leader, "dev_status", json!([])).await["leader"], Value::Null);
    follower.stop().await;
    leader.stop().await;
}

#[tokio::test]
async fn extrinsics_are_forwarded_to_the_leader() {
    let leader = node().await;
    let follower = start_follower(&leader).await;
    wait_until_caught_up(&follower, &leader).await;
    let client = client(&follower).await;
    let watched = signed(&follower, "Alice", 0, &remark("watched"));
    let mut events = watch(&client, &watched).await;
    assert_eq!(next(&mut events).await, "ready");
    let alice = json!([account("Alice").to_string()]);
    assert_eq!(rpc(&follower, "system_accountNextIndex", alice.clone()).await, 1);
    assert_eq!(rpc(&follower, "author_pendingExtrinsics", json!([])).await, json!([hex(&watched)]));
    let second = signed(&follower, "Alice", 1, &remark("second"));
    let hash = rpc(&follower, "author_submitExtrinsic", json!([hex(&second)])).await;
    assert_eq!(hash, json!(hex(&sp_io::hashing::blake2_256(&second))));
    let third = signed(&follower, "Alice", 2, &remark("third"));
    let hash = follower.submit(third.clone()).await.unwrap();
    assert_eq!(hash.0, sp_io::hashing::blake2_256(&third));
    let head = leader.mine(1).await.unwrap();
    // The report arrives only when this node has the block.
    assert_eq!(next(&mut events).await, json!({"inBlock": head.hash}));
    assert_eq!(follower.head(), head);
    assert_eq!(next(&mut events).await, json!({"finalized": head.hash}));
    let block = rpc(&follower, "chain_getBlock", json!([head.hash])).await;
    assert_eq!(block["block"]["extrinsics"].as_array().unwrap().len(), 4);
    // The leader's refusals are relayed.
    assert_eq!(follower.submit(third).await.unwrap_err().code(), 1012);
    for bytes in ["0x1234", "1", &hex(&second)] {
        let refused =
            try_rpc(&follower, "author_submitExtrinsic", json!([bytes])).await.unwrap_err();
        assert_eq!(
            refused,
            try_rpc(&leader, "author_submitExtrinsic", json!([bytes])).await.unwrap_err(),
            "{bytes}"
        );
        let watched: Result<Subscription<Value>, _> = client
            .subscribe(
                "author_submitAndWatchExtrinsic",
                rpc_params![bytes],
                "author_unwatchExtrinsic",
            )
            .await;
        let error = watched.unwrap_err().to_string();
        assert!(error.contains(refused["message"].as_str().unwrap()), "{error}");
    }
    // An extrinsic that waits when the leader stops is dropped.
    let mut waiting = watch(&client, &signed(&follower, "Alice", 4, &remark("gap"))).await;
    assert_eq!(next(&mut waiting).await, "future");
    leader.stop().await;
    assert_eq!(next(&mut waiting).await, "dropped");
    follower.stop().await;
}

#[tokio::test]
async fn follower_replicates_dev_methods_and_refuses_its_own() {
    let leader = node().await;
    let follower = start_follower(&leader).await;
    leader.mine(3).await.unwrap();
    leader.take_snapshot("before").unwrap();
    leader.advance(Duration::from_hours(24)).await.unwrap();
    let call = hex(&transfer("Dave", 9).encode());
    rpc(&leader, "dev_impersonate", json!([account("Bob").to_string(), call])).await;
    let tempo = hex(&[storage_key("SubtensorModule", "Tempo"), 59u16.encode()].concat());
    rpc(&leader, "dev_setStorage", json!([[[tempo, "0x4d00"]]])).await;
    leader.mine_to_epoch(59).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    let abandoned_head = follower.head();
    compare_blocks(&follower, &leader, 0..=abandoned_head.number()).await;
    assert_eq!(rpc(&follower, "state_getStorage", json!([tempo])).await, "0x4d00");
    let heads = client(&follower).await;
    let mut heads: Subscription<Value> = heads
        .subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads")
        .await
        .unwrap();
    next(&mut heads).await;
    // The leader makes another block, at the height of one that the follower has.
    leader.revert("before").await.unwrap();
    leader.submit(signed(&leader, "Alice", 0, &remark("another"))).await.unwrap();
    leader.mine(1).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    assert_eq!(follower.head().number(), 4);
    assert_eq!(rpc(&follower, "chain_getHeader", json!([abandoned_head.hash])).await, Value::Null);
    while next(&mut heads).await["number"] != "0x4" {}
    leader.revert("before").await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    assert_eq!(follower.head().number(), 3);
    leader.mine(200).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    check_state(&follower, &json!(follower.head().hash)).await;

    for (method, params) in [
        ("dev_mine", json!([1])),
        ("dev_epoch", json!([59])),
        ("dev_advance", json!([1_000])),
        ("dev_impersonate", json!([account("Bob").to_string(), call])),
        ("dev_setStorage", json!([[[tempo, "0x4d00"]]])),
        ("dev_takeSnapshot", json!(["own"])),
        ("dev_dropSnapshot", json!(["own"])),
        ("dev_revertSnapshot", json!(["own"])),
    ] {
        let error = try_rpc(&follower, method, params).await.unwrap_err();
        let text = format!("this node follows {}", leader.url());
        assert_eq!(error["code"], 5001, "{method}: {error}");
        assert!(error["message"].as_str().unwrap().starts_with(&text), "{method}: {error}");
    }
    assert!(matches!(follower.mine(1).await, Err(AuthorError::Following(_))));
    assert!(matches!(follower.take_snapshot("own"), Err(SnapshotError::Following(_))));
    assert_eq!(rpc(&follower, "dev_listSnapshots", json!([])).await, json!([]));
    let dry_run_extrinsic = signed(&follower, "Alice", 0, &remark("dry"));
    assert_eq!(
        rpc(&follower, "dev_dryRun", json!([hex(&dry_run_extrinsic)])).await["error"],
        Value::Null
    );
    assert_eq!(follower.head(), leader.head());
    follower.stop().await;
    leader.stop().await;
}

#[tokio::test]
async fn follower_serves_reads_while_leader_is_unreachable() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let mut leader_config = config();
    leader_config.directory = Some(first);
    // Below the ports that the system gives to others: it must still be free at the leader's second
    // start.
    leader_config.listen.set_port(20_000 + (std::process::id() % 10_000) as u16);
    let leader = Node::start(leader_config.clone()).await.unwrap();
    leader.mine(5).await.unwrap();
    let mut config = follower_config(&leader);
    config.directory = Some(second);
    let follower = Node::start(config.clone()).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    let head = leader.head();
    leader.stop().await;
    wait_until("away", || !follower.is_following()).await;
    assert_eq!(rpc(&follower, "chain_getHead", json!([])).await, json!(head.hash));
    check_state(&follower, &json!(head.hash)).await;
    let health = json!({"peers": 0, "isSyncing": false, "shouldHavePeers": true});
    assert_eq!(rpc(&follower, "system_health", json!([])).await, health);
    let status = rpc(&follower, "dev_status", json!([])).await;
    assert_eq!(status["leader"]["connected"], false);
    let bytes = signed(&follower, "Alice", 0, &transfer("Dave", 5));
    let error =
        try_rpc(&follower, "author_submitExtrinsic", json!([hex(&bytes)])).await.unwrap_err();
    assert_eq!(error["code"], 1040);
    assert!(error["message"].as_str().unwrap().contains("does not respond"), "{error}");
    assert_eq!(
        rpc(&follower, "system_accountNextIndex", json!([account("Alice").to_string()])).await,
        0
    );
    // The follower restarts without the leader.
    follower.stop().await;
    let follower = Node::start(config.clone()).await.unwrap();
    assert_eq!(follower.head(), head);
    sleep(Duration::from_millis(50)).await;
    let error = rpc(&follower, "dev_status", json!([])).await["leader"]["error"].clone();
    assert!(error.is_null() || error.as_str().unwrap().contains("cannot reach"), "{error}");

    let leader = Node::start(leader_config).await.unwrap();
    leader.mine(300).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    follower.submit(bytes).await.unwrap();
    leader.mine(1).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    compare_blocks(&follower, &leader, 295..=306).await;
    follower.stop().await;
    // Started without `follow`, the chain becomes independent and cannot follow again.
    config.follow = None;
    config.clock = None;
    let follower = Node::start(config.clone()).await.unwrap();
    assert_eq!(follower.clock(), Some(Clock::FAST));
    assert!(follower.head().number() >= leader.head().number());
    follower.stop().await;
    config.clock = Some(Clock::Manual);
    let follower = Node::start(config.clone()).await.unwrap();
    follower.mine(2).await.unwrap();
    follower.stop().await;
    config.follow = Some(leader.url());
    let error = Node::start(config).await.unwrap_err();
    assert!(matches!(error, NodeError::NotFollower(_)), "{error}");
    leader.stop().await;
}

#[tokio::test]
async fn failed_start_without_leader_keeps_a_follower() {
    let directory = tempfile::tempdir().unwrap();
    let leader = node().await;
    leader.mine(3).await.unwrap();
    let mut config = follower_config(&leader);
    config.directory = Some(directory.path().to_owned());
    let follower = Node::start(config.clone()).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    follower.stop().await;
    let mut independent_config = config.clone();
    independent_config.follow = None;
    independent_config.clock = Some(Clock::PRODUCTION);
    let error = Node::start(independent_config.clone()).await.unwrap_err();
    assert!(matches!(error, NodeError::Author(AuthorError::BlockTime { .. })), "{error}");
    independent_config.clock = Some(Clock::Manual);
    independent_config.listen = leader.address();
    let error = Node::start(independent_config).await.unwrap_err();
    assert!(matches!(error, NodeError::Listen { .. }), "{error}");
    leader.mine(2).await.unwrap();
    let follower = Node::start(config).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    assert_eq!(follower.head().number(), 5);
    follower.stop().await;
    leader.stop().await;
}

#[tokio::test]
async fn late_follower_begins_with_oldest_state() {
    let directory = tempfile::tempdir().unwrap();
    let mut leader_config = config();
    leader_config.history = History::Last(2_400);
    leader_config.kept_blocks = 0;
    let leader = Node::start(leader_config).await.unwrap();
    leader.mine(2_450).await.unwrap();
    let mut config = follower_config(&leader);
    config.directory = Some(directory.path().to_owned());
    config.history = History::Archive;
    let follower = Node::start(config.clone()).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    let oldest = leader.head().number() - 2_399;
    assert_eq!(rpc(&follower, "dev_status", json!([])).await["oldest"], oldest);
    compare_blocks(&follower, &leader, (oldest..=leader.head().number()).step_by(301)).await;
    let hash = rpc(&follower, "chain_getBlockHash", json!([oldest])).await;
    check_state(&follower, &hash).await;
    assert_eq!(rpc(&follower, "chain_getBlockHash", json!([0])).await, json!(leader.genesis()));
    let abandoned_head = follower.head();
    follower.stop().await;

    // The leader prunes all blocks that the follower has, and the next ones.
    leader.mine(2_450).await.unwrap();
    let follower = Node::start(config).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    let oldest = leader.head().number() - 2_399;
    assert_eq!(rpc(&follower, "dev_status", json!([])).await["oldest"], oldest);
    assert_eq!(rpc(&follower, "chain_getHeader", json!([abandoned_head.hash])).await, Value::Null);
    let hash = rpc(&follower, "chain_getBlockHash", json!([oldest])).await;
    check_state(&follower, &hash).await;
    check_state(&follower, &json!(follower.head().hash)).await;
    leader.mine(1).await.unwrap();
    wait_until_caught_up(&follower, &leader).await;
    follower.stop().await;
    leader.stop().await;
}

#[tokio::test]
async fn following_an_unsuitable_leader_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let leader = node().await;
    let follower = start_follower(&leader).await;
    let error = Node::start(follower_config(&follower)).await.unwrap_err();
    assert!(
        matches!(&error, NodeError::Follow(FollowError::LeaderIsFollower(url)) if *url == follower.url()),
        "{error}"
    );
    let mut config = follower_config(&leader);
    config.directory = Some(directory.path().to_owned());
    let second_follower = Node::start(config.clone()).await.unwrap();
    wait_until_caught_up(&second_follower, &leader).await;
    second_follower.stop().await;
    // A chain that follows one node cannot follow a node with another genesis block.
    let mut other_leader = crate::support::config();
    other_leader.genesis = Some(genesis::genesis(&[account("Somebody")]).unwrap());
    let other_leader = Node::start(other_leader).await.unwrap();
    config.follow = Some(other_leader.url());
    let second_follower = Node::start(config).await.unwrap();
    let error = wait_for_leader_error(&second_follower).await;
    assert!(error.contains("has genesis"), "{error}");
    assert!(!second_follower.is_following());
    assert_eq!(second_follower.genesis(), leader.genesis());
    second_follower.stop().await;
    other_leader.stop().await;
    follower.stop().await;
    let orphaned_config = follower_config(&leader);
    leader.stop().await;
    let error = Node::start(orphaned_config).await.unwrap_err();
    assert!(matches!(&error, NodeError::Follow(FollowError::Unreachable { .. })), "{error}");
    assert!(error.to_string().contains("start that node first"), "{error}");
}

/// Runs the follower to kill if the environment variable is set; otherwise does nothing.
#[tokio::test]
async fn follower_process_entry() {
    let Some(directory) = std::env::var_os(FOLLOWER_DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let mut config = config();
    config.directory = Some(directory.to_owned());
    config.history = History::Archive;
    config.follow = Some(std::fs::read_to_string(directory.join("leader")).unwrap());
    let node = Node::start(config).await.unwrap();
    announce(directory, node.address());
    node.stop_requested().await.unwrap();
}

#[tokio::test]
async fn killed_follower_catches_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut leader_config = config();
    leader_config.clock = Some(Clock::Every(Duration::from_millis(3)));
    leader_config.history = History::Archive;
    let leader = Node::start(leader_config).await.unwrap();
    std::fs::write(directory.path().join("leader"), leader.url()).unwrap();
    let mut nonce = 0;
    for round in 0..KILLS {
        let mut child =
            Process::start("follow::follower_process_entry", FOLLOWER_DIRECTORY, directory.path());
        if round % 3 > 0 {
            child.wait_for_address().await;
        }
        for _ in 0..8 {
            leader.submit(signed(&leader, "Alice", nonce, &transfer("Bob", 1_000))).await.unwrap();
            nonce += 1;
            sleep(Duration::from_millis(1 + round * 7 % 23)).await;
        }
        if round % 4 == 3 {
            leader.take_snapshot(&round.to_string()).unwrap();
            leader.mine(20).await.unwrap();
            leader.revert(&round.to_string()).await.unwrap();
            let alice = json!([account("Alice").to_string()]);
            nonce = rpc(&leader, "system_accountNextIndex", alice).await.as_u64().unwrap() as u32;
        }
        child.kill();
    }
    let mut config = follower_config(&leader);
    config.directory = Some(directory.path().to_owned());
    config.history = History::Archive;
    let follower = Node::start(config).await.unwrap();
    let leader_height = leader.head().number();
    // The killed process may have stored blocks that the leader reverted since.
    let (mut last_import, mut newest) = (Instant::now(), 0);
    let head = loop {
        let head = follower.head();
        if head.number() > newest {
            (last_import, newest) = (Instant::now(), head.number());
        }
        let hash = rpc(&leader, "chain_getBlockHash", json!([head.number()])).await;
        if head.number() >= leader_height && hash == json!(head.hash) {
            break head;
        }
        assert!(
            last_import.elapsed() < Duration::from_mins(1),
            "caught up with {hash}, not {:?}",
            head.hash
        );
        sleep(Duration::from_millis(10)).await;
    };
    compare_blocks(&follower, &leader, (1..=head.number()).step_by(7)).await;
    check_state(&follower, &json!(head.hash)).await;
    assert!(head.number() > 50, "the leader made no blocks");
    follower.stop().await;
    leader.stop().await;
}
