//! The page of a miner: its offers in the newest period, and its results in past periods.

use maud::{Markup, html};
use taonet_dashboard::{Page, Paging, View, grouped, live, number, percent, shortened};
use taonet_nineteen_store::{ContenderRow, HistoryRow};
use taonet_primitives::{Hotkey, Uid};

use crate::market::{Market, MinerHistory, answered_share, mean};
use crate::page::{CAPACITY_UNIT, score_history, used_capacity};
use crate::tasks::share;

/// Maximum number of past results per page.
const MAX_RESULTS_PER_PAGE: usize = 50;

/// Renders a miner. One that has left the market keeps its page as long as it has results of the
/// last day.
pub(crate) fn page(view: &View, market: &Market, hotkey: &str) -> Page {
    let Ok(hotkey) = hotkey.parse::<Hotkey>() else { return Err(view.missing("This hotkey")) };
    let offers: Vec<_> =
        market.contenders.iter().filter(|row| row.offer.hotkey == hotkey).collect();
    let past = market.past_periods.miners.get(&hotkey);
    if offers.is_empty() && past.is_none() {
        return Err(view.missing("A miner with this hotkey"));
    }
    let uid = offers.first().map(|row| row.offer.uid);
    let name = uid.map_or_else(
        || format!("Miner {}", shortened(&hotkey.to_string())),
        |uid| format!("Miner {uid}"),
    );
    let body = html! {
        (view.breadcrumbs(&[("/", "Overview"), ("/nineteen", "Nineteen")], &name))
        h1 { (name) }
        p.sub.address { (hotkey) }
        (live("miner-figures", &figures(market, &hotkey, uid, past)))
        section.card aria-labelledby="offers" {
            h2 id="offers" { "Newest period" }
            (live("miner-offers", &offers_table(market, &offers)))
        }
        section.card aria-labelledby="results" {
            h2 id="results" { "Periods of the last day" }
            (live("miner-results", &results_table(view, past.map(|past| past.rows.as_slice()).unwrap_or_default())))
        }
    };
    Ok(view.page(&name, &body))
}

fn figures(
    market: &Market,
    hotkey: &Hotkey,
    uid: Option<Uid>,
    past: Option<&MinerHistory>,
) -> Markup {
    let history = past.map(|past| past.scores.as_slice()).unwrap_or_default();
    let offer = market.contenders.iter().find(|row| row.offer.hotkey == *hotkey);
    let concurrency = offer.and_then(|row| row.offer.concurrency);
    html! {
        dl.figures {
            div {
                dt { "Period score" }
                dd {
                    (number(mean(history.iter().copied().flatten()), 3)) small { "last day" }
                    @if let Some(uid) = uid { (score_history(uid, history)) }
                }
            }
            div { dt { "Quality" } dd { (number(market.quality(hotkey, None), 3)) small { "last day" } } }
            @if let Some(concurrency) = concurrency {
                div { dt { "Concurrent requests" } dd { (concurrency) small { "announced" } } }
            }
        }
    }
}

fn offers_table(market: &Market, offers: &[&ContenderRow]) -> Markup {
    html! {
        @if offers.is_empty() { p.empty { "This miner offers no capacity." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="offers" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Task" }
                            th.num scope="col" { "Capacity" }
                            th.num scope="col" { "Used" }
                            th.num scope="col" { "Quality" }
                            th.num scope="col" { "Requests" }
                            th.num scope="col" { "Answered" }
                            th.num scope="col" { "Rate-limited" }
                            th.num scope="col" { "Failed" }
                        }
                    }
                    tbody {
                        @for row in offers {
                            @let (offer, counts) = (&row.offer, &row.counts);
                            tr {
                                th scope="row" { (offer.task) }
                                td.num { (grouped(counts.capacity)) }
                                td.num { (used_capacity(share(counts.consumed_capacity, counts.capacity))) }
                                td.num { (number(market.quality(&offer.hotkey, Some(&offer.task)), 3)) }
                                td.num { (grouped(counts.total_requests)) }
                                td.num { (percent(answered_share(counts))) }
                                td.num { (grouped(counts.requests_429)) }
                                td.num { (grouped(counts.requests_500)) }
                            }
                        }
                    }
                }
            }
            p.sub { (CAPACITY_UNIT) }
        }
    }
}

fn results_table(view: &View, results: &[HistoryRow]) -> Markup {
    let paging = Paging::of(view, "page", MAX_RESULTS_PER_PAGE, results.len());
    html! {
        @if results.is_empty() { p.empty { "No period has ended in the last day." } } @else {
            div.scroll tabindex="0" role="group" aria-labelledby="results" {
                table {
                    thead {
                        tr {
                            th.num scope="col" { "Period" }
                            th scope="col" { "Task" }
                            th.num scope="col" { "Period score" }
                            th.num scope="col" { "Capacity" }
                            th.num scope="col" { "Used" }
                            th.num scope="col" { "Requests" }
                            th.num scope="col" { "Rate-limited" }
                            th.num scope="col" { "Failed" }
                        }
                    }
                    tbody {
                        @for row in paging.slice(results) {
                            tr {
                                th.num scope="row" { (row.period) }
                                td { (row.task) }
                                td.num { (number(row.score, 3)) }
                                td.num { (grouped(row.counts.capacity)) }
                                td.num { (used_capacity(share(row.counts.consumed_capacity, row.counts.capacity))) }
                                td.num { (grouped(row.counts.total_requests)) }
                                td.num { (grouped(row.counts.requests_429)) }
                                td.num { (grouped(row.counts.requests_500)) }
                            }
                        }
                    }
                }
            }
            (paging.links(view, "results"))
            p.sub { (CAPACITY_UNIT) }
        }
    }
}
