//! The page of all miners of a contest, sortable by column.

use axum::response::Response;
use maud::html;
use taonet_babelbit_core::scoring::describe_failed_gates;
use taonet_dashboard::{Paging, Sort, View, duration, live, number};

use super::parts::{contest, history, score, tabs, warning};
use crate::index::MinerStats;
use crate::section::BabelbitSection;

/// Maximum number of miners listed on one page.
const PER_PAGE: usize = 50;
/// Maximum number of challenges in a sparkline.
const MAX_HISTORY: usize = 30;
/// Names of the sortable columns, and whether the first click on a column sorts in descending
/// order.
const COLUMNS: [(&str, bool); 7] = [
    ("score", true),
    ("uid", false),
    ("accuracy", true),
    ("rate", true),
    ("late", false),
    ("wall", false),
    ("lost", true),
];

fn failed_utterances(stats: &MinerStats) -> usize {
    stats.failed_gates.values().sum()
}

fn sort(standings: &mut [MinerStats], key: &str) {
    // Missing values come first in ascending order.
    let or_lowest = |value: Option<f64>| value.unwrap_or(f64::NEG_INFINITY);
    standings.sort_by(|a, b| {
        let order = match key {
            "uid" => a.miner.uid.cmp(&b.miner.uid),
            "accuracy" => or_lowest(a.accuracy).total_cmp(&or_lowest(b.accuracy)),
            "rate" => or_lowest(a.rate_ratio).total_cmp(&or_lowest(b.rate_ratio)),
            "late" => or_lowest(a.overshoot_sec).total_cmp(&or_lowest(b.overshoot_sec)),
            "wall" => {
                or_lowest(a.wall_after_source_sec).total_cmp(&or_lowest(b.wall_after_source_sec))
            }
            "lost" => failed_utterances(a).cmp(&failed_utterances(b)),
            _ => a.score.total_cmp(&b.score),
        };
        order.then_with(|| b.miner.cmp(&a.miner))
    });
}

pub(crate) fn page(section: &BabelbitSection, view: &View) -> Response {
    let index = section.run_directory.index();
    let contest = contest(view, &index);
    let mut standings = index.leaderboard(contest, MAX_HISTORY);
    let order = Sort::of(view, &COLUMNS);
    sort(&mut standings, order.key());
    order.apply(&mut standings);
    let paging = Paging::of(view, "page", PER_PAGE, standings.len());
    let header = |key, label| order.header(view, key, label, "num");
    let table = html! {
        @if standings.is_empty() { p.empty { "This contest has no miners yet." } } @else {
            div.scroll tabindex="0" role="region" aria-label="Miners" {
                table {
                    thead {
                        tr {
                            (order.header(view, "uid", "Miner", ""))
                            (header("score", "Score"))
                            th scope="col" { "Scores over time" }
                            (header("accuracy", "Accuracy"))
                            (header("rate", "Rate"))
                            (header("late", "Latency"))
                            (header("wall", "Wall clock"))
                            (header("lost", "Lost"))
                            th scope="col" { "Reasons" }
                        }
                    }
                    tbody {
                        @for stats in paging.slice(&standings) {
                            tr {
                                th scope="row" { (section.miner_link(view, &stats.miner)) }
                                td.num { (score(stats.score)) }
                                td { (history(section, stats)) }
                                td.num { (number(stats.accuracy, 2)) }
                                td.num { (number(stats.rate_ratio, 2)) }
                                td.num { (duration(stats.overshoot_sec)) }
                                td.num { (duration(stats.wall_after_source_sec)) }
                                td.num { (failed_utterances(stats)) " of " (stats.utterances) }
                                td.losses { (describe_failed_gates(&stats.failed_gates, stats.utterances)) }
                            }
                        }
                    }
                }
            }
            (paging.links(view, "miners"))
        }
    };
    let body = html! {
        h1 { "Miners" }
        (live("miners-problem", &warning(&index)))
        section.card { (tabs(view, &index, contest)) (live("miners", &table)) }
    };
    view.page("Miners", &body)
}
