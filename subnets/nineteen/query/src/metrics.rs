//! Metrics of requests to miners.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use metrics::{Counter, Gauge, Histogram};
use taonet_nineteen_core::TaskName;
use taonet_nineteen_core::period::RequestOutcome;

use crate::RequestKind;

const REQUESTS: &str = "taonet_nineteen_query_requests_total";
const RUNNING: &str = "taonet_nineteen_query_running";
const FIRST_CHUNK_SECONDS: &str = "taonet_nineteen_query_first_chunk_seconds";
const HEDGED: &str = "taonet_nineteen_query_hedged_total";
const PREFIXES: &str = "taonet_nineteen_query_prefixes_total";
const QUEUED: &str = "taonet_nineteen_query_queued";
const QUEUE_SECONDS: &str = "taonet_nineteen_query_queue_seconds";
const REJECTED: &str = "taonet_nineteen_query_queue_rejected_total";
const SAMPLES_DROPPED: &str = "taonet_nineteen_query_samples_dropped_total";
const JOBS: &str = "taonet_nineteen_worker_jobs_total";
const JOB_TAKEN_SECONDS: &str = "taonet_nineteen_entry_taken_seconds";
const WORKERS_LOST: &str = "taonet_nineteen_entry_workers_lost_total";

/// Registers the help texts of the metrics of requests to miners. Call once, after the recorder is
/// installed.
pub fn describe() {
    metrics::describe_counter!(REQUESTS, "Attempts to query a miner, by task, kind and outcome");
    metrics::describe_gauge!(RUNNING, "Requests in flight at miners");
    metrics::describe_histogram!(
        FIRST_CHUNK_SECONDS,
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
        QUEUE_SECONDS,
        "Time that a buyer's request waited for a miner with a free slot"
    );
    metrics::describe_counter!(
        REJECTED,
        "Buyers' requests that got no miner with a free slot, by reason"
    );
    metrics::describe_counter!(
        SAMPLES_DROPPED,
        "Answers not queued for checking because the queue was full"
    );
    metrics::describe_counter!(
        JOBS,
        "Requests that this query worker took from the queue, by outcome"
    );
    metrics::describe_histogram!(
        JOB_TAKEN_SECONDS,
        "Time from queueing a request until a query worker takes it"
    );
    metrics::describe_counter!(
        WORKERS_LOST,
        "Requests whose query worker stopped responding, or that no query worker took"
    );
}

pub(crate) fn record_job(outcome: &'static str) {
    metrics::counter!(JOBS, "outcome" => outcome).increment(1);
}

pub(crate) fn record_job_taken(seconds: f64) {
    metrics::histogram!(JOB_TAKEN_SECONDS).record(seconds);
}

pub(crate) fn record_lost_worker() {
    metrics::counter!(WORKERS_LOST).increment(1);
}

/// Metrics of attempts to query miners. The first attempt creates them, so that further ones do not
/// look them up in the recorder, nor allocate labels.
#[derive(Default)]
pub(crate) struct AttemptMetrics {
    running: OnceLock<Gauge>,
    first_chunk: OnceLock<Histogram>,
    outcomes: Mutex<HashMap<TaskName, TaskOutcomes>>,
}

impl AttemptMetrics {
    /// Changes the number of requests in flight.
    pub(crate) fn change_running(&self, change: f64) {
        self.running.get_or_init(|| metrics::gauge!(RUNNING)).increment(change);
    }

    /// Records the time until the first chunk of an answer.
    pub(crate) fn record_first_chunk(&self, seconds: f64) {
        self.first_chunk.get_or_init(|| metrics::histogram!(FIRST_CHUNK_SECONDS)).record(seconds);
    }

    /// Counts an attempt that has ended; without an outcome, it was cancelled.
    pub(crate) fn count(
        &self,
        task: &TaskName,
        kind: RequestKind,
        outcome: Option<RequestOutcome>,
    ) {
        let mut tasks = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        match tasks.get(task) {
            Some(outcomes) => outcomes.count(kind, outcome),
            None => tasks
                .entry(task.clone())
                .or_insert_with(|| TaskOutcomes::new(task))
                .count(kind, outcome),
        }
    }
}

/// Counters of the attempts for a task.
struct TaskOutcomes {
    organic: Outcomes,
    synthetic: Outcomes,
}

impl TaskOutcomes {
    fn new(task: &TaskName) -> Self {
        Self {
            organic: Outcomes::new(task, RequestKind::Organic),
            synthetic: Outcomes::new(task, RequestKind::Synthetic),
        }
    }

    fn count(&self, kind: RequestKind, outcome: Option<RequestOutcome>) {
        let outcomes = match kind {
            RequestKind::Organic => &self.organic,
            RequestKind::Synthetic => &self.synthetic,
        };
        let counter = match outcome {
            Some(RequestOutcome::Answered { .. }) => &outcomes.answered,
            Some(RequestOutcome::RateLimited) => &outcomes.rate_limited,
            Some(RequestOutcome::Failed) => &outcomes.failed,
            None => &outcomes.cancelled,
        };
        counter.increment(1);
    }
}

/// Counters of the attempts for a task and a kind of requests.
struct Outcomes {
    answered: Counter,
    rate_limited: Counter,
    failed: Counter,
    cancelled: Counter,
}

impl Outcomes {
    fn new(task: &TaskName, kind: RequestKind) -> Self {
        let counter = |outcome: &'static str| {
            let task = task.to_string();
            metrics::counter!(REQUESTS, "task" => task, "kind" => kind.as_str(), "outcome" => outcome)
        };
        Self {
            answered: counter("answered"),
            rate_limited: counter("rate_limited"),
            failed: counter("failed"),
            cancelled: counter("cancelled"),
        }
    }
}

pub(crate) fn record_hedge() {
    metrics::counter!(HEDGED).increment(1);
}

pub(crate) fn record_prefix(is_preferred: bool) {
    let miner = if is_preferred { "preferred" } else { "other" };
    metrics::counter!(PREFIXES, "miner" => miner).increment(1);
}

pub(crate) fn set_queued(task: &str, requests: usize) {
    metrics::gauge!(QUEUED, "task" => task.to_owned()).set(requests as f64);
}

pub(crate) fn record_queue_wait(seconds: f64) {
    metrics::histogram!(QUEUE_SECONDS).record(seconds);
}

pub(crate) fn record_rejection(reason: &'static str) {
    metrics::counter!(REJECTED, "reason" => reason).increment(1);
}

pub(crate) fn record_dropped_sample() {
    metrics::counter!(SAMPLES_DROPPED).increment(1);
}
