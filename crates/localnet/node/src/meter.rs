//! The node's metrics, listed in `docs/metrics.md`.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const BLOCKS: &str = "taonet_localnet_blocks_total";
const EXTRINSICS: &str = "taonet_localnet_extrinsics_total";
const HEIGHT: &str = "taonet_localnet_height";
const BLOCK_SECONDS: &str = "taonet_localnet_block_seconds";
const LEADER_UP: &str = "taonet_localnet_leader_up";
const LEADER_HEIGHT: &str = "taonet_localnet_leader_height";
const STATE_FETCHES: &str = "taonet_localnet_state_fetches_total";
const POOL: &str = "taonet_localnet_pool_calls";
const REQUESTS: &str = "taonet_localnet_rpc_requests_total";
const SUBSCRIPTIONS: &str = "taonet_localnet_rpc_subscriptions";

/// Describes every metric to the metrics recorder.
pub(crate) fn describe() {
    describe_counter!(BLOCKS, "Blocks produced, or imported from the followed node");
    describe_counter!(EXTRINSICS, "Extrinsics included in blocks, or dropped as invalid");
    describe_gauge!(HEIGHT, "Height of the newest block");
    describe_histogram!(BLOCK_SECONDS, Unit::Seconds, "Time to build or import one block");
    describe_gauge!(
        LEADER_UP,
        "Whether the node is connected to the followed node and imports its blocks"
    );
    describe_gauge!(LEADER_HEIGHT, "Height of the newest block of the followed node");
    describe_counter!(STATE_FETCHES, "Complete states fetched from the followed node");
    describe_gauge!(POOL, "Extrinsics in the pool");
    describe_counter!(REQUESTS, "JSON-RPC requests by method");
    describe_gauge!(SUBSCRIPTIONS, "Open subscriptions");
}

pub(crate) fn record_block(height: u32, included: usize, invalid: usize, elapsed: Duration) {
    counter!(EXTRINSICS, "result" => "included").increment(included as u64);
    counter!(EXTRINSICS, "result" => "invalid").increment(invalid as u64);
    record_import(height, elapsed);
}

pub(crate) fn record_import(height: u32, elapsed: Duration) {
    counter!(BLOCKS).increment(1);
    set_height(height);
    histogram!(BLOCK_SECONDS).record(elapsed.as_secs_f64());
}

pub(crate) fn set_height(height: u32) {
    gauge!(HEIGHT).set(f64::from(height));
}

pub(crate) fn set_leader_up(is_up: bool) {
    gauge!(LEADER_UP).set(f64::from(u8::from(is_up)));
}

pub(crate) fn set_leader_height(height: u32) {
    gauge!(LEADER_HEIGHT).set(f64::from(height));
}

pub(crate) fn count_state_fetch() {
    counter!(STATE_FETCHES).increment(1);
}

pub(crate) fn set_pool_size(ready: usize, total: usize) {
    gauge!(POOL, "state" => "ready").set(ready as f64);
    gauge!(POOL, "state" => "future").set(total.saturating_sub(ready) as f64);
}

pub(crate) fn count_request(method: &'static str) {
    counter!(REQUESTS, "method" => method).increment(1);
}

/// A guard that counts an open subscription until dropped.
pub(crate) struct SubscriptionGuard(());

impl SubscriptionGuard {
    pub(crate) fn new() -> Self {
        gauge!(SUBSCRIPTIONS).increment(1.0);
        Self(())
    }
}

impl Drop for SubscriptionGuard {
    fn drop(&mut self) {
        gauge!(SUBSCRIPTIONS).decrement(1.0);
    }
}
