//! Tests of the time of blocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use codec::Decode;
use serde_json::json;
use taonet_localnet::{AuthorError, Clock, Node, NodeHandle};

use crate::support::{START, config, rpc, storage_key, try_rpc};

const WEEK: Duration = Duration::from_hours(7 * 24);
const WEEK_MILLIS: u64 = 604_800_000;

/// Returns the timestamp of the newest block.
fn now(node: &NodeHandle) -> u64 {
    let value = node.storage(&storage_key("Timestamp", "Now")).unwrap().unwrap();
    u64::decode(&mut value.as_slice()).unwrap()
}

fn wall_clock_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

#[tokio::test]
async fn time_jump_shifts_later_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.directory = Some(directory.path().to_owned());
    let node = Node::start(config.clone()).await.unwrap();
    node.mine(2).await.unwrap();
    assert_eq!(now(&node), START + 500);
    let expected_time = START + 500 + WEEK_MILLIS;
    assert_eq!(
        rpc(&node, "dev_advance", json!([WEEK_MILLIS])).await,
        json!({"time": expected_time})
    );
    // Only the time has changed.
    assert_eq!((node.head().number(), now(&node)), (2, START + 500));
    node.stop().await;

    // A jump that is in no block yet survives a restart.
    let node = Node::start(config.clone()).await.unwrap();
    node.mine(1).await.unwrap();
    assert_eq!((node.head().number(), now(&node)), (3, expected_time + 250));
    node.mine(1).await.unwrap();
    assert_eq!(now(&node), expected_time + 500);
    // Jumps add up.
    node.advance(WEEK).await.unwrap();
    assert_eq!(node.advance(WEEK).await.unwrap(), expected_time + 500 + 2 * WEEK_MILLIS);
    let excessive_duration = Duration::from_hours(24 * 366 * 10_000);
    assert!(matches!(node.advance(excessive_duration).await, Err(AuthorError::TimeLimitExceeded)));
    assert!(try_rpc(&node, "dev_advance", json!([-1])).await.is_err());
    node.mine(1).await.unwrap();
    assert_eq!(now(&node), expected_time + 750 + 2 * WEEK_MILLIS);
    node.stop().await;
}

#[tokio::test]
async fn interval_clock_keeps_its_offset_from_wall_clock() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.start = None;
    config.clock = Some(Clock::Every(Duration::from_millis(20)));
    config.directory = Some(directory.path().to_owned());
    let node = Node::start(config.clone()).await.unwrap();
    node.advance(WEEK).await.unwrap();
    let assert_week_ahead = |node: &NodeHandle, before: u64| {
        let timestamp = now(node);
        assert!(timestamp >= before + WEEK_MILLIS, "{timestamp}");
        // Produced blocks are each one block time apart, however fast they are produced.
        assert!(timestamp <= wall_clock_millis() + WEEK_MILLIS + 1_000, "{timestamp}");
    };
    let before = wall_clock_millis();
    node.mine(1).await.unwrap();
    assert_week_ahead(&node, before);
    assert_eq!(rpc(&node, "dev_status", json!([])).await["offsetMillis"], WEEK_MILLIS);
    node.stop().await;
    let node = Node::start(config).await.unwrap();
    let before = wall_clock_millis();
    node.mine(1).await.unwrap();
    assert_week_ahead(&node, before);
    node.stop().await;
}

#[tokio::test]
async fn chain_begins_at_the_configured_time() {
    let mut config = config();
    config.clock = Some(Clock::Every(Duration::from_millis(20)));
    let before = wall_clock_millis();
    let node = Node::start(config).await.unwrap();
    node.mine(1).await.unwrap();
    let timestamp = now(&node);
    assert!(timestamp >= START + 20, "{timestamp}");
    assert!(timestamp <= START + 1_000 + (wall_clock_millis() - before), "{timestamp}");
    let offset = rpc(&node, "dev_status", json!([])).await["offsetMillis"].as_i64().unwrap();
    assert!(offset < 0, "{offset}");
    node.stop().await;
}

#[tokio::test]
async fn revert_restores_the_time() {
    let node = Node::start(config()).await.unwrap();
    node.mine(1).await.unwrap();
    node.advance(WEEK).await.unwrap();
    node.take_snapshot("later").unwrap();
    let next = node.mine(1).await.unwrap();
    node.advance(WEEK).await.unwrap();
    node.revert("later").await.unwrap();
    assert_eq!(node.mine(1).await.unwrap(), next);
    assert_eq!(now(&node), START + 500 + WEEK_MILLIS);
    node.stop().await;
}
