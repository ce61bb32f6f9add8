//! Status page: tasks, capacity and latencies, without data on individual miners.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST};
use axum::response::{Html, IntoResponse as _, Json, Response};
use serde_json::{Value, json};
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_query::{TaskMiner, TaskMiners};

use crate::Gateway;
use crate::usage_page::PAGE_SECURITY_POLICY;

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
    /// Average time to the first token of each miner that has answered, in seconds, in ascending
    /// order.
    latencies: Vec<f64>,
}

impl TaskStatus {
    pub(crate) fn new(task_miners: &TaskMiners, is_served: bool) -> Self {
        let contenders = task_miners.contenders();
        let counts: Vec<_> = contenders.iter().map(|contender| contender.counts()).collect();
        let has_answered =
            |contender: &&std::sync::Arc<TaskMiner>| contender.counts().consumed_capacity > 0.0;
        let mut latencies: Vec<f64> = contenders
            .iter()
            .filter(has_answered)
            .map(|contender| contender.health().latency())
            .collect();
        latencies.sort_by(f64::total_cmp);
        Self {
            task: task_miners.task.task.to_string(),
            endpoint: task_miners.task.endpoint.path(),
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

    /// Writes the task's row of the page, without HTML escaping: task names contain only letters,
    /// digits, `-` and `.`.
    fn write_row(&self, page: &mut String) {
        let used_percent =
            if self.capacity > 0.0 { 100.0 * self.used / self.capacity } else { 0.0 };
        let format_latency = |latency: Option<f64>| {
            latency.map_or("–".to_owned(), |latency| format!("{latency:.2} s"))
        };
        let (class, state) =
            if self.is_served { ("ok", "available") } else { ("bad", "unavailable") };
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}</th><td><span class=\"badge {class}\">{state}</span></td><td>{}</td><td>{:.0}</td>\
             <td>{used_percent:.1} %</td><td>{}</td><td>{:.0}</td><td>{:.0}</td><td>{:.0}</td><td>{}</td><td>{}</td></tr>",
            self.task,
            self.miners,
            self.capacity,
            self.running,
            self.requests,
            self.rate_limited,
            self.failed,
            format_latency(self.best_latency()),
            format_latency(self.median_latency()),
        );
    }
}

impl Gateway {
    fn task_statuses(&self) -> Vec<TaskStatus> {
        let Some(period_miners) = self.0.queries.market().period_miners() else {
            return Vec::new();
        };
        let status = |task_miners: &TaskMiners| {
            TaskStatus::new(task_miners, self.0.queries.is_served(task_miners.task.task.as_str()))
        };
        period_miners.tasks().iter().map(status).collect()
    }
}

/// Handler of `GET /status.json`.
pub(crate) async fn document(State(gateway): State<Gateway>) -> Response {
    let tasks: Vec<_> = gateway.task_statuses().iter().map(TaskStatus::document).collect();
    Json(json!({ "tasks": tasks })).into_response()
}

/// Handler of `GET /` and `GET /status`.
pub(crate) async fn page(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let mut page = String::from(PAGE_HEAD);
    for task in gateway.task_statuses() {
        task.write_row(&mut page);
    }
    page.push_str(
        "</tbody></table></div></section><p class=\"sub\" id=\"state\" role=\"status\"></p>\n",
    );
    let config = gateway.0.market.current();
    if let Some(task) = config.enabled().find(|task| task.endpoint == Endpoint::Chat) {
        let host =
            headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
        let host = host.unwrap_or("HOST");
        let _ = writeln!(
            page,
            "<h2>Example</h2><p>With an API key, from <code>tao nineteen keys create</code>:</p>\n\
             <pre tabindex=\"0\" role=\"group\" aria-label=\"Example\">\
             curl http://{host}/v1/chat/completions --header \"Authorization: Bearer KEY\" \
             --json '{{\"model\": \"{}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'</pre>\n\
             <p>The API is described in <a href=\"/openapi.json\">/openapi.json</a>. <a href=\"/usage\">/usage</a> shows the \
             usage of your key.</p>",
            task.task,
        );
    }
    page.push_str("</main></body></html>\n");
    ([(CONTENT_SECURITY_POLICY, PAGE_SECURITY_POLICY)], Html(page)).into_response()
}

/// Handler of `GET /status.js`.
pub(crate) async fn script() -> Response {
    let headers = [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, include_str!("status/script.js")).into_response()
}

/// Returns whether the header `Host` can be shown in the page and in a command without escaping.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

/// Colours, cards, badges and tables are those of the dashboard,
/// `crates/dashboard/assets/page.css`. On a phone, the table scrolls. The script updates the table:
/// reloading the page would move users of a screen reader or a keyboard back to its beginning.
const PAGE_HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Nineteen</title><script src=\"/status.js\" defer></script>
<style>
:root { --bg: #f6f7f9; --card: #fff; --line: #dfe3e8; --text: #1a2230; --soft: #566173; --accent: #0f766e;
  --good: #14713d; --good-soft: #dcf3e5; --bad: #b3261e; --bad-soft: #fbe3e1; color-scheme: light }
@media (prefers-color-scheme: dark) { :root { --bg: #0e131b; --card: #171e29; --line: #2a3443; --text: #e6eaf1;
  --soft: #9eabbd; --accent: #4fd1c1; --good: #6ddc97; --good-soft: #15362a; --bad: #ff9b92; --bad-soft: #45201f;
  color-scheme: dark } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; background: var(--bg); color: var(--text) }
main { max-width: 82rem; margin: 0 auto; padding: 1rem } a { color: var(--accent) } .sub { color: var(--soft) }
section, pre { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem }
.scroll, pre { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .5rem .6rem; text-align: right; border-bottom: 1px solid var(--line); font-weight: 400; white-space: nowrap }
thead th { color: var(--soft); font-size: .8rem; font-weight: 600 } tbody tr:last-child > * { border-bottom: 0 }
th:first-child, th:nth-child(2), td:nth-child(2) { text-align: left }
.badge { font-size: .78rem; font-weight: 600; padding: .05rem .55rem; border-radius: 99px }
.ok { background: var(--good-soft); color: var(--good) } .bad { background: var(--bad-soft); color: var(--bad) }
</style></head><body><main><h1>Nineteen</h1>
<p class=\"sub\">Tasks of the running period. Capacity: tokens, or denoising steps of images. Latency is the time to the first
token.</p>
<section aria-label=\"Tasks\"><div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Tasks\"><table><thead><tr>
<th scope=\"col\">Task</th><th scope=\"col\">State</th><th scope=\"col\">Miners</th><th scope=\"col\">Capacity</th>
<th scope=\"col\">Used</th><th scope=\"col\">Running</th><th scope=\"col\">Requests</th><th scope=\"col\">Rate-limited</th>
<th scope=\"col\">Failed</th><th scope=\"col\">Best latency</th><th scope=\"col\">Median latency</th></tr></thead>
<tbody id=\"tasks\">
";
