//! The page of the market, and its part of the overview.

use axum::response::Response;
use maud::{Markup, html};
use taonet_dashboard::draw::{meter, sparkline};
use taonet_dashboard::{
    Paging, Sort, View, ago, duration, grouped, live, number, percent, printable, problem,
    shortened, timestamp,
};
use taonet_nineteen_core::period::PeriodCounts;
use taonet_primitives::{Uid, counted};

use crate::market::{Activity, Market, MinerState, answered_share};
use crate::source::SPEND_DAYS;
use crate::tasks::TaskState;

/// Maximum number of miners per page.
const MAX_MINERS_PER_PAGE: usize = 50;
/// Maximum number of periods per page.
const MAX_PERIODS_PER_PAGE: usize = 12;
/// Maximum number of rows of the spend by key per page.
const MAX_SPEND_PER_PAGE: usize = 20;
/// Unit of the columns "Capacity", which depends on the task.
pub(crate) const CAPACITY_UNIT: &str =
    "Capacity: tokens, or denoising steps of images, per period.";
/// Sortable columns of the miners, and whether the first click sorts each in descending order.
const COLUMNS: [(&str, bool); 8] = [
    ("score", true),
    ("uid", false),
    ("quality", true),
    ("tasks", true),
    ("requests", true),
    ("answered", true),
    ("limited", true),
    ("failed", true),
];

impl Activity {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::BetweenPeriods => "between periods",
            Self::Stopped => "stopped",
            Self::Unknown => "no period",
        }
    }

    const fn badge(self) -> &'static str {
        match self {
            // The strip at the top of the page shows whether the market is healthy.
            Self::Running | Self::BetweenPeriods | Self::Unknown => "badge",
            Self::Stopped => "badge bad",
        }
    }
}

/// Renders the market's part of the overview.
pub(crate) fn overview(view: &View, market: &Market, now_ms: i64) -> Markup {
    let body = html! {
        (warnings(market, now_ms))
        section aria-labelledby="nineteen" {
            h2 id="nineteen" { a href=(view.href("/nineteen")) { "Nineteen" } }
            (figures(market, now_ms))
        }
    };
    live("nineteen-overview", &body)
}

/// Renders the market: tasks, miners, periods, spend by key.
pub(crate) fn page(view: &View, market: &Market, has_database: bool, now_ms: i64) -> Response {
    let body = html! {
        h1 { "Nineteen " span.sub { "an inference market" } }
        (live("nineteen-problem", &warnings(market, now_ms)))
        (live("nineteen-figures", &figures(market, now_ms)))
        section.card aria-labelledby="tasks" {
            div.head {
                h2 id="tasks" { "Tasks" }
                span.sub { "of the running period; latency is the time to the first token" }
            }
            (live("nineteen-tasks", &tasks(&market.tasks())))
        }
        section.card aria-labelledby="miners" {
            h2 id="miners" { "Miners" }
            @if has_database { (live("nineteen-miners", &miners(view, market))) } @else { (no_database()) }
        }
        section.card aria-labelledby="periods" {
            h2 id="periods" { "Periods of the last day" }
            @if has_database { (live("nineteen-periods", &periods(view, market))) } @else { (no_database()) }
        }
        section.card aria-labelledby="spend" {
            div.head {
                h2 id="spend" { "Spend by key" }
                span.sub { "of the last " (SPEND_DAYS) " days, in credits" }
            }
            @if has_database { (live("nineteen-spend", &spend(view, market))) } @else { (no_database()) }
        }
    };
    view.page("Nineteen", &body)
}

fn no_database() -> Markup {
    html! { p.empty { "Shown with the validator's state directory (--nineteen)." } }
}

fn activity(market: &Market, now_ms: i64) -> Markup {
    let activity = market.activity(now_ms);
    html! { @if market.period.is_some() { span class=(activity.badge()) { (activity.label()) } } }
}

/// Renders the reasons why sources cannot be read, or why no period runs.
fn warnings(market: &Market, now_ms: i64) -> Markup {
    html! {
        @for (title, reason) in market.problems() { (problem(title, reason)) }
        @if market.activity(now_ms) == Activity::Stopped {
            (problem("No period runs", "the last period should have been followed by another one; hint: is `tao nineteen \
                                        validator` running? Its log has the reason"))
        }
    }
}

fn figures(market: &Market, now_ms: i64) -> Markup {
    let tasks = market.tasks();
    let available = tasks.iter().filter(|task| task.is_served == Some(true)).count();
    let counts = total_counts(&tasks);
    let miners = market.miners().len();
    html! {
        dl.figures {
            @if let Some(period) = &market.period {
                div {
                    dt { "Period" }
                    dd {
                        (period.id)
                        (activity(market, now_ms))
                        small { "started " (ago(period.started_ms / 1_000, now_ms / 1_000)) }
                    }
                }
            }
            div {
                dt { "Tasks" }
                dd { (tasks.len()) @if market.gateway.is_some() { small { (available) " available" } } }
            }
            @if market.period.is_some() { div { dt { "Miners" } dd { (miners) } } }
            div { dt { "Requests" } dd { (grouped(counts.total_requests)) } }
            div {
                dt { "Answered" }
                dd {
                    (percent(answered_share(&counts)))
                    @if counts.requests_500 > 0.0 { small.warn { (grouped(counts.requests_500)) " failed" } }
                }
            }
        }
    }
}

/// Adds up the requests of all tasks. Capacities of different tasks have different units, and are
/// not added.
pub(crate) fn total_counts(tasks: &[TaskState]) -> PeriodCounts {
    let sum = |value: fn(&TaskState) -> f64| tasks.iter().map(value).sum::<f64>();
    PeriodCounts {
        total_requests: sum(|task| task.requests),
        requests_429: sum(|task| task.rate_limited),
        requests_500: sum(|task| task.failed),
        ..PeriodCounts::default()
    }
}

fn tasks(tasks: &[TaskState]) -> Markup {
    html! {
        @if tasks.is_empty() { p.empty { "No period has started yet." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="tasks" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Task" }
                            th scope="col" { "State" }
                            th.num scope="col" { "Miners" }
                            th.num scope="col" { "Capacity" }
                            th.num scope="col" { "Used" }
                            th.num scope="col" { "Running" }
                            th.num scope="col" { "Requests" }
                            th.num scope="col" { "Rate-limited" }
                            th.num scope="col" { "Failed" }
                            th.num scope="col" { "Best latency" }
                            th.num scope="col" { "Median latency" }
                        }
                    }
                    tbody { @for task in tasks { (task_row(task)) } }
                }
            }
            p.sub { (CAPACITY_UNIT) }
        }
    }
}

fn task_row(task: &TaskState) -> Markup {
    html! {
        tr {
            th scope="row" { (printable(&task.task)) }
            td {
                @match task.is_served {
                    Some(true) => span.badge.ok { "available" },
                    Some(false) => span.badge.bad { "unavailable" },
                    None => "–",
                }
            }
            td.num { (task.miners) }
            td.num { (grouped(task.capacity)) }
            td.num { (used_capacity(task.used_share())) }
            td.num { (task.running.map_or_else(|| "–".to_owned(), |running| running.to_string())) }
            td.num { (grouped(task.requests)) }
            td.num { (grouped(task.rate_limited)) }
            td.num { (grouped(task.failed)) }
            td.num { (duration(task.best_latency)) }
            td.num { (duration(task.median_latency)) }
        }
    }
}

/// Renders the used share of a capacity with a bar.
pub(crate) fn used_capacity(share: Option<f64>) -> Markup {
    html! {
        span.score {
            (percent(share))
            @if let Some(share) = share { (meter(share, &format!("{} used", percent(Some(share))))) }
        }
    }
}

fn sort_ascending(miners: &mut [MinerState], key: &str) {
    // Missing values come first in ascending order.
    let missing_first = |value: Option<f64>| value.unwrap_or(f64::NEG_INFINITY);
    miners.sort_by(|a, b| {
        let order = match key {
            "uid" => a.uid.cmp(&b.uid),
            "quality" => missing_first(a.quality).total_cmp(&missing_first(b.quality)),
            "tasks" => a.tasks.cmp(&b.tasks),
            "requests" => a.counts.total_requests.total_cmp(&b.counts.total_requests),
            "answered" => {
                missing_first(a.answered_share()).total_cmp(&missing_first(b.answered_share()))
            }
            "limited" => a.counts.requests_429.total_cmp(&b.counts.requests_429),
            "failed" => a.counts.requests_500.total_cmp(&b.counts.requests_500),
            _ => missing_first(a.score()).total_cmp(&missing_first(b.score())),
        };
        order.then_with(|| b.uid.cmp(&a.uid))
    });
}

fn miners(view: &View, market: &Market) -> Markup {
    let mut miners = market.miners();
    let order = Sort::of(view, &COLUMNS);
    sort_ascending(&mut miners, order.key());
    order.apply(&mut miners);
    let paging = Paging::of(view, "page", MAX_MINERS_PER_PAGE, miners.len());
    let header = |key, label| order.header(view, key, label, "num");
    html! {
        @if miners.is_empty() { p.empty { "No miner has offered capacity yet." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="miners" {
                table {
                    thead {
                        tr {
                            (order.header(view, "uid", "Miner", ""))
                            (header("score", "Period score"))
                            th scope="col" { "Scores over time" }
                            (header("quality", "Quality"))
                            (header("tasks", "Tasks"))
                            (header("requests", "Requests"))
                            (header("answered", "Answered"))
                            (header("limited", "Rate-limited"))
                            (header("failed", "Failed"))
                        }
                    }
                    tbody { @for miner in paging.slice(&miners) { (miner_row(view, miner)) } }
                }
            }
            (paging.links(view, "miners"))
            p.sub { "Period score: mean over the periods of the last day. Quality: mean of the answers checked in the last \
                     day. The other columns count the newest period." }
        }
    }
}

fn miner_row(view: &View, miner: &MinerState) -> Markup {
    let hotkey = miner.hotkey.to_string();
    html! {
        tr {
            th scope="row" {
                a.miner href=(view.href(&format!("/nineteen/miners/{hotkey}"))) {
                    strong { "Miner " (miner.uid) }
                    small title=(hotkey) { (shortened(&hotkey)) }
                }
            }
            td.num { (number(miner.score(), 3)) }
            td { (score_history(miner.uid, &miner.scores)) }
            td.num { (number(miner.quality, 3)) }
            td.num { (miner.tasks) }
            td.num { (grouped(miner.counts.total_requests)) }
            td.num { (percent(miner.answered_share())) }
            td.num { (grouped(miner.counts.requests_429)) }
            td.num { (grouped(miner.counts.requests_500)) }
        }
    }
}

/// Renders a miner's period scores, oldest first.
pub(crate) fn score_history(uid: Uid, scores: &[Option<f64>]) -> Markup {
    let label =
        format!("period scores of miner {uid}, {}, oldest first", counted(scores.len(), "period"));
    html! { @if scores.is_empty() { "–" } @else { (sparkline(scores, &label)) } }
}

fn periods(view: &View, market: &Market) -> Markup {
    let past = &market.past_periods.periods;
    let paging = Paging::of(view, "periods", MAX_PERIODS_PER_PAGE, past.len());
    html! {
        @if past.is_empty() { p.empty { "No period has ended in the last day." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="periods" {
                table {
                    thead {
                        tr {
                            th.num scope="col" { "Period" }
                            th scope="col" { "Started" }
                            th.num scope="col" { "Length" }
                            th.num scope="col" { "Tasks" }
                            th.num scope="col" { "Miners" }
                            th.num scope="col" { "Requests" }
                            th.num scope="col" { "Rate-limited" }
                            th.num scope="col" { "Failed" }
                            th.num scope="col" { "Mean score" }
                        }
                    }
                    tbody {
                        @for (period, sums) in paging.slice(past) {
                            tr {
                                th.num scope="row" { (period.id) }
                                @let started = timestamp(period.started_ms / 1_000);
                                td { time datetime=(started) { (started) } }
                                td.num { (duration(Some(period.length_ms as f64 / 1_000.0))) }
                                td.num { (sums.tasks) }
                                td.num { (sums.miners) }
                                td.num { (grouped(sums.counts.total_requests)) }
                                td.num { (grouped(sums.counts.requests_429)) }
                                td.num { (grouped(sums.counts.requests_500)) }
                                td.num { (number(sums.score, 3)) }
                            }
                        }
                    }
                }
            }
            (paging.links(view, "periods"))
        }
    }
}

fn spend(view: &View, market: &Market) -> Markup {
    let paging = Paging::of(view, "spend", MAX_SPEND_PER_PAGE, market.spend.len());
    html! {
        @if market.spend.is_empty() { p.empty { "No API key has been charged in these days." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="spend" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Key" }
                            th scope="col" { "Day (UTC)" }
                            th.num scope="col" { "Requests" }
                            th.num scope="col" { "Charged" }
                        }
                    }
                    tbody {
                        @for row in paging.slice(&market.spend) {
                            tr {
                                th scope="row" { @if row.name.is_empty() { "unnamed" } @else { (printable(&row.name)) } }
                                td { time datetime=(row.day) { (row.day) } }
                                td.num { (grouped(row.requests as f64)) }
                                td.num { (grouped(row.charged as f64)) }
                            }
                        }
                    }
                }
            }
            (paging.links(view, "rows"))
        }
    }
}
