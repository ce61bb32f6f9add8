//! Metrics of the miner, listed in docs/metrics.md.

use http::StatusCode;
use metrics::{counter, describe_counter, describe_gauge, gauge};

const REQUESTS: &str = "taonet_nineteen_miner_requests_total";
const RUNNING: &str = "taonet_nineteen_miner_running";
const CHUNKS: &str = "taonet_nineteen_miner_chunks_total";
const BROKEN_STREAMS: &str = "taonet_nineteen_miner_broken_streams_total";

/// Registers the help texts of the miner's metrics. Call once, after the recorder is installed.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests by route and HTTP status");
    describe_gauge!(RUNNING, "Requests in progress at the backend");
    describe_counter!(CHUNKS, "Chunks relayed to validators");
    describe_counter!(BROKEN_STREAMS, "Streams that the backend did not complete");
}

pub(crate) fn record_request(route: &'static str, status: StatusCode) {
    counter!(REQUESTS, "route" => route, "status" => status.as_str().to_owned()).increment(1);
}

pub(crate) fn change_running(change: f64) {
    gauge!(RUNNING).increment(change);
}

pub(crate) fn record_chunks(count: usize) {
    counter!(CHUNKS).increment(count as u64);
}

pub(crate) fn record_broken_stream() {
    counter!(BROKEN_STREAMS).increment(1);
}
