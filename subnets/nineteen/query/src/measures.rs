//! Metrics of requests to miners.

use taonet_nineteen_core::period::RequestOutcome;

const REQUESTS: &str = "taonet_nineteen_query_requests_total";
const RUNNING: &str = "taonet_nineteen_query_running";
const FIRST: &str = "taonet_nineteen_query_first_chunk_seconds";
const HEDGED: &str = "taonet_nineteen_query_hedged_total";
const PREFIXES: &str = "taonet_nineteen_query_prefixes_total";
const QUEUED: &str = "taonet_nineteen_query_queued";
const WAITED: &str = "taonet_nineteen_query_queue_seconds";
const REJECTED: &str = "taonet_nineteen_query_queue_rejected_total";
const SAMPLES: &str = "taonet_nineteen_query_samples_dropped_total";
const JOBS: &str = "taonet_nineteen_worker_jobs_total";
const TAKEN: &str = "taonet_nineteen_entry_taken_seconds";
const LOST: &str = "taonet_nineteen_entry_workers_lost_total";

/// Registers the help texts of the metrics of requests to miners. Call once, after the recorder is
/// installed.
pub fn describe() {
    metrics::describe_counter!(REQUESTS, "Attempts to query a miner, by task, kind and outcome");
    metrics::describe_gauge!(RUNNING, "Requests in flight at miners");
    metrics::describe_histogram!(
        FIRST,
        "Time from sending a request to the first chunk of its answer"
    );
    metrics::describe_counter!(
        HEDGED,
        "Buyers' requests also sent to a second miner before the first chunk"
    );
    metrics::describe_counter!(
        PREFIXES,
        "Attempts of buyers' requests whose prompts select the miner, by miner"
    );
    metrics::describe_gauge!(
        QUEUED,
        "Buyers' requests that wait for a miner with a free slot, by task"
    );
    metrics::describe_histogram!(
        WAITED,
        "Time that a buyer's request waited for a miner with a free slot"
    );
    metrics::describe_counter!(
        REJECTED,
        "Buyers' requests that got no miner with a free slot, by reason"
    );
    metrics::describe_counter!(
        SAMPLES,
        "Answers not queued for checking because the queue was full"
    );
    metrics::describe_counter!(
        JOBS,
        "Requests that this query worker took from the queue, by outcome"
    );
    metrics::describe_histogram!(
        TAKEN,
        "Time from queueing a request until a query worker takes it"
    );
    metrics::describe_counter!(
        LOST,
        "Requests whose query worker stopped responding, or that no query worker took"
    );
}

pub(crate) fn job(outcome: &'static str) {
    metrics::counter!(JOBS, "outcome" => outcome).increment(1);
}

pub(crate) fn taken(seconds: f64) {
    metrics::histogram!(TAKEN).record(seconds);
}

pub(crate) fn worker_lost() {
    metrics::counter!(LOST).increment(1);
}

pub(crate) fn outcome(task: &str, kind: &'static str, outcome: Option<RequestOutcome>) {
    let name = match outcome {
        Some(RequestOutcome::Answered { .. }) => "answered",
        Some(RequestOutcome::RateLimited) => "rate_limited",
        Some(RequestOutcome::Failed) => "failed",
        None => "cancelled",
    };
    metrics::counter!(REQUESTS, "task" => task.to_owned(), "kind" => kind, "outcome" => name)
        .increment(1);
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

pub(crate) fn prefix(is_preferred: bool) {
    let miner = if is_preferred { "preferred" } else { "other" };
    metrics::counter!(PREFIXES, "miner" => miner).increment(1);
}

pub(crate) fn queued(task: &str, requests: usize) {
    metrics::gauge!(QUEUED, "task" => task.to_owned()).set(requests as f64);
}

pub(crate) fn waited(seconds: f64) {
    metrics::histogram!(WAITED).record(seconds);
}

pub(crate) fn rejected(reason: &'static str) {
    metrics::counter!(REJECTED, "reason" => reason).increment(1);
}

pub(crate) fn sample_dropped() {
    metrics::counter!(SAMPLES).increment(1);
}
