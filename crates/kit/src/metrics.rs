//! Metrics of the crate; docs/metrics.md lists them.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use taonet_validator::LocalWeights;

/// Counter of the miner's requests, which `taonet_http::count_requests` increments.
pub(crate) const REQUESTS: &str = "taonet_kit_miner_requests_total";
const FORWARD_SECONDS: &str = "taonet_kit_miner_forward_seconds";
const STEPS: &str = "taonet_kit_validator_steps_total";
const REPLIES: &str = "taonet_kit_validator_replies_total";
const REPLY_SECONDS: &str = "taonet_kit_validator_reply_seconds";
const SCORED: &str = "taonet_kit_validator_scored_miners";

/// Registers the help texts of the metrics of miner and validator. Call it after the recorder is
/// installed.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, "Requests to the miner by route and status");
    describe_histogram!(
        FORWARD_SECONDS,
        "Time to compute the miner's response, by kind of request"
    );
    describe_counter!(STEPS, "Steps of the validator by result");
    describe_counter!(REPLIES, "Replies of miners by outcome");
    describe_histogram!(
        REPLY_SECONDS,
        "Time from a request to a miner to its response or error, by outcome"
    );
    describe_gauge!(SCORED, "Registered miners with a score above 0");
    taonet_validator::describe_metrics();
    LocalWeights::describe_metrics();
}

pub(crate) fn record_forward(kind: String, elapsed: Duration) {
    histogram!(FORWARD_SECONDS, "kind" => kind).record(elapsed.as_secs_f64());
}

pub(crate) fn count_step(result: &'static str) {
    counter!(STEPS, "result" => result).increment(1);
}

pub(crate) fn record_reply(outcome: &'static str, elapsed: Duration) {
    counter!(REPLIES, "outcome" => outcome).increment(1);
    histogram!(REPLY_SECONDS, "outcome" => outcome).record(elapsed.as_secs_f64());
}

pub(crate) fn set_scored_miners(miners: usize) {
    gauge!(SCORED).set(miners as f64);
}
