//! The overview in a terminal.

use taonet_dashboard::{Column, Content, Panel, PlainTable, duration, number, percent, shortened};

use crate::steps::{MinerState, Steps};

/// Returns the totals and the miners of the latest steps at `now_unix`, in seconds since the Unix
/// epoch.
pub(crate) fn build(steps: &Steps, now_unix: i64) -> Vec<Panel> {
    let (requests, answered) = steps.request_counts();
    let share = (requests > 0).then(|| answered as f64 / requests as f64);
    let figures = vec![
        ("Latest steps", steps.latest.len().to_string()),
        ("Requests", requests.to_string()),
        ("Answered", percent(share)),
    ];
    let columns = vec![
        Column::number("Uid"),
        Column::text("Hotkey"),
        Column::number("Share of rewards"),
        Column::number("Reward"),
        Column::number("Asked"),
        Column::number("Answered"),
        Column::number("Response"),
    ];
    let problem =
        steps.problems(now_unix).map(|(title, reason)| format!("{title}: {reason}")).next();
    let rows = steps.miners().iter().map(row).collect();
    let table = PlainTable { columns, rows, empty: "No miner has been asked yet." };
    vec![
        Panel { title: "Prompting".to_owned(), problem, content: Content::Figures(figures) },
        Panel {
            title: "Prompting · miners".to_owned(),
            problem: None,
            content: Content::Table(table),
        },
    ]
}

fn row(miner: &MinerState) -> Vec<String> {
    vec![
        miner.uid.to_string(),
        shortened(&miner.hotkey.to_string()),
        percent(Some(miner.share)),
        number(Some(miner.reward), 3),
        miner.queried.to_string(),
        percent(miner.answered_share()),
        duration(miner.seconds),
    ]
}
