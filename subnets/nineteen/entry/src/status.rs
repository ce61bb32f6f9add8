//! Status page: tasks, capacity and latencies, without data on individual miners.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::response::{Html, IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_query::{Contender, TaskFloor};

use crate::Gateway;

/// State of a task in the running period.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskStatus {
    task: String,
    endpoint: &'static str,
    miners: usize,
    is_served: bool,
    /// Total and used capacity of the period, in the task's unit.
    capacity: f64,
    used: f64,
    running: usize,
    requests: f64,
    rate_limited: f64,
    failed: f64,
    /// Average time to the first token of each miner that has answered, in seconds, in ascending order.
    latencies: Vec<f64>,
}

impl TaskStatus {
    pub(crate) fn of(floor: &TaskFloor, is_served: bool) -> Self {
        let contenders = floor.contenders();
        let counts: Vec<_> = contenders.iter().map(|contender| contender.counts()).collect();
        let has_answered = |contender: &&std::sync::Arc<Contender>| contender.counts().consumed_capacity > 0.0;
        let mut latencies: Vec<f64> =
            contenders.iter().filter(has_answered).map(|contender| contender.health().latency()).collect();
        latencies.sort_by(f64::total_cmp);
        Self {
            task: floor.task.task.to_string(),
            endpoint: floor.task.endpoint.path(),
            miners: contenders.len(),
            is_served,
            capacity: counts.iter().map(|counts| counts.capacity).sum(),
            used: counts.iter().map(|counts| counts.consumed_capacity).sum(),
            running: contenders.iter().map(|contender| contender.running()).sum(),
            requests: counts.iter().map(|counts| counts.total_requests).sum(),
            rate_limited: counts.iter().map(|counts| counts.requests_429).sum(),
            failed: counts.iter().map(|counts| counts.requests_500).sum(),
            latencies,
        }
    }

    fn best_latency(&self) -> Option<f64> {
        self.latencies.first().copied()
    }

    fn median_latency(&self) -> Option<f64> {
        self.latencies.get(self.latencies.len().checked_sub(1)? / 2).copied()
    }

    fn document(&self) -> Value {
        json!({
            "task": self.task, "endpoint": self.endpoint, "miners": self.miners, "is_served": self.is_served,
            "capacity": self.capacity, "used": self.used, "running": self.running, "requests": self.requests,
            "rate_limited": self.rate_limited, "failed": self.failed, "best_latency": self.best_latency(),
            "median_latency": self.median_latency(),
        })
    }

    /// Writes the task's row of the page, without HTML escaping: task names contain only letters, digits, `-` and `.`.
    fn row(&self, page: &mut String) {
        let share = if self.capacity > 0.0 { 100.0 * self.used / self.capacity } else { 0.0 };
        let time = |latency: Option<f64>| latency.map_or("–".to_owned(), |latency| format!("{latency:.2} s"));
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.0}</td><td>{share:.1} %</td><td>{}</td><td>{:.0}</td>\
             <td>{:.0}</td><td>{:.0}</td><td>{}</td><td>{}</td></tr>",
            self.task,
            if self.is_served { "available" } else { "unavailable" },
            self.miners,
            self.capacity,
            self.running,
            self.requests,
            self.rate_limited,
            self.failed,
            time(self.best_latency()),
            time(self.median_latency()),
        );
    }
}

impl Gateway {
    fn status(&self) -> Vec<TaskStatus> {
        let Some(roster) = self.0.queries.market().roster() else { return Vec::new() };
        let status = |floor: &TaskFloor| TaskStatus::of(floor, self.0.queries.is_served(floor.task.task.as_str()));
        roster.floors().iter().map(status).collect()
    }
}

/// Handler of `GET /status.json`.
pub(crate) async fn document(State(gateway): State<Gateway>) -> Response {
    let tasks: Vec<_> = gateway.status().iter().map(TaskStatus::document).collect();
    Json(json!({ "tasks": tasks })).into_response()
}

/// Handler of `GET /` and `GET /status`.
pub(crate) async fn page(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let mut page = String::from(HEAD);
    for task in gateway.status() {
        task.row(&mut page);
    }
    page.push_str("</tbody></table>\n");
    let config = gateway.0.market.current();
    if let Some(task) = config.enabled().find(|task| task.endpoint == Endpoint::Chat) {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
        let host = host.unwrap_or("HOST");
        let _ = writeln!(
            page,
            "<h2>Example</h2><p>With an API key, from <code>tao nineteen keys create</code>:</p>\n\
             <pre>curl http://{host}/v1/chat/completions --header \"Authorization: Bearer KEY\" \
             --json '{{\"model\": \"{}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'</pre>\n\
             <p>The API is described in <a href=\"/openapi.json\">/openapi.json</a>. <a href=\"/usage\">/usage</a> shows the \
             usage of your key.</p>",
            task.task,
        );
    }
    page.push_str("</main></body></html>\n");
    Html(page).into_response()
}

/// Returns whether the header `Host` can be shown in the page and in a command without escaping.
fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">
<meta http-equiv=\"refresh\" content=\"10\"><title>Nineteen</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark }
table { border-collapse: collapse } th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #8888 }
th:first-child, td:first-child { text-align: left } pre { overflow-x: auto; padding: .8rem; background: #8882 }
</style></head><body><main><h1>Status</h1>
<p>Tasks of the running period. Latency is the time to the first token.</p>
<table><thead><tr><th>Task</th><th>State</th><th>Miners</th><th>Capacity</th><th>Used</th><th>Running</th>
<th>Requests</th><th>Rate-limited</th><th>Failed</th><th>Best latency</th><th>Median latency</th></tr></thead><tbody>
";
