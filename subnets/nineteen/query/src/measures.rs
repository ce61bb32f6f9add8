//! Metrics of requests to miners.

use taonet_nineteen_core::period::RequestOutcome;

const REQUESTS: &str = "taonet_nineteen_query_requests_total";
const RUNNING: &str = "taonet_nineteen_query_running";
const FIRST: &str = "taonet_nineteen_query_first_chunk_seconds";
const HEDGED: &str = "taonet_nineteen_query_hedged_total";
const SAMPLES: &str = "taonet_nineteen_query_samples_dropped_total";

/// Registers help texts of the metrics. Call after the recorder is installed.
pub fn describe() {
    metrics::describe_counter!(REQUESTS, "Request attempts at miners, by task, kind and outcome");
    metrics::describe_gauge!(RUNNING, "Requests in flight at miners");
    metrics::describe_histogram!(FIRST, "Time from a request to the first chunk of its answer");
    metrics::describe_counter!(HEDGED, "Buyers' requests that went to a second miner before the first chunk");
    metrics::describe_counter!(SAMPLES, "Answers that were not kept for checking because the queue was full");
}

pub(crate) fn outcome(task: &str, kind: &'static str, outcome: Option<RequestOutcome>) {
    let name = match outcome {
        Some(RequestOutcome::Answered { .. }) => "answered",
        Some(RequestOutcome::RateLimited) => "rate_limited",
        Some(RequestOutcome::Failed) => "failed",
        None => "cancelled",
    };
    metrics::counter!(REQUESTS, "task" => task.to_owned(), "kind" => kind, "outcome" => name).increment(1);
}

pub(crate) fn running(change: f64) {
    metrics::gauge!(RUNNING).increment(change);
}

pub(crate) fn first_chunk(seconds: f64) {
    metrics::histogram!(FIRST).record(seconds);
}

pub(crate) fn hedged() {
    metrics::counter!(HEDGED).increment(1);
}

pub(crate) fn sample_dropped() {
    metrics::counter!(SAMPLES).increment(1);
}
