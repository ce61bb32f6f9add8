//! The overview in a terminal.

use taonet_dashboard::{
    Column, Content, Panel, PlainTable, duration, grouped, number, percent, printable, shortened,
};

use crate::market::{Activity, Market, MinerState, answered_share};
use crate::page::total_counts;
use crate::tasks::TaskState;

/// Returns the state of the market, its tasks and its miners.
pub(crate) fn build(market: &Market, now_ms: i64) -> Vec<Panel> {
    let tasks = market.tasks();
    let mut panels =
        vec![figures(market, &tasks, now_ms), table("Nineteen · tasks", tasks_table(&tasks))];
    if market.period.is_some() {
        panels.push(table("Nineteen · miners", miners_table(market.miners())));
    }
    panels
}

fn table(title: &str, content: PlainTable) -> Panel {
    Panel { title: title.to_owned(), problem: None, content: Content::Table(content) }
}

fn figures(market: &Market, tasks: &[TaskState], now_ms: i64) -> Panel {
    let counts = total_counts(tasks);
    let activity = market.activity(now_ms);
    let mut figures = Vec::new();
    if let Some(period) = &market.period {
        figures.push(("Period", format!("{}, {}", period.id, activity.label())));
    }
    figures.push(("Tasks", tasks.len().to_string()));
    figures.push(("Requests", grouped(counts.total_requests)));
    figures.push(("Answered", percent(answered_share(&counts))));
    let stopped = (activity == Activity::Stopped).then(|| "no period runs".to_owned());
    let problem =
        market.problems().map(|(title, reason)| format!("{title}: {reason}")).next().or(stopped);
    Panel { title: "Nineteen".to_owned(), problem, content: Content::Figures(figures) }
}

fn tasks_table(tasks: &[TaskState]) -> PlainTable {
    let columns = vec![
        Column::text("Task"),
        Column::text("State"),
        Column::number("Miners"),
        Column::number("Used"),
        Column::number("Requests"),
        Column::number("Failed"),
        Column::number("Rate-limited"),
        Column::number("Median latency"),
        Column::number("Capacity (tokens or steps)"),
    ];
    let row = |task: &TaskState| {
        let state = match task.is_served {
            Some(true) => "available",
            Some(false) => "unavailable",
            None => "–",
        };
        vec![
            printable(&task.task),
            state.to_owned(),
            task.miners.to_string(),
            percent(task.used_share()),
            grouped(task.requests),
            grouped(task.failed),
            grouped(task.rate_limited),
            duration(task.median_latency),
            grouped(task.capacity),
        ]
    };
    PlainTable {
        columns,
        rows: tasks.iter().map(row).collect(),
        empty: "No period has started yet.",
    }
}

fn miners_table(mut miners: Vec<MinerState>) -> PlainTable {
    let score = |miner: &MinerState| miner.score().unwrap_or(f64::NEG_INFINITY);
    miners.sort_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| a.uid.cmp(&b.uid)));
    let columns = vec![
        Column::number("Uid"),
        Column::text("Hotkey"),
        Column::number("Period score"),
        Column::number("Quality"),
        Column::number("Tasks"),
        Column::number("Requests"),
        Column::number("Answered"),
        Column::number("Rate-limited"),
        Column::number("Failed"),
    ];
    let row = |miner: &MinerState| {
        vec![
            miner.uid.to_string(),
            shortened(&miner.hotkey.to_string()),
            number(miner.score(), 3),
            number(miner.quality, 3),
            miner.tasks.to_string(),
            grouped(miner.counts.total_requests),
            percent(miner.answered_share()),
            grouped(miner.counts.requests_429),
            grouped(miner.counts.requests_500),
        ]
    };
    PlainTable {
        columns,
        rows: miners.iter().map(row).collect(),
        empty: "No miner has offered capacity yet.",
    }
}
