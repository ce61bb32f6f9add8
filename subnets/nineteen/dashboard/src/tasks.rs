//! Tasks of the running period, with their capacity, traffic and latency.

use std::collections::BTreeMap;

use serde::Deserialize;
use taonet_nineteen_core::period::PeriodCounts;
use taonet_nineteen_store::ContenderRow;

/// A task in a period: an entry of the gateway's `/status.json`, or the sum over the miners in the
/// database.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(crate) struct TaskState {
    pub(crate) task: String,
    pub(crate) miners: usize,
    /// Total and used capacity of the period, in the task's unit.
    pub(crate) capacity: f64,
    pub(crate) used: f64,
    pub(crate) requests: f64,
    pub(crate) rate_limited: f64,
    pub(crate) failed: f64,
    /// Whether the gateway serves the task; the database does not have this and the following
    /// values.
    pub(crate) is_served: Option<bool>,
    pub(crate) running: Option<usize>,
    /// Time to the first token of the fastest miner and of the median miner, in seconds.
    pub(crate) best_latency: Option<f64>,
    pub(crate) median_latency: Option<f64>,
}

/// The gateway's `/status.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct StatusDocument {
    pub(crate) tasks: Vec<TaskState>,
}

impl TaskState {
    fn add(&mut self, counts: &PeriodCounts) {
        self.miners += 1;
        self.capacity += counts.capacity;
        self.used += counts.consumed_capacity;
        self.requests += counts.total_requests;
        self.rate_limited += counts.requests_429;
        self.failed += counts.requests_500;
    }

    /// Returns the used share of the capacity; `None` without capacity.
    pub(crate) fn used_share(&self) -> Option<f64> {
        share(self.used, self.capacity)
    }
}

/// Returns `part / total`; `None` if `total` is 0.
pub(crate) fn share(part: f64, total: f64) -> Option<f64> {
    (total > 0.0).then(|| part / total)
}

/// Adds up the miners of each task, ordered by name.
pub(crate) fn tasks_of(contenders: &[ContenderRow]) -> Vec<TaskState> {
    let mut tasks = BTreeMap::<&str, TaskState>::new();
    for row in contenders {
        let name = row.offer.task.as_str();
        let task = tasks
            .entry(name)
            .or_insert_with(|| TaskState { task: name.to_owned(), ..TaskState::default() });
        task.add(&row.counts);
    }
    tasks.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_document_of_the_gateway_is_parsed() {
        let text = r#"{"tasks": [{"task": "chat", "endpoint": "/chat/completions", "miners": 2, "is_served": true,
            "capacity": 100.0, "used": 25.0, "running": 3, "requests": 8.0, "rate_limited": 1.0, "failed": 0.0,
            "best_latency": 0.25, "median_latency": null}]}"#;
        let document: StatusDocument = serde_json::from_str(text).unwrap();
        let expected = TaskState {
            task: "chat".to_owned(),
            miners: 2,
            capacity: 100.0,
            used: 25.0,
            requests: 8.0,
            rate_limited: 1.0,
            failed: 0.0,
            is_served: Some(true),
            running: Some(3),
            best_latency: Some(0.25),
            median_latency: None,
        };
        assert_eq!(document.tasks, [expected]);
        assert_eq!(document.tasks[0].used_share(), Some(0.25));
        assert_eq!(TaskState::default().used_share(), None);
    }
}
